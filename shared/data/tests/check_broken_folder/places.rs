//! Damage of the folder rather than of a file: what is not a file, not there, there twice, or not allowed.

use std::fs;

use consilium_data::Layout;
use consilium_data::check::{Place, Problem, ProblemKind, Report, Verdict, check};

use crate::folder::Site;
use crate::{SOUND_CASES, of_file, options, sound_cases_are_usable};

fn site() -> Site {
    let mut site = Site::new();
    for number in 0..SOUND_CASES {
        site.case(&format!("sound-{number}"));
    }
    site
}

fn only<'a>(problems: &[&'a Problem], kind: ProblemKind) -> &'a Problem {
    let found: Vec<&&Problem> = problems.iter().filter(|problem| problem.kind == kind).collect();
    assert_eq!(found.len(), 1, "{kind:?} among {problems:?}");
    found[0]
}

fn of_scan<'a>(report: &'a Report, scan: &str) -> &'a Problem {
    let named = |problem: &&Problem| matches!(&problem.place, Place::Scan { name, .. } if name == scan);
    report.problems.iter().find(named).unwrap()
}

#[test]
fn what_is_no_file_is_named_and_its_scan_is_left_out() {
    let mut site = site();
    let folder = site.case("folder");
    fs::remove_file(folder.file("t1gd")).unwrap();
    fs::create_dir(folder.file("t1gd")).unwrap();
    let absent = site.case("absent");
    fs::remove_file(absent.file("flair")).unwrap();
    let report = site.check(&options());
    let problem = only(&of_file(&report, "folder-t1gd.nii.gz"), ProblemKind::NotAFile);
    assert!(problem.reason.contains("folder") && !problem.remedy.is_empty());
    for name in ["folder", "absent"] {
        let problem = of_scan(&report, name);
        assert_eq!(problem.kind, ProblemKind::FileMissing);
        assert!(matches!(&problem.place, Place::Scan { line: Some(line), .. } if *line > 16), "{problem:?}");
    }
    sound_cases_are_usable(&report);
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_and_links_to_nowhere_are_named() {
    use std::os::unix::fs::symlink;
    let mut site = site();
    let circle = site.case("circle");
    fs::remove_file(circle.file("t1gd")).unwrap();
    symlink(circle.file("t1gd"), circle.file("t1gd")).unwrap();
    let nowhere = site.case("nowhere");
    fs::remove_file(nowhere.file("flair")).unwrap();
    symlink("/nonexistent/flair.nii.gz", nowhere.file("flair")).unwrap();
    // A circle of folders: the walk must end.
    symlink(site.path(), site.path().join("again.nii")).unwrap();
    let report = site.check(&options());
    for name in ["circle-t1gd.nii.gz", "nowhere-flair.nii.gz", "again.nii"] {
        let problem = only(&of_file(&report, name), ProblemKind::NotAFile);
        assert!(problem.reason.contains("link"), "{problem:?}");
    }
    sound_cases_are_usable(&report);
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut site = site();
    let case = site.case("locked");
    fs::set_permissions(case.file("t1gd"), fs::Permissions::from_mode(0o0)).unwrap();
    if fs::File::open(case.file("t1gd")).is_ok() {
        println!("skipped: this account may read everything");
        return;
    }
    let report = site.check(&options());
    let problem = only(&of_file(&report, "locked-t1gd.nii.gz"), ProblemKind::Unreadable);
    assert!(problem.reason.contains("denied") && problem.remedy.contains("account may read"), "{problem:?}");
    sound_cases_are_usable(&report);
}

#[test]
fn the_same_voxels_are_found_under_another_patient_modality_or_compression() {
    let mut site = site();
    let original = site.case("original");
    site.case("between");
    // The same label as the original's; not compressed.
    let copy = site.case("the-copy");
    fs::write(copy.file("t1gd"), original.image(0).bytes()).unwrap();
    // The other label.
    let contrary = site.case("contrary");
    let other = site.case("other");
    fs::write(contrary.file("flair"), other.image(1).gzip()).unwrap();
    let swapped = site.case("swapped");
    fs::write(swapped.file("flair"), swapped.image(0).bytes()).unwrap();
    let report = site.check(&options());

    let problem = only(&of_file(&report, "the-copy-t1gd.nii.gz"), ProblemKind::DuplicateImage);
    assert!(problem.reason.contains("original") && !problem.reason.contains("another label"), "{problem:?}");
    assert!(of_file(&report, "original-t1gd.nii.gz").is_empty(), "the first by name stays");
    for name in ["contrary-flair.nii.gz", "other-flair.nii.gz"] {
        let problem = only(&of_file(&report, name), ProblemKind::DuplicateImage);
        assert!(problem.reason.contains("another label"), "{problem:?}");
    }
    for name in ["swapped-flair.nii.gz", "swapped-t1gd.nii.gz"] {
        assert!(only(&of_file(&report, name), ProblemKind::DuplicateModality).reason.contains("swapped"));
    }
    let duplicates = report.problems.iter().filter(|problem| problem.kind.code().starts_with("duplicate"));
    assert_eq!(duplicates.count(), 5, "no others");
    sound_cases_are_usable(&report);
}

#[cfg(unix)]
#[test]
fn one_file_for_two_modalities_is_found_through_links() {
    let mut site = site();
    let case = site.case("linked");
    fs::remove_file(case.file("flair")).unwrap();
    std::os::unix::fs::symlink(case.file("t1gd"), case.file("flair")).unwrap();
    let report = site.check(&options());
    for name in ["linked-t1gd.nii.gz", "linked-flair.nii.gz"] {
        let problems = of_file(&report, name);
        assert!(only(&problems, ProblemKind::SameFile).reason.contains("linked"), "{problems:?}");
        assert_eq!(problems.len(), 1, "not a duplicate as well");
    }
    sound_cases_are_usable(&report);
}

#[test]
fn scans_that_lack_something_are_named_and_a_missing_modality_is_normal() {
    let mut site = site();
    site.case("no-mask");
    site.forget("mask");
    site.case("no-image");
    site.forget("t1gd");
    site.forget("flair");
    site.case("one-image");
    site.forget("flair");
    let report = site.check(&options());
    assert_eq!(of_scan(&report, "no-mask").kind, ProblemKind::NoMask);
    assert_eq!(of_scan(&report, "no-image").kind, ProblemKind::NoImage);
    assert!(of_file(&report, "one-image-t1gd.nii.gz").is_empty());
    let unused = report.problems.iter().find(|problem| problem.kind == ProblemKind::UnusedFiles).unwrap();
    assert!(unused.reason.starts_with("7 image files belong to no case"), "{unused:?}");
    sound_cases_are_usable(&report);
}

#[test]
fn a_site_that_cannot_be_opened_says_which_lines_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let open = || check(Layout::Manifest, &[folder.path().to_owned()], &options(), &|_| {});
    let report = open();
    assert_eq!(report.verdict(), Verdict::NotUsable);
    let problem = &report.problems[0];
    assert!(
        problem.reason.contains("has no manifest.csv") && problem.remedy.contains("layout"),
        "{problem:?}"
    );

    let rows = "patient,label,mask,t1gd\nA,yes,m.nii,i.nii\nB,1,n.nii,j.nii\nB,1,o.nii,k.nii\n";
    fs::write(folder.path().join("manifest.csv"), rows).unwrap();
    let report = open();
    let kinds: Vec<ProblemKind> = report.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::CannotOpen; 2]);
    for (problem, line) in report.problems.iter().zip(["line 2", "line 4"]) {
        assert!(problem.reason.contains(line) && !problem.remedy.is_empty(), "{problem:?}");
        assert!(matches!(&problem.place, Place::Path(path) if path.ends_with("manifest.csv")), "{problem:?}");
    }
    assert_eq!(report.verdict().exit_code(), 2);
}
