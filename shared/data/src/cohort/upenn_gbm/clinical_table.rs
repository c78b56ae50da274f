//! The clinical table of UPENN-GBM, versions 1.0 and 2.1: who was scanned when, and the MGMT result.
//!
//! The columns `ID` and `MGMT` are read, `BraTS21 ID` where the site added it, and `Age_at_scan_years` and `Gender` for
//! the baseline on age and sex; survival is nobody's business here.

use crate::cohort::identity::is_plain;
use crate::cohort::mgmt::Mgmt;
use crate::cohort::settle::ListedScan;
use crate::cohort::table::{FirstLines, RowProblem, Table};
use crate::cohort::{Alias, Clinical, Exclusion, PatientId, ScanName, TableError};

/// The scans of a table, in its order, no two of the same name.
pub(super) fn scans(table: &Table) -> Result<Vec<ListedScan>, TableError> {
    let (id, mgmt) = (table.column("ID")?, table.column("MGMT")?);
    let brats = table.optional_column("BraTS21 ID")?;
    let age = table.optional_column("Age_at_scan_years")?;
    let sex = table.optional_column("Gender")?;
    let mut seen = FirstLines::default();
    table.rows(|row| {
        let scan = row.cell(id);
        let (patient, follow_up) = split_id(scan).ok_or(RowProblem::Name {
            column: id.name,
            form: "of the form UPENN-GBM-00001_11 (letters, digits, hyphens, then _ and two digits)",
        })?;
        seen.note(scan, row.line)?;
        let linked = brats.map_or(Ok(None), |column| Alias::brats21(row.cell(column), column.name))?;
        Ok(ListedScan {
            scan: ScanName::new(scan),
            patient: PatientId::new(patient),
            line: row.line,
            objection: follow_up.then_some(Exclusion::FollowUp),
            mgmt: read_mgmt(row.cell(mgmt)).ok_or(RowProblem::Word {
                column: mgmt.name,
                accepted: "Methylated, Unmethylated, Indeterminate or Not Available",
            })?,
            clinical: Clinical::of(row, age, sex),
            aliases: Alias::of_public_name(patient).into_iter().chain(linked).collect(),
        })
    })
}

fn read_mgmt(word: &str) -> Option<Mgmt> {
    match word {
        "Methylated" => Some(Mgmt::Methylated),
        "Unmethylated" => Some(Mgmt::Unmethylated),
        "Indeterminate" => Some(Mgmt::Indeterminate),
        "Not Available" => Some(Mgmt::NotAvailable),
        _ => None,
    }
}

/// The patient, and whether the scan is a follow-up. An ID becomes part of paths, so it must be a plain name.
pub(super) fn split_id(id: &str) -> Option<(&str, bool)> {
    let (patient, time_point) = id.rsplit_once('_')?;
    let two_digits = time_point.len() == 2 && time_point.bytes().all(|b| b.is_ascii_digit());
    (is_plain(id) && two_digits && !patient.is_empty()).then_some((patient, time_point != "11"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Vec<ListedScan>, TableError> {
        scans(&Table::parse(Path::new("table.csv"), text.as_bytes())?)
    }

    #[test]
    fn the_columns_that_matter_are_read() {
        let scans = parse("ID,MGMT,KPS\nP-1_11,Methylated,\nUPENN-GBM-00007_21,Not Available,90\n").unwrap();
        let [own, public] = scans.as_slice() else { panic!("two scans") };
        assert_eq!((own.scan.reveal(), own.patient.reveal(), own.line), ("P-1_11", "P-1", 2));
        assert_eq!((own.objection, own.mgmt, own.aliases.len()), (None, Mgmt::Methylated, 0));
        assert_eq!((public.objection, public.mgmt), (Some(Exclusion::FollowUp), Mgmt::NotAvailable));
        assert_eq!(public.aliases[0].reveal(), "upenn-gbm:UPENN-GBM-00007");
    }

    #[test]
    fn a_site_may_link_its_patients_to_brats() {
        let scans =
            parse("ID,MGMT,BraTS21 ID\nUPENN-GBM-00007_11,Methylated,BraTS2021_00017\nP_11,Methylated,\n");
        let scans = scans.unwrap();
        let aliases: Vec<&str> = scans[0].aliases.iter().map(Alias::reveal).collect();
        assert_eq!(aliases, ["upenn-gbm:UPENN-GBM-00007", "brats21:00017"]);
        assert!(scans[1].aliases.is_empty());
        assert!(parse("ID,MGMT,BraTS21 ID\nP_11,Methylated,17\n").is_err());
    }

    #[test]
    fn each_fault_is_named_with_its_line_and_without_the_patient() {
        assert!(matches!(parse("ID,KPS\n"), Err(TableError::Column { column: "MGMT", found: 0, .. })));
        for (row, place) in [
            ("P-1,Methylated", "ID"),
            ("../P_11,Methylated", "ID"),
            ("/etc/P_11,Methylated", "ID"),
            ("_11,Methylated", "ID"),
            ("P_1,Methylated", "ID"),
            ("P/Q_11,Methylated", "ID"),
            ("P_1x,Methylated", "ID"),
            ("P.._11,Methylated", "ID"),
            ("P\u{1b}_11,Methylated", "ID"),
            ("A_11,Methylated", "line 2"),
            ("SECRET_11,maybe", "MGMT"),
            ("SECRET_11", "1 cells"),
        ] {
            let error = parse(&format!("ID,MGMT\nA_11,Methylated\n{row}\n")).err().unwrap().to_string();
            assert!(error.contains("line 3: ") && error.contains(place), "{row}: {error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
        let long = format!("ID,MGMT\n{}_11,Methylated\n", "P".repeat(200));
        assert!(matches!(parse(&long), Err(TableError::Rows { .. })));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(ID|MGMT|,|\n|\"|A_11|Methylated|\\PC){0,40}") {
            if let Ok(scans) = parse(&text) {
                prop_assert!(scans.iter().all(|scan| !scan.scan.reveal().contains('/')));
            }
        }
    }
}
