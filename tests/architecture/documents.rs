//! Documents that point at something that is not there.

use std::path::{Component, Path, PathBuf};

use crate::tree::{self, TextFile};

/// Paths in documents that are made when the programs run, or never committed.
const MADE: [&str; 1] = ["certs/kits"];

/// Targets of relative links that do not exist. Anchors and addresses on the net are not followed.
fn broken_links(files: &[TextFile], exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files {
        for target in links(&file.text) {
            let folder = file.path.parent().unwrap_or(Path::new(""));
            if normal(&folder.join(target)).is_none_or(|path| !exists(&path)) {
                broken.push(format!("{} links to {target}", file.path.display()));
            }
        }
    }
    broken
}

/// Paths of this repository named in inline code that do not exist.
fn missing_mentions(files: &[TextFile], top: &[String], exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut missing = Vec::new();
    for file in files {
        for path in mentions(&file.text, top) {
            if !exists(Path::new(path)) {
                missing.push(format!("{} mentions {path}", file.path.display()));
            }
        }
    }
    missing
}

/// The text outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Targets of `[text](target)` that are files.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in prose(text) {
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split([')', ' ']).next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target);
            }
        }
    }
    found
}

/// Inline code that is a path below one of the `top` folders. Patterns and placeholders are none.
fn mentions<'a>(text: &'a str, top: &[String]) -> Vec<&'a str> {
    let is_path = |code: &&str| {
        let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let below = code.split_once('/').is_some_and(|(first, _)| top.iter().any(|folder| folder == first));
        plain && below && !code.contains("...") && !MADE.iter().any(|made| code.starts_with(made))
    };
    prose(text).flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_path).collect()
}

/// `path` without `.` and `..`; `None` when it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

fn exists(path: &Path) -> bool {
    tree::root().join(path).exists()
}

/// The folders at the top of the repository.
fn top_folders() -> Vec<String> {
    let entries = std::fs::read_dir(tree::root()).expect("the workspace can be read").flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !["target", "consilium-out"].contains(&name.as_str())).collect()
}

#[test]
fn every_relative_link_resolves() {
    assert_eq!(broken_links(&tree::files("md"), exists), [""; 0]);
}

#[test]
fn every_path_that_a_document_names_exists() {
    assert_eq!(missing_mentions(&tree::files("md"), &top_folders(), exists), [""; 0]);
}

#[test]
fn a_broken_link_is_found() {
    let text = "[a](../b.md) [b](b.md#top) [c](https://c.example/x) [d](#here) [e](../../e.md) ![f](f.png \"F\")\n\
                ```\n[g](g.md)\n```\n";
    let there = |path: &Path| path == Path::new("b.md");
    assert_eq!(
        broken_links(&[TextFile::new("docs/a.md", text)], there),
        ["docs/a.md links to b.md", "docs/a.md links to ../../e.md", "docs/a.md links to f.png"]
    );
}

#[test]
fn a_path_that_is_not_there_is_found() {
    let text =
        "`docs/a.md`, `docs/b.md`, `docs/<name>.md`, `other/c.md`, `certs/kits/a`, docs/d.md\n`docs/e.md\n";
    let top = ["docs".to_owned(), "certs".to_owned()];
    let found = missing_mentions(&[TextFile::new("a.md", text)], &top, |path| path == Path::new("docs/a.md"));
    assert_eq!(found, ["a.md mentions docs/b.md", "a.md mentions docs/e.md"]);
}
