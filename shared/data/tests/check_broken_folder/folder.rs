//! A site's folder: a manifest and its files, sound but for what is done to them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use consilium_data::Layout;
use consilium_data::check::{CheckOptions, Report, check};

use crate::file::{Nifti, head, tumour};

/// The columns of the manifest after patient and label.
pub(crate) const FILES: [&str; 3] = ["mask", "t1gd", "flair"];

/// A folder under construction.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    rows: String,
    cases: usize,
}

/// A case in it, all files sound.
pub(crate) struct SiteCase {
    pub(crate) name: String,
    pub(crate) number: usize,
    folder: PathBuf,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            rows: "patient,label,mask,t1gd,flair\n".to_owned(),
            cases: 0,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A sound case, the labels taking turns.
    pub(crate) fn case(&mut self, name: &str) -> SiteCase {
        let number = self.cases;
        self.cases += 1;
        let folder = self.path().join(name);
        fs::create_dir(&folder).unwrap();
        let case = SiteCase { name: name.to_owned(), number, folder };
        fs::write(case.file("mask"), case.mask().gzip()).unwrap();
        fs::write(case.file("t1gd"), case.image(0).gzip()).unwrap();
        fs::write(case.file("flair"), case.image(1).gzip()).unwrap();
        let label = number % 2;
        writeln!(
            self.rows,
            "{name},{label},{}",
            FILES.map(|file| format!("{name}/{name}-{file}.nii.gz")).join(",")
        )
        .unwrap();
        case
    }

    /// Empties a cell of the last row.
    pub(crate) fn forget(&mut self, file: &str) {
        let start = self.rows.trim_end().rfind('\n').unwrap() + 1;
        let row = self.rows.split_off(start);
        let named = format!("-{file}.nii.gz");
        let cells = row.trim_end().split(',').map(|cell| if cell.ends_with(&named) { "" } else { cell });
        self.rows.push_str(&cells.collect::<Vec<_>>().join(","));
        self.rows.push('\n');
    }

    /// Writes the manifest and checks the folder.
    pub(crate) fn check(&self, options: &CheckOptions) -> Report {
        fs::write(self.path().join("manifest.csv"), &self.rows).unwrap();
        check(Layout::Manifest, &[self.path().to_owned()], options, &|_| {})
    }
}

impl SiteCase {
    pub(crate) fn file(&self, file: &str) -> PathBuf {
        self.folder.join(format!("{}-{file}.nii.gz", self.name))
    }

    /// The sound image of column `index` of the two.
    pub(crate) fn image(&self, index: usize) -> Nifti {
        Nifti::sound(head(2 * self.number + index))
    }

    pub(crate) fn mask(&self) -> Nifti {
        Nifti::sound(tumour(self.number))
    }
}
