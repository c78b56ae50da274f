//! The clinical table of UPENN-GBM, versions 1.0 and 2.1: who was scanned when, and the MGMT result.
//!
//! Only the columns `ID` and `MGMT` are read; age, sex and survival are nobody's business here.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::super::PatientId;

/// Largest table: a hundred times the public one with its 671 rows and 66 kB.
const MAX_TABLE_BYTES: u64 = 8 * 1024 * 1024;

/// Longest scan name; the public ones have 18 characters. File systems allow 255 for a name with its suffix.
const MAX_ID_CHARS: usize = 128;

/// The laboratory's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mgmt {
    /// The promoter is methylated.
    Methylated,
    /// It is not.
    Unmethylated,
    /// The laboratory could not decide.
    Indeterminate,
    /// Not measured or not recorded.
    NotAvailable,
}

/// One row.
#[derive(Clone)]
pub struct ClinicalScan {
    id: String,
    patient: PatientId,
    baseline: bool,
    mgmt: Mgmt,
}

impl ClinicalScan {
    /// The scan's name in files, `UPENN-GBM-00001_11`. It names a patient.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whose scan.
    pub const fn patient(&self) -> &PatientId {
        &self.patient
    }

    /// Before surgery (`_11`), not after (`_21`).
    pub const fn is_baseline(&self) -> bool {
        self.baseline
    }

    /// The methylation.
    pub const fn mgmt(&self) -> Mgmt {
        self.mgmt
    }
}

/// The rows of a clinical table, in its order. No two have the same name.
#[derive(Clone)]
pub struct ClinicalTable {
    scans: Vec<ClinicalScan>,
}

/// Why a table could not be read. Rows are named by their line, never by the patient.
#[derive(Debug, thiserror::Error)]
pub enum ClinicalError {
    /// The file cannot be opened or read.
    #[error(
        "{}: cannot be read ({cause}): check that the file exists and that this account may read it",
        path.display()
    )]
    Io {
        /// The table.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Not a table of this collection.
    #[error(
        "{}: is larger than {MAX_TABLE_BYTES} bytes: this is not the clinical table, remove it",
        path.display()
    )]
    TooLarge {
        /// The table.
        path: PathBuf,
    },
    /// Not CSV.
    #[error(
        "{}: is not a comma-separated table in UTF-8 ({cause}): save it again as CSV UTF-8",
        path.display()
    )]
    Csv {
        /// The table.
        path: PathBuf,
        /// What the parser said.
        cause: csv::Error,
    },
    /// A column is missing or there twice.
    #[error(
        "{}: needs one column `{column}`, found {found}: restore the header of version 1.0 or 2.1",
        path.display()
    )]
    Column {
        /// The table.
        path: PathBuf,
        /// Its name.
        column: &'static str,
        /// How often it is there.
        found: usize,
    },
    /// An `ID` that names no scan.
    #[error(
        "{}: line {line}: the ID is not of the form UPENN-GBM-00001_11 (letters, digits, hyphens, \
         then _ and two digits): mend that row",
        path.display()
    )]
    Id {
        /// The table.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// An unknown result.
    #[error(
        "{}: line {line}: MGMT must be Methylated, Unmethylated, Indeterminate or Not Available: \
         mend that row",
        path.display()
    )]
    Mgmt {
        /// The table.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// The same scan twice.
    #[error("{}: lines {first} and {second} are the same scan: remove one", path.display())]
    Twice {
        /// The table.
        path: PathBuf,
        /// Its first line.
        first: u64,
        /// Its second line.
        second: u64,
    },
}

impl ClinicalTable {
    /// Reads a table.
    ///
    /// # Errors
    /// [`ClinicalError`] for the first thing that is not as in versions 1.0 and 2.1.
    pub fn read(path: &Path) -> Result<Self, ClinicalError> {
        let io_error = |cause| ClinicalError::Io { path: path.to_owned(), cause };
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(io_error)?;
        file.take(MAX_TABLE_BYTES + 1).read_to_end(&mut bytes).map_err(io_error)?;
        if bytes.len() as u64 > MAX_TABLE_BYTES {
            return Err(ClinicalError::TooLarge { path: path.to_owned() });
        }
        Self::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ClinicalError> {
        let csv_error = |cause| ClinicalError::Csv { path: path.to_owned(), cause };
        // Spreadsheets put a byte order mark before UTF-8.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let header = reader.headers().map_err(csv_error)?.clone();
        let id_column = column(path, &header, "ID")?;
        let mgmt_column = column(path, &header, "MGMT")?;

        let mut scans = Vec::new();
        let mut lines: BTreeMap<String, u64> = BTreeMap::new();
        for record in reader.records() {
            let record = record.map_err(csv_error)?;
            let line = record.position().map_or(0, csv::Position::line);
            let scan = ClinicalScan::parse(path, line, &record[id_column], &record[mgmt_column])?;
            if let Some(first) = lines.insert(scan.id.clone(), line) {
                return Err(ClinicalError::Twice { path: path.to_owned(), first, second: line });
            }
            scans.push(scan);
        }
        Ok(Self { scans })
    }

    /// The rows in the table's order.
    pub fn scans(&self) -> &[ClinicalScan] {
        &self.scans
    }
}

fn column(path: &Path, header: &csv::StringRecord, column: &'static str) -> Result<usize, ClinicalError> {
    let mut found = header.iter().enumerate().filter(|(_, name)| *name == column).map(|(index, _)| index);
    match (found.next(), found.count()) {
        (Some(index), 0) => Ok(index),
        (first, more) => Err(ClinicalError::Column {
            path: path.to_owned(),
            column,
            found: usize::from(first.is_some()) + more,
        }),
    }
}

impl ClinicalScan {
    fn parse(path: &Path, line: u64, id: &str, mgmt: &str) -> Result<Self, ClinicalError> {
        let (patient, baseline) =
            split_id(id).ok_or_else(|| ClinicalError::Id { path: path.to_owned(), line })?;
        let mgmt = match mgmt {
            "Methylated" => Mgmt::Methylated,
            "Unmethylated" => Mgmt::Unmethylated,
            "Indeterminate" => Mgmt::Indeterminate,
            "Not Available" => Mgmt::NotAvailable,
            _ => return Err(ClinicalError::Mgmt { path: path.to_owned(), line }),
        };
        Ok(Self { id: id.to_owned(), patient: PatientId::new(patient), baseline, mgmt })
    }
}

/// The patient, and whether the scan is a baseline. An ID becomes part of paths, so it must be a plain name.
fn split_id(id: &str) -> Option<(&str, bool)> {
    let (patient, time_point) = id.rsplit_once('_')?;
    let plain = patient.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let two_digits = time_point.len() == 2 && time_point.bytes().all(|b| b.is_ascii_digit());
    (plain && two_digits && !patient.is_empty() && id.len() <= MAX_ID_CHARS)
        .then_some((patient, time_point == "11"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ClinicalTable, ClinicalError> {
        ClinicalTable::parse(Path::new("table.csv"), text.as_bytes())
    }

    /// Scans of one result, baselines or follow-ups.
    fn count(table: &ClinicalTable, baseline: bool, mgmt: Mgmt) -> usize {
        table.scans().iter().filter(|scan| scan.is_baseline() == baseline && scan.mgmt() == mgmt).count()
    }

    #[test]
    fn the_public_tables_hold_exactly_the_known_counts() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/upenn_gbm");
        if !folder.is_dir() {
            println!("skipped: ../shared is absent");
            return;
        }
        for version in ["v1.0", "v2.1"] {
            let table =
                ClinicalTable::read(&folder.join(format!("UPENN-GBM_clinical_info_{version}.csv"))).unwrap();
            assert_eq!(count(&table, true, Mgmt::Methylated), 111, "{version}");
            assert_eq!(count(&table, true, Mgmt::Unmethylated), 151, "{version}");
            assert_eq!(count(&table, true, Mgmt::Indeterminate), 27, "{version}");
            assert_eq!(count(&table, true, Mgmt::NotAvailable), 322, "{version}");
            assert_eq!(table.scans().iter().filter(|scan| !scan.is_baseline()).count(), 60, "{version}");
        }
    }

    #[test]
    fn spreadsheets_marks_and_line_ends_are_no_obstacle() {
        let table =
            parse("\u{feff}ID, MGMT ,KPS\r\n P-1_11 , Methylated,\r\nP-1_21,Not Available,90\r\n").unwrap();
        assert_eq!(table.scans().len(), 2);
        assert_eq!(table.scans()[0].patient().reveal(), "P-1");
        assert!(table.scans()[0].is_baseline() && !table.scans()[1].is_baseline());
    }

    #[test]
    fn each_fault_is_named_with_its_line_and_without_the_patient() {
        assert!(matches!(parse("ID,KPS\n"), Err(ClinicalError::Column { column: "MGMT", found: 0, .. })));
        assert!(matches!(parse("ID,MGMT,ID\n"), Err(ClinicalError::Column { column: "ID", found: 2, .. })));
        for bad in ["P-1", "../P_11", "_11", "P_1", "P/Q_11", "P_1x", "P.._11"] {
            let error = parse(&format!("ID,MGMT\nA_11,Methylated\n{bad},Methylated\n")).err().unwrap();
            assert!(matches!(error, ClinicalError::Id { line: 3, .. }), "{bad}: {error}");
        }
        let error = parse("ID,MGMT\nSECRET_11,maybe\n").err().unwrap();
        assert!(
            matches!(error, ClinicalError::Mgmt { line: 2, .. }) && !error.to_string().contains("SECRET")
        );
        let twice = parse("ID,MGMT\nA_11,Methylated\nA_11,Methylated\n");
        assert!(matches!(twice, Err(ClinicalError::Twice { first: 2, second: 3, .. })));
        assert!(matches!(parse("ID,MGMT\nA_11\n"), Err(ClinicalError::Csv { .. })));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(ID|MGMT|,|\n|\"|A_11|Methylated|\\PC){0,40}") {
            if let Ok(table) = parse(&text) {
                prop_assert!(table.scans().iter().all(|scan| !scan.id().contains('/')));
            }
        }
    }
}
