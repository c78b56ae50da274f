//! The table of labels: `BraTS21ID,MGMT_value` of the RSNA-MICCAI challenge, and the same for BraTS 2023.
//!
//! A table for BraTS 2023 may link its patients to BraTS 2021 in a column `BraTS21 ID`; equal numbers mean
//! nothing.

use super::Release;
use crate::cohort::mgmt::Mgmt;
use crate::cohort::settle::ListedScan;
use crate::cohort::table::{FirstLines, RowProblem, Table};
use crate::cohort::{Alias, Clinical, Exclusion, PatientId, ScanName, TableError};

/// The scans of a table, in its order, no two of the same name.
pub(super) fn scans(release: &Release, table: &Table) -> Result<Vec<ListedScan>, TableError> {
    let (id, mgmt) = (table.column(release.id_column)?, table.column("MGMT_value")?);
    let link = table.optional_column("BraTS21 ID")?;
    let mut seen = FirstLines::default();
    table.rows(|row| {
        let scan = release
            .listed_scan(row.cell(id))
            .ok_or(RowProblem::Name { column: id.name, form: release.id_form })?;
        let (name, patient) = (release.folder_name(&scan), release.patient_name(&scan));
        seen.note(&name, row.line)?;
        let withdrawn = release.withdrawn.contains(&scan.patient.as_str());
        let linked = link.map_or(Ok(None), |column| Alias::brats21(row.cell(column), column.name))?;
        Ok(ListedScan {
            scan: ScanName::new(name),
            line: row.line,
            objection: if scan.is_follow_up() {
                Some(Exclusion::FollowUp)
            } else {
                withdrawn.then_some(Exclusion::Withdrawn)
            },
            clinical: Clinical::default(),
            mgmt: read_mgmt(row.cell(mgmt))
                .ok_or(RowProblem::Word { column: mgmt.name, accepted: "1, 0 or blank" })?,
            aliases: Alias::of_public_name(&patient).into_iter().chain(linked).collect(),
            patient: PatientId::new(patient),
        })
    })
}

fn read_mgmt(word: &str) -> Option<Mgmt> {
    match word {
        "1" => Some(Mgmt::Methylated),
        "0" => Some(Mgmt::Unmethylated),
        "" => Some(Mgmt::NotAvailable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::{BRATS_2021, BRATS_2023};
    use super::*;

    fn parse(release: &Release, text: &str) -> Result<Vec<ListedScan>, TableError> {
        scans(release, &Table::parse(Path::new("table.csv"), text.as_bytes())?)
    }

    fn names(release: &Release, text: &str) -> Vec<String> {
        parse(release, text).unwrap().iter().map(|scan| scan.scan.reveal().to_owned()).collect()
    }

    #[test]
    fn scans_may_be_named_in_short_or_in_full() {
        assert_eq!(
            names(&BRATS_2021, "BraTS21ID,MGMT_value\n00017,1\n2,0\nBraTS2021_00003,\n"),
            ["BraTS2021_00017", "BraTS2021_00002", "BraTS2021_00003"]
        );
        assert_eq!(
            names(&BRATS_2023, "BraTS23ID,MGMT_value\nBraTS-GLI-00017,1\nBraTS-GLI-00017-001,1\n"),
            ["BraTS-GLI-00017-000", "BraTS-GLI-00017-001"]
        );
    }

    #[test]
    fn patients_of_2023_are_those_of_2021_only_where_the_table_says_so() {
        let text = "BraTS23ID,MGMT_value,BraTS21 ID\nBraTS-GLI-00017,1,BraTS2021_00400\nBraTS-GLI-00018,1,\n";
        let scans = parse(&BRATS_2023, text).unwrap();
        let aliases =
            |index: usize| -> Vec<&str> { scans[index].aliases.iter().map(Alias::reveal).collect() };
        assert_eq!((aliases(0), aliases(1)), (vec!["brats23:00017", "brats21:00400"], vec!["brats23:00018"]));
    }

    #[test]
    fn each_fault_is_named_with_its_line_and_without_the_patient() {
        for (row, place) in [
            ("../../x,1", "BraTS21ID"),
            ("000017,1", "BraTS21ID"),
            (",1", "BraTS21ID"),
            ("BraTS2021_17,1", "BraTS21ID"),
            ("BraTS2021_00017/../..,1", "BraTS21ID"),
            ("88888,2", "MGMT_value"),
            ("17,1", "line 2"),
        ] {
            let error = parse(&BRATS_2021, &format!("BraTS21ID,MGMT_value\n00017,1\n{row}\n"));
            let error = error.err().unwrap().to_string();
            assert!(error.contains("line 3: ") && error.contains(place), "{row}: {error}");
            assert!(!error.contains("88888"), "{error}");
        }
        for row in
            ["BraTS-GLI-00017-0", "BraTS-GLI-17", "BraTS2021_00017", "00017", "BraTS-GLI-00017-000-000"]
        {
            assert!(parse(&BRATS_2023, &format!("BraTS23ID,MGMT_value\n{row},1\n")).is_err(), "{row}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(BraTS2[13]ID|MGMT_value|,|\n|17|BraTS-GLI-00017|-000|\\PC){0,40}") {
            for release in [&BRATS_2021, &BRATS_2023] {
                if let Ok(scans) = parse(release, &text) {
                    prop_assert!(scans.iter().all(|scan| scan.scan.reveal().starts_with(release.prefix)));
                }
            }
        }
    }
}
