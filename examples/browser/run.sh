#!/bin/sh
# Builds the page and runs it in a headless Chromium, on SwiftShader's WebGPU: `run.sh` checks every kernel and an
# int8 network, `run.sh speed` times ResNet18. Fails where the page does. `CHROMIUM` names another browser.
# Where rustc has no standard library for wasm32 (rustup target add wasm32-unknown-unknown), its source will do:
# WASM_FLAGS="-Z build-std=std,panic_abort" RUSTC_BOOTSTRAP=1 run.sh
set -eu
cd "$(dirname "$0")"
# shellcheck disable=SC2086 -- several words
cargo build --release --lib --target wasm32-unknown-unknown ${WASM_FLAGS:-}
cargo run --release --bin serve -- "${CARGO_TARGET_DIR:-target}"/wasm32-unknown-unknown/release/wizen_browser.wasm "$@"
