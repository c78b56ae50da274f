//! One synthetic patient: everything that his or her images follow from.

use consilium_domain::{Label, Seed};

use super::head::Head;
use super::scanner::Scanner;
use super::tumour::{Cues, Tumour};

/// A patient before the scan. Images of any modality follow from this and a grid: [`PhantomPatient::scene`].
#[derive(Debug, Clone)]
pub struct PhantomPatient {
    pub(super) seed: Seed,
    pub(super) head: Head,
    pub(super) tumour: Tumour,
    pub(super) scanner: Scanner,
    pub(super) latent: f64,
}

impl PhantomPatient {
    /// A patient with this label. Methylated patients' latent scores average `signal` more than the others',
    /// with unit variance in each class.
    pub(super) fn draw(seed: &Seed, label: Label, signal: f64, scanner: &Scanner) -> Self {
        let mut stream = seed.derive("latent").stream();
        let latent = signal * (f64::from(label.as_target()) - 0.5) + stream.normal();
        let cues = Cues::of_latent(latent, &mut stream);
        Self::with_cues(seed, cues, latent, scanner)
    }

    pub(super) fn with_cues(seed: &Seed, cues: Cues, latent: f64, scanner: &Scanner) -> Self {
        let head = Head::draw(&seed.derive("head"));
        let tumour = Tumour::draw(&seed.derive("tumour"), &head, cues);
        Self { seed: *seed, head, tumour, scanner: scanner.clone(), latent }
    }

    /// What the ideal observer sees.
    pub const fn latent(&self) -> f64 {
        self.latent
    }
}
