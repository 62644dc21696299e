//! What is timed on, and whether it is.

use wizen::gpu::Gpu;

/// The device that `wizen devices` marks, unless the environment names another backend.
pub fn gpu() -> Option<Gpu> {
    match pollster::block_on(Gpu::open()) {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            let required = std::env::var("WIZEN_REQUIRE_GPU").is_ok_and(|v| v == "1");
            assert!(!required, "WIZEN_REQUIRE_GPU=1, but {error}");
            eprintln!("nothing is timed: {error}");
            None
        }
    }
}

/// Whether everything runs once, on small shapes, as a test: told so, or not run by `cargo bench`.
pub fn is_test() -> bool {
    let told = |word: &str| std::env::args().any(|arg| arg == word);
    told("--test") || !told("--bench")
}
