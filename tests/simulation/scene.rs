//! What a simulated study looks like: few lanes, few rounds, sites of different sizes.

use std::collections::BTreeMap;

use consilium_domain::network::{Depth, NetworkSpec, StemMode, Transfer};
use consilium_domain::{
    Arm, AugmentationSpec, ClassBalance, ClassCounts, ClinicalBaseline, CohortSummary, Design, Duplicates,
    Evaluation, Federation, FixedPoint, Modality, ModalityCounts, NormMode, Plateau, Precision,
    Preprocessing, Schedule, Selection, SiteId, Study, Training, Wire,
};
use consilium_protocol::{Features, Timestamp, VersionRange};

/// When every simulated study is opened.
pub(crate) const START: Timestamp = Timestamp(1_800_000_000_000);
/// How long a site may take for an order.
pub(crate) const DEADLINE_SECS: u32 = 600;
/// How long a round waits for a lost site.
pub(crate) const GRACE_SECS: u32 = 60;
/// How long invited sites may take to enlist.
pub(crate) const ENROLMENT_SECS: u32 = 3_600;
/// Bins of the score histograms.
pub(crate) const BINS: u16 = 8;

/// The only kind of image.
pub(crate) const MODALITY: Modality = Modality::Flair;

/// The shape of a study. Every field is small on purpose: schedules should reach the end of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scene {
    /// Invited sites.
    pub(crate) sites: u8,
    /// How many of them, counted from the last, have no patients that train.
    pub(crate) evaluators: u8,
    /// Fewest contributions.
    pub(crate) quorum: u16,
    /// Rounds of each lane.
    pub(crate) rounds: u16,
    /// `random` alone, or `spottune` with its pretrained backbone too.
    pub(crate) pretrained: bool,
    /// The first site has no patients in the first fold: it neither validates there nor trains elsewhere.
    pub(crate) sparse: bool,
    /// A site whose training crashes its client, always.
    pub(crate) crash_looper: Option<u8>,
    /// Sites share patients, and the study excludes duplicates.
    pub(crate) duplicates: bool,
    /// The learning rates fall with every round whose validation loss is no better.
    pub(crate) plateau: bool,
    /// The first site has the release before this one, the second a later one.
    pub(crate) releases: bool,
    /// A clinical baseline is fitted at the end, unless a site is of a release that knows none.
    pub(crate) baseline: bool,
}

impl Scene {
    /// Three sites, two of which suffice; one arm, two rounds.
    pub(crate) const PLAIN: Self = Self {
        sites: 3,
        evaluators: 0,
        quorum: 2,
        rounds: 2,
        pretrained: false,
        sparse: false,
        crash_looper: None,
        duplicates: false,
        plateau: false,
        releases: false,
        baseline: false,
    };

    /// What the program of the site speaks: the version before ours only, ours, or later ones too with abilities that
    /// nobody here knows.
    pub(crate) fn release(&self, site: u8) -> (VersionRange, Features) {
        match site {
            0 if self.releases => (VersionRange { oldest: 3, newest: 3 }, Features(0)),
            1 if self.releases => (VersionRange { oldest: 4, newest: 9 }, Features(u64::MAX)),
            _ => (VersionRange::OURS, Features::OURS),
        }
    }

    /// The study.
    pub(crate) fn study(&self) -> Study {
        let ids: Vec<SiteId> = (0..self.sites).map(|site| self.site(site)).collect();
        let trainers = ids[..usize::from(self.sites - self.evaluators)].to_vec();
        let study = Study {
            name: "simulated".into(),
            seed: 11,
            arms: if self.pretrained { vec![Arm::Random, Arm::Spottune] } else { vec![Arm::Random] },
            modalities: vec![MODALITY],
            evaluation: Evaluation {
                folds: 2,
                holdout_fraction: 0.3,
                bins: BINS,
                selection: if self.plateau { Selection::PaperM } else { Selection::Auc },
                route_samples: 0,
                design: Design::KFold,
                baseline: match self.baseline && !self.releases {
                    true => ClinicalBaseline::AgeSex,
                    false => ClinicalBaseline::None,
                },
            },
            preprocessing: Preprocessing::TumourCrop { side: 8 },
            network: NetworkSpec { depth: Depth::D10, width: 1 },
            training: self.training(),
            federation: Federation {
                sites: ids,
                training_sites: if self.evaluators == 0 { Vec::new() } else { trainers },
                quorum: self.quorum,
                enrolment_secs: ENROLMENT_SECS,
                deadline_secs: DEADLINE_SECS,
                absence_grace_secs: GRACE_SECS,
                fixed_point: FixedPoint { clip: 4, fraction_bits: 20 },
                duplicates: if self.duplicates { Duplicates::Exclude } else { Duplicates::Ignore },
                wire: Wire::F32,
            },
        };
        study.check().expect("every scene is a sensible study");
        study
    }

    fn training(&self) -> Training {
        Training {
            rounds: self.rounds,
            local_epochs: 1,
            batch_size: 2,
            learning_rate: 0.1,
            policy_learning_rate: 0.1,
            weight_decay: 0.0,
            temperature: 1.0,
            norm: NormMode::Batch,
            precision: Precision::F32,
            class_balance: ClassBalance::None,
            schedule: match self.plateau {
                true => Schedule::Plateau(Plateau { factor: 0.5, patience: 0 }),
                false => Schedule::Constant,
            },
            transfer: Transfer::All,
            stem: StemMode::Frozen,
            augmentation: AugmentationSpec::default(),
        }
    }

    /// The name of a site.
    pub(crate) fn site(&self, index: u8) -> SiteId {
        format!("site-{index}").parse().expect("a DNS label")
    }

    /// The patients of a site, but for `excluded` that other sites hold; `growth` of them came after the study
    /// began. There are always more patients of the second fold than can be excluded.
    pub(crate) fn cohort(&self, index: u8, growth: u32, excluded: u32) -> CohortSummary {
        let n = u32::from(index) + 2;
        let mut folds = vec![
            ClassCounts { methylated: n, unmethylated: n + 1 },
            ClassCounts { methylated: n + 1 + growth - excluded, unmethylated: n },
        ];
        if self.sparse && index == 0 {
            folds[0] = ClassCounts::default();
        }
        let holdout = ClassCounts { methylated: n, unmethylated: 1 };
        let modalities = BTreeMap::from([(MODALITY, ModalityCounts { folds, holdout })]);
        let reasons = [("no label".to_owned(), n), ("duplicate of another site's case".to_owned(), excluded)];
        CohortSummary { modalities, excluded: reasons.into_iter().filter(|(_, count)| *count > 0).collect() }
    }
}
