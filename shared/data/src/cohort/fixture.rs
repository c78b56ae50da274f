//! Folders of empty files for the layouts' tests: opening a cohort reads names and tables only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use consilium_domain::Label;

use crate::{Cohort, CohortError, Exclusion, Layout};

/// A folder under construction, removed when dropped.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Creates empty files.
    pub(crate) fn with<S: AsRef<str>>(self, files: impl IntoIterator<Item = S>) -> Self {
        files.into_iter().for_each(|file| self.write(file.as_ref(), ""));
        self
    }

    /// Creates a table.
    pub(crate) fn table(self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn open(&self, layout: Layout) -> Result<Cohort, CohortError> {
        Cohort::open(layout, &[self.root()])
    }
}

/// A file of `../shared/data`, or `None` with a word on it.
pub(crate) fn shared(file: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(file);
    if !path.is_file() {
        println!("skipped: ../shared is absent");
        return None;
    }
    Some(fs::read_to_string(path).unwrap())
}

/// Cases labelled methylated and unmethylated.
pub(crate) fn labels(cohort: &Cohort) -> (usize, usize) {
    let count = |label| cohort.cases.iter().filter(|case| case.label == label).count();
    (count(Label::Methylated), count(Label::Unmethylated))
}

/// The excluded scans by name.
pub(crate) fn reasons(cohort: &Cohort) -> BTreeMap<&str, Exclusion> {
    cohort.excluded.iter().map(|excluded| (excluded.scan.reveal(), excluded.reason)).collect()
}

/// The patients and scans that are used.
pub(crate) fn used(cohort: &Cohort) -> Vec<(&str, &str)> {
    cohort.cases.iter().map(|case| (case.patient.reveal(), case.scan.reveal())).collect()
}

/// The aliases of one case.
pub(crate) fn aliases(cohort: &Cohort, case: usize) -> Vec<&str> {
    cohort.cases[case].aliases.iter().map(|alias| alias.reveal()).collect()
}
