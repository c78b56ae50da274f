//! The nouns of a federated study: what a site, a lane, a work order or a tensor *is*.
//!
//! Everything above this crate speaks these words (they are defined in `docs/glossary.md`). It is deliberately
//! free of input and output, clocks, threads and machine-learning frameworks, so that the coordinator can reason
//! about a network without linking one.

mod blob;
mod bounded;
mod coefficients;
mod cohort;
mod digest;
mod fingerprint;
mod label;
mod lane;
mod modality;
pub mod network;
mod order;
mod role;
mod seed;
mod site;
mod study;

pub use blob::BlobRef;
pub use bounded::Bounded;
pub use coefficients::{Coefficients, CoefficientsError};
pub use cohort::{CohortSummary, ModalityCounts};
pub use digest::{Digest, DigestParseError};
pub use fingerprint::{
    Fingerprint, FingerprintToken, IMAGE_BANDS, ImageTokens, MATCHING_BANDS, MAX_ALIASES, MAX_FINGERPRINTS,
};
pub use label::{ClassCounts, Label};
pub use lane::{Arm, Fold, Lane, Round, UnknownArm};
pub use modality::{Modality, ModalityGroup, UnknownModality};
pub use order::{ChosenModel, OrderId, Task, WorkOrder};
pub use role::{Role, UnknownRole};
pub use seed::{RandomStream, Seed};
pub use site::{SiteId, SiteIdError};
pub use study::{
    AugmentationSpec, ClassBalance, ClinicalBaseline, Design, Duplicates, Elastic, Evaluation, Federation,
    FixedPoint, Flip, NormMode, Plateau, Precision, Preprocessing, Schedule, Selection, Study, StudyError,
    StudyHash, Training, UnknownClassBalance, UnknownDesign, UnknownPrecision, UnknownWire, Wire,
};
