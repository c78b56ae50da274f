//! What every card says of use and limits, in plain words.

use consilium_domain::Preprocessing;

/// What the models are for.
pub(crate) const INTENDED_USE: &str = "Research on predicting MGMT promoter methylation of gliomas from preoperative \
     magnetic resonance images. Not a medical device; not for diagnosis, and not for deciding about any patient.";

/// What they are not for, and what is not known of them.
pub(crate) const LIMITS: [&str; 6] = [
    "Research, not diagnosis: no regulator has assessed these models, and no clinical benefit was shown.",
    "Contested science: published areas under the curve for this question are mostly .55 to .67 on patients from \
     elsewhere, and several large studies found no better than chance. Read the intervals, not the values.",
    "Population: patients whom the sites of the study chose to enter and whose methylation was known. Age, sex, \
     ancestry, scanner and treatment were not recorded, so nothing is known of subgroups.",
    "Input: scans that were brain-extracted, registered and tumour-segmented as at the sites, then prepared exactly as \
     this card says. Anything else gives numbers that mean nothing.",
    "Probabilities were not calibrated for any other population; the threshold was fixed on this study's validation \
     patients.",
    "Hold-out patients come from the same sites as the training patients: figures at another hospital may be lower.",
];

/// The transform in words.
pub(crate) fn describe(preprocessing: Preprocessing) -> String {
    let [depth, height, width] = preprocessing.input_shape();
    let how = match preprocessing {
        Preprocessing::Schmitz2024 => {
            "the window of Schmitz, Guo and Wang (arXiv:2310.12373) from a scan of 240 x 240 x 155 voxels, zero \
             outside the tumour"
        }
        Preprocessing::TumourCrop { .. } => {
            "the box around the tumour mask, resized to a cube and z-scored over its non-zero voxels"
        }
    };
    format!("one channel of {depth} x {height} x {width} voxels (z, y, x): {how}")
}
