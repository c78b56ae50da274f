//! What `consilium-certs` says to the person who calls it.

use std::path::Path;
use std::process::Command;

/// Says `words` to the program; what it answers.
fn told(folder: &Path, words: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_consilium-certs"))
        .current_dir(folder)
        .args(words.split_whitespace())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn a_certificate_that_was_cut_short_is_told_of_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let told = |words| told(folder.path(), words);
    told("init --name north --out authority");
    for (words, cut_short) in [
        ("issue-site --authority authority --site a --out a", false),
        ("issue-site --authority authority --site b --out b --days 400", true),
        ("issue-coordinator --authority authority --out c", false),
        ("issue-coordinator --authority authority --out d --days 400", true),
        ("issue-admin --authority authority --name ada --out ada", false),
        ("issue-observer --authority authority --name bob --out bob --days 366", true),
    ] {
        let said = told(words);
        assert!(said.starts_with("kit of "), "{said}");
        assert_eq!(
            said.contains("not for") && said.contains("issuing certificate ends"),
            cut_short,
            "{words}: {said}"
        );
        assert_eq!(said.lines().count(), 1 + usize::from(cut_short), "{said}");
    }
}
