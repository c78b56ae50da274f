//! The rows of a manifest: `patient`, `scan`, `label`, `mask`, the modalities, and `alias`.
//!
//! The format is ours, so a column that is not known is a mistake, not somebody else's business.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Component, Path, PathBuf};

use consilium_domain::Modality;

use crate::cohort::identity::MAX_NAME_CHARS;
use crate::cohort::mgmt::Mgmt;
use crate::cohort::settle::{FileMissing, Files, ListedScan};
use crate::cohort::table::{Column, FirstLines, Row, RowProblem, Table};
use crate::cohort::{Alias, Clinical, PatientId, ScanDate, ScanName, TableError};

/// Longest path; the limit of Linux.
const MAX_PATH_CHARS: usize = 4096;

/// Most aliases of one scan: more than there are collections.
const MAX_ALIASES: usize = 16;

const PATIENT: &str = "patient";
const SCAN: &str = "scan";
const LABEL: &str = "label";
const MASK: &str = "mask";
const ALIAS: &str = "alias";
const AGE: &str = "age";
const SEX: &str = "sex";
const SCAN_DATE: &str = "scan-date";

/// Columns beside those of the modalities.
const KNOWN: [&str; 8] = [PATIENT, SCAN, LABEL, MASK, ALIAS, AGE, SEX, SCAN_DATE];

/// One scan and the files that its row names, relative ones as written.
pub(super) struct ManifestRow {
    pub(super) listed: ListedScan,
    images: BTreeMap<Modality, PathBuf>,
    mask: Option<PathBuf>,
}

/// Whether a row must say what its scan's label is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Labels {
    Needed,
    /// The column may be absent, and its words are not read.
    Ignored,
}

impl ManifestRow {
    /// A name that no other row has: the patient's, and the scan's where it differs.
    pub(super) fn name(&self) -> ScanName {
        let (patient, scan) = (self.listed.patient.reveal(), self.listed.scan.reveal());
        if patient == scan { ScanName::new(scan) } else { ScanName::new(format!("{patient}/{scan}")) }
    }

    /// The named files, once each is known to be there. Links are followed; a device or pipe is no file.
    pub(super) fn find(&self, folder: &Path) -> Result<Files, FileMissing> {
        let existing = |path: &PathBuf| {
            let path = folder.join(path);
            if path.is_file() { Ok(path) } else { Err(FileMissing) }
        };
        let images = self.images.iter().map(|(&modality, path)| Ok((modality, existing(path)?)));
        Ok(Files {
            images: images.collect::<Result<_, _>>()?,
            mask: self.mask.as_ref().map(existing).transpose()?,
        })
    }
}

/// Where a manifest has what.
struct Columns {
    patient: Column,
    scan: Option<Column>,
    label: Option<Column>,
    mask: Column,
    images: Vec<(Modality, Column)>,
    alias: Option<Column>,
    age: Option<Column>,
    sex: Option<Column>,
    scan_date: Option<Column>,
}

impl Columns {
    fn of(table: &Table, labels: Labels) -> Result<Self, TableError> {
        let names = || KNOWN.into_iter().chain(Modality::ALL.map(Modality::name));
        if let Some(place) = table.header().iter().position(|column| names().all(|name| name != column)) {
            let (path, known) = (table.path().to_owned(), names().collect::<Vec<_>>().join(", "));
            return Err(TableError::UnknownColumn { path, position: place + 1, known });
        }
        let mut images = Vec::new();
        for modality in Modality::ALL {
            images.extend(table.optional_column(modality.name())?.map(|column| (modality, column)));
        }
        if images.is_empty() {
            return Err(TableError::NoModality { path: table.path().to_owned() });
        }
        Ok(Self {
            patient: table.column(PATIENT)?,
            scan: table.optional_column(SCAN)?,
            label: (labels == Labels::Needed).then(|| table.column(LABEL)).transpose()?,
            mask: table.column(MASK)?,
            images,
            alias: table.optional_column(ALIAS)?,
            age: table.optional_column(AGE)?,
            sex: table.optional_column(SEX)?,
            scan_date: table.optional_column(SCAN_DATE)?,
        })
    }
}

/// The rows of a manifest, in its order; no two of one scan, and no file named twice.
pub(super) fn read(table: &Table, labels: Labels) -> Result<Vec<ManifestRow>, TableError> {
    let columns = Columns::of(table, labels)?;
    let mut seen = FirstLines::default();
    let mut files = NamedFiles::default();
    table.rows(|row| {
        let patient = name(row, columns.patient)?;
        let scan = match columns.scan {
            Some(column) if !row.cell(column).is_empty() => name(row, column)?,
            _ => patient,
        };
        // No name holds a slash, so that no two pairs are one text.
        seen.note(&format!("{patient}/{scan}"), row.line)?;
        let mut images = BTreeMap::new();
        for &(modality, column) in &columns.images {
            images.extend(files.name(row, column)?.map(|path| (modality, path)));
        }
        let listed = ListedScan {
            scan: ScanName::new(scan),
            patient: PatientId::new(patient),
            line: row.line,
            objection: None,
            mgmt: columns.label.map_or(Ok(Mgmt::NotAvailable), |column| label(row, column))?,
            clinical: Clinical {
                scanned: scan_date(row, columns.scan_date)?,
                ..Clinical::of(row, columns.age, columns.sex)
            },
            aliases: aliases(row, patient, columns.alias)?,
        };
        Ok(ManifestRow { listed, images, mask: files.name(row, columns.mask)? })
    })
}

/// A patient's or scan's name: it becomes no path, but must be readable, and fit where names go.
fn name(row: &Row, column: Column) -> Result<&str, RowProblem> {
    let name = row.cell(column);
    let readable = !name.is_empty()
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.starts_with('.')
        && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\'));
    let form = "a name: at most 128 characters, no slash or control character, no dot in front";
    if readable { Ok(name) } else { Err(RowProblem::Name { column: column.name, form }) }
}

fn label(row: &Row, column: Column) -> Result<Mgmt, RowProblem> {
    let accepted = "methylated, positive or 1; unmethylated, negative or 0; indeterminate; unknown or blank";
    read_label(row.cell(column)).ok_or(RowProblem::Word { column: column.name, accepted })
}

/// The day of a scan. The table is the site's own, so what is no date is a mistake.
fn scan_date(row: &Row, column: Option<Column>) -> Result<Option<ScanDate>, RowProblem> {
    let Some(column) = column.filter(|column| !row.cell(*column).is_empty()) else { return Ok(None) };
    let accepted = "a day such as 2019-06-30, or blank";
    ScanDate::read(row.cell(column)).map(Some).ok_or(RowProblem::Word { column: column.name, accepted })
}

fn read_label(word: &str) -> Option<Mgmt> {
    match word.to_ascii_lowercase().as_str() {
        "methylated" | "positive" | "1" => Some(Mgmt::Methylated),
        "unmethylated" | "negative" | "0" => Some(Mgmt::Unmethylated),
        "indeterminate" => Some(Mgmt::Indeterminate),
        "unknown" | "" => Some(Mgmt::NotAvailable),
        _ => None,
    }
}

/// The aliases in the cell, separated by spaces, and the patient's name where a collection gave it.
fn aliases(row: &Row, patient: &str, column: Option<Column>) -> Result<Vec<Alias>, RowProblem> {
    let form = "names such as BraTS2021_00017 or tcga-gbm:TCGA-02-0001, separated by spaces, at most 16";
    let named = column.map_or("", |column| row.cell(column)).split_whitespace().map(Alias::parse);
    let named: Option<Vec<Alias>> = named.collect();
    let mut aliases =
        named.filter(|named| named.len() <= MAX_ALIASES).ok_or(RowProblem::Name { column: ALIAS, form })?;
    aliases.extend(Alias::of_public_name(patient));
    Ok(aliases)
}

/// Where each file was named: a row that was copied and half changed would give one patient another's image.
#[derive(Default)]
struct NamedFiles(BTreeMap<PathBuf, (u64, &'static str)>);

impl NamedFiles {
    /// The file that a cell names, if any.
    fn name(&mut self, row: &Row, column: Column) -> Result<Option<PathBuf>, RowProblem> {
        let text = row.cell(column);
        if text.is_empty() {
            return Ok(None);
        }
        if text.chars().count() > MAX_PATH_CHARS || text.chars().any(char::is_control) {
            return Err(RowProblem::Path { column: column.name, max: MAX_PATH_CHARS });
        }
        let path: PathBuf = Path::new(text).components().filter(|part| *part != Component::CurDir).collect();
        match self.0.entry(path.clone()) {
            Entry::Occupied(named) => {
                let &(first, other) = named.get();
                Err(RowProblem::SameFile { column: column.name, other, first })
            }
            Entry::Vacant(free) => {
                free.insert((row.line, column.name));
                Ok(Some(path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Vec<ManifestRow>, TableError> {
        read(&Table::parse(Path::new("manifest.csv"), text.as_bytes())?, Labels::Needed)
    }

    #[test]
    fn the_shipped_sample_parses() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/samples/manifest.csv");
        let rows = read(&Table::read(&sample).unwrap(), Labels::Needed).unwrap();
        let labels: Vec<Mgmt> = rows.iter().map(|row| row.listed.mgmt).collect();
        assert_eq!(
            labels,
            [Mgmt::Methylated, Mgmt::Unmethylated, Mgmt::Methylated, Mgmt::Indeterminate, Mgmt::NotAvailable]
        );
        let images: Vec<usize> = rows.iter().map(|row| row.images.len()).collect();
        assert_eq!(images, [4, 2, 1, 4, 1]);
        let aliases: Vec<&str> = rows.iter().flat_map(|row| &row.listed.aliases).map(Alias::reveal).collect();
        assert_eq!(aliases, ["brats21:00017", "tcga-gbm:TCGA-02-0001", "ucsf-pdgm:0004"]);
    }

    #[test]
    fn every_word_of_the_vocabulary_is_understood_whatever_its_case() {
        for (word, mgmt) in [
            ("methylated", Mgmt::Methylated),
            ("Positive", Mgmt::Methylated),
            ("1", Mgmt::Methylated),
            ("UNMETHYLATED", Mgmt::Unmethylated),
            ("negative", Mgmt::Unmethylated),
            ("0", Mgmt::Unmethylated),
            ("Indeterminate", Mgmt::Indeterminate),
            ("unknown", Mgmt::NotAvailable),
            ("", Mgmt::NotAvailable),
        ] {
            let rows = parse(&format!("patient;label;mask;t1\nP;{word};m.nii;t.nii\n")).unwrap();
            assert_eq!(rows[0].listed.mgmt, mgmt, "{word}");
        }
    }

    #[test]
    fn a_header_that_is_not_a_manifests_is_refused() {
        let header = |text: &str| parse(text).err().unwrap();
        assert!(matches!(header("patient,label,mask,t1ce\n"), TableError::UnknownColumn { position: 4, .. }));
        assert!(matches!(header("patient,label,mask\n"), TableError::NoModality { .. }));
        assert!(matches!(header("patient,mask,t1\n"), TableError::Column { column: "label", found: 0, .. }));
        assert!(matches!(
            header("patient,label,mask,t1,t1\n"),
            TableError::Column { column: "t1", found: 2, .. }
        ));
        let without = header("SECRET,1,a.nii,b.nii\n").to_string();
        assert!(!without.contains("SECRET") && without.contains("dsc-psr"), "{without}");
    }

    #[test]
    fn each_fault_is_named_with_its_line_and_without_the_patient() {
        let long = "x".repeat(MAX_PATH_CHARS + 1);
        for (row, place) in [
            (",s,1,b,c,", "`patient`"),
            ("../SECRET,s,1,b,c,", "`patient`"),
            ("SECRET/..,s,1,b,c,", "`patient`"),
            ("SECRET\u{7},s,1,b,c,", "`patient`"),
            (&format!("{},s,1,b,c,", "S".repeat(129)), "`patient`"),
            ("SECRET,/etc,1,b,c,", "`scan`"),
            ("SECRET,s,maybe,b,c,", "`label` must be methylated, positive or 1; unmethylated"),
            ("SECRET,s,1,b\u{1b}[2J,c,", "`mask`"),
            (&format!("SECRET,s,1,{long},c,"), "`mask`"),
            ("SECRET,s,1,b,./t.nii,", "`t1` names the same file as `t1` in line 2"),
            ("SECRET,s,1,c,c,", "`mask` names the same file as `t1` in line 3"),
            ("SECRET,s,1,b,c,SECRET", "`alias`"),
            ("SECRET,s,1,b,c,brats21:17", "`alias`"),
            (&format!("SECRET,s,1,b,c,{}", "a:b ".repeat(17)), "`alias`"),
            ("A,s,1,b,c,", "is the same scan as line 2"),
            ("SECRET,s,1,b", "4 cells"),
        ] {
            let text = format!("patient,scan,label,mask,t1,alias\nA,s,1,m.nii,t.nii,\n{row}\n");
            let error = parse(&text).err().unwrap().to_string();
            assert!(error.contains("line 3: ") && error.contains(place), "{row}: {error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(row in "(,|;|\n|\"|A|1|t\\.nii|\\.\\./|/|methylated|brats21:00017|\\PC){0,40}") {
            if let Ok(rows) = parse(&format!("patient,scan,label,mask,t1,alias\n{row}")) {
                prop_assert!(rows.iter().all(|row| !row.listed.patient.reveal().contains('/')));
            }
        }
    }
}
