//! One file used for two purposes, found by where it really lies.
//!
//! Links are followed. Copies are `duplicates`' business.

use std::collections::BTreeMap;
use std::path::Path;

use super::headers::Inspected;
use super::problem::{Problem, ProblemKind};
use crate::Case;

/// A problem for each use of a file that has several. `at` tells the index of an inspected file.
pub(super) fn find(files: &[Inspected], cases: &[Case]) -> Vec<Problem> {
    let mut users: BTreeMap<&Path, Vec<&Inspected>> = BTreeMap::new();
    for file in files {
        if let Some(path) = &file.real_path {
            users.entry(path).or_default().push(file);
        }
    }
    let shared = users.into_values().filter(|users| users.len() > 1);
    shared.flat_map(|users| each_use(&users, cases)).collect()
}

fn each_use(users: &[&Inspected], cases: &[Case]) -> Vec<Problem> {
    let describe = |index: usize| {
        let other = if index == 0 { users[1] } else { users[0] };
        let reason = format!("the same file is used as {}", other.file.described(cases));
        let remedy = "name the right file for each";
        Problem::new(ProblemKind::SameFile, users[index].file.place(), reason, remedy)
    };
    (0..users.len()).map(describe).collect()
}
