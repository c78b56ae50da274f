//! The tables as files for other programs: RFC 4180, one file a table.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Cell, Column, Kind, Table, tables};
use crate::report::Report;

/// Why a table was not written.
#[derive(Debug, thiserror::Error)]
#[error("the table {path} cannot be written: {source}; check the folder and the disk's space")]
pub struct CsvError {
    /// Which file.
    pub path: PathBuf,
    /// What the system says.
    pub source: std::io::Error,
}

/// Writes every table of `report` into `folder`, which is made where absent; the files' paths.
///
/// # Errors
/// When the folder or a file cannot be written. Files written before stay.
pub fn write_csv(report: &Report, folder: &Path) -> Result<Vec<PathBuf>, CsvError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CsvError { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let mut paths = Vec::new();
    for table in tables(report) {
        let path = folder.join(format!("{}.csv", table.name));
        fs::write(&path, csv(&table)).map_err(failed(&path))?;
        paths.push(path);
    }
    Ok(paths)
}

fn csv(table: &Table) -> String {
    let heads: Vec<String> = table.columns.iter().flat_map(heads).collect();
    let mut text = line(&heads);
    for row in &table.rows {
        let fields: Vec<String> = row.iter().flat_map(fields).collect();
        text.push_str(&line(&fields));
    }
    text
}

fn heads(column: &Column) -> Vec<String> {
    let Column { name, kind, .. } = column;
    match kind {
        Kind::Text | Kind::Number => vec![(*name).to_owned()],
        Kind::Estimate => vec![(*name).to_owned(), format!("{name}_lower"), format!("{name}_upper")],
    }
}

/// Numbers as exactly as they are known. What is undefined is empty.
fn fields(cell: &Cell) -> Vec<String> {
    match cell {
        Cell::Text(text) => vec![quoted(text)],
        Cell::Count(count) => vec![count.map_or_else(String::new, |count| count.to_string())],
        Cell::Number(number, _) => vec![number.map_or_else(String::new, |number| number.to_string())],
        Cell::Estimate(Some(numbers)) => numbers.iter().map(f64::to_string).collect(),
        Cell::Estimate(None) => vec![String::new(); 3],
    }
}

/// A text that a spreadsheet would take for a formula gets an apostrophe in front: reasons come from other hospitals.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn line(fields: &[String]) -> String {
    format!("{}\r\n", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tables::{estimate, number, text};

    #[test]
    fn intervals_take_three_columns_and_undefined_figures_none_of_their_space() {
        let table = Table {
            name: "t",
            caption: String::new(),
            columns: vec![text("who", ""), estimate("auc", ""), number("n", "")],
            rows: vec![
                vec![Cell::text("a,\"b\""), Cell::Estimate(Some([0.5, 0.25, 0.75])), Cell::count(3u32)],
                vec![Cell::text("=1+1"), Cell::Estimate(None), Cell::Number(None, 2)],
            ],
        };
        let expected = "who,auc,auc_lower,auc_upper,n\r\n\"a,\"\"b\"\"\",0.5,0.25,0.75,3\r\n'=1+1,,,,\r\n";
        assert_eq!(csv(&table), expected);
    }
}
