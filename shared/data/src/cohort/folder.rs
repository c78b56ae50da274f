//! Looking into folders: names only, one level deep, never further than a layout says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::settle::ListedScan;
use super::{CohortError, ExcludedScan, Exclusion, Layout, ScanName};

/// Compressed first; plain files are accepted too.
const EXTENSIONS: [&str; 2] = ["nii.gz", "nii"];

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, CohortError> {
    let io_error = |cause| CohortError::Io { folder: folder.to_owned(), cause };
    let mut names = fs::read_dir(folder)
        .map_err(io_error)?
        .map(|entry| Ok(entry.map_err(io_error)?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, CohortError>>()?;
    names.sort_unstable();
    Ok(names)
}

/// The names in a folder that `is_scan` accepts and that are folders themselves, sorted.
pub(super) fn scans(folder: &Path, is_scan: impl Fn(&str) -> bool) -> Result<Vec<String>, CohortError> {
    let mut names = names(folder)?;
    names.retain(|name| is_scan(name) && folder.join(name).is_dir());
    Ok(names)
}

/// The name of an image's file without its extension, or `None` for any other file.
pub(crate) fn stem(name: &str) -> Option<&str> {
    // A leading dot is a resource fork or the rest of a download.
    let name = Some(name).filter(|name| !name.starts_with('.'))?;
    EXTENSIONS.iter().find_map(|extension| name.strip_suffix(extension)?.strip_suffix('.'))
}

/// The image `stem.nii.gz` or `stem.nii` in a folder. A link to a file is a file; a device or pipe is none.
pub(crate) fn image(folder: &Path, stem: &str) -> Option<PathBuf> {
    EXTENSIONS.iter().map(|extension| folder.join(format!("{stem}.{extension}"))).find(|path| path.is_file())
}

/// The one table in `folders` whose name `is_table` accepts.
///
/// # Errors
/// Where there is none or more than one: which one holds is not for us to guess.
pub(super) fn one_table(
    layout: Layout,
    folders: &[&Path],
    pattern: &'static str,
    is_table: impl Fn(&str) -> bool,
) -> Result<PathBuf, CohortError> {
    let mut tables = Vec::new();
    for folder in folders {
        // A leading dot is a resource fork or an editor's lock, not a table.
        let names = names(folder)?.into_iter().filter(|name| !name.starts_with('.') && is_table(name));
        tables.extend(names.map(|name| folder.join(name)));
    }
    tables.sort_unstable();
    tables.dedup();
    let root = || folders[0].to_owned();
    match tables.as_slice() {
        [table] => Ok(table.clone()),
        [] => Err(CohortError::NotThisLayout { root: root(), expected: pattern, layout }),
        several => Err(CohortError::SeveralTables { root: root(), pattern, count: several.len() }),
    }
}

/// Scans that have a folder and no row in the table. `scan_of` gives the scan's name and whether it is a
/// follow-up, or `None` for a folder that is no scan.
pub(super) fn strangers(
    folder: &Path,
    listed: &[ListedScan],
    scan_of: impl Fn(&str) -> Option<(String, bool)>,
) -> Result<Vec<ExcludedScan>, CohortError> {
    let known: BTreeSet<&str> = listed.iter().map(|scan| scan.scan.reveal()).collect();
    let mut strangers = Vec::new();
    for name in names(folder)? {
        let Some((scan, follow_up)) = scan_of(&name) else { continue };
        if !known.contains(scan.as_str()) && folder.join(&name).is_dir() {
            let reason = if follow_up { Exclusion::FollowUp } else { Exclusion::NotInTable };
            strangers.push(ExcludedScan { scan: ScanName::new(scan), root: 0, line: None, reason });
        }
    }
    Ok(strangers)
}
