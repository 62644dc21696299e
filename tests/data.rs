//! Real data, where this machine has it: `WIZEN_DATA`, else a folder beside the project.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file or folder of the real data; `None` skips, loudly and counted.
pub fn real(path: &str) -> Option<PathBuf> {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let found = std::env::var_os("WIZEN_DATA")
        .map_or_else(beside, PathBuf::from)
        .join(path);
    if found.exists() {
        return Some(found);
    }
    let n = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let problem = format!(
        "SKIPPED {n} checks on real data so far: no {}",
        found.display()
    );
    // Not `eprintln`: the test runner would swallow it.
    writeln!(std::io::stderr(), "{problem}").expect("stderr");
    None
}
