//! Each rule alone, and that the policy never approves what a rule forbids.

use std::path::Path;

use consilium_domain::network::Depth;
use consilium_domain::*;
use consilium_metrics::{
    LogisticSums, PairedScore, RoutingCounts, ScoreHistogram, ScoreSums, SiteDifference, Totals, compare_rows,
};
use consilium_protocol::{
    ArmComparison, BaselineOutcome, FusionDetail, FusionOutcome, GroupScores, Outcome, ScoringDetail,
    ScoringOutcome, Timestamp,
};
use proptest::prelude::*;

use super::*;

fn sample(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

pub(crate) fn study() -> Study {
    toml::from_str(&sample("study.toml")).unwrap()
}

pub(crate) fn policy(text: &str) -> SitePolicy {
    toml::from_str::<PolicyFile>(text).unwrap().check().unwrap()
}

fn declined(text: &str, word: &str) {
    let Ruling::Decline(reasons) = policy(text).judge(&study()) else { panic!("{text} must decline") };
    assert!(reasons.len() == 1 && reasons[0].contains(word), "{text}: {reasons:?}");
}

pub(crate) fn order(lane: Lane, round: u16) -> WorkOrder {
    let model = BlobRef::of(b"model");
    WorkOrder::new(
        study().hash(),
        Task::Train { lane, round: Round(round), model, classes: None, reductions: 0 },
    )
}

pub(crate) const LANE: Lane = Lane { arm: Arm::Random, modality: Modality::T1gd, fold: Fold(0) };

#[test]
fn the_shipped_sample_is_a_policy_with_every_key_and_asks_on_the_sample_study() {
    let file: PolicyFile = toml::from_str(&sample("policy.toml")).unwrap();
    let complete = toml::Table::try_from(&file).unwrap();
    let keys = |table: &toml::Table| {
        table.values().filter_map(toml::Value::as_table).map(toml::Table::len).sum::<usize>()
    };
    assert_eq!((complete.len(), keys(&complete)), (7, 26), "the sample must show every key");
    assert_eq!(file.check().unwrap().judge(&study()), Ruling::Ask);
}

#[test]
fn without_limits_a_rule_approves_and_by_default_a_person_is_asked() {
    assert_eq!(policy("approval = 'rule'").judge(&study()), Ruling::Approve);
    assert_eq!(SitePolicy::default().judge(&study()), Ruling::Ask);
    assert_eq!(policy(""), SitePolicy::default());
    assert_eq!(PolicyFile::of_simulation().check().unwrap().judge(&study()), Ruling::Approve);
}

/// A policy for every limit on a study, beyond which the sample study is, and what the site says then.
pub(crate) const LIMITS: [(&str, &str); 13] = [
    ("[study]\narms = ['random']", "spottune, medicalnet is not allowed, allowed are random"),
    ("[study]\nmodalities = ['flair', 't2']", "modality t1gd is not allowed, allowed are flair, t2"),
    ("[study]\ndepths = [10, 18]", "depth is 50, allowed are 10, 18"),
    ("[study]\nmost_rounds = 29", "rounds: 30, at most 29"),
    ("[study]\nmost_local_epochs = 2", "local epochs: 3, at most 2"),
    ("[study]\nfewest_sites = 4", "sites: 3, at least 4"),
    ("[study]\nfewest_contributions = 3", "contributions to a model: 2, at least 3"),
    ("[study]\nmost_clip = 32", "clip: 64, at most 32"),
    ("[study]\nmost_fraction_bits = 20", "fraction bits: 24, at most 20"),
    ("[study]\nwires = ['bf16', 'int8']", "wire f32 is not allowed, allowed are bf16, int8"),
    ("[histograms]\nmost_bins = 32", "histogram bins: 64, at most 32"),
    ("[require]\nsecure_aggregation = true", "requires secure aggregation, which this release does not have"),
    ("[require]\ndifferential_privacy = true", "requires differential privacy"),
];

#[test]
fn every_limit_declines_with_its_own_words() {
    LIMITS.iter().for_each(|(text, word)| declined(text, word));
}

#[test]
fn all_objections_are_told_at_once() {
    let strict = policy(
        "approval = 'rule'\n[study]\nmost_rounds = 1\nmost_local_epochs = 1\n[histograms]\nmost_bins = 2",
    );
    let Ruling::Decline(reasons) = strict.judge(&study()) else { panic!("it must decline") };
    assert_eq!(reasons.len(), 3, "{reasons:?}");
}

#[test]
fn what_is_no_policy_is_refused_with_its_keys() {
    for text in [
        "sead = 1",
        "[study]\nround = 3",
        "approval = 'maybe'",
        "[study]\ndepths = [11]",
        "[hours]\nfrom = '1'",
    ] {
        assert!(toml::from_str::<PolicyFile>(text).is_err(), "{text}");
    }
    let wrong = "[study]\narms = []\n[data]\nmost_duplicates_share = 1.5\n[hours]\nfrom='25:00'\nto='07:00'\nutc_offset='+01:00'";
    let problems = toml::from_str::<PolicyFile>(wrong).unwrap().check().unwrap_err().join("\n");
    for key in ["study.arms", "data.most_duplicates_share", "hours.from"] {
        assert!(problems.contains(key), "{key} is missing from {problems}");
    }
    let nan = toml::from_str::<PolicyFile>("[data]\nmost_duplicates_share = nan").unwrap();
    assert!(nan.check().is_err());
}

#[test]
fn an_order_that_the_study_does_not_hold_is_objected_to() {
    let study = study();
    let objection = |text: &str, order: &WorkOrder| policy(text).objection_to_order(&study, order);
    let words = |order: &WorkOrder, word: &str| {
        let objection = objection("", order).unwrap_or_default();
        assert!(objection.contains(word), "{order:?}: {objection}");
    };
    assert_eq!(objection("", &order(LANE, 30)), None);
    words(&order(Lane { modality: Modality::T2, ..LANE }, 1), "t2 is not among the approved modalities");
    words(&order(Lane { fold: Fold(5), ..LANE }, 1), "no fold 5");
    words(&order(LANE, 31), "round 31");
    words(&order(LANE, 0), "round 0");
    words(&WorkOrder { study: Study { seed: 1, ..study.clone() }.hash(), ..order(LANE, 1) }, "another study");
    let chosen = |arm| ChosenModel { lane: Lane { arm, ..LANE }, round: Round(1) };
    let fuse = |arms: &[Arm]| {
        let models = arms.iter().map(|&arm| chosen(arm)).collect();
        WorkOrder::new(study.hash(), Task::Fuse { arm: Arm::Random, models })
    };
    words(&fuse(&[Arm::Random, Arm::Spottune]), "models of other arms");
    assert_eq!(objection("", &fuse(&[Arm::Random])), None);
    // The policy became stricter while the study ran.
    let stricter = objection("[study]\narms = ['spottune']", &order(LANE, 1));
    assert!(stricter.unwrap().contains("random is not among the approved arms"));
    assert!(objection("[study]\nmost_rounds = 3", &order(LANE, 4)).is_some());
}

/// Every score is told where it is.
const EACH_ALONE: &str = "[histograms]\nfewest_per_score = 1";

#[test]
fn no_score_is_told_of_fewer_patients_than_the_policy_asks_for() {
    let scores = ScoreHistogram::from_counts(vec![1, 0, 0, 2], vec![0, 1, 2, 0]).unwrap();
    let scoring = ScoringOutcome { scores: scores.clone(), loss_sum: 1.0, seconds: 1.0 };
    let fewest = |outcome: &Outcome| match outcome {
        Outcome::ScoredInDetail(_, detail) => detail.fewest_per_score,
        _ => 0,
    };
    let outcome = Outcome::ScoredInDetail(scoring.clone(), ScoringDetail::default());
    let usual = SitePolicy::default();
    let told = usual.withhold(outcome.clone());
    let Outcome::ScoredInDetail(grouped, _) = &told else { panic!("that it is grouped is told") };
    assert!(grouped.scores.tells_at_least(3) && grouped.scores.totals() == scores.totals());
    assert_eq!((fewest(&told), usual.objection_to_outcome(&told)), (3, None));
    assert_eq!(usual.withhold(told.clone()), told);
    assert!(usual.objection_to_outcome(&outcome).is_some_and(|reason| reason.contains("fewer than 3")));
    // An older coordinator is told the same scores, without the word.
    assert_eq!(usual.withhold(Outcome::Scored(scoring.clone())), told.clone().without_detail());
    assert_eq!(policy(EACH_ALONE).withhold(outcome), Outcome::Scored(scoring));
    let two = ScoringOutcome { scores: histogram(1, 1), loss_sum: 1.0, seconds: 1.0 };
    let two = usual.withhold(Outcome::Scored(two));
    assert!(usual.objection_to_outcome(&two).is_some(), "of two patients nothing is told");
    let zero: PolicyFile = toml::from_str("[histograms]\nfewest_per_score = 0").unwrap();
    assert!(zero.check().unwrap_err()[0].contains("fewest_per_score"));
}

#[test]
fn fused_scores_are_told_of_groups_too() {
    let alone = ScoreHistogram::from_counts(vec![1, 1, 1, 1], vec![1, 0, 1, 2]).unwrap();
    let group = GroupScores { validation: alone.clone(), holdout: alone.clone() };
    let fusion = FusionOutcome { groups: vec![group.clone()], seconds: 1.0 };
    let detail =
        FusionDetail { sums: vec![None], folds: vec![vec![alone.clone()]], ..FusionDetail::default() };
    let usual = SitePolicy::default();
    let Outcome::FusedInDetail(told, beside) = usual.withhold(Outcome::FusedInDetail(fusion, detail)) else {
        panic!("that it is grouped is told")
    };
    let all = [&told.groups[0].validation, &told.groups[0].holdout, &beside.folds[0][0]];
    assert!(all.iter().all(|told| told.tells_at_least(3)) && beside.fewest_per_score == 3);
    let detail = FusionDetail { sums: vec![None], ..FusionDetail::default() };
    let scored = Outcome::BaselineScored(BaselineOutcome { scores: group, detail, seconds: 1.0 });
    let Outcome::BaselineScored(told) = usual.withhold(scored) else { panic!("the same answer") };
    assert!(told.scores.holdout.tells_at_least(3) && told.detail.fewest_per_score == 3);
}

fn histogram(positives: u32, negatives: u32) -> ScoreHistogram {
    ScoreHistogram::from_counts(vec![positives, 0], vec![0, negatives]).unwrap()
}

#[test]
fn a_histogram_of_few_patients_stays() {
    let strict = policy("[histograms]\nfewest_of_each_class = 5\nmost_bins = 2");
    let scored = |positives, negatives| {
        let scores = histogram(positives, negatives);
        strict.objection_to_outcome(&Outcome::Scored(ScoringOutcome { scores, loss_sum: 1.0, seconds: 1.0 }))
    };
    assert_eq!(scored(5, 5), None);
    assert_eq!(scored(0, 0), None, "it is of nobody");
    for (positives, negatives) in [(4, 5), (5, 4), (0, 9), (9, 0)] {
        assert!(scored(positives, negatives).is_some_and(|reason| reason.contains("fewer than 5")));
    }
    let group = GroupScores { validation: histogram(5, 5), holdout: histogram(5, 1) };
    let fused = Outcome::Fused(FusionOutcome { groups: vec![group], seconds: 1.0 });
    assert!(strict.objection_to_outcome(&fused).is_some());
    let fine = ScoreHistogram::new(3).unwrap();
    let fine = Outcome::Scored(ScoringOutcome { scores: fine, loss_sum: 0.0, seconds: 0.0 });
    assert!(strict.objection_to_outcome(&fine).is_some_and(|reason| reason.contains("3 bins")));
}

#[test]
fn a_bin_of_few_patients_keeps_its_histogram_here() {
    let strict = policy("[histograms]\nfewest_in_a_bin = 3");
    let scored = |counts: [u32; 2]| {
        let scores = ScoreHistogram::from_counts(counts.to_vec(), vec![3, 0]).unwrap();
        strict.objection_to_outcome(&Outcome::Scored(ScoringOutcome { scores, loss_sum: 1.0, seconds: 1.0 }))
    };
    assert_eq!(scored([3, 0]), None, "an empty bin says nothing of anybody");
    let objection = scored([9, 2]).unwrap();
    assert!(objection.contains("fewer than 3") && !objection.contains('9'), "{objection}");
}

/// Sums of `positives` and `negatives` patients.
fn sums(positives: u32, negatives: u32) -> ScoreSums {
    let mut sums = ScoreSums::new();
    (0..positives).for_each(|_| sums.record(0.5, true).unwrap());
    (0..negatives).for_each(|_| sums.record(0.5, false).unwrap());
    sums
}

fn detailed(positives: u32) -> [Outcome; 2] {
    let mut routing = RoutingCounts::new(2, 1).unwrap();
    (0..positives).for_each(|_| routing.record(&[1.0, 0.0], true).unwrap());
    let scoring = ScoringOutcome { scores: histogram(positives, 9), loss_sum: 1.0, seconds: 1.0 };
    let detail =
        ScoringDetail { sums: Some(sums(positives, 9)), routing: Some(routing), fewest_per_score: 1 };
    let pair = |first, second, positive| PairedScore { first, second, positive };
    let rows: Vec<PairedScore> = (0..positives)
        .map(|k| pair(0.5 + 0.01 * k as f32, 0.6, true))
        .chain((0..9).map(|k| pair(0.5 - 0.01 * k as f32, 0.4, false)))
        .collect();
    let classes = Totals { positives, negatives: 9 };
    let difference = SiteDifference::of(&compare_rows(&rows).unwrap().unwrap(), classes).unwrap();
    let group = GroupScores { validation: histogram(9, 9), holdout: histogram(positives, 9) };
    let comparison = ArmComparison { with: Arm::Random, groups: vec![Some(difference)] };
    let fusion = FusionDetail {
        sums: vec![Some(sums(positives, 9))],
        comparisons: vec![comparison],
        folds: Vec::new(),
        fewest_per_score: 1,
    };
    [
        Outcome::ScoredInDetail(scoring, detail),
        Outcome::FusedInDetail(FusionOutcome { groups: vec![group], seconds: 1.0 }, fusion),
    ]
}

#[test]
fn sums_beyond_the_histograms_leave_as_the_policy_says() {
    let all = policy(EACH_ALONE);
    let none =
        policy(&format!("{EACH_ALONE}\n[details]\nscore_sums = false\nrouting = false\ncomparisons = false"));
    for outcome in detailed(5) {
        assert_eq!(
            (all.withhold(outcome.clone()), all.objection_to_outcome(&outcome)),
            (outcome.clone(), None)
        );
        let plain = outcome.clone().without_detail();
        assert_ne!(plain, outcome);
        assert_eq!(none.withhold(outcome.clone()), plain);
        assert!(none.objection_to_outcome(&outcome).is_some_and(|reason| reason.contains("more than")));
    }
    let silent = policy("[details]\nrouting = false").withhold(detailed(5)[0].clone());
    let Outcome::ScoredInDetail(_, ScoringDetail { sums: Some(_), routing: None, .. }) = silent else {
        panic!("{silent:?}")
    };
}

#[test]
fn sums_over_few_patients_stay() {
    let strict = policy(&format!("{EACH_ALONE}\nfewest_of_each_class = 4"));
    for outcome in detailed(3) {
        assert_eq!(strict.withhold(outcome.clone()), outcome.without_detail());
    }
}

#[test]
fn a_site_with_few_cases_takes_no_part_and_does_not_say_how_few() {
    let cohort = |cases| {
        let fold = ClassCounts { methylated: cases, unmethylated: 0 };
        let counts = ModalityCounts { folds: vec![fold], holdout: ClassCounts::default() };
        CohortSummary { modalities: [(Modality::T1gd, counts)].into(), ..CohortSummary::default() }
    };
    let strict = policy("[data]\nfewest_cases = 20");
    assert_eq!(strict.objection_to_cohort(&study(), &cohort(20)), None);
    let few = strict.objection_to_cohort(&study(), &cohort(17)).unwrap();
    assert!(few.contains("20") && !few.contains("17"), "{few}");
    assert!(strict.objection_to_cohort(&study(), &CohortSummary::default()).is_some());
    assert_eq!(SitePolicy::default().objection_to_cohort(&study(), &cohort(0)), None);
}

#[test]
fn a_coordinator_cannot_empty_a_site() {
    let half = SitePolicy::default();
    assert_eq!(half.objection_to_duplicates(5, 10), None);
    assert!(half.objection_to_duplicates(6, 10).is_some_and(|reason| reason.contains("6 of 10")));
    assert_eq!(half.objection_to_duplicates(0, 0), None);
    assert!(policy("[data]\nmost_duplicates_share = 0.0").objection_to_duplicates(1, 1_000).is_some());
}

fn some_policy() -> impl Strategy<Value = PolicyFile> {
    let arms = prop::sample::subsequence(vec![Arm::Spottune, Arm::Medicalnet, Arm::Random], 1..=3);
    let depths = prop::sample::subsequence(vec![Depth::D10, Depth::D18, Depth::D50], 1..=3);
    let limits = (0u16..4, 0u16..4, 0u16..5, 0u16..5);
    (prop::option::of(arms), prop::option::of(depths), limits, any::<[bool; 3]>()).prop_map(
        |(arms, depths, (rounds, epochs, sites, contributions), [manual, aggregation, privacy])| PolicyFile {
            approval: if manual { Approval::Manual } else { Approval::Rule },
            study: StudyLimits {
                arms,
                depths,
                most_rounds: (rounds > 0).then_some(rounds),
                most_local_epochs: (epochs > 0).then_some(epochs),
                fewest_sites: Some(sites),
                fewest_contributions: Some(contributions),
                ..StudyLimits::default()
            },
            require: Requirements { secure_aggregation: aggregation, differential_privacy: privacy },
            ..PolicyFile::default()
        },
    )
}

proptest! {
    #[test]
    fn nothing_outside_a_policy_is_ever_approved_and_nothing_inside_declined(
        file in some_policy(), rounds in 1u16..5, epochs in 1u16..5,
    ) {
        let mut study = study();
        (study.training.rounds, study.training.local_epochs) = (rounds, epochs);
        let limits = file.study.clone();
        let inside = limits.arms.is_none_or(|arms| study.arms.iter().all(|arm| arms.contains(arm)))
            && limits.depths.is_none_or(|depths| depths.contains(&study.network.depth))
            && limits.most_rounds.is_none_or(|most| rounds <= most)
            && limits.most_local_epochs.is_none_or(|most| epochs <= most)
            && limits.fewest_sites.is_none_or(|fewest| 3 >= fewest)
            && limits.fewest_contributions.is_none_or(|fewest| 2 >= fewest)
            && !file.require.secure_aggregation && !file.require.differential_privacy;
        let manual = file.approval == Approval::Manual;
        match file.check().unwrap().judge(&study) {
            Ruling::Approve => prop_assert!(inside && !manual),
            Ruling::Ask => prop_assert!(inside && manual),
            Ruling::Decline(reasons) => prop_assert!(!inside && !reasons.is_empty()),
        }
    }

    #[test]
    fn a_written_policy_reads_the_same(file in some_policy()) {
        let text = toml::to_string(&file).unwrap();
        prop_assert_eq!(toml::from_str::<PolicyFile>(&text).unwrap(), file);
    }
}

#[test]
fn hours_come_from_the_file() {
    let night = policy("[hours]\nfrom = '19:00'\nto = '07:00'\nutc_offset = '+00:00'");
    assert!(
        night
            .hours()
            .is_some_and(|hours| hours.contain(Timestamp(0)) && !hours.contain(Timestamp(43_200_000)))
    );
}

fn baseline_study() -> Study {
    let mut study = study();
    study.evaluation.baseline = ClinicalBaseline::AgeSex;
    study
}

fn fit(study: &Study, step: u16, coefficients: Vec<Coefficients>) -> WorkOrder {
    WorkOrder::new(study.hash(), Task::FitBaseline { step, coefficients })
}

#[test]
fn a_baseline_is_computed_under_what_the_study_and_the_policy_allow_only() {
    let at = |values: &[f64]| vec![Coefficients::new(values.to_vec()).unwrap(); 5];
    let (with, mut without) = (baseline_study(), study());
    without.evaluation.baseline = ClinicalBaseline::None;
    let objection =
        |text: &str, study: &Study, order| policy(text).objection_to_order(study, &order).unwrap_or_default();
    let modest = at(&[0.5, -0.2, 4.9]);
    assert_eq!(objection("", &with, fit(&with, 1, modest.clone())), "");
    let score = WorkOrder::new(with.hash(), Task::ScoreBaseline { coefficients: modest.clone() });
    assert_eq!(objection("", &with, score.clone()), "");
    for (text, study, order, word) in [
        ("", &without, fit(&without, 1, modest.clone()), "no clinical baseline"),
        ("[details]\nbaseline = false", &with, fit(&with, 1, modest.clone()), "keeps sums"),
        ("[details]\nbaseline = false", &with, score, "keeps sums"),
        ("", &with, fit(&with, 0, modest.clone()), "step 0"),
        ("", &with, fit(&with, 41, modest.clone()), "step 41"),
        // A steep slope and its intercept count the patients above an age.
        ("", &with, fit(&with, 1, at(&[-30.0, 50.0, 0.0])), "at most 5"),
        ("", &with, fit(&with, 1, at(&[0.0, 0.0, 0.0, 0.0])), "sets of coefficients"),
        ("", &with, fit(&with, 1, modest[..4].to_vec()), "5 sets"),
    ] {
        let objection = objection(text, study, order);
        assert!(objection.contains(word), "{word}: {objection}");
    }
}

/// Sums of patients whose folds have these numbers of both classes.
fn regressed(folds: &[(u32, u32)]) -> Outcome {
    let of = |fold: usize| {
        let at = Coefficients::zero(ClinicalBaseline::FEATURES).unwrap();
        let mut sums = LogisticSums::new(ClinicalBaseline::FEATURES);
        for (_, &(positives, negatives)) in folds.iter().enumerate().filter(|(other, _)| *other != fold) {
            (0..positives).for_each(|_| sums.record(&at, &[0.1, 1.0], 0.0, true).unwrap());
            (0..negatives).for_each(|_| sums.record(&at, &[0.2, 0.0], 0.0, false).unwrap());
        }
        sums
    };
    Outcome::Regressed((0..folds.len()).map(of).collect())
}

#[test]
fn sums_stay_where_one_fold_is_too_small_though_training_is_not() {
    let strict = policy("[histograms]\nfewest_of_each_class = 5");
    let objection = |folds: &[(u32, u32)]| strict.objection_to_outcome(&regressed(folds));
    assert_eq!(objection(&[(5, 6), (7, 5), (9, 9)]), None);
    // Every lane trains on at least twelve of a class, and the difference of two answers is of four.
    let small = objection(&[(9, 9), (4, 9), (9, 9)]).unwrap();
    assert!(small.contains("fewer than 5") && !small.contains('4'), "{small}");
    assert!(policy("").objection_to_outcome(&regressed(&[(1, 0), (2, 1)])).is_none());
    let kept = policy("[details]\nbaseline = false").objection_to_outcome(&regressed(&[(9, 9), (9, 9)]));
    assert!(kept.unwrap().contains("keeps sums"));
    assert!(strict.objection_to_outcome(&Outcome::Regressed(Vec::new())).is_some(), "of no folds");
}

#[test]
fn scores_of_the_baseline_leave_as_those_of_an_arm_do() {
    let group = GroupScores { validation: histogram(5, 5), holdout: histogram(2, 5) };
    let detail = FusionDetail {
        sums: vec![Some(sums(2, 5))],
        comparisons: Vec::new(),
        folds: Vec::new(),
        fewest_per_score: 1,
    };
    let scored = Outcome::BaselineScored(BaselineOutcome { scores: group, detail, seconds: 1.0 });
    assert_eq!(policy(EACH_ALONE).withhold(scored.clone()), scored);
    let keeps = policy("[details]\nscore_sums = false").withhold(scored.clone());
    assert!(matches!(&keeps, Outcome::BaselineScored(told) if told.detail.sums == [None]));
    let strict = policy("[histograms]\nfewest_of_each_class = 3");
    assert!(strict.objection_to_outcome(&strict.withhold(scored.clone())).is_some());
    assert!(policy("[details]\nbaseline = false").objection_to_outcome(&scored).is_some());
}

#[test]
fn scores_by_fold_leave_for_a_whole_group_or_not_at_all() {
    let scores = |folds: &[(u32, u32)]| folds.iter().map(|&(p, n)| histogram(p, n)).collect::<Vec<_>>();
    let group = GroupScores { validation: histogram(9, 12), holdout: histogram(5, 5) };
    let outcome = FusionOutcome { groups: vec![group.clone(), group], seconds: 1.0 };
    let folds = vec![scores(&[(4, 6), (5, 6)]), scores(&[(8, 6), (1, 6)])];
    let detail = FusionDetail { sums: vec![None, None], comparisons: Vec::new(), folds, fewest_per_score: 1 };
    let told = Outcome::FusedInDetail(outcome.clone(), detail.clone());
    assert_eq!(policy(EACH_ALONE).withhold(told.clone()), told);
    let strict = policy(&format!("{EACH_ALONE}\nfewest_of_each_class = 4")).withhold(told.clone());
    let Outcome::FusedInDetail(_, kept) = &strict else { panic!("the first group's folds are large enough") };
    assert_eq!(kept.folds, [detail.folds[0].clone(), Vec::new()]);
    let keeps = policy(&format!("{EACH_ALONE}\n[details]\nfold_scores = false"));
    assert_eq!(keeps.withhold(told), Outcome::Fused(outcome));
}
