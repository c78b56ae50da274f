//! A report from its file, and its page beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Report, SCHEMA};
use crate::whole_file::write_whole;

/// Why a report is not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The file cannot be read.
    #[error(
        "{path} cannot be read: {source}; name a report.json that a coordinator or a simulation has written"
    )]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no report.
    #[error("{path} is no report: {source}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// The report has another layout.
    #[error("{path} has the layout `{found}`, this release reads `{SCHEMA}`: use the release that wrote it")]
    Schema {
        /// Which file.
        path: PathBuf,
        /// Its layout.
        found: String,
    },
    /// The page cannot be written.
    #[error("{path} cannot be written: {source}; check the folder and the disk's space")]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What every layout has.
#[derive(Deserialize)]
struct Head {
    schema: String,
}

/// Reads the report at `path`, also that of a simulation, which holds more.
///
/// # Errors
/// When it cannot be read, or is of another layout.
pub fn read(path: &Path) -> Result<Report, RenderError> {
    let text =
        fs::read_to_string(path).map_err(|source| RenderError::Read { path: path.to_owned(), source })?;
    let syntax = |source| RenderError::Syntax { path: path.to_owned(), source };
    let Head { schema } = serde_json::from_str(&text).map_err(syntax)?;
    if schema != SCHEMA {
        return Err(RenderError::Schema { path: path.to_owned(), found: schema });
    }
    serde_json::from_str(&text).map_err(syntax)
}

/// Where the page of the report at `path` lies: beside it, and never in its place.
pub fn page_beside(path: &Path) -> PathBuf {
    let page = path.with_extension("html");
    if page == path { path.with_extension("page.html") } else { page }
}

/// Writes the page of `report` to `path`, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write_page(report: &Report, path: &Path) -> Result<(), RenderError> {
    write_whole(path, &report.to_html())
        .map_err(|source| RenderError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use consilium_protocol::Timestamp;

    use super::*;
    use crate::scene::Scene;

    #[test]
    fn a_report_comes_back_and_other_layouts_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        let report = Report::of(&Scene::finished().state, Timestamp(100_000)).unwrap();
        let text = serde_json::to_string(&report).unwrap();
        fs::write(&path, &text).unwrap();
        assert_eq!(read(&path).unwrap(), report);
        fs::write(&path, text.replace(SCHEMA, "consilium-report/1")).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("`consilium-report/1`"), "{error}");
        fs::write(&path, "{}").unwrap();
        assert!(matches!(read(&path), Err(RenderError::Syntax { .. })));
    }

    #[test]
    fn a_page_never_takes_the_place_of_its_report() {
        assert_eq!(page_beside(Path::new("a/report.json")), Path::new("a/report.html"));
        assert_eq!(page_beside(Path::new("a/report.html")), Path::new("a/report.page.html"));
    }
}
