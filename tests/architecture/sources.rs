//! What every source file must have, and what the pure crates' files must not name.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use crate::tree::{self, TextFile};

/// Folders of the crates without input and output.
const PURE: [&str; 4] =
    ["shared/domain/src", "shared/metrics/src", "shared/privacy/src", "shared/protocol/src"];

/// The ways out of a pure crate: files, network, clocks, threads, processes, and order or numbers without a seed.
const WAYS_OUT: [&str; 11] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::collections::hash_map",
    "std::hash::RandomState",
];

/// Longer files hold more than one idea.
const MOST_LINES: usize = 600;

fn without_header(files: &[TextFile]) -> Vec<String> {
    let headless = files.iter().filter(|file| !file.text.starts_with("//!"));
    headless.map(|file| format!("{} does not begin with //!", file.path.display())).collect()
}

fn too_long(files: &[TextFile]) -> Vec<String> {
    let lines = |file: &TextFile| file.text.lines().count();
    let long = files.iter().filter(|file| lines(file) > MOST_LINES);
    long.map(|file| format!("{} has {} lines", file.path.display(), lines(file))).collect()
}

fn ways_out(files: &[TextFile]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for file in files.iter().filter(|file| PURE.iter().any(|folder| file.path.starts_with(folder))) {
        for path in std_paths(&file.text) {
            if let Some(way) = WAYS_OUT.iter().find(|way| leads_to(&path, way)) {
                found.insert(format!("{} names {way}", file.path.display()));
            }
        }
    }
    found.into_iter().collect()
}

/// `path` is `way`, lies in it, or is a glob that brings it in.
fn leads_to(path: &str, way: &str) -> bool {
    let below = |whole: &str, part: &str| whole.strip_prefix(part).is_some_and(|rest| rest.starts_with("::"));
    path == way
        || below(path, way)
        || path.strip_suffix("::*").is_some_and(|base| way == base || below(way, base))
}

/// Every path that starts with `std::`, with the groups of `use` declarations written out. Comments do not count.
fn std_paths(source: &str) -> Vec<String> {
    let code = |line: &'_ str| line.split("//").next().unwrap_or_default().to_owned();
    let code: String = source.lines().map(code).collect::<Vec<_>>().join("\n");
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("std::") {
        if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            read_path(String::new(), &mut code[at..].chars().peekable(), &mut paths);
        }
    }
    paths
}

/// Reads one tree of a `use` declaration, or a plain path, behind `prefix`.
fn read_path(prefix: String, code: &mut Peekable<Chars<'_>>, paths: &mut Vec<String>) {
    let mut path = prefix;
    skip_space(code);
    while let Some(c) = code.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '*')) {
        path.push(c);
    }
    if !path.ends_with("::") || code.next_if_eq(&'{').is_none() {
        paths.push(path);
        // What follows a leaf of a group up to the next one: nothing, or `as name`.
        while code.next_if(|c| !matches!(c, ',' | '}' | ';')).is_some() {}
        return;
    }
    loop {
        read_path(path.clone(), code, paths);
        if code.next_if_eq(&',').is_none() {
            break;
        }
    }
    code.next_if_eq(&'}');
    skip_space(code);
}

fn skip_space(code: &mut Peekable<Chars<'_>>) {
    while code.next_if(|c| c.is_whitespace()).is_some() {}
}

#[test]
fn every_file_says_what_it_is() {
    assert_eq!(without_header(&tree::files("rs")), [""; 0]);
}

#[test]
fn no_file_is_too_long() {
    assert_eq!(too_long(&tree::files("rs")), [""; 0]);
}

#[test]
fn pure_crates_have_no_way_out() {
    let files = tree::files("rs");
    for folder in PURE {
        assert!(files.iter().any(|file| file.path.starts_with(folder)), "{folder} is gone: mend the list");
    }
    assert_eq!(ways_out(&files), [""; 0]);
}

#[test]
fn a_file_without_a_header_is_found() {
    let files =
        [TextFile::new("a.rs", "//! A.\n"), TextFile::new("b.rs", "// B.\n"), TextFile::new("c.rs", "")];
    assert_eq!(without_header(&files), ["b.rs does not begin with //!", "c.rs does not begin with //!"]);
}

#[test]
fn a_long_file_is_found() {
    let files = [TextFile::new("a.rs", &"\n".repeat(600)), TextFile::new("b.rs", &"\n".repeat(601))];
    assert_eq!(too_long(&files), ["b.rs has 601 lines"]);
}

#[test]
fn a_way_out_is_found_however_it_is_written() {
    for (source, way) in [
        ("use std::fs;", "std::fs"),
        ("let f = std::fs::File::open(p);", "std::fs"),
        ("use std::{fmt, fs::{self, File}};", "std::fs"),
        ("use std::time::{Duration, Instant};", "std::time::Instant"),
        ("use std::{\n    time::{\n        SystemTime,\n    },\n};", "std::time::SystemTime"),
        ("pub use std::net::IpAddr;", "std::net"),
        ("use std::time::*;", "std::time::Instant"),
        ("fn f(m: &std::collections::HashMap<u8, u8>) {}", "std::collections::HashMap"),
        ("fn f() { ::std::thread::spawn(g); }", "std::thread"),
        ("use std::{fmt::{self, Write as _}, fs as files};", "std::fs"),
        ("fn f() { return std::env::var(name); }", "std::env"),
    ] {
        let found = ways_out(&[TextFile::new("shared/metrics/src/a.rs", source)]);
        assert_eq!(found, [format!("shared/metrics/src/a.rs names {way}")], "{source}");
    }
}

#[test]
fn what_is_no_way_out_is_left_alone() {
    let source =
        "//! Unlike std::fs.\nuse std::{fmt::{self, Display}, time::Duration};\nuse mystd::fs; // std::net\n";
    assert_eq!(ways_out(&[TextFile::new("shared/domain/src/a.rs", source)]), [""; 0]);
    assert_eq!(ways_out(&[TextFile::new("shared/transport/src/a.rs", "use std::fs;")]), [""; 0]);
}
