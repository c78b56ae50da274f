//! How large the folds would be, and whether each would hold both classes.
//!
//! A study's seed decides who is in a fold, not how many: `Split` deals each class in turn, so the sizes for
//! all cases are the same for every seed. Only a modality that some cases lack depends on who those are; for
//! it the least and the most over a number of arbitrary seeds are given.

use std::collections::BTreeMap;

use consilium_domain::{ClassCounts, Design, Evaluation, Label, Modality, ModalityCounts, Seed};

use super::options::CheckOptions;
use super::problem::{Place, Problem, ProblemKind};
use super::report::CheckedCase;
use crate::{Case, Cohort, Placement, Split};

/// Seeds tried: enough that the range shows how much chance there is.
const SEEDS: u64 = 32;

/// The least and the most cases of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountRange {
    /// Over all seeds tried.
    pub least: ClassCounts,
    /// Over all seeds tried.
    pub most: ClassCounts,
}

impl CountRange {
    /// Whether the seed plays no part.
    pub fn is_exact(self) -> bool {
        self.least == self.most
    }

    fn of(counts: ClassCounts) -> Self {
        Self { least: counts, most: counts }
    }

    fn widen(&mut self, counts: ClassCounts) {
        for (bound, choose) in
            [(&mut self.least, u32::min as fn(u32, u32) -> u32), (&mut self.most, u32::max)]
        {
            bound.methylated = choose(bound.methylated, counts.methylated);
            bound.unmethylated = choose(bound.unmethylated, counts.unmethylated);
        }
    }
}

/// The sizes of the hold-out and of each fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Hold-out and folds together, which no seed changes.
    pub total: ClassCounts,
    /// Set aside for the final evaluation.
    pub holdout: CountRange,
    /// One entry a fold.
    pub folds: Vec<CountRange>,
}

impl Sizes {
    fn of(counts: &ModalityCounts) -> Self {
        let folds = counts.folds.iter().copied().map(CountRange::of).collect();
        let total = counts.folds.iter().copied().chain([counts.holdout]).sum();
        Self { total, holdout: CountRange::of(counts.holdout), folds }
    }

    fn widen(&mut self, counts: &ModalityCounts) {
        self.holdout.widen(counts.holdout);
        for (range, &counts) in self.folds.iter_mut().zip(&counts.folds) {
            range.widen(counts);
        }
    }
}

/// The folds of the usable cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldSizes {
    /// Whatever modalities a case has.
    pub all: Sizes,
    /// The cases with each modality that any usable case has.
    pub modalities: BTreeMap<Modality, Sizes>,
}

/// Deals the usable cases as a study would. None where there are none, or where the design cannot deal them.
pub(super) fn deal(cases: &[CheckedCase], options: &CheckOptions) -> Option<FoldSizes> {
    let cohort = Cohort {
        cases: cases.iter().filter(|case| case.is_usable()).map(usable_part).collect(),
        excluded: Vec::new(),
    };
    if cohort.cases.is_empty() {
        return None;
    }
    let present: Vec<Modality> = Modality::ALL
        .into_iter()
        .filter(|modality| cohort.cases.iter().any(|case| case.images.contains_key(modality)))
        .collect();
    let counts = |number: u64, modality: Option<Modality>| {
        let split = split(&cohort, options.evaluation(), &Seed::from_number(number))?;
        let has = |case: &Case| modality.is_none_or(|modality| case.images.contains_key(&modality));
        Some(count(&cohort, &split, options.evaluation().folds, has))
    };
    let over_seeds = |modality: Option<Modality>| {
        let mut sizes = Sizes::of(&counts(0, modality)?);
        for number in 1..SEEDS {
            sizes.widen(&counts(number, modality)?);
        }
        Some(sizes)
    };
    let of_modality = |modality| Some((modality, over_seeds(Some(modality))?));
    let modalities = present.into_iter().map(of_modality).collect::<Option<_>>()?;
    Some(FoldSizes { all: over_seeds(None)?, modalities })
}

/// As the design deals: where sites are left out, a site's own fold is all that it does not set aside.
fn split(cohort: &Cohort, evaluation: &Evaluation, seed: &Seed) -> Option<Split> {
    match evaluation.design {
        Design::KFold | Design::LeaveOneSiteOut => Some(Split::deal(cohort, evaluation, seed)),
        Design::Temporal => Split::by_date(cohort, evaluation, seed).ok(),
    }
}

fn usable_part(case: &CheckedCase) -> Case {
    let mut part = case.case.clone();
    part.images.retain(|modality, _| case.usable.contains(modality));
    part
}

fn count(cohort: &Cohort, split: &Split, folds: u8, has: impl Fn(&Case) -> bool) -> ModalityCounts {
    let mut counts = ModalityCounts {
        folds: vec![ClassCounts::default(); usize::from(folds)],
        ..ModalityCounts::default()
    };
    for case in cohort.cases.iter().filter(|case| has(case)) {
        match split.placement(&case.patient) {
            Some(Placement::Holdout) => counts.holdout.count(case.label),
            Some(Placement::Fold(fold)) => counts.folds[usize::from(fold.0)].count(case.label),
            None => {}
        }
    }
    counts
}

/// The problems of folds that would lack a class.
pub(super) fn judge(
    sizes: Option<&FoldSizes>,
    cases: &[CheckedCase],
    options: &CheckOptions,
) -> Vec<Problem> {
    let Some(sizes) = sizes else {
        if cases.iter().any(CheckedCase::is_usable) {
            // What the design lacks is told with the dates.
            return Vec::new();
        }
        let remedy = "mend the errors above, or check the folder and the layout";
        return vec![Problem::new(ProblemKind::NothingUsable, Place::Site, "not one case is usable", remedy)];
    };
    let mut problems: Vec<Problem> = Label::ALL
        .into_iter()
        .filter_map(|label| lacking(&sizes.all, label, options, ""))
        .map(|reason| too_few(ProblemKind::TooFewCases, reason))
        .collect();
    if problems.is_empty() {
        let thin: Vec<Problem> = sizes
            .modalities
            .iter()
            .filter_map(|(modality, sizes)| {
                let of = format!(" with {modality}");
                let reason = Label::ALL.into_iter().find_map(|label| lacking(sizes, label, options, &of))?;
                Some(too_few(ProblemKind::ModalityTooFew, reason))
            })
            .collect();
        if thin.len() == sizes.modalities.len() {
            let reason = "no modality has as many cases of each class as there are folds".to_owned();
            problems.push(too_few(ProblemKind::TooFewCases, reason));
        }
        problems.extend(thin);
    }
    problems.extend(Label::ALL.into_iter().filter_map(|label| unjudged(&sizes.all, label)));
    problems.extend(absent(sizes, cases, options));
    problems
}

/// A class of which the site has cases and would set none aside.
fn unjudged(sizes: &Sizes, label: Label) -> Option<Problem> {
    let (class, of_class) = class(label);
    let lacks = of_class(sizes.total) > 0 && of_class(sizes.holdout.least) == 0;
    lacks.then(|| {
        let reason = format!("of {} {class} cases none would be set aside", of_class(sizes.total));
        let remedy =
            "agree on a larger hold-out; without both classes this site's hold-out has no area of its own";
        Problem::new(ProblemKind::HoldoutLacksClass, Place::Site, reason, remedy)
    })
}

fn class(label: Label) -> (&'static str, fn(ClassCounts) -> u32) {
    match label {
        Label::Methylated => ("methylated", |counts| counts.methylated),
        Label::Unmethylated => ("unmethylated", |counts| counts.unmethylated),
    }
}

/// Why some fold has no case of the class, whatever the seed: too few are left after the hold-out.
fn lacking(sizes: &Sizes, label: Label, options: &CheckOptions, of: &str) -> Option<String> {
    let (class, of_class) = class(label);
    let (total, aside) = (of_class(sizes.total), of_class(sizes.holdout.least));
    let folds = options.evaluation().folds;
    let never_filled = sizes.folds.iter().any(|fold| of_class(fold.most) == 0);
    (never_filled || total - aside < u32::from(folds))
        .then(|| format!("{total} {class} cases{of}, {aside} of them set aside, do not fill {folds} folds"))
}

fn too_few(kind: ProblemKind, reason: String) -> Problem {
    let remedy = "add cases, mend those with errors, or agree on fewer folds or a smaller hold-out";
    Problem::new(kind, Place::Site, reason, remedy)
}

/// The modalities that were asked for by name, or are there, and have no usable case.
fn absent(sizes: &FoldSizes, cases: &[CheckedCase], options: &CheckOptions) -> Vec<Problem> {
    let found = |modality: &Modality| cases.iter().any(|case| case.case.images.contains_key(modality));
    let wanted = |modality: &Modality| options.modalities.contains(modality) || found(modality);
    Modality::ALL
        .into_iter()
        .filter(wanted)
        .filter(|modality| !sizes.modalities.contains_key(modality))
        .map(|modality| {
            let reason = format!("no usable case has {modality}");
            let remedy =
                "add its images or mend those with errors; without them this site sits its lanes out";
            Problem::new(ProblemKind::ModalityAbsent, Place::Site, reason, remedy)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::made_up_case;

    fn checked(methylated: usize, unmethylated: usize) -> Vec<CheckedCase> {
        let labels = std::iter::repeat_n(true, methylated).chain(std::iter::repeat_n(false, unmethylated));
        labels
            .enumerate()
            .map(|(number, label)| {
                let mut case = made_up_case(label);
                case.patient = crate::PatientId::new(format!("P{number}"));
                CheckedCase { usable: case.images.keys().copied().collect(), case }
            })
            .collect()
    }

    fn kinds(cases: &[CheckedCase], options: &CheckOptions) -> Vec<ProblemKind> {
        let sizes = deal(cases, options);
        judge(sizes.as_ref(), cases, options).into_iter().map(|problem| problem.kind).collect()
    }

    #[test]
    fn sizes_for_all_cases_do_not_depend_on_the_seed_and_sum_to_the_total() {
        let cases = checked(23, 31);
        let sizes = deal(&cases, &CheckOptions::new(5, 0.3).unwrap()).unwrap();
        assert!(sizes.all.folds.iter().chain([&sizes.all.holdout]).all(|range| range.is_exact()));
        assert_eq!(sizes.all.holdout.least, ClassCounts { methylated: 7, unmethylated: 9 });
        let dealt: ClassCounts = sizes.all.folds.iter().map(|range| range.least).sum();
        assert_eq!(dealt + sizes.all.holdout.least, sizes.all.total);
        assert_eq!(sizes.all.total, ClassCounts { methylated: 23, unmethylated: 31 });
    }

    #[test]
    fn a_modality_that_some_lack_varies_with_the_seed() {
        let mut cases = checked(20, 20);
        for case in cases.iter_mut().step_by(2) {
            case.usable.remove(&Modality::T1);
        }
        let sizes = deal(&cases, &CheckOptions::new(5, 0.3).unwrap()).unwrap();
        let t1 = &sizes.modalities[&Modality::T1];
        assert!(t1.folds.iter().any(|range| !range.is_exact()));
        assert_eq!(t1.total, ClassCounts { methylated: 10, unmethylated: 10 });
        assert!(sizes.modalities[&Modality::Flair].folds.iter().all(|range| range.is_exact()));
    }

    #[test]
    fn each_fold_needs_each_class_after_the_holdout() {
        let options = CheckOptions::new(5, 0.3).unwrap();
        assert_eq!(kinds(&checked(7, 7), &options), []);
        // 6 methylated: 2 set aside, 4 for 5 folds.
        assert_eq!(kinds(&checked(6, 20), &options), [ProblemKind::TooFewCases]);
        assert_eq!(kinds(&checked(0, 20), &options), [ProblemKind::TooFewCases]);
        assert_eq!(kinds(&[], &options), [ProblemKind::NothingUsable]);
    }

    #[test]
    fn a_thin_or_absent_modality_is_a_warning_while_another_suffices() {
        let mut options = CheckOptions::new(5, 0.3).unwrap();
        let mut cases = checked(10, 10);
        for case in cases.iter_mut().skip(3) {
            case.usable.remove(&Modality::T1);
        }
        assert_eq!(kinds(&cases, &options), [ProblemKind::ModalityTooFew]);
        options.modalities = vec![Modality::T1, Modality::Flair, Modality::DtiFa];
        assert_eq!(kinds(&cases, &options), [ProblemKind::ModalityTooFew, ProblemKind::ModalityAbsent]);
        for case in &mut cases {
            case.usable.remove(&Modality::Flair);
        }
        // Three cases of one class are left.
        assert_eq!(kinds(&cases, &options)[..2], [ProblemKind::TooFewCases; 2]);
    }
}
