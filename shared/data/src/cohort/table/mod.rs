//! Tables as hospitals save them: CSV in UTF-8, read with a cap and judged line by line.
//!
//! What the columns mean is the layouts' business. No error text shows a cell: it could name a patient.

mod error;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use error::{RowFault, RowProblem, TableError};

/// Largest table: a hundred times the public ones with their 671 rows and 66 kB.
const MAX_TABLE_BYTES: u64 = 8 * 1024 * 1024;

/// Most rows, more than any hospital has patients with a glioma: empty rows are cheap to write and dear to
/// keep.
const MAX_ROWS: usize = 100_000;

/// Most columns; the public tables have at most 17.
const MAX_COLUMNS: usize = 512;

/// A table's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    index: usize,
    pub(super) name: &'static str,
}

/// One line below the header.
pub(super) struct Row {
    cells: csv::StringRecord,
    /// From 1, the header's line.
    pub(super) line: u64,
}

impl Row {
    /// The cell without the space around it.
    pub(super) fn cell(&self, column: Column) -> &str {
        self.cells.get(column.index).unwrap_or_default()
    }
}

/// A header and the rows below it. Blank rows are gone.
pub(super) struct Table {
    path: PathBuf,
    header: csv::StringRecord,
    rows: Vec<Row>,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// [`TableError`] where it is absent, too large, not UTF-8 or not CSV.
    pub(super) fn read(path: &Path) -> Result<Self, TableError> {
        let io_error = |cause| TableError::Io { path: path.to_owned(), cause };
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(io_error)?;
        file.take(MAX_TABLE_BYTES + 1).read_to_end(&mut bytes).map_err(io_error)?;
        if bytes.len() as u64 > MAX_TABLE_BYTES {
            return Err(too_large(path, MAX_TABLE_BYTES, "bytes"));
        }
        Self::parse(path, &bytes)
    }

    /// Parses a table of at most [`MAX_TABLE_BYTES`]; `path` is for the error texts.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TableError> {
        // Spreadsheets put a byte order mark before UTF-8.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = 1 + newlines(&bytes[..error.valid_up_to()]);
            TableError::NotText { path: path.to_owned(), line }
        })?;
        let csv_error = |cause| TableError::Csv { path: path.to_owned(), cause };
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .flexible(true)
            .delimiter(separator(text))
            .from_reader(bytes);
        let header = reader.headers().map_err(csv_error)?.clone();
        if header.len() > MAX_COLUMNS {
            return Err(too_large(path, MAX_COLUMNS, "columns"));
        }
        let mut lines = Lines::new(bytes);
        let mut rows = Vec::new();
        for cells in reader.into_records() {
            let cells = cells.map_err(csv_error)?;
            if cells.iter().all(str::is_empty) {
                continue;
            }
            if rows.len() == MAX_ROWS {
                return Err(too_large(path, MAX_ROWS, "rows"));
            }
            let start = cells.position().map_or(0, csv::Position::byte);
            rows.push(Row { line: lines.line_at(start), cells });
        }
        Ok(Self { path: path.to_owned(), header, rows })
    }

    /// The names of the columns.
    pub(super) const fn header(&self) -> &csv::StringRecord {
        &self.header
    }

    /// Where the table lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The column of that name, which must be there once.
    pub(super) fn column(&self, name: &'static str) -> Result<Column, TableError> {
        self.optional_column(name)?.ok_or_else(|| self.column_error(name, 0))
    }

    /// The column of that name, which may be there once.
    pub(super) fn optional_column(&self, name: &'static str) -> Result<Option<Column>, TableError> {
        let mut places = self.header.iter().enumerate().filter(|(_, other)| *other == name);
        let first = places.next();
        match places.count() {
            0 => Ok(first.map(|(index, _)| Column { index, name })),
            more => Err(self.column_error(name, 1 + more)),
        }
    }

    fn column_error(&self, column: &'static str, found: usize) -> TableError {
        TableError::Column { path: self.path.clone(), column, found }
    }

    /// Reads every row; the faults of all rows are reported together.
    pub(super) fn rows<T>(
        &self,
        mut read: impl FnMut(&Row) -> Result<T, RowProblem>,
    ) -> Result<Vec<T>, TableError> {
        let expected = self.header.len();
        let (mut values, mut faults) = (Vec::with_capacity(self.rows.len()), Vec::new());
        for row in &self.rows {
            let found = row.cells.len();
            let value =
                if found == expected { read(row) } else { Err(RowProblem::Cells { found, expected }) };
            match value {
                Ok(value) => values.push(value),
                Err(problem) => faults.push(RowFault { line: row.line, problem }),
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(TableError::Rows { path: self.path.clone(), faults }) }
    }
}

fn too_large(path: &Path, limit: impl fmt::Display, unit: &str) -> TableError {
    TableError::TooLarge { path: path.to_owned(), limit: format!("{limit} {unit}") }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// What separates the cells: a comma, unless the header has none and has a semicolon, as spreadsheets write
/// where the comma is the decimal point.
fn separator(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
    if !header.contains(',') && header.contains(';') { b';' } else { b',' }
}

/// Counts lines along the text; the parser's own count stands still before the second half of a `\r\n`.
struct Lines<'a> {
    bytes: &'a [u8],
    counted: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, counted: 0, line: 1 }
    }

    /// The line on which the row begins that the parser starts at `offset`, line ends before it not yet
    /// skipped. Offsets must not decrease.
    fn line_at(&mut self, offset: u64) -> u64 {
        let offset = usize::try_from(offset).map_or(self.bytes.len(), |offset| offset.min(self.bytes.len()));
        let ends = self.bytes[offset..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let start = offset + ends;
        self.line += newlines(&self.bytes[self.counted..start]) as u64;
        self.counted = start;
        self.line
    }
}

/// The line on which each scan was named first.
#[derive(Default)]
pub(super) struct FirstLines(BTreeMap<String, u64>);

impl FirstLines {
    /// Notes that `line` names a scan that no line above named.
    pub(super) fn note(&mut self, scan: &str, line: u64) -> Result<(), RowProblem> {
        match self.0.get(scan) {
            Some(&first) => Err(RowProblem::Twice { first }),
            None => {
                self.0.insert(scan.to_owned(), line);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Table, TableError> {
        Table::parse(Path::new("table.csv"), text.as_bytes())
    }

    /// The lines and the first cells.
    fn firsts(text: &str) -> Vec<(u64, String)> {
        let table = parse(text).unwrap();
        let column = table.column("a").unwrap();
        table.rows(|row| Ok((row.line, row.cell(column).to_owned()))).unwrap()
    }

    #[test]
    fn spreadsheets_marks_separators_and_line_ends_are_no_obstacle() {
        let expected = [(2, "1".to_owned()), (4, "2".to_owned())];
        for text in [
            "a,b\n1,x\n\n2,y\n",
            "\u{feff}a,b\r\n 1 ,x\r\n\r\n2,y",
            "a;b\n1;x,x\n;\n2;y\n",
            "a,b\n1,x\n , \n\"2\",\"y\nz\"\n",
        ] {
            assert_eq!(firsts(text), expected, "{text:?}");
        }
        assert_eq!(firsts("a,b\n\"1\n1\",x\n2,y\n"), [(2, "1\n1".to_owned()), (4, "2".to_owned())]);
        assert_eq!(firsts("\r\n\r\na,b\r\n1,x\r\n"), [(4, "1".to_owned())]);
    }

    #[test]
    fn faults_of_all_rows_are_told_together_by_line() {
        let table = parse("a,b\nSECRET,1\nSECRET\nx,y\nSECRET,1,2\n").unwrap();
        let error =
            table.rows(|row| if row.line == 2 { Err(RowProblem::Twice { first: 1 }) } else { Ok(()) });
        let error = error.unwrap_err();
        let text = error.to_string();
        assert!(!text.contains("SECRET"), "{text}");
        let TableError::Rows { faults, .. } = error else { panic!("{text}") };
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2, 3, 5]);
        let many = parse(&format!("a,b\n{}", "x\n".repeat(13))).unwrap().rows(|_| Ok(())).unwrap_err();
        assert!(many.to_string().ends_with("; and 3 more lines"), "{many}");
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let utf16 = Table::parse(Path::new("t"), b"\xff\xfeI\0D\0");
        assert!(matches!(utf16, Err(TableError::NotText { line: 1, .. })));
        assert!(matches!(
            Table::parse(Path::new("t"), b"a\nb\xe9\n"),
            Err(TableError::NotText { line: 2, .. })
        ));
        assert!(matches!(parse(&",".repeat(MAX_COLUMNS)), Err(TableError::TooLarge { .. })));
        assert!(matches!(parse(&"a\n".repeat(MAX_ROWS + 2)), Err(TableError::TooLarge { .. })));
        assert!(parse(&"a\n".repeat(MAX_ROWS + 1)).is_ok());
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large.csv");
        fs::File::create(&large).unwrap().set_len(MAX_TABLE_BYTES + 1).unwrap();
        assert!(matches!(Table::read(&large), Err(TableError::TooLarge { .. })));
        assert!(matches!(Table::read(dir.path()), Err(TableError::Io { .. })));
    }

    #[test]
    fn a_column_must_be_there_once() {
        let table = parse("a,b,a\n").unwrap();
        assert!(matches!(table.column("a"), Err(TableError::Column { found: 2, .. })));
        assert!(matches!(table.optional_column("a"), Err(TableError::Column { found: 2, .. })));
        assert!(matches!(table.column("c"), Err(TableError::Column { found: 0, .. })));
        assert_eq!(table.optional_column("c").unwrap(), None);
        assert!(table.column("b").is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_lines_never_go_back(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "(a|b|,|;|\r|\n|\"| |\\PC){0,60}".prop_map(String::into_bytes),
            ],
        ) {
            if let Ok(table) = Table::parse(Path::new("t"), &bytes) {
                let lines: Vec<u64> = table.rows.iter().map(|row| row.line).collect();
                prop_assert!(lines.windows(2).all(|pair| pair[0] <= pair[1]));
                prop_assert!(lines.iter().all(|&line| line <= 1 + newlines(&bytes) as u64));
            }
        }
    }
}
