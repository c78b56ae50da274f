//! What a site says, and how it looks.

use consilium_domain::{
    Arm, BlobRef, ClassCounts, Coefficients, CohortSummary, Digest, Fingerprint, FingerprintToken,
    IMAGE_BANDS, ImageTokens, MAX_ALIASES, Modality, ModalityCounts, OrderId,
};
use consilium_metrics::{LogisticSums, RoutingCounts, ScoreHistogram, ScoreSums, SiteDifference};
use consilium_protocol::{
    ArmComparison, BaselineOutcome, Features, FusionDetail, FusionOutcome, GroupScores, MAX_PART_CASES,
    Outcome, Progress, ScoringDetail, ScoringOutcome, ToCoordinator, TrainingOutcome, VersionRange,
};
use serde_json::json;

use crate::annotated::bytes;
use crate::good::{SIGNED_HEAD, Vector, digest, signed_head, study};

/// The number of the message on the wire. A new message breaks this, as it should: it needs a vector.
pub(crate) const fn number(message: &ToCoordinator) -> u32 {
    match message {
        ToCoordinator::Hello { .. } => 0,
        ToCoordinator::Enlist { .. } => 1,
        ToCoordinator::Ready => 2,
        ToCoordinator::Answer { .. } => 3,
        ToCoordinator::Failed { .. } => 4,
        ToCoordinator::Fingerprints { .. } => 5,
        ToCoordinator::Withdraw { .. } => 6,
        ToCoordinator::Renew { .. } => 7,
        ToCoordinator::AuditHead(_) => 8,
        ToCoordinator::Countersigned(_) => 9,
        ToCoordinator::Progress { .. } => 10,
    }
}

fn histogram(positives: &[u32], negatives: &[u32]) -> ScoreHistogram {
    ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap()
}

fn answer(outcome: Outcome) -> ToCoordinator {
    ToCoordinator::Answer { order: OrderId(digest(0xaa)), outcome }
}

fn enlist() -> ToCoordinator {
    let counts = |methylated, unmethylated| ClassCounts { methylated, unmethylated };
    let t1gd = ModalityCounts { folds: vec![counts(3, 4), counts(2, 5)], holdout: counts(1, 6) };
    let cohort = CohortSummary {
        modalities: [(Modality::T1gd, t1gd), (Modality::Flair, ModalityCounts::default())].into(),
        excluded: [("no tumour mask".to_owned(), 258)].into(),
    };
    ToCoordinator::Enlist { study: study(0xcc), cohort }
}

fn trained(tuned_share: Option<f64>) -> ToCoordinator {
    let ascending = std::array::from_fn(|index| index as u8);
    answer(Outcome::Trained(TrainingOutcome {
        update: BlobRef { digest: Digest::from_bytes(ascending), bytes: 0x0102_0304_0506 },
        cases: 42,
        mean_loss: 0.5,
        tuned_share,
        norm: 1.5,
        saturated: 7,
        seconds: 2.0,
    }))
}

fn fusion() -> FusionOutcome {
    let group = GroupScores { validation: histogram(&[1, 0], &[0, 2]), holdout: histogram(&[0, 3], &[4, 0]) };
    FusionOutcome { groups: vec![group], seconds: 0.25 }
}

fn scored_in_detail() -> ToCoordinator {
    let scores = histogram(&[1, 0], &[0, 0]);
    let (mut sums, mut routing) = (ScoreSums::new(), RoutingCounts::new(2, 4).unwrap());
    sums.record(0.5, true).unwrap();
    routing.record(&[1.0, 0.25], true).unwrap();
    let detail = ScoringDetail { sums: Some(sums), routing: Some(routing), fewest_per_score: 1 };
    answer(Outcome::ScoredInDetail(ScoringOutcome { scores, loss_sum: 1.5, seconds: 0.5 }, detail))
}

fn fused_in_detail() -> ToCoordinator {
    let classes = json!({ "positives": 3, "negatives": 4 });
    let told = json!({ "difference": 0.25, "variance": 0.5, "classes": classes });
    let difference: SiteDifference = serde_json::from_value(told).unwrap();
    let comparison = ArmComparison { with: Arm::Random, groups: vec![Some(difference), None] };
    let detail = FusionDetail {
        sums: vec![None],
        comparisons: vec![comparison],
        folds: Vec::new(),
        fewest_per_score: 3,
    };
    answer(Outcome::FusedInDetail(fusion(), detail))
}

fn regressed() -> ToCoordinator {
    let at = Coefficients::zero(2).unwrap();
    let mut sums = LogisticSums::new(2);
    sums.record(&at, &[2.0, 1.0], 0.0, true).unwrap();
    answer(Outcome::Regressed(vec![LogisticSums::new(2), sums]))
}

fn baseline_scored() -> ToCoordinator {
    let scores = fusion().groups.pop().unwrap();
    let detail =
        FusionDetail { sums: vec![None], comparisons: Vec::new(), folds: Vec::new(), fewest_per_score: 3 };
    answer(Outcome::BaselineScored(BaselineOutcome { scores, detail, seconds: 0.25 }))
}

fn fingerprints() -> ToCoordinator {
    let named = Fingerprint {
        aliases: vec![FingerprintToken([1, 2, 3, 4, 5, 6, 7, 8]), FingerprintToken([9; 8])],
        ..Fingerprint::default()
    };
    let mut bands = [FingerprintToken([0x11; 8]); IMAGE_BANDS];
    bands[IMAGE_BANDS - 1] = FingerprintToken([0x22; 8]);
    let images = [(Modality::Flair, ImageTokens(bands))].into();
    let pictured = Fingerprint { aliases: Vec::new(), images };
    ToCoordinator::Fingerprints { study: study(0xcc), part: 258, last: true, cases: vec![named, pictured] }
}

/// The longest part there is: it must fit a frame.
pub(crate) fn longest_part() -> ToCoordinator {
    let token = FingerprintToken([0xff; 8]);
    let images = Modality::ALL.map(|modality| (modality, ImageTokens([token; IMAGE_BANDS]))).into();
    let case = Fingerprint { aliases: vec![token; MAX_ALIASES], images };
    ToCoordinator::Fingerprints {
        study: study(0xcc),
        part: u32::MAX,
        last: false,
        cases: vec![case; MAX_PART_CASES],
    }
}

pub(crate) fn vectors() -> Vec<Vector<ToCoordinator>> {
    let hello = ToCoordinator::Hello {
        versions: VersionRange { oldest: 1, newest: 258 },
        features: Features(0x0102),
        software: "c 1".into(),
    };
    let scores = histogram(&[0, 1, 2], &[3, 0, 0x0001_0203]);
    let scored = answer(Outcome::Scored(ScoringOutcome { scores, loss_sum: 1.5, seconds: 0.5 }));
    let failed = ToCoordinator::Failed { order: OrderId(digest(0xaa)), reason: "ill".into() };
    let progress = Progress { steps: 3, of: 266, mebibytes: 512 };
    let progress = ToCoordinator::Progress { order: OrderId(digest(0xaa)), progress };
    let withdraw = ToCoordinator::Withdraw { study: study(0xcc), reason: "no".into() };
    vec![
        Vector::new("hello", hello, bytes("00000000  0100 0201  0201 00*6  0300000000000000 'c 1'")),
        Vector::new("enlist", enlist(), bytes(include_str!("enlist.hex"))),
        Vector::new("ready", ToCoordinator::Ready, bytes("02000000")),
        Vector::new("trained", trained(None), bytes(include_str!("trained.hex"))),
        Vector::new("trained with a policy", trained(Some(0.25)), bytes(include_str!("trained-policy.hex"))),
        Vector::new("scored", scored, bytes(include_str!("scored.hex"))),
        Vector::new("fused", answer(Outcome::Fused(fusion())), bytes(include_str!("fused.hex"))),
        Vector::new("scored in detail", scored_in_detail(), bytes(include_str!("scored-detail.hex"))),
        Vector::new("fused in detail", fused_in_detail(), bytes(include_str!("fused-detail.hex"))),
        Vector::new("regressed", regressed(), bytes(include_str!("regressed.hex"))),
        Vector::new("baseline scored", baseline_scored(), bytes(include_str!("baseline-scored.hex"))),
        Vector::new("failed", failed, bytes("04000000  aa*32  0300000000000000 'ill'")),
        Vector::new(
            "renew",
            ToCoordinator::Renew { request: vec![1, 2, 3] },
            bytes("07000000  0300000000000000 010203"),
        ),
        Vector::new("fingerprints", fingerprints(), bytes(include_str!("fingerprints.hex"))),
        Vector::new("withdraw", withdraw, bytes("06000000  cc*32  0200000000000000 'no'")),
        Vector::new(
            "audit head",
            ToCoordinator::AuditHead(signed_head()),
            bytes(&format!("08000000 {SIGNED_HEAD}")),
        ),
        Vector::new(
            "countersigned",
            ToCoordinator::Countersigned(signed_head()),
            bytes(&format!("09000000 {SIGNED_HEAD}")),
        ),
        Vector::new("progress", progress, bytes("0a000000  aa*32  03000000 0a010000 00020000")),
    ]
}
