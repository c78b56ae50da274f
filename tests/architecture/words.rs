//! The glossary defines every noun that `domain` and `protocol` offer.

use crate::tree::{self, TextFile};

/// Where the nouns are declared.
const SPEAKERS: [&str; 2] = ["shared/domain/src", "shared/protocol/src"];

/// Public types that `glossary` does not name. Errors explain themselves.
fn undefined(glossary: &str, files: &[TextFile]) -> Vec<String> {
    let mut missing = Vec::new();
    for file in files.iter().filter(|file| SPEAKERS.iter().any(|folder| file.path.starts_with(folder))) {
        for name in file.text.lines().filter_map(public_type) {
            let is_error = name.ends_with("Error") || name.starts_with("Unknown");
            let is_named = || glossary.split(|c: char| !c.is_alphanumeric()).any(|word| word == name);
            if !is_error && !is_named() {
                missing.push(format!("{name} of {} is not in the glossary", file.path.display()));
            }
        }
    }
    missing
}

fn public_type(line: &str) -> Option<&str> {
    let rest =
        ["pub struct ", "pub enum ", "pub trait "].iter().find_map(|start| line.strip_prefix(start))?;
    rest.split(|c: char| !c.is_alphanumeric()).next()
}

#[test]
fn every_noun_is_defined() {
    let glossary = tree::root().join("docs/glossary.md");
    let glossary = std::fs::read_to_string(glossary).expect("there is a glossary");
    assert_eq!(undefined(&glossary, &tree::files("rs")), [""; 0]);
}

#[test]
fn a_noun_without_a_definition_is_found() {
    let source =
        "pub struct Lane;\npub enum Laneway {\npub struct LaneError;\n    pub struct Inner;\nstruct Own;\n";
    let files = [TextFile::new("shared/domain/src/a.rs", source), TextFile::new("client/src/a.rs", source)];
    assert_eq!(
        undefined("- **Lane**: a training.", &files),
        ["Laneway of shared/domain/src/a.rs is not in the glossary"]
    );
}
