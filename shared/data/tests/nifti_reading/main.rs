//! The NIfTI reader against files of every kind, and turning and resampling against nibabel and scipy.

#[path = "../../../../fuzz/bodies/nifti.rs"]
mod body;
mod broken;
mod corpus;
mod files;
mod golden;
mod mutations;
mod sound;
