//! Synthetic hospitals: heads with a tumour, labelled with a signal of known strength.
//!
//! What is real about them: the layout and files of UPENN-GBM, the tumour's compartments (core, enhancing
//! rim, oedema), eleven contrasts, sites whose scanners and prevalence differ. What is deliberately not:
//! biology. The link from methylation to the image is invented (see `tumour`), so a result on phantoms says
//! whether learning and federating work, and nothing about patients.
//!
//! Everything follows from one seed. A site does not depend on how many others there are, nor a case on how
//! many follow it.

mod contrast;
mod folder;
mod grain;
mod head;
mod ideal;
mod patient;
mod pretext;
mod range;
mod render;
mod scanner;
mod tumour;

pub use folder::{PhantomError, PhantomReport, PhantomSite};
pub use ideal::{ideal_auc, observed_auc};
pub use patient::PhantomPatient;
pub use pretext::{PRETEXT_TARGETS, PretextExample, pretext_examples};
pub use render::Scene;

use consilium_domain::{Modality, Seed};

/// The voxels of phantom images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// 48x64x64 voxels of 3 mm: a case is made in milliseconds.
    Small,
    /// 155x240x240 voxels of 1 mm, as UPENN-GBM; the head fills the window of the profile `schmitz2024`.
    Full,
}

impl Grid {
    /// Voxels along z, y and x.
    pub const fn shape(self) -> [usize; 3] {
        match self {
            Self::Small => [48, 64, 64],
            Self::Full => [155, 240, 240],
        }
    }

    /// Edge of a voxel in millimetres.
    pub const fn spacing_mm(self) -> f32 {
        match self {
            Self::Small => 3.0,
            Self::Full => 1.0,
        }
    }

    /// The middle of the head in millimetres from the grid's corner, (z, y, x).
    const fn head_centre_mm(self) -> [f32; 3] {
        match self {
            Self::Small => [72.0, 96.0, 96.0],
            // The middle of the window 0..140, 39..211, 44..208.
            Self::Full => [70.0, 125.0, 126.0],
        }
    }
}

/// A consortium of synthetic hospitals.
#[derive(Debug, Clone)]
pub struct PhantomCohort {
    /// Hospitals, 1 to 999.
    pub sites: usize,
    /// Patients of each, 1 to 9999.
    pub cases_per_site: usize,
    /// Distance between the classes' latent scores in standard deviations (the d' of signal detection), 0 to
    /// 10. [`ideal_auc`] says what it allows: 2.33 is an AUC of 0.95.
    pub signal: f64,
    /// Everything follows from it.
    pub seed: Seed,
    /// The voxels.
    pub grid: Grid,
    /// The images of each patient; at least one.
    pub modalities: Vec<Modality>,
}
