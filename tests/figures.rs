//! README says with which kernels its figures were measured, and whether they have changed since.

#[path = "../benches/fingerprint.rs"]
mod fingerprint;

/// The sentence that README owes where its figures are not those of the kernels of today.
const OLDER: &str = "an earlier state of the kernels";

fn problem(readme: &str, kernels: &str) -> Option<String> {
    let mark = "<!-- speed: kernels ";
    let start = readme.find(mark)? + mark.len();
    let measured = readme[start..].split(' ').next()?;
    match (measured == kernels, readme.contains(OLDER)) {
        (true, true) => Some(format!("the figures are of these kernels: drop “{OLDER}”")),
        (false, false) => Some(format!(
            "the kernels are {kernels}, the speed was measured with {measured}: measure anew, or say “{OLDER}”"
        )),
        (true, false) | (false, true) => None,
    }
}

#[test]
fn readme_says_when_kernels_changed_since_its_figures() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("README");
    assert!(
        readme.contains("<!-- speed: kernels "),
        "no mark beside the figures"
    );
    assert_eq!(problem(&readme, &fingerprint::kernels()), None);
    let (new, old) = (
        "<!-- speed: kernels a -->",
        format!("<!-- speed: kernels a --> {OLDER}"),
    );
    assert_eq!(problem(new, "a"), None);
    assert_eq!(problem(&old, "b"), None);
    assert!(problem(new, "b").is_some() && problem(&old, "a").is_some());
}
