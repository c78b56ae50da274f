//! Which patients are set aside, and which fold the others belong to.
//!
//! Dealt at the site from a keyed hash of the patient, so that no list of patients ever leaves and a case
//! keeps its place when files are listed in another order. The patient is the unit. Each folder is dealt on
//! its own: a simulation that pools several hospitals' folders has exactly their hold-outs and folds.

use std::collections::BTreeMap;

use consilium_domain::{
    CohortSummary, Design, Evaluation, Fold, Label, Modality, ModalityCounts, Seed, SiteId, Study,
};

use crate::{Case, Cohort, PatientId, ScanDate};

/// Why a cohort cannot be dealt as a study wants it. No patient is named, and no date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DesignError {
    /// Some scans have no date.
    #[error(
        "the study sets the latest scans aside and {undated} of {cases} cases have no date: describe the cases in a \
         manifest with a column `scan-date` (docs/layouts.md), or take part in studies of another design"
    )]
    NoDates {
        /// Cases without a date.
        undated: usize,
        /// All cases.
        cases: usize,
    },
    /// The site has no fold.
    #[error("the study leaves sites out one after the other, and this site is not among its sites")]
    NotInvited,
}

/// Where a patient belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Set aside for the final evaluation.
    Holdout,
    /// Validated in this fold, trained on in the others.
    Fold(Fold),
}

/// The placement of every patient of a cohort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    placements: BTreeMap<PatientId, Placement>,
    folds: u8,
}

impl Split {
    /// Deals the patients of each folder and class, in the order of their keyed hash: the first
    /// `round(holdout_fraction * n)` are the hold-out, the others go to the folds in turn.
    ///
    /// The second class continues where the first ended, so that fold sizes differ by at most one in each
    /// folder.
    ///
    /// # Panics
    /// Where `evaluation.folds` is 0, which no checked study has.
    pub fn deal(cohort: &Cohort, evaluation: &Evaluation, seed: &Seed) -> Self {
        assert!(evaluation.folds > 0, "a checked study has at least two folds");
        let key = seed.derive("split");
        let mut groups: BTreeMap<(usize, Label), Vec<(blake3::Hash, &PatientId)>> = BTreeMap::new();
        for case in &cohort.cases {
            let hash = blake3::keyed_hash(key.as_key(), case.patient.reveal().as_bytes());
            groups.entry((case.root, case.label)).or_default().push((hash, &case.patient));
        }
        let mut placements = BTreeMap::new();
        let mut next_fold: BTreeMap<usize, u8> = BTreeMap::new();
        for ((root, _), mut patients) in groups {
            patients.sort_by(|a, b| (a.0.as_bytes(), a.1).cmp(&(b.0.as_bytes(), b.1)));
            let holdout = (evaluation.holdout_fraction * patients.len() as f64).round() as usize;
            let fold = next_fold.entry(root).or_default();
            for (rank, (_, patient)) in patients.into_iter().enumerate() {
                let placement = if rank < holdout {
                    Placement::Holdout
                } else {
                    let dealt = Fold(*fold);
                    *fold = (*fold + 1) % evaluation.folds;
                    Placement::Fold(dealt)
                };
                placements.insert(patient.clone(), placement);
            }
        }
        Self { placements, folds: evaluation.folds }
    }

    /// Deals the patients of `site` as `study` says.
    ///
    /// # Errors
    /// [`DesignError`] where the study's design needs what the cohort does not have.
    pub fn of_study(cohort: &Cohort, study: &Study, site: &SiteId) -> Result<Self, DesignError> {
        let (evaluation, seed) = (&study.evaluation, study.seed());
        match (evaluation.design, study.fold_of(site)) {
            (Design::Temporal, _) => Self::by_date(cohort, evaluation, &seed),
            (Design::LeaveOneSiteOut, Some(own)) => {
                let mut split = Self::deal(cohort, evaluation, &seed);
                let folds = split.placements.values_mut();
                folds
                    .filter(|place| **place != Placement::Holdout)
                    .for_each(|place| *place = Placement::Fold(own));
                Ok(split)
            }
            (Design::LeaveOneSiteOut, None) => Err(DesignError::NotInvited),
            (Design::KFold, _) => Ok(Self::deal(cohort, evaluation, &seed)),
        }
    }

    /// Sets the latest scans of each folder aside, `round(holdout_fraction * n)` of them; those of one day go
    /// together, so that nobody who was scanned on the day of a training patient is held out. The others are dealt
    /// over the folds.
    ///
    /// # Errors
    /// [`DesignError::NoDates`] where a case has no day.
    pub(crate) fn by_date(
        cohort: &Cohort,
        evaluation: &Evaluation,
        seed: &Seed,
    ) -> Result<Self, DesignError> {
        let undated = cohort.cases.iter().filter(|case| case.clinical.scanned.is_none()).count();
        if undated > 0 {
            return Err(DesignError::NoDates { undated, cases: cohort.cases.len() });
        }
        let mut dates: BTreeMap<usize, Vec<ScanDate>> = BTreeMap::new();
        for case in &cohort.cases {
            dates.entry(case.root).or_default().extend(case.clinical.scanned);
        }
        let mut last_training: BTreeMap<usize, Option<ScanDate>> = BTreeMap::new();
        for (root, mut dates) in dates {
            dates.sort_unstable();
            let holdout = (evaluation.holdout_fraction * dates.len() as f64).round() as usize;
            let last = (dates.len() - holdout).checked_sub(1).map(|last| dates[last]);
            last_training.insert(root, last);
        }
        let is_later = |case: &&Case| case.clinical.scanned > last_training[&case.root];
        let (later, earlier): (Vec<&Case>, Vec<&Case>) = cohort.cases.iter().partition(is_later);
        let earlier = Cohort { cases: earlier.into_iter().cloned().collect(), excluded: Vec::new() };
        let mut split =
            Self::deal(&earlier, &Evaluation { holdout_fraction: 0.0, ..evaluation.clone() }, seed);
        split.placements.extend(later.into_iter().map(|case| (case.patient.clone(), Placement::Holdout)));
        Ok(split)
    }

    /// Where a patient belongs; `None` for one who was not dealt.
    pub fn placement(&self, patient: &PatientId) -> Option<Placement> {
        self.placements.get(patient).copied()
    }

    /// The cases with `modality` that a lane validated on `fold` trains on, in the cohort's order.
    pub fn training<'a>(&self, cohort: &'a Cohort, modality: Modality, fold: Fold) -> Vec<&'a Case> {
        self.select(cohort, modality, |place| matches!(place, Placement::Fold(other) if other != fold))
    }

    /// The cases with `modality` that a lane validated on `fold` is validated on, in the cohort's order.
    pub fn validation<'a>(&self, cohort: &'a Cohort, modality: Modality, fold: Fold) -> Vec<&'a Case> {
        self.select(cohort, modality, |place| place == Placement::Fold(fold))
    }

    /// The cases with `modality` that are set aside, in the cohort's order.
    pub fn holdout<'a>(&self, cohort: &'a Cohort, modality: Modality) -> Vec<&'a Case> {
        self.select(cohort, modality, |place| place == Placement::Holdout)
    }

    fn select<'a>(
        &self,
        cohort: &'a Cohort,
        modality: Modality,
        belongs: impl Fn(Placement) -> bool,
    ) -> Vec<&'a Case> {
        let has = |case: &&Case| case.images.contains_key(&modality);
        cohort
            .cases
            .iter()
            .filter(has)
            .filter(|case| self.placement(&case.patient).is_some_and(&belongs))
            .collect()
    }
}

impl Cohort {
    /// The cohort in numbers: usable patients of each modality by fold and class, and what was left out.
    pub fn summary(&self, split: &Split, modalities: &[Modality]) -> CohortSummary {
        let counts = |modality: Modality| {
            let mut counts = ModalityCounts {
                folds: vec![Default::default(); usize::from(split.folds)],
                ..ModalityCounts::default()
            };
            for case in self.cases.iter().filter(|case| case.images.contains_key(&modality)) {
                match split.placement(&case.patient) {
                    Some(Placement::Holdout) => counts.holdout.count(case.label),
                    Some(Placement::Fold(fold)) => counts.folds[usize::from(fold.0)].count(case.label),
                    None => {}
                }
            }
            counts
        };
        CohortSummary {
            modalities: modalities.iter().map(|&modality| (modality, counts(modality))).collect(),
            excluded: self
                .exclusions()
                .into_iter()
                .map(|(reason, count)| (reason.reason().to_owned(), count))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::{ClinicalBaseline, Selection};
    use proptest::prelude::*;

    use super::*;

    fn case(root: usize, number: usize, label: Label) -> Case {
        Case {
            patient: PatientId::new(format!("P{root}-{number}")),
            scan: ScanName::new("baseline"),
            aliases: Vec::new(),
            label,
            clinical: crate::Clinical::default(),
            images: [(Modality::T1, "t1".into())].into(),
            mask: "mask".into(),
            root,
        }
    }

    fn cohort(sizes: &[(usize, usize)]) -> Cohort {
        let cases = sizes.iter().enumerate().flat_map(|(root, &(positive, negative))| {
            (0..positive + negative).map(move |number| {
                case(root, number, if number < positive { Label::Methylated } else { Label::Unmethylated })
            })
        });
        let excluded =
            ExcludedScan { scan: ScanName::new("scan"), root: 0, line: None, reason: Exclusion::NoMask };
        Cohort { cases: cases.collect(), excluded: vec![excluded; 3] }
    }

    use crate::{ExcludedScan, Exclusion, ScanName};

    /// A study of two sites, each with a fold.
    fn study(design: Design) -> Study {
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/samples/study.toml");
        let mut study: Study = toml::from_str(&std::fs::read_to_string(sample).unwrap()).unwrap();
        study.federation.sites = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        study.evaluation = Evaluation { design, ..evaluation(2, 0.3) };
        study
    }

    #[test]
    fn a_site_that_is_left_out_is_a_fold_and_keeps_its_holdout() {
        let (cohort, study) = (cohort(&[(10, 20)]), study(Design::LeaveOneSiteOut));
        let usual = Split::deal(&cohort, &study.evaluation, &study.seed());
        let split = Split::of_study(&cohort, &study, &study.federation.sites[1]).unwrap();
        for case in &cohort.cases {
            let place = split.placement(&case.patient).unwrap();
            let held_out = usual.placement(&case.patient) == Some(Placement::Holdout);
            assert_eq!(place, if held_out { Placement::Holdout } else { Placement::Fold(Fold(1)) });
        }
        assert!(split.training(&cohort, Modality::T1, Fold(1)).is_empty());
        assert_eq!(split.training(&cohort, Modality::T1, Fold(0)).len(), 21);
        let stranger = "c".parse().unwrap();
        assert_eq!(Split::of_study(&cohort, &study, &stranger), Err(DesignError::NotInvited));
    }

    #[test]
    fn the_latest_scans_are_held_out_and_without_dates_there_is_no_such_design() {
        let (mut cohort, study) = (cohort(&[(4, 6), (2, 8)]), study(Design::Temporal));
        let site = &study.federation.sites[0];
        assert_eq!(
            Split::of_study(&cohort, &study, site),
            Err(DesignError::NoDates { undated: 20, cases: 20 })
        );
        // In the second folder days are shared: the third last is the day of the fourth last.
        for (place, case) in cohort.cases.iter_mut().enumerate() {
            let day = if case.root == 1 { 1 + place % 10 / 2 * 2 } else { 1 + place };
            case.clinical.scanned = ScanDate::read(&format!("2020-01-{day:02}"));
        }
        let split = Split::of_study(&cohort, &study, site).unwrap();
        let held_out: Vec<usize> = (0..20)
            .filter(|&place| split.placement(&cohort.cases[place].patient) == Some(Placement::Holdout))
            .collect();
        assert_eq!(held_out, [7, 8, 9, 18, 19]);
        assert_eq!(split.validation(&cohort, Modality::T1, Fold(0)).len(), 8);
    }

    fn evaluation(folds: u8, holdout_fraction: f64) -> Evaluation {
        Evaluation {
            folds,
            holdout_fraction,
            bins: 64,
            selection: Selection::Auc,
            route_samples: 0,
            design: Design::KFold,
            baseline: ClinicalBaseline::None,
        }
    }

    proptest! {
        #[test]
        fn every_patient_has_one_place_and_classes_are_spread_evenly(
            sizes in prop::collection::vec((0usize..30, 0usize..30), 1..4),
            folds in 2u8..8,
            fraction in 0.01f64..0.9,
            number: u64,
        ) {
            let cohort = cohort(&sizes);
            let split = Split::deal(&cohort, &evaluation(folds, fraction), &Seed::from_number(number));
            prop_assert_eq!(split.placements.len(), cohort.cases.len());
            for root in 0..sizes.len() {
                let mut totals = vec![0usize; usize::from(folds)];
                for label in Label::ALL {
                    let places: Vec<Placement> = cohort.cases.iter()
                        .filter(|case| case.root == root && case.label == label)
                        .map(|case| split.placement(&case.patient).unwrap())
                        .collect();
                    let holdout = places.iter().filter(|&&place| place == Placement::Holdout).count();
                    prop_assert_eq!(holdout, (fraction * places.len() as f64).round() as usize);
                    let in_fold = |fold| places.iter().filter(|&&p| p == Placement::Fold(Fold(fold))).count();
                    let counts: Vec<usize> = (0..folds).map(in_fold).collect();
                    prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
                    totals.iter_mut().zip(&counts).for_each(|(total, count)| *total += count);
                }
                prop_assert!(totals.iter().max().unwrap() - totals.iter().min().unwrap() <= 1);
            }
        }

        #[test]
        fn the_order_of_listing_changes_nothing(number: u64, shuffle: u64) {
            let ordered = cohort(&[(9, 14), (6, 3)]);
            let mut shuffled = ordered.clone();
            Seed::from_number(shuffle).stream().shuffle(&mut shuffled.cases);
            let (evaluation, seed) = (evaluation(5, 0.3), Seed::from_number(number));
            let deal = |cohort| Split::deal(cohort, &evaluation, &seed);
            prop_assert_eq!(deal(&ordered), deal(&shuffled));
        }
    }

    #[test]
    fn pooled_folders_are_dealt_as_each_would_be_alone() {
        let pooled = cohort(&[(9, 14), (6, 3), (20, 1)]);
        let (evaluation, seed) = (evaluation(3, 0.25), Seed::from_number(5));
        let together = Split::deal(&pooled, &evaluation, &seed);
        for root in 0..3 {
            let alone = pooled.cases.iter().filter(|case| case.root == root);
            let alone = Cohort {
                // A folder on its own is always number 0.
                cases: alone.map(|case| Case { root: 0, ..case.clone() }).collect(),
                excluded: Vec::new(),
            };
            for (patient, placement) in Split::deal(&alone, &evaluation, &seed).placements {
                assert_eq!(together.placement(&patient), Some(placement));
            }
        }
    }

    #[test]
    fn another_seed_deals_other_cards() {
        let (cohort, evaluation) = (cohort(&[(20, 20)]), evaluation(5, 0.3));
        let deal = |number| Split::deal(&cohort, &evaluation, &Seed::from_number(number));
        assert_ne!(deal(1), deal(2));
    }

    #[test]
    fn the_summary_and_the_selections_count_the_same_patients() {
        let mut cohort = cohort(&[(9, 14), (6, 3)]);
        cohort.cases[0].images = [(Modality::T2, "t2".into())].into();
        let split = Split::deal(&cohort, &evaluation(4, 0.3), &Seed::from_number(1));
        let summary = cohort.summary(&split, &[Modality::T1, Modality::T2, Modality::Flair]);
        assert_eq!(summary.excluded, [("no tumour mask".to_owned(), 3)].into());
        for modality in [Modality::T1, Modality::T2, Modality::Flair] {
            let counts = summary.counts(modality);
            assert_eq!(split.holdout(&cohort, modality).len(), counts.holdout.total() as usize);
            for fold in (0..4).map(Fold) {
                assert_eq!(
                    split.training(&cohort, modality, fold).len(),
                    counts.training(fold).total() as usize
                );
                assert_eq!(
                    split.validation(&cohort, modality, fold).len(),
                    counts.validation(fold).total() as usize
                );
            }
        }
        let total = |modality| {
            let counts = summary.counts(modality);
            counts.holdout.total() + counts.folds.iter().map(|fold| fold.total()).sum::<u32>()
        };
        assert_eq!([Modality::T1, Modality::T2, Modality::Flair].map(total), [31, 1, 0]);
    }
}
