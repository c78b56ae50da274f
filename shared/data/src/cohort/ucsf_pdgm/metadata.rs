//! The table of UCSF-PDGM, versions 2 and 5: which exam is whose, its MGMT status, and its name in BraTS
//! 2021.
//!
//! Version 2 lists six follow-ups as patients of their own; version 5 names them after their patients. Both
//! are read as version 5 means them: the patient is the unit.

use std::borrow::Cow;

use crate::cohort::mgmt::Mgmt;
use crate::cohort::settle::ListedScan;
use crate::cohort::table::{FirstLines, RowProblem, Table};
use crate::cohort::{Alias, Clinical, Exclusion, PatientId, ScanName, TableError};

const PREFIX: &str = "UCSF-PDGM-";

/// The numbers that follow-ups had in version 2, and their names in version 5.
const RENAMED: [(&str, &str); 6] = [
    ("0138", "0429_FU003d"),
    ("0175", "0396_FU175d"),
    ("0181", "0409_FU001d"),
    ("0278", "0431_FU001d"),
    ("0289", "0391_FU016d"),
    ("0315", "0433_FU007d"),
];

/// An exam as the table or a folder names it: `UCSF-PDGM-004`, `UCSF-PDGM-0004` or `UCSF-PDGM-0429_FU003d`.
pub(super) struct ExamName<'a> {
    /// Three or four digits.
    digits: &'a str,
    /// What follows the number: `_FU003d`, or nothing.
    follow_up: &'a str,
}

impl<'a> ExamName<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX)?;
        let (digits, follow_up) = rest.split_at(rest.find('_').unwrap_or(rest.len()));
        let is_number = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
            lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        let is_exam = follow_up.is_empty()
            || follow_up
                .strip_prefix("_FU")
                .and_then(|days| days.strip_suffix('d'))
                .is_some_and(|days| is_number(days, 1..=5));
        (is_number(digits, 3..=4) && is_exam).then_some(Self { digits, follow_up })
    }

    /// The name in the folders of version 5.
    pub(super) fn scan(&self) -> String {
        let number = four_digits(self.digits);
        let renamed = RENAMED.iter().find(|(old, _)| self.follow_up.is_empty() && *old == number);
        renamed.map_or_else(
            || format!("{PREFIX}{number}{}", self.follow_up),
            |(_, exam)| format!("{PREFIX}{exam}"),
        )
    }

    pub(super) fn is_follow_up(&self) -> bool {
        self.scan().contains("_FU")
    }

    fn patient(&self) -> String {
        format!("{PREFIX}{}", patient_number(self.digits))
    }
}

fn four_digits(digits: &str) -> Cow<'_, str> {
    if digits.len() < 4 { format!("{digits:0>4}").into() } else { digits.into() }
}

/// The patient's four digits, from three or four as a table of any version has them.
pub(in crate::cohort) fn patient_number(digits: &str) -> Cow<'_, str> {
    let number = four_digits(digits);
    match RENAMED.iter().find(|(old, _)| *old == number) {
        Some((_, exam)) => exam[..4].into(),
        None => number,
    }
}

/// The exams of a table, in its order, no two of the same name.
pub(super) fn scans(table: &Table) -> Result<Vec<ListedScan>, TableError> {
    let (id, mgmt, brats) = (table.column("ID")?, table.column("MGMT status")?, table.column("BraTS21 ID")?);
    let (age, sex) = (table.optional_column("Age at MRI")?, table.optional_column("Sex")?);
    let mut seen = FirstLines::default();
    table.rows(|row| {
        let exam = ExamName::parse(row.cell(id)).ok_or(RowProblem::Name {
            column: id.name,
            form: "of the form UCSF-PDGM-004, UCSF-PDGM-0004 or UCSF-PDGM-0004_FU001d",
        })?;
        let (scan, patient) = (exam.scan(), exam.patient());
        seen.note(&scan, row.line)?;
        Ok(ListedScan {
            line: row.line,
            objection: exam.is_follow_up().then_some(Exclusion::FollowUp),
            mgmt: read_mgmt(row.cell(mgmt)).ok_or(RowProblem::Word {
                column: mgmt.name,
                accepted: "positive, negative, indeterminate, unknown or blank",
            })?,
            clinical: Clinical::of(row, age, sex),
            aliases: Alias::of_public_name(&patient)
                .into_iter()
                .chain(Alias::brats21(row.cell(brats), brats.name)?)
                .collect(),
            scan: ScanName::new(scan),
            patient: PatientId::new(patient),
        })
    })
}

fn read_mgmt(word: &str) -> Option<Mgmt> {
    match word {
        "positive" => Some(Mgmt::Methylated),
        "negative" => Some(Mgmt::Unmethylated),
        "indeterminate" => Some(Mgmt::Indeterminate),
        "unknown" | "" => Some(Mgmt::NotAvailable),
        _ => None,
    }
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
    fn exams_are_named_as_in_the_folders_of_version_5() {
        for (name, scan, patient) in [
            ("UCSF-PDGM-004", "UCSF-PDGM-0004", "UCSF-PDGM-0004"),
            ("UCSF-PDGM-0541", "UCSF-PDGM-0541", "UCSF-PDGM-0541"),
            ("UCSF-PDGM-0429_FU003d", "UCSF-PDGM-0429_FU003d", "UCSF-PDGM-0429"),
            ("UCSF-PDGM-138", "UCSF-PDGM-0429_FU003d", "UCSF-PDGM-0429"),
        ] {
            let exam = ExamName::parse(name).unwrap();
            assert_eq!((exam.scan().as_str(), exam.patient().as_str()), (scan, patient), "{name}");
            assert_eq!(exam.is_follow_up(), scan != patient, "{name}");
        }
        for bad in [
            "",
            "UCSF-PDGM-",
            "UCSF-PDGM-04",
            "UCSF-PDGM-00004",
            "UCSF-PDGM-004_FU",
            "UCSF-PDGM-004_FUd",
            "UCSF-PDGM-004_FU123456d",
            "UCSF-PDGM-004/../x",
            "../UCSF-PDGM-004",
            "UCSF-PDGM-00٤",
            "ucsf-pdgm-004",
        ] {
            assert!(ExamName::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn each_fault_is_named_with_its_line_and_without_the_patient() {
        for (row, place) in [
            ("SECRET,positive,", "ID"),
            ("UCSF-PDGM-005,perhaps,", "MGMT status"),
            ("UCSF-PDGM-005,positive,SECRET", "BraTS21 ID"),
            ("UCSF-PDGM-0004,positive,", "line 2"),
            ("UCSF-PDGM-005,positive", "2 cells"),
        ] {
            let text = format!("ID,MGMT status,BraTS21 ID\nUCSF-PDGM-004,positive,\n{row}\n");
            let error = parse(&text).err().unwrap().to_string();
            assert!(error.contains("line 3: ") && error.contains(place), "{row}: {error}");
            assert!(!error.contains("SECRET") && !error.contains("005"), "{error}");
        }
        assert!(matches!(parse("ID,MGMT status\n"), Err(TableError::Column { column: "BraTS21 ID", .. })));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(ID|MGMT status|BraTS21 ID|,|\n|\"|UCSF-PDGM-004|_FU1d|positive|\\PC){0,40}") {
            if let Ok(scans) = parse(&text) {
                prop_assert!(scans.iter().all(|scan| scan.scan.reveal().starts_with(PREFIX)));
            }
        }
    }
}
