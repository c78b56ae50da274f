//! From a hospital's folder to the tensors a network sees.
//!
//! The way of a scan: a [`Layout`] finds the cases of a folder ([`Cohort::open`]), [`Split::deal`] places
//! each patient in the hold-out or a fold, [`load_input`] reads a NIfTI pair and preprocesses it,
//! [`InputCache`] keeps what was preprocessed on the site's disk, [`Augmentation`] changes it at random for training,
//! [`undersample`] balances an epoch's classes. [`phantom`] writes synthetic hospitals in the layout of UPENN-GBM.
//! [`check`] tells a site what of its data is usable. A finished model needs no label: a [`Subject`] is a scan without
//! one, and [`load_pair`] reads it.
//!
//! Deliberately absent: networks and the wire. This crate reads patients' images but has no way to send
//! anything; its error texts name files and are for the site's own eyes.

mod align;
mod augment;
mod balance;
mod cache;
pub mod check;
mod cohort;
mod fingerprint;
mod load;
pub mod phantom;
mod preprocess;
mod split;
mod subject;
mod volume;

pub use augment::{Augmentation, flip};
pub use balance::undersample;
pub use cache::{
    CacheError, CachePrecision, CacheSettings, CacheStats, CachedInput, InputCache, InputHandle,
    MAX_SKETCH_BYTES, Sketcher,
};
pub use cohort::{
    Alias, Case, Clinical, Cohort, CohortError, Demographics, ExcludedScan, Exclusion, Layout, PatientId,
    RowFault, RowProblem, ScanDate, ScanName, Sex, TableError, UnknownLayout,
};
pub use fingerprint::{
    FingerprintKey, IMAGE_SKETCHER, ImageSketch, SketchError, StudyFingerprintKey, TooManyAliases,
};
pub use load::{ImagePair, LoadError, load_input, load_pair};
pub use preprocess::{PreprocessError, preprocess};
pub use split::{DesignError, Placement, Split};
pub use subject::{LeftOut, ScanFault, Subject, SubjectError, Subjects};
pub use volume::{
    Affine, Grid, GridMismatch, HeaderError, Interpolation, InvalidAffine, InvalidGrid, InvalidVolume,
    MAX_READ_BYTES, MAX_VOXELS, NiftiVersion, Orientation, ReadVolumeError, UnknownOrientation,
    UnknownPlacement, Volume, VolumeHeader, VoxelType, WriteVolumeError,
};
