//! A model package: what a finished study leaves to a clinician scientist, as one signed folder.
//!
//! ```text
//! card.json                          what the models are, what they are worth, and a digest of every other file
//! card.md                            the same for people
//! base.safetensors                   the pretrained backbone, where the arm needs one
//! models/<modality>-fold<k>.safetensors   the trained tensors of each lane's chosen round
//! signature.json                     the coordinator's signature over card.json, with its certificate
//! ```
//!
//! [`PackageWriter`] makes one, [`Package::open`] reads one and compares every byte with the card, and
//! [`Package::verify`] asks who answers for the card; [`verify_folder`] does the last two. It knows weights as named
//! tensors and images not at all: deliberately free of any machine-learning framework, network and clock.

mod card;
mod card_check;
mod card_text;
mod digests;
mod figures;
mod folder;
mod package;
mod signature;
mod signer;
mod signing;
mod verified;
mod wording;
mod writer;

#[cfg(test)]
mod pytorch;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tampering;

pub use card::{
    BaseNote, CARD_SCHEMA, Card, CohortCard, FileCard, GroupCard, InputCard, ModelCard, PatientCounts,
    SiteCounts,
};
pub use card_check::CardError;
pub use figures::{Figure, Figures};
pub use package::{Package, PackageError};
pub use signature::SignatureError;
pub use signer::{Signer, Standing, VerifyError};
pub use signing::{SigningError, SigningKit};
pub use verified::{UnverifiedError, Verified, verify_folder};
pub use writer::{ExportedModel, PackageWriter, StudyFacts, WriteError};
