//! Image files that no case uses, and things that are named like one.
//!
//! A layout looks only at names it expects; what it passes over in silence (a folder called `x.nii.gz`, a
//! link that leads nowhere, a misspelt file) is said here. Links are not followed, so a circle of them ends.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::headers::Inspected;
use super::problem::{Place, Problem, ProblemKind};

/// Most entries looked at: a hundred times the public collections. Beyond, the count is a lower bound and
/// says so.
const MAX_ENTRIES: usize = 1_000_000;

/// Deepest folder looked into; the public collections nest six.
const MAX_DEPTH: usize = 32;

/// Unused files named in the note.
const EXAMPLES: usize = 3;

/// The problems of the folders' files that are in no case.
pub(super) fn find(roots: &[PathBuf], used: &[Inspected]) -> Vec<Problem> {
    let real: BTreeSet<&Path> = used.iter().filter_map(|file| file.real_path.as_deref()).collect();
    let named: BTreeSet<&Path> = used.iter().map(|file| file.file.path.as_path()).collect();
    let mut problems = Vec::new();
    for root in roots {
        let mut walk = Walk::default();
        walk.folder(root, 0);
        walk.images.retain(|path| !named.contains(path.as_path()) && !is_one_of(path, &real));
        walk.odd.retain(|(path, _)| !named.contains(path.as_path()));
        problems.extend(walk.odd.into_iter().map(|(path, what)| {
            let remedy = "put the image file in its place, or rename or remove it";
            Problem::new(ProblemKind::NotAFile, Place::Path(path), what, remedy)
        }));
        problems.extend(unused(root, &walk.images, walk.entries >= MAX_ENTRIES));
    }
    problems
}

fn is_one_of(path: &Path, real: &BTreeSet<&Path>) -> bool {
    fs::canonicalize(path).is_ok_and(|path| real.contains(path.as_path()))
}

fn unused(root: &Path, images: &[PathBuf], more: bool) -> Option<Problem> {
    if images.is_empty() {
        return None;
    }
    let shown: Vec<String> =
        images.iter().take(EXAMPLES).map(|path| shortened(path, root).display().to_string()).collect();
    let bound = if more { "at least " } else { "" };
    let count = images.len();
    let reason = format!(
        "{bound}{count} image files belong to no case that was looked at, such as {}",
        shown.join(", ")
    );
    let remedy = "nothing if they are other series or scans left out; else check names against the layout";
    Some(Problem::new(ProblemKind::UnusedFiles, Place::Path(root.to_owned()), reason, remedy))
}

fn shortened<'a>(path: &'a Path, root: &Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

#[derive(Default)]
struct Walk {
    entries: usize,
    images: Vec<PathBuf>,
    /// Named like an image, with what it is instead.
    odd: Vec<(PathBuf, String)>,
}

impl Walk {
    /// Folders that cannot be listed hold nothing to find here; a case's files in them are reported when
    /// read.
    fn folder(&mut self, folder: &Path, depth: usize) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            if self.entries >= MAX_ENTRIES {
                return;
            }
            self.entries += 1;
            self.entry(path, depth);
        }
    }

    fn entry(&mut self, path: PathBuf, depth: usize) {
        let Ok(itself) = fs::symlink_metadata(&path) else { return };
        let image = is_named_like_image(path.file_name());
        if itself.is_dir() {
            if depth < MAX_DEPTH {
                self.folder(&path, depth + 1);
            }
            if image {
                self.odd.push((path, "this is a folder".to_owned()));
            }
        } else if image {
            match fs::metadata(&path) {
                Ok(target) if target.is_file() => self.images.push(path),
                Ok(target) if target.is_dir() => {
                    self.odd.push((path, "this is a link to a folder".to_owned()));
                }
                Ok(_) => self.odd.push((path, "this is a pipe or device".to_owned())),
                Err(cause) => self.odd.push((path, format!("this link leads to no file ({cause})"))),
            }
        }
    }
}

fn is_named_like_image(name: Option<&OsStr>) -> bool {
    let name = name.map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    // A leading dot is a resource fork or the rest of a download, not an image.
    !name.starts_with('.') && (name.ends_with(".nii") || name.ends_with(".nii.gz"))
}
