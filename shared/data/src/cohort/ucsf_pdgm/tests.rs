//! Folders in the layout, made of empty files, and the two public tables.

use consilium_domain::Modality;

use super::metadata;
use crate::cohort::fixture::{Folder, aliases, labels, reasons, shared, used};
use crate::cohort::mgmt::Mgmt;
use crate::cohort::settle::ListedScan;
use crate::cohort::table::Table;
use crate::{Alias, Cohort, CohortError, Exclusion, Layout};

const HEADER: &str = "ID,Sex,MGMT status,BraTS21 ID";

fn open(folder: &Folder) -> Cohort {
    folder.open(Layout::UcsfPdgm).unwrap()
}

/// An exam with an image and a mask.
fn exam(name: &str) -> [String; 2] {
    ["T1c", "tumor_segmentation"].map(|kind| format!("{name}_nifti/{name}_{kind}.nii.gz"))
}

#[test]
fn the_structural_images_of_an_exam_are_found_under_four_digits() {
    let kinds =
        ["T1", "T1c", "T2", "FLAIR", "DWI", "ADC", "SWI", "ASL", "tumor_segmentation", "brain_segmentation"];
    let files = kinds.map(|kind| format!("UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_{kind}.nii.gz"));
    let table = format!("{HEADER}\nUCSF-PDGM-004,M,negative,BraTS2021_00097\n");
    let folder = Folder::new().table("UCSF-PDGM-metadata_v5.csv", &table).with(&files);
    let cohort = open(&folder);
    assert_eq!(used(&cohort), [("UCSF-PDGM-0004", "UCSF-PDGM-0004")]);
    assert_eq!(aliases(&cohort, 0), ["brats21:00097", "ucsf-pdgm:0004"]);
    let case = &cohort.cases[0];
    let found: Vec<Modality> = case.images.keys().copied().collect();
    assert_eq!(found, [Modality::T1, Modality::T1gd, Modality::T2, Modality::Flair]);
    assert!(case.images[&Modality::T1gd].ends_with("UCSF-PDGM-0004_T1c.nii.gz"));
    assert!(case.mask.ends_with("UCSF-PDGM-0004_tumor_segmentation.nii.gz"));
}

#[test]
fn the_archives_own_folder_may_stand_between() {
    let table = format!("{HEADER}\nUCSF-PDGM-004,M,positive,\n");
    let inner = exam("UCSF-PDGM-0004").map(|file| format!("UCSF-PDGM-v5/{file}"));
    for table_folder in ["", "UCSF-PDGM-v5/"] {
        let name = format!("{table_folder}UCSF-PDGM-metadata_v5.csv");
        let folder = Folder::new().table(&name, &table).with(&inner);
        assert_eq!(labels(&open(&folder)), (1, 0));
    }
}

#[test]
fn each_scan_left_out_has_one_reason_and_its_line() {
    let rows = "UCSF-PDGM-004,M,positive,BraTS2021_00001\nUCSF-PDGM-0004_FU010d,M,positive,BraTS2021_00002\n\
        UCSF-PDGM-005,M,indeterminate,\nUCSF-PDGM-006,M,unknown,\nUCSF-PDGM-007,M,,\nUCSF-PDGM-008,M,negative,\n\
        UCSF-PDGM-009,M,negative,\n";
    let folder = Folder::new()
        .table("UCSF-PDGM-metadata_v5.csv", &format!("{HEADER}\n{rows}"))
        .with(exam("UCSF-PDGM-0004"))
        .with(exam("UCSF-PDGM-0004_FU010d"))
        .with(["UCSF-PDGM-0008_nifti/UCSF-PDGM-0008_T1.nii.gz"])
        .with(["UCSF-PDGM-0009_nifti/UCSF-PDGM-0009_tumor_segmentation.nii.gz"])
        .with(exam("UCSF-PDGM-0010"))
        .with(exam("UCSF-PDGM-0010_FU002d"))
        .with(["logs/run.txt", "UCSF-PDGM-0004_nifti/old/UCSF-PDGM-0004_T2.nii.gz"]);
    let cohort = open(&folder);
    assert_eq!(cohort.cases.len(), 1);
    assert_eq!(cohort.cases[0].images.len(), 1, "the T2 in old/ is not used");
    assert_eq!(aliases(&cohort, 0), ["brats21:00001", "brats21:00002", "ucsf-pdgm:0004"]);
    let expected = [
        ("UCSF-PDGM-0004_FU010d", Exclusion::FollowUp),
        ("UCSF-PDGM-0005", Exclusion::MgmtIndeterminate),
        ("UCSF-PDGM-0006", Exclusion::MgmtNotAvailable),
        ("UCSF-PDGM-0007", Exclusion::MgmtNotAvailable),
        ("UCSF-PDGM-0008", Exclusion::NoMask),
        ("UCSF-PDGM-0009", Exclusion::NoImage),
        ("UCSF-PDGM-0010", Exclusion::NotInTable),
        ("UCSF-PDGM-0010_FU002d", Exclusion::FollowUp),
    ];
    assert_eq!(reasons(&cohort), expected.into());
    let lines: Vec<Option<u64>> = cohort.excluded.iter().map(|scan| scan.line).collect();
    assert_eq!(lines, [Some(3), Some(4), Some(5), Some(6), Some(7), Some(8), None, None]);
}

#[test]
fn another_folder_is_refused_with_what_is_missing() {
    let empty = Folder::new();
    let error = empty.open(Layout::UcsfPdgm).unwrap_err().to_string();
    assert!(error.contains("has no UCSF-PDGM-0000_nifti folder") && error.contains("ucsf-pdgm"), "{error}");
    let absent = Cohort::open(Layout::UcsfPdgm, &[empty.root().join("absent")]);
    assert!(matches!(absent, Err(CohortError::NotThisLayout { .. })));
    let tableless = Folder::new().with(exam("UCSF-PDGM-0004"));
    assert!(tableless.open(Layout::UcsfPdgm).unwrap_err().to_string().contains("no UCSF-PDGM-metadata*.csv"));
    let two = tableless.with(["UCSF-PDGM-metadata_v2.csv", "UCSF-PDGM-metadata_v5.csv"]);
    assert!(matches!(two.open(Layout::UcsfPdgm), Err(CohortError::SeveralTables { count: 2, .. })));
}

/// The exams of a public table.
fn listed(text: &str) -> Vec<ListedScan> {
    metadata::scans(&Table::parse("table".as_ref(), text.as_bytes()).unwrap()).unwrap()
}

#[test]
fn the_public_tables_hold_exactly_the_known_counts() {
    for version in ["v2", "v5"] {
        let name = format!("UCSF-PDGM-metadata_{version}.csv");
        let Some(text) = shared(&format!("ucsf_pdgm/{name}")) else { return };
        let exams = listed(&text);
        // Exams, follow-ups included.
        let with = |mgmt| exams.iter().filter(|scan| scan.mgmt == mgmt).count();
        let words = [Mgmt::Methylated, Mgmt::Unmethylated, Mgmt::Indeterminate, Mgmt::NotAvailable].map(with);
        assert_eq!((exams.len(), words), (501, [302, 114, 5, 80]), "{version}");
        let is_brats = |alias: &&Alias| alias.reveal().starts_with("brats21:");
        assert_eq!(exams.iter().flat_map(|scan| &scan.aliases).filter(is_brats).count(), 298, "{version}");

        // Patients, once all their files are there.
        let files = exams.iter().flat_map(|scan| exam(scan.scan.reveal()));
        let cohort = open(&Folder::new().table(&name, &text).with(files));
        assert_eq!(labels(&cohort), (297, 113), "{version}");
        let expected =
            [(Exclusion::FollowUp, 6), (Exclusion::MgmtIndeterminate, 5), (Exclusion::MgmtNotAvailable, 80)];
        assert_eq!(cohort.exclusions(), expected.into(), "{version}");
        // A baseline's case knows the names that its patient's follow-up has in BraTS.
        let two_names = cohort.cases.iter().filter(|case| case.aliases.len() == 3).count();
        assert_eq!(two_names, 2, "{version}");
    }
}

#[test]
fn both_versions_of_the_table_name_the_same_exams_patients_and_aliases() {
    let tables = ["v2", "v5"].map(|version| shared(&format!("ucsf_pdgm/UCSF-PDGM-metadata_{version}.csv")));
    let [Some(old), Some(new)] = tables else { return };
    let rows = |text: &str| -> Vec<(String, String, Vec<String>)> {
        let own = |alias: &Alias| alias.reveal().to_owned();
        let row = |scan: &ListedScan| {
            let aliases = scan.aliases.iter().map(own).collect();
            (scan.scan.reveal().to_owned(), scan.patient.reveal().to_owned(), aliases)
        };
        listed(text).iter().map(row).collect()
    };
    assert!(rows(&old) == rows(&new));
}
