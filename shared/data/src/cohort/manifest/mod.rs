//! Any folder, described by a `manifest.csv`: one row a scan, one column a modality.
//!
//! Unlike the other layouts its paths are the site's own word: relative ones start at the manifest's folder,
//! and they may lead anywhere. A named file that is not there excludes its scan; an empty cell is a missing
//! modality.

mod rows;

use std::path::{Path, PathBuf};

use super::settle::{FoundScan, Scanned, settle};
use super::table::Table;
use super::{CohortError, Layout};

use rows::{Labels, ManifestRow};

/// The manifest's name in a folder.
const MANIFEST: &str = "manifest.csv";

/// Finds the usable cases of a manifest: `root` is the file, or the folder that holds it as `manifest.csv`.
pub(super) fn scan(root: &Path) -> Result<Scanned, CohortError> {
    let manifest = file(root)?;
    let rows = rows::read(&Table::read(&manifest)?, Labels::Needed)?;
    Ok(settle(rows, |row| &row.listed, |row| row.find(folder_of(&manifest))))
}

/// Every row of a manifest, in its order. What its labels say is not looked at, nor need it have any.
pub(super) fn every_scan(root: &Path) -> Result<Vec<FoundScan>, CohortError> {
    let manifest = file(root)?;
    let rows = rows::read(&Table::read(&manifest)?, Labels::Ignored)?;
    let found = |row: &ManifestRow| FoundScan { name: row.name(), files: row.find(folder_of(&manifest)) };
    Ok(rows.iter().map(found).collect())
}

/// The manifest that `root` is or holds.
fn file(root: &Path) -> Result<PathBuf, CohortError> {
    let manifest = if root.is_dir() { root.join(MANIFEST) } else { root.to_owned() };
    if manifest.is_file() {
        return Ok(manifest);
    }
    let root = root.to_owned();
    Err(CohortError::NotThisLayout { root, expected: MANIFEST, layout: Layout::Manifest })
}

/// Where the manifest's relative paths start.
fn folder_of(manifest: &Path) -> &Path {
    manifest.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
