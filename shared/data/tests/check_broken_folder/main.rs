//! A folder with every kind of damage: each gives its own message with the file, the reason and a remedy,
//! nothing panics, and the sound cases beside it stay usable.

mod damage;
mod file;
mod folder;
mod places;
mod shown;

use std::collections::BTreeSet;

use consilium_data::check::{
    CheckOptions, Listing, Place, Problem, ProblemKind, Report, Verdict, render_text,
};

use damage::{CONTENT, Damage, GRIDS, HEADERS, VOXELS};
use folder::Site;

/// Enough of both classes for five folds with three tenths set aside.
const SOUND_CASES: usize = 16;

fn options() -> CheckOptions {
    CheckOptions::new(5, 0.3).unwrap()
}

fn all_damage() -> impl Iterator<Item = &'static Damage> {
    [&CONTENT[..], &HEADERS, &GRIDS, &VOXELS].into_iter().flatten()
}

/// A site with sound cases and one case for each kind of damage.
fn broken_site() -> Site {
    let mut site = Site::new();
    for number in 0..SOUND_CASES {
        site.case(&format!("sound-{number}"));
    }
    for damage in all_damage() {
        let case = site.case(damage.name);
        (damage.apply)(&case, &case.file(damage.file));
    }
    site
}

/// The problems of the file of that name.
fn of_file<'a>(report: &'a Report, name: &str) -> Vec<&'a Problem> {
    let named = |problem: &&Problem| match &problem.place {
        Place::File { path, .. } | Place::Path(path) => path.ends_with(name),
        _ => false,
    };
    report.problems.iter().filter(named).collect()
}

#[test]
fn each_damage_has_its_message_and_the_sound_cases_stay_usable() {
    let site = broken_site();
    let report = site.check(&options());
    let text = render_text(&report, Listing::All);
    let mut said = BTreeSet::new();
    for damage in all_damage() {
        let name = format!("{}-{}.nii.gz", damage.name, damage.file);
        let problems = of_file(&report, &name);
        let found = problems.iter().find(|problem| problem.kind == damage.kind);
        let problem = found.unwrap_or_else(|| panic!("{name} must be {:?}, not {problems:?}", damage.kind));
        assert!(problem.reason.contains(damage.reason), "{name}: {:?}", problem.reason);
        assert!(problem.remedy.split_whitespace().count() > 1, "{name}: {:?}", problem.remedy);
        assert!(!problem.reason.contains(site.path().to_str().unwrap()), "{name}: {:?}", problem.reason);
        assert!(text.contains(&name), "the table must name {name}");
        said.insert((name, problem.reason.clone()));
    }
    assert!(said.len() >= 40, "{}", said.len());
    assert_eq!(report.verdict(), Verdict::UsableWithWarnings);
    assert_eq!(report.verdict().exit_code(), 1);
    sound_cases_are_usable(&report);
}

/// All of their images, and nobody says anything of them.
fn sound_cases_are_usable(report: &Report) {
    for (index, case) in report.cases.iter().enumerate() {
        if case.case.patient.reveal().starts_with("sound") {
            assert_eq!(case.usable.len(), 2);
            let problems: Vec<&Problem> =
                report.problems.iter().filter(|problem| problem.place.case() == Some(index)).collect();
            assert!(problems.is_empty(), "{problems:?}");
        }
    }
}

#[test]
fn an_image_costs_itself_and_a_mask_its_case() {
    let report = broken_site().check(&options());
    let usable = |name: &str| {
        let case = report.cases.iter().find(|case| case.case.patient.reveal() == name).unwrap();
        case.usable.len()
    };
    assert_eq!([usable("nan-voxels"), usable("empty"), usable("mirrored")], [1, 1, 1]);
    assert_eq!(
        [usable("half-mask"), usable("empty-mask"), usable("mirrored-mask"), usable("labels")],
        [0; 4]
    );
    assert_eq!([usable("shifted"), usable("mask-over-edge"), usable("no-orientation")], [2, 2, 2]);
    assert_eq!([usable("fewer-slices"), usable("other-spacing"), usable("other-shape")], [2, 2, 1]);
}

#[test]
fn headers_only_sees_headers_and_reads_no_voxel() {
    let mut options = options();
    options.headers_only = true;
    let report = broken_site().check(&options);
    for damage in HEADERS.iter().chain(&GRIDS) {
        let name = format!("{}-{}.nii.gz", damage.name, damage.file);
        assert!(of_file(&report, &name).iter().any(|problem| problem.kind == damage.kind), "{name}");
    }
    assert!(VOXELS.iter().all(|damage| {
        let name = format!("{}-{}.nii.gz", damage.name, damage.file);
        of_file(&report, &name).is_empty()
    }));
    assert_eq!(report.passes.len(), 1);
    sound_cases_are_usable(&report);
}

#[test]
fn a_sound_site_is_usable_without_a_word_and_a_small_one_is_not() {
    let site_of = |cases: usize| {
        let mut site = Site::new();
        for number in 0..cases {
            site.case(&format!("sound-{number}"));
        }
        site.check(&options())
    };
    let report = site_of(SOUND_CASES);
    assert_eq!(report.verdict(), Verdict::Usable, "{:?}", report.problems);
    let kinds: Vec<ProblemKind> = report.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::NotAtlas]);
    let small = site_of(8);
    assert_eq!((small.verdict(), small.verdict().exit_code()), (Verdict::NotUsable, 2));
    assert!(small.problems.iter().any(|problem| problem.kind == ProblemKind::TooFewCases));
}
