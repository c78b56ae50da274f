//! Whole studies with a baseline: it is that of the pooled rows, and nothing that happens to it halts the study.

use consilium_domain::*;
use consilium_metrics::{LogisticFit, LogisticSums, NewtonFit, Progress, ScoreHistogram};
use proptest::prelude::*;

use crate::coordinator::{Coordinator, Effect, Event, FirstModels, Opening, Phase};
use crate::{
    BaselineOutcome, FusionDetail, FusionOutcome, GroupScores, Outcome, ScoringOutcome, Timestamp,
    TrainingOutcome, sample,
};

const SITES: [&str; 3] = ["a", "b", "c"];
const MODEL: &[u8] = b"model";

/// A patient of a fold; both folds hold half of them.
#[derive(Debug, Clone, Copy)]
struct Row {
    features: [f64; 2],
    positive: bool,
    fold: u8,
}

struct World {
    state: Coordinator,
    now: Timestamp,
    rows: Vec<Vec<Row>>,
}

fn site(index: usize) -> SiteId {
    SITES[index].parse().unwrap()
}

fn count<'a>(rows: impl Iterator<Item = &'a Row>) -> ClassCounts {
    rows.map(|row| match row.positive {
        true => ClassCounts { methylated: 1, unmethylated: 0 },
        false => ClassCounts { methylated: 0, unmethylated: 1 },
    })
    .sum()
}

fn scores(counts: ClassCounts) -> ScoreHistogram {
    let bins = |count| [vec![count], vec![0; 7]].concat();
    ScoreHistogram::from_counts(bins(counts.methylated), bins(counts.unmethylated)).unwrap()
}

/// The sums of `rows` that a lane of `fold` trains on.
fn sums(rows: &[Row], fold: u8, at: &Coefficients) -> LogisticSums {
    let mut sums = LogisticSums::new(ClinicalBaseline::FEATURES);
    for row in rows.iter().filter(|row| row.fold != fold) {
        sums.record(at, &row.features, 0.0, row.positive).unwrap();
    }
    sums
}

impl World {
    /// Three sites with these patients, two of which suffice.
    fn open(rows: Vec<Vec<Row>>) -> Self {
        let mut study = sample::study();
        study.federation.sites = (0..SITES.len()).map(site).collect();
        study.federation.quorum = 2;
        study.federation.enrolment_secs = 1_000_000;
        study.federation.deadline_secs = 100;
        study.evaluation.baseline = ClinicalBaseline::AgeSex;
        let models = FirstModels {
            base: None,
            initial: [(Arm::Random, BlobRef::of(MODEL))].into(),
            update_bytes: [(Arm::Random, 100)].into(),
        };
        let now = Timestamp(1_000);
        let mut world = Self { state: Coordinator::open(now, Opening { study, models }), now, rows };
        for index in 0..SITES.len() {
            let folds = (0..2).map(|fold| count(world.rows[index].iter().filter(|row| row.fold == fold)));
            let counts = ModalityCounts { folds: folds.collect(), holdout: ClassCounts::default() };
            let cohort =
                CohortSummary { modalities: [(Modality::Flair, counts)].into(), ..Default::default() };
            world.happen(Event::SiteConnected { site: site(index), software: String::new() });
            world.happen(Event::SiteEnlisted { site: site(index), cohort });
        }
        world
    }

    fn happen(&mut self, event: Event) {
        self.now = self.now.plus_secs(1);
        for effect in self.state.handle(self.now, event).unwrap() {
            if let Effect::Aggregate { lane, round, .. } = effect {
                self.happen(Event::RoundAggregated {
                    lane,
                    round,
                    model: BlobRef::of(MODEL),
                    movement: None,
                    delta: None,
                });
            }
        }
    }

    fn answer(&self, index: usize, task: &Task) -> Outcome {
        let rows = &self.rows[index];
        match task {
            Task::Train { lane, .. } => Outcome::Trained(TrainingOutcome {
                update: BlobRef { digest: Digest::of(SITES[index].as_bytes()), bytes: 100 },
                cases: count(rows.iter().filter(|row| row.fold != lane.fold.0)).total(),
                mean_loss: 0.5,
                tuned_share: None,
                norm: 1.0,
                saturated: 0,
                seconds: 1.0,
            }),
            Task::Validate { lane, .. } => {
                let scores = scores(count(rows.iter().filter(|row| row.fold == lane.fold.0)));
                Outcome::Scored(ScoringOutcome { scores, loss_sum: 1.0, seconds: 1.0 })
            }
            Task::PredictHoldout { .. } => panic!("nobody is held out"),
            Task::Fuse { .. } => {
                Outcome::Fused(FusionOutcome { groups: vec![self.group(index)], seconds: 1.0 })
            }
            Task::FitBaseline { coefficients, .. } => Outcome::Regressed(
                coefficients.iter().zip(0..).map(|(at, fold)| sums(rows, fold, at)).collect(),
            ),
            Task::ScoreBaseline { .. } => Outcome::BaselineScored(BaselineOutcome {
                scores: self.group(index),
                detail: FusionDetail {
                    sums: vec![None],
                    comparisons: Vec::new(),
                    folds: Vec::new(),
                    fewest_per_score: 1,
                },
                seconds: 1.0,
            }),
        }
    }

    fn group(&self, index: usize) -> GroupScores {
        let nobody = ClassCounts::default();
        GroupScores { validation: scores(count(self.rows[index].iter())), holdout: scores(nobody) }
    }

    /// The next order of a site that has one, answered or refused as `reply` says; whether there was any.
    fn step(&mut self, reply: &mut impl FnMut(usize, &Task) -> Result<(), String>) -> bool {
        let waiting = (0..SITES.len()).find_map(|index| Some((index, self.state.next_order(&site(index))?)));
        let Some((index, WorkOrder { id: order, task, .. })) = waiting else { return false };
        let site = site(index);
        self.happen(match reply(index, &task) {
            Ok(()) => Event::OrderAnswered { site, order, outcome: self.answer(index, &task) },
            Err(reason) => Event::OrderFailed { site, order, reason },
        });
        true
    }

    fn finish(&mut self, mut reply: impl FnMut(usize, &Task) -> Result<(), String>) {
        while self.step(&mut reply) {}
        assert!(matches!(self.state.phase(), Phase::Finished { .. }), "{:?}", self.state.phase());
    }

    /// The regression over the rows of `sites` in one place, without a coordinator.
    fn pooled(&self, sites: &[usize], fold: u8) -> LogisticFit {
        let mut fit = NewtonFit::new(ClinicalBaseline::FEATURES, ClinicalBaseline::RIDGE).unwrap();
        let rows: Vec<Row> = sites.iter().flat_map(|&site| self.rows[site].clone()).collect();
        loop {
            let sums = sums(&rows, fold, fit.coefficients());
            if let Progress::Done(done) = fit.absorb(&sums).unwrap() {
                return done;
            }
        }
    }

    fn assert_is_pooled(&self, sites: &[usize]) {
        let fits = self.state.baseline().unwrap().fits();
        assert_eq!(fits.len(), 2);
        for (fold, fit) in (0..).zip(fits) {
            let pooled = self.pooled(sites, fold);
            for (ours, theirs) in fit.coefficients.iter().zip(&pooled.coefficients) {
                assert!((ours.value - theirs.value).abs() < 1e-9, "{ours:?} {theirs:?}");
            }
        }
    }
}

fn patients(seed: u64, each: usize) -> Vec<Row> {
    let mut stream = Seed::from_number(seed).stream();
    let row = |place: usize| {
        let features = [stream.normal(), f64::from(u8::from(stream.uniform() < 0.5))];
        let positive = stream.uniform() < 1.0 / (1.0 + (0.4 - 0.9 * features[0] - 0.5 * features[1]).exp());
        Row { features, positive, fold: (place % 2) as u8 }
    };
    (0..each).map(row).collect()
}

fn three_sites() -> World {
    World::open((0..3).map(|seed| patients(seed, 40)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_federated_fit_is_that_of_the_pooled_rows(seed in any::<u64>(), places in prop::collection::vec(0usize..3, 60)) {
        let mut rows = vec![Vec::new(); 3];
        // Everybody has some patients of either fold, so that all lanes train.
        (0..3).for_each(|site| rows[site].extend(patients(seed ^ site as u64, 8)));
        for (row, place) in patients(seed, places.len()).into_iter().zip(places) {
            rows[place].push(row);
        }
        let mut world = World::open(rows);
        world.finish(|_, _| Ok(()));
        world.assert_is_pooled(&[0, 1, 2]);
        let baseline = world.state.baseline().unwrap();
        prop_assert!(baseline.absent.is_none() && baseline.missing.is_empty() && baseline.steps < 12);
        prop_assert_eq!(baseline.scoring.as_ref().unwrap().answers().len(), 3);
    }
}

#[test]
fn a_site_without_age_and_sex_is_missing_and_the_others_are_fitted() {
    let mut world = three_sites();
    world.finish(|index, task| match task {
        Task::FitBaseline { .. } if index == 1 => Err("no age here".into()),
        _ => Ok(()),
    });
    world.assert_is_pooled(&[0, 2]);
    let baseline = world.state.baseline().unwrap();
    assert!(baseline.missing[&site(1)].contains("no age here"), "{:?}", baseline.missing);
    assert_eq!(baseline.scoring.as_ref().unwrap().answers().len(), 2);
}

#[test]
fn a_site_that_goes_in_between_is_left_out_of_every_step() {
    let mut world = three_sites();
    let mut left = false;
    while world.step(&mut |index, task| match task {
        Task::FitBaseline { step: 3, .. } if index == 1 => Err("no memory left".into()),
        _ => Ok(()),
    }) {
        let fitting = world.state.baseline().is_some_and(|baseline| baseline.steps == 5);
        if fitting && !left {
            // Nor does one that withdraws keep the others waiting; two of three must stay, so this is the end of it.
            left = true;
            world.happen(Event::SiteWithdrew { site: site(2), reason: "enough".into() });
        }
    }
    assert!(matches!(world.state.phase(), Phase::Finished { .. }));
    let baseline = world.state.baseline().unwrap();
    assert!(left && baseline.fits().is_empty() && baseline.scoring.is_none());
    assert!(baseline.absent.as_ref().unwrap().contains("2 are needed"), "{:?}", baseline.absent);
    let mut world = three_sites();
    world.finish(|index, task| match task {
        Task::FitBaseline { step: 3, .. } if index == 1 => Err("no memory left".into()),
        _ => Ok(()),
    });
    world.assert_is_pooled(&[0, 2]);
}

#[test]
fn patients_of_one_class_have_no_baseline_and_the_study_ends_all_the_same() {
    let one_class = |seed| patients(seed, 10).into_iter().map(|row| Row { positive: true, ..row }).collect();
    let mut world = World::open((0..3).map(one_class).collect());
    world.finish(|_, _| Ok(()));
    let absent = world.state.baseline().unwrap().absent.clone().unwrap();
    assert!(absent.contains("fold 0") && absent.contains("both classes"), "{absent}");
}

#[test]
fn what_cannot_be_sums_of_the_declared_patients_is_refused() {
    let mut world = three_sites();
    while world.state.baseline().is_none() {
        assert!(world.step(&mut |_, _| Ok(())));
    }
    let WorkOrder { id: order, task, .. } = world.state.next_order(&site(0)).unwrap();
    let Outcome::Regressed(honest) = world.answer(0, &task) else { panic!("{task}") };
    let refused = |sums: Vec<LogisticSums>, word: &str| {
        let outcome = Outcome::Regressed(sums);
        let event = Event::OrderAnswered { site: site(0), order, outcome };
        let rejection = world.state.admit(world.now, &event).unwrap_err().to_string();
        assert!(rejection.contains(word), "{rejection}");
    };
    refused(honest[..1].to_vec(), "2 folds");
    refused(vec![LogisticSums::new(1); 2], "2 slopes");
    let crowd = patients(9, 400);
    let at = Coefficients::zero(2).unwrap();
    refused(vec![sums(&crowd, 0, &at), sums(&crowd, 1, &at)], "more patients");
}
