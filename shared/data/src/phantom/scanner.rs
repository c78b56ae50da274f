//! What makes one hospital's images look unlike another's.
//!
//! None of it depends on the patient's label: it is what a federated model has to see past.

use consilium_domain::{ClassCounts, Label, Seed};

use super::range::Range;

/// Stored units of a relative brightness of 1.
const GAIN: Range = Range::new(200.0, 1500.0);
/// Standard deviation of the logarithm of the receive field, and the width of its blobs.
const BIAS: Range = Range::new(0.02, 0.10);
pub(super) const BIAS_MM: f32 = 90.0;
/// Standard deviation of the noise relative to a brightness of 1.
const NOISE: Range = Range::new(0.02, 0.05);
/// Share of each neighbour in a voxel's value, on each axis.
const BLUR: Range = Range::new(0.0, 0.03);

/// Shares of methylated patients, dealt to sites in turn: those of UPENN-GBM, RSNA-MICCAI and UCSF-PDGM.
const PREVALENCES: [f64; 3] = [0.42, 0.52, 0.73];

/// A site's scanner and its patients' prevalence.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scanner {
    pub(super) gain: f32,
    pub(super) bias: f32,
    pub(super) noise: f32,
    pub(super) blur: f32,
}

impl Scanner {
    /// The scanner of the site with this seed.
    pub(super) fn draw(seed: &Seed) -> Self {
        let mut stream = seed.derive("scanner").stream();
        Self {
            gain: GAIN.draw(&mut stream),
            bias: BIAS.draw(&mut stream),
            noise: NOISE.draw(&mut stream),
            blur: BLUR.draw(&mut stream),
        }
    }
}

/// The share of methylated patients at site number `site`, from 0.
pub(super) const fn prevalence(site: usize) -> f64 {
    PREVALENCES[site % PREVALENCES.len()]
}

/// Labels for a site's patients in their order: as close to the prevalence as whole patients allow, with a
/// random start, so that no site lacks a class by bad luck and the first labels do not depend on how many
/// follow.
pub(super) fn labels(prevalence: f64, seed: &Seed) -> impl Iterator<Item = Label> + use<> {
    let start = seed.derive("labels").stream().uniform();
    (0u32..).map(move |index| {
        let quota = |count: u32| (start + prevalence * f64::from(count)).floor();
        if quota(index + 1) > quota(index) { Label::Methylated } else { Label::Unmethylated }
    })
}

/// Counts labels.
pub(super) fn count(labels: impl Iterator<Item = Label>) -> ClassCounts {
    let mut counts = ClassCounts::default();
    labels.for_each(|label| counts.count(label));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_the_prevalence_from_the_first_patients_on() {
        for (site, share) in PREVALENCES.into_iter().enumerate() {
            assert_eq!(prevalence(site + 3), share);
            for patients in [10, 50, 200] {
                let counts = count(labels(share, &Seed::from_number(site as u64)).take(patients));
                assert!((f64::from(counts.methylated) - share * patients as f64).abs() <= 1.0);
            }
        }
    }
}
