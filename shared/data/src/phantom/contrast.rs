//! How bright each tissue is in each kind of image, relative to a brain that averages about 1.
//!
//! Invented but ordered as in practice: enhancement is bright in T1GD and rCBV, oedema in FLAIR, fluid in T2.

use consilium_domain::Modality;

/// Brightness of the tissues, and how strongly the image shows the cues of the tumour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contrast {
    pub(super) fluid: f32,
    pub(super) grey: f32,
    pub(super) white: f32,
    pub(super) core: f32,
    pub(super) oedema: f32,
    pub(super) rim: f32,
    /// Change of the rim's brightness for one unit of the rim cue.
    pub(super) rim_step: f32,
    /// How much the rim cue sharpens the oedema's border.
    pub(super) edge_gain: f32,
    /// Amplitude of the core's grain.
    pub(super) grain: f32,
}

impl Contrast {
    pub(super) const fn of(modality: Modality) -> Self {
        let [fluid, grey, white, core, oedema, rim, rim_step, edge_gain, grain] = match modality {
            Modality::T1 => [0.35, 0.70, 1.00, 0.50, 0.75, 0.85, 0.07, 0.3, 0.10],
            Modality::T1gd => [0.35, 0.72, 1.00, 0.50, 0.75, 1.50, 0.10, 0.3, 0.12],
            Modality::T2 => [1.60, 0.95, 0.75, 1.30, 1.25, 1.00, 0.08, 0.8, 0.12],
            Modality::Flair => [0.30, 0.90, 0.75, 0.85, 1.40, 1.15, 0.09, 1.0, 0.14],
            Modality::DtiAd => [1.60, 0.90, 1.10, 1.40, 1.25, 1.15, 0.06, 0.5, 0.10],
            Modality::DtiFa => [0.10, 0.40, 1.20, 0.25, 0.45, 0.60, 0.06, 0.5, 0.07],
            Modality::DtiRd => [1.60, 0.75, 0.50, 1.30, 1.00, 0.90, 0.06, 0.5, 0.10],
            Modality::DtiTr => [1.60, 0.85, 0.70, 1.35, 1.10, 1.00, 0.06, 0.5, 0.10],
            Modality::DscApRcbv => [0.20, 0.95, 0.60, 0.45, 0.50, 1.60, 0.11, 0.2, 0.10],
            Modality::DscPh => [0.30, 0.95, 0.65, 0.45, 0.55, 1.50, 0.10, 0.2, 0.10],
            Modality::DscPsr => [1.00, 0.95, 0.85, 0.70, 0.85, 0.50, -0.05, 0.2, 0.10],
        };
        Self { fluid, grey, white, core, oedema, rim, rim_step, edge_gain, grain }
    }
}
