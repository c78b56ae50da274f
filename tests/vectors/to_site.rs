//! What the coordinator says, and how it looks.

use consilium_domain::{
    Arm, BlobRef, ChosenModel, Coefficients, Fold, Lane, MAX_FINGERPRINTS, Modality, OrderId, Round, Task,
    WorkOrder,
};
use consilium_protocol::{Features, ModelDelta, Rejection, Standing, ToSite};

use crate::annotated::bytes;
use crate::good::{SIGNED_HEAD, Vector, digest, signed_head, study};

/// The number of the message on the wire. A new message breaks this, as it should: it needs a vector.
pub(crate) const fn number(message: &ToSite) -> u32 {
    match message {
        ToSite::Welcome { .. } => 0,
        ToSite::Enlisted => 1,
        ToSite::Work(_) => 2,
        ToSite::Accepted { .. } => 3,
        ToSite::Rejected { .. } => 4,
        ToSite::Finished => 5,
        ToSite::Halted { .. } => 6,
        ToSite::Duplicates { .. } => 7,
        ToSite::Withdrawn => 8,
        ToSite::Waiting => 9,
        ToSite::Renewed { .. } => 10,
        ToSite::RenewalRefused { .. } => 11,
        ToSite::AuditHead(_) => 12,
        ToSite::Countersigned(_) => 13,
        ToSite::Delta(_) => 14,
    }
}

const fn lane(arm: Arm, modality: Modality, fold: u8) -> Lane {
    Lane { arm, modality, fold: Fold(fold) }
}

fn work(task: Task) -> ToSite {
    ToSite::Work(WorkOrder { id: OrderId(digest(0xaa)), study: study(0xcc), task })
}

fn welcome(base: Option<BlobRef>, standing: Standing) -> ToSite {
    ToSite::Welcome {
        version: 2,
        features: Features(0x0102),
        site: "st-1".parse().unwrap(),
        // The wire carries the plan as text; whether it is one is checked later.
        study: "{}".into(),
        base,
        standing,
    }
}

/// The welcome of a site without a base, up to its standing, and that.
fn welcome_bytes(standing: &str) -> Vec<u8> {
    let mut welcome = bytes(include_str!("welcome.hex"));
    welcome.truncate(welcome.len() - 4);
    [welcome, bytes(standing)].concat()
}

/// The longest list of duplicates: it must fit a frame.
pub(crate) fn longest_duplicates() -> ToSite {
    let exclude = (0..u32::try_from(MAX_FINGERPRINTS).unwrap()).collect();
    ToSite::Duplicates { of: digest(0xff), exclude }
}

fn fuse() -> ToSite {
    let chosen =
        |modality, fold, round| ChosenModel { lane: lane(Arm::Random, modality, fold), round: Round(round) };
    let models = vec![chosen(Modality::T1gd, 0, 3), chosen(Modality::DscPsr, 1, 258)];
    work(Task::Fuse { arm: Arm::Random, models })
}

fn fit_baseline() -> ToSite {
    let coefficients = vec![Coefficients::zero(2).unwrap(), Coefficients::new(vec![0.5, -1.5, 2.0]).unwrap()];
    work(Task::FitBaseline { step: 258, coefficients })
}

fn score_baseline() -> ToSite {
    work(Task::ScoreBaseline { coefficients: vec![Coefficients::new(vec![0.5, -1.5, 2.0]).unwrap()] })
}

/// Every rejection and what follows its number.
fn rejections() -> [(Rejection, &'static str); 15] {
    let other = Rejection::OtherStudy { theirs: study(0xdd), ours: study(0xcc) };
    [
        (Rejection::Version { ours: 1 }, "00000000 0100"),
        (Rejection::OutOfTurn("a".into()), "01000000 0100000000000000 'a'"),
        (Rejection::NotInvited, "02000000"),
        (other, "03000000 dd*32 cc*32"),
        (Rejection::Cohort("b".into()), "04000000 0100000000000000 'b'"),
        (Rejection::RosterPinned, "05000000"),
        (Rejection::AlreadyEnlisted, "06000000"),
        (Rejection::NotEnlisted, "07000000"),
        (Rejection::UnknownOrder, "08000000"),
        (Rejection::Duplicate, "09000000"),
        (Rejection::Late, "0a000000"),
        (Rejection::Answer("c".into()), "0b000000 0100000000000000 'c'"),
        (Rejection::Update("d".into()), "0c000000 0100000000000000 'd'"),
        (Rejection::Over, "0d000000"),
        (Rejection::Fingerprints("e".into()), "0e000000 0100000000000000 'e'"),
    ]
}

fn delta() -> ToSite {
    let blob = |byte| BlobRef { digest: digest(byte), bytes: 4096 };
    let lane = lane(Arm::Spottune, Modality::T1gd, 0);
    ToSite::Delta(ModelDelta { lane, from: blob(0xbb), to: blob(0xbc), delta: blob(0xbd) })
}

pub(crate) fn vectors() -> Vec<Vector<ToSite>> {
    let model = BlobRef { digest: digest(0xbb), bytes: 4096 };
    let round = Round(2);
    let first = lane(Arm::Spottune, Modality::T1gd, 0);
    let train = work(Task::Train { lane: first, round, model, classes: None, reductions: 3 });
    let validate = work(Task::Validate { lane: lane(Arm::Medicalnet, Modality::Flair, 1), round, model });
    let predict = work(Task::PredictHoldout { lane: lane(Arm::Random, Modality::T1, 19), round, model });
    let order = OrderId(digest(0xaa));
    let fingerprinted = Standing::Fingerprinted { of: digest(0xdd) };
    let duplicates = ToSite::Duplicates { of: digest(0xdd), exclude: vec![0, 258] };
    let mut vectors = vec![
        Vector::new("welcome", welcome(None, Standing::Invited), bytes(include_str!("welcome.hex"))),
        Vector::new("welcome to compare", welcome(None, Standing::Awaited), welcome_bytes("01000000")),
        Vector::new("welcome and wait", welcome(None, fingerprinted), welcome_bytes("02000000 dd*32")),
        Vector::new(
            "welcome back",
            welcome(Some(model), Standing::Enlisted),
            bytes(include_str!("welcome-back.hex")),
        ),
        Vector::new("enlisted", ToSite::Enlisted, bytes("01000000")),
        Vector::new("train", train, bytes(include_str!("train.hex"))),
        Vector::new("validate", validate, bytes(include_str!("validate.hex"))),
        Vector::new("predict hold-out", predict, bytes(include_str!("predict-holdout.hex"))),
        Vector::new("fuse", fuse(), bytes(include_str!("fuse.hex"))),
        Vector::new("fit baseline", fit_baseline(), bytes(include_str!("fit-baseline.hex"))),
        Vector::new("score baseline", score_baseline(), bytes(include_str!("score-baseline.hex"))),
        Vector::new("accepted", ToSite::Accepted { order }, bytes("03000000  aa*32")),
        Vector::new("finished", ToSite::Finished, bytes("05000000")),
        Vector::new(
            "halted",
            ToSite::Halted { reason: "ill".into() },
            bytes("06000000  0300000000000000 'ill'"),
        ),
        Vector::new("withdrawn", ToSite::Withdrawn, bytes("08000000")),
        Vector::new(
            "renewed",
            ToSite::Renewed { chain: "pem".into() },
            bytes("0a000000  0300000000000000 'pem'"),
        ),
        Vector::new(
            "renewal refused",
            ToSite::RenewalRefused { reason: "ill".into() },
            bytes("0b000000  0300000000000000 'ill'"),
        ),
        Vector::new("duplicates", duplicates, bytes("07000000 dd*32 0200000000000000 00000000 02010000")),
        Vector::new(
            "audit head",
            ToSite::AuditHead(signed_head()),
            bytes(&format!("0c000000 {SIGNED_HEAD}")),
        ),
        Vector::new(
            "countersigned",
            ToSite::Countersigned(signed_head()),
            bytes(&format!("0d000000 {SIGNED_HEAD}")),
        ),
    ];
    vectors.push(Vector::new("delta", delta(), bytes(include_str!("delta.hex"))));
    vectors.push(Vector::new("waiting", ToSite::Waiting, bytes("09000000")));
    for (rejection, notes) in rejections() {
        let name = rejection.code();
        let of_order = ToSite::Rejected { order: Some(order), rejection: rejection.clone() };
        vectors.push(Vector::new(name, of_order, bytes(&format!("04000000  01 aa*32  {notes}"))));
        let of_session = ToSite::Rejected { order: None, rejection };
        vectors.push(Vector::new(name, of_session, bytes(&format!("04000000  00  {notes}"))));
    }
    vectors
}
