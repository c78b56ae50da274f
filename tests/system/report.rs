//! What a simulation leaves: report.json with everything the study learned, and a table for its user.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::OnceLock;

use consilium_coordinator::report::{ArmReport, RoundReport, Scores};
use consilium_domain::{Arm, ClassCounts, CohortSummary, Digest, Modality, Round, SiteId};
use consilium_metrics::Scorecard;
use consilium_simulator::{PretrainedWeights, SimulationReport};

use crate::folder;
use crate::process::Process;
use crate::stand_in::backbone;

const OPTIONS: &str = "--arms spottune,medicalnet,random --modalities t1gd,flair --sites 2 --cases 16 --folds 2 \
                       --rounds 2 --local-epochs 1 --seed 5";

/// What one simulation left.
struct Left {
    text: String,
    page: String,
    report: SimulationReport,
    stdout: String,
    backbone: Digest,
    /// Digests of the coordinator's blobs, of their names and of their bytes.
    blobs: BTreeMap<String, Digest>,
}

fn left() -> &'static Left {
    static LEFT: OnceLock<Left> = OnceLock::new();
    LEFT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (out, backbone) = (folder.path().join("run"), backbone(folder.path()));
        let mut options: Vec<&str> = OPTIONS.split_whitespace().collect();
        options.extend(["--weights", backbone.to_str().unwrap()]);
        let stdout = Process::simulate(&out, &options).end().successfully().stdout;
        let text = fs::read_to_string(out.join("report.json")).unwrap();
        let blobs = out.join("coordinator/blobs");
        let named =
            |path: &std::path::Path| path.strip_prefix(&blobs).unwrap().to_str().unwrap().replace('/', "");
        Left {
            report: serde_json::from_str(&text).unwrap(),
            page: fs::read_to_string(out.join("report.html")).unwrap(),
            text,
            stdout,
            backbone: Digest::of(&fs::read(&backbone).unwrap()),
            blobs: folder::files(&blobs)
                .iter()
                .map(|(path, bytes)| (named(path), Digest::of(bytes)))
                .collect(),
        }
    })
}

/// Every round of every lane of an arm.
fn rounds(arm: &ArmReport) -> impl Iterator<Item = &RoundReport> {
    arm.lanes.iter().flat_map(|lane| &lane.rounds)
}

/// The declared counts of every site, summed over `folds` of them.
fn declared(counts: impl Fn(&CohortSummary) -> ClassCounts) -> BTreeMap<SiteId, ClassCounts> {
    let sites = left().report.federated.sites.iter();
    sites.map(|site| (site.site.clone(), counts(site.cohort.as_ref().unwrap()))).collect()
}

/// A figure that needs both classes is there when they are, and lies in an interval that is not a point.
fn check_figures(card: &Scorecard, counts: ClassCounts) {
    assert_eq!((card.positives, card.negatives), (counts.methylated, counts.unmethylated));
    assert!(card.positives > 0 && card.negatives > 0, "the study is too small for this test");
    let auc = card.auc.unwrap();
    let rates = [card.sensitivity.unwrap(), card.specificity.unwrap()];
    let estimates = rates.map(|rate| (rate.value, rate.interval));
    for (value, interval) in [(auc.value, auc.interval)].into_iter().chain(estimates) {
        assert!(interval.contains(value) && interval.lower < interval.upper, "{card:?}");
        assert!(interval.lower >= 0.0 && interval.upper <= 1.0, "{card:?}");
    }
    assert!((0.0..=0.5).contains(&auc.quantisation_bound));
    let precision = card.average_precision.unwrap();
    assert!(precision.lower <= precision.value && precision.value <= precision.upper);
}

/// Pooled and by site, everybody counted once.
fn check_scores(scores: &Scores, counts: &BTreeMap<SiteId, ClassCounts>) {
    assert!(scores.missing.is_empty());
    assert!(scores.sites.keys().eq(counts.keys()));
    check_figures(&scores.pooled, counts.values().copied().sum());
    for (site, card) in &scores.sites {
        check_figures(card, counts[site]);
        assert_eq!(card.threshold, scores.pooled.threshold, "one threshold for all sites");
    }
}

#[test]
fn the_file_and_its_parsed_form_are_the_same() {
    let Left { text, report, .. } = left();
    assert_eq!(serde_json::to_string_pretty(report).unwrap(), *text);
    assert_eq!(report.federated.outcome.status, "finished");
    // In so short a training a policy may well choose nothing.
    let others = report.federated.warnings.iter().filter(|warning| !warning.contains("has collapsed"));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
    assert_eq!(report.simulation.weights, PretrainedWeights::File);
}

/// Phantoms' ages and sexes are drawn without regard to the label: there is a baseline, and it need not be any good.
#[test]
fn the_arms_are_measured_against_age_and_sex_on_the_same_patients() {
    let report = &left().report.federated;
    let clinical = report.baselines.clinical.as_ref().unwrap();
    assert!(clinical.absent.is_none() && clinical.missing.is_empty(), "{clinical:?}");
    let modality = report.study.modalities[0];
    for fit in &clinical.folds {
        let trained = declared(|cohort| cohort.counts(modality).training(fit.fold)).into_values().sum();
        assert_eq!((fit.cases, fit.positives), (ClassCounts::total(trained), trained.methylated));
    }
    assert_eq!(clinical.folds.len(), 2);
    check_scores(clinical.holdout.as_ref().unwrap(), &declared(|cohort| cohort.counts(modality).holdout));
    let groups: usize = report.arms.iter().map(|arm| arm.groups.len()).sum();
    assert_eq!(clinical.comparisons.len(), groups);
    for comparison in &clinical.comparisons {
        assert_eq!((comparison.sites.len(), comparison.without.len()), (2, 0), "{comparison:?}");
        let arm = report.group(comparison.arm, &comparison.group).unwrap();
        for (site, found) in &comparison.sites {
            let area = |scores: &Scores| scores.sites[site].auc.unwrap();
            let (ours, theirs) = (area(&arm.holdout), area(clinical.holdout.as_ref().unwrap()));
            let bound = ours.quantisation_bound + theirs.quantisation_bound;
            assert!((found.difference - (ours.value - theirs.value)).abs() <= bound + 1e-9, "{found:?}");
        }
    }
    let majority = &report.baselines.majority;
    assert!(majority.len() == 2 && majority.iter().all(|of| of.holdout.unwrap().brier < 0.3));
}

#[test]
fn every_round_tells_how_its_updates_lay_to_their_mean() {
    let report = &left().report.federated;
    for round in report.arms.iter().flat_map(rounds) {
        let movement = round.movement.unwrap();
        assert!(movement.norm > 0.0 && movement.drift > 0.0, "{movement:?}");
        // The mean of the cosines, weighted by cases and norms, is the norm of the mean.
        let projected: f64 =
            round.contributors.iter().map(|told| told.weight * told.norm * told.cosine.unwrap()).sum();
        assert!((projected - movement.norm).abs() < 1e-3 * movement.norm, "{projected} {movement:?}");
    }
    assert!(report.sites.iter().all(|site| site.software.len() == 1), "{:?}", report.sites[0].software);
}

#[test]
fn every_fold_has_figures_with_intervals_pooled_and_by_site() {
    let arms = &left().report.federated.arms;
    assert_eq!(arms.iter().map(|arm| arm.arm).collect::<Vec<_>>(), Arm::ALL);
    for arm in arms {
        assert_eq!(arm.lanes.len(), 4, "two modalities, two folds");
        for lane in &arm.lanes {
            let fold = declared(|cohort| cohort.counts(lane.modality).validation(lane.fold));
            check_scores(lane.validation.as_ref().unwrap(), &fold);
            check_scores(
                lane.holdout.as_ref().unwrap(),
                &declared(|cohort| cohort.counts(lane.modality).holdout),
            );
            for round in &lane.rounds {
                check_scores(round.validation.as_ref().unwrap(), &fold);
            }
        }
    }
}

#[test]
fn late_fusion_has_figures_with_intervals_pooled_and_by_site() {
    let folds = declared(|cohort| cohort.counts(Modality::Flair).folds.into_iter().sum());
    let holdout = declared(|cohort| cohort.counts(Modality::Flair).holdout);
    for arm in &left().report.federated.arms {
        let names: Vec<&str> = arm.groups.iter().map(|group| group.group.name.as_str()).collect();
        assert_eq!(names, ["t1gd", "flair", "struct"]);
        for group in &arm.groups {
            check_scores(&group.validation, &folds);
            check_scores(&group.holdout, &holdout);
            assert_eq!(group.holdout.pooled.threshold, group.threshold, "fixed on the validation");
        }
    }
}

/// Real sites tell what histograms do not say, and every figure that needs it is there.
#[test]
fn arms_are_compared_on_the_same_patients_and_policies_are_shown() {
    let report = &left().report.federated;
    assert_eq!(report.comparisons.len(), 3 * 3, "three pairs of arms, three modality groups");
    for comparison in &report.comparisons {
        assert_eq!((comparison.sites.len(), &comparison.without[..]), (2, &[][..]), "{comparison:?}");
        let areas =
            [comparison.first, comparison.second].map(|arm| report.group(arm, &comparison.group).unwrap());
        for (site, told) in &comparison.sites {
            let [first, second] = areas.map(|group| group.holdout.sites[site].auc.unwrap());
            let bins = first.quantisation_bound + second.quantisation_bound;
            assert!(
                (told.difference - (first.value - second.value)).abs() <= bins + 1e-9,
                "{site}: {told:?}"
            );
        }
    }
    for arm in &report.arms {
        for group in &arm.groups {
            let exact = group.statistics.exact.as_ref().unwrap();
            let bracket = group.statistics.pooled.brier.unwrap().score;
            assert!(exact.sites.len() == 2 && bracket.lower <= exact.brier && exact.brier <= bracket.upper);
        }
        for round in rounds(arm) {
            assert_eq!(round.routing.is_some(), arm.arm == Arm::Spottune);
        }
    }
}

#[test]
fn the_page_lies_beside_the_report() {
    assert!(left().page.starts_with("<!DOCTYPE html>") && left().page.contains("Routing of spottune"));
    assert!(!left().page.contains("<script") && !left().page.contains("http:"));
}

#[test]
fn every_round_names_its_contributors() {
    for arm in &left().report.federated.arms {
        for lane in &arm.lanes {
            let trained = declared(|cohort| cohort.counts(lane.modality).training(lane.fold));
            assert_eq!(lane.rounds.iter().map(|round| round.round).collect::<Vec<_>>(), [Round(1), Round(2)]);
            for round in &lane.rounds {
                assert!(round.missing.is_empty());
                let cases: BTreeMap<SiteId, u32> =
                    round.contributors.iter().map(|who| (who.site.clone(), who.cases)).collect();
                assert_eq!(
                    cases,
                    trained.iter().map(|(site, counts)| (site.clone(), counts.total())).collect()
                );
                for contributor in &round.contributors {
                    assert!(contributor.norm > 0.0 && contributor.mean_loss > 0.0);
                    let routes = contributor.tuned_share.is_some_and(|share| (0.0..=1.0).contains(&share));
                    assert_eq!(routes, arm.arm == Arm::Spottune);
                }
            }
        }
    }
}

#[test]
fn every_model_has_a_digest_and_no_two_are_the_same() {
    let Left { report, backbone, blobs, .. } = left();
    assert_eq!(report.federated.base_model, Some(*backbone));
    let mut models = BTreeSet::new();
    for arm in &report.federated.arms {
        models.insert(arm.initial_model.unwrap());
        models.extend(rounds(arm).map(|round| round.model.unwrap()));
        for lane in &arm.lanes {
            let chosen = lane.rounds.iter().find(|round| Some(round.round) == lane.chosen_round).unwrap();
            assert_eq!(lane.chosen_model, chosen.model);
        }
    }
    assert_eq!(models.len(), 3 + 3 * 4 * 2, "an initial model an arm, and one a round of each lane");
    for model in models {
        assert_eq!(blobs.get(&model.to_string()), Some(&model), "the coordinator holds those very bytes");
    }
}

#[test]
fn every_site_has_bytes_and_every_phase_has_seconds() {
    let report = &left().report.federated;
    let model = 100_000;
    for site in &report.sites {
        // 24 models went out and 24 updates came in, beside everything else; updates are packed.
        let contributions = report.arms.iter().flat_map(rounds).flat_map(|round| &round.contributors);
        let updates: Vec<u64> =
            contributions.filter(|told| told.site == site.site).map(|told| told.update_bytes).collect();
        assert_eq!(updates.len(), 24);
        assert!(updates.iter().all(|&bytes| bytes > model / 20 && bytes < 2 * model), "{updates:?}");
        assert!(site.bytes_sent > 24 * model && site.bytes_received > updates.iter().sum(), "{site:?}");
        let busy = &site.busy_seconds;
        assert!(
            [busy.train, busy.validate, busy.predict_holdout, busy.fuse].iter().all(|&seconds| seconds > 0.0)
        );
    }
    let seconds = &report.seconds;
    let phases =
        [seconds.enrolment, seconds.cross_validation, seconds.holdout, seconds.fusion].map(Option::unwrap);
    assert!(phases.iter().all(|&phase| phase >= 0.0) && seconds.cross_validation > Some(0.0));
    assert!(phases.iter().sum::<f64>() <= seconds.total + 1e-6);
    assert!(seconds.total <= left().report.simulation.seconds);
}

#[test]
fn the_closing_table_is_printed_in_plain_lines() {
    let Left { report, stdout, .. } = left();
    assert!(stdout.contains(&report.to_string()), "{stdout}");
    for line in ["federated training: 0/63 ", "federated training: finished (", "report: "] {
        assert!(
            stdout.lines().any(|printed| printed.starts_with(line)),
            "`{line}` is missing from\n{stdout}"
        );
    }
    // A file is no terminal: no colours, and no line is drawn over another.
    assert!(!stdout.contains(['\x1b', '\r']), "{stdout:?}");
}
