//! wizen beside burn's wgpu backend, on the same adapter, in the same run.
//!
//! `cargo run --release --manifest-path benches/rivals/burn/Cargo.toml -- [--json] [--tune] [matmul] [resnet18]
//! [resnet18-by-8] [lenet5] [first]`; without names, all of them. The first build takes long, and so does what burn
//! does before it answers: minutes on a software driver, a quarter of an hour for eight images at once.
//!
//! Results are checked before anything is timed; then wizen and burn take turns, and the medians count. burn runs
//! with fusion and autotuning, its defaults, both warm when it is timed. wizen takes the variants that it would take
//! without having timed them, unless `--tune` lets it time them first, as `wizen bench` does.

mod device;
mod first;
mod lenet5;
mod matmul;
mod report;
mod resnet18;
mod rival;

use device::Both;

/// What went wrong, in a sentence.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PARTS: [&str; 5] = ["matmul", "resnet18", "resnet18-by-8", "lenet5", "first"];

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if let [child, who, file] = &args[..]
        && child == first::CHILD
    {
        return first::child(who, file);
    }
    let mut flag = |name: &str| {
        let before = args.len();
        args.retain(|arg| arg != name);
        args.len() < before
    };
    let (json, tune) = (flag("--json"), flag("--tune"));
    if let Some(unknown) = args.iter().find(|arg| !PARTS.contains(&arg.as_str())) {
        return Err(format!("`{unknown}`: give --json, --tune, or names out of {PARTS:?}").into());
    }
    let wanted = |part: &str| args.is_empty() || args.iter().any(|arg| arg == part);
    let both = Both::open(tune)?;
    eprintln!("on {}", both.name);
    let mut rows = Vec::new();
    if wanted("matmul") {
        rows.extend(matmul::rows(&both)?);
    }
    if wanted("resnet18") {
        rows.extend(resnet18::rows(&both, 1)?);
    }
    if wanted("resnet18-by-8") {
        rows.extend(resnet18::rows(&both, 8)?);
    }
    if wanted("lenet5") {
        rows.extend(lenet5::rows(&both)?);
    }
    if wanted("first") {
        rows.extend(first::rows(&both)?);
    }
    let text = if json {
        report::json(&both.name, &rows)?
    } else {
        report::markdown(&both.name, &rows)?
    };
    println!("{text}");
    Ok(())
}
