//! Any folder, described by a `manifest.csv`: one row a scan, one column a modality.
//!
//! Unlike the other layouts its paths are the site's own word: relative ones start at the manifest's folder,
//! and they may lead anywhere. A named file that is not there excludes its scan; an empty cell is a missing
//! modality.

mod rows;

use std::path::Path;

use super::settle::{Scanned, settle};
use super::table::Table;
use super::{CohortError, Layout};

/// The manifest's name in a folder.
const MANIFEST: &str = "manifest.csv";

/// Finds the usable cases of a manifest: `root` is the file, or the folder that holds it as `manifest.csv`.
pub(super) fn scan(root: &Path) -> Result<Scanned, CohortError> {
    let manifest = if root.is_dir() { root.join(MANIFEST) } else { root.to_owned() };
    if !manifest.is_file() {
        let root = root.to_owned();
        return Err(CohortError::NotThisLayout { root, expected: MANIFEST, layout: Layout::Manifest });
    }
    let rows = rows::read(&Table::read(&manifest)?)?;
    let folder = manifest.parent().unwrap_or(Path::new("."));
    Ok(settle(rows, |row| &row.listed, |row| row.find(folder)))
}

#[cfg(test)]
mod tests;
