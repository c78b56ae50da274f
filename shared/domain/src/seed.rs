//! One study seed derives every other seed, by a keyed hash.
//!
//! The stream below uses integer and exactly rounded floating-point operations only, so the same seed gives the
//! same numbers on every platform.

use std::fmt;

use serde::{Deserialize, Serialize};

/// 32 bytes from which random choices follow. Not a secret: it is part of the agreed study.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The root seed of a study.
    pub fn from_number(number: u64) -> Self {
        Self(blake3::derive_key("consilium 2026 study seed", &number.to_le_bytes()))
    }

    /// The seed for one purpose: distinct `purpose` strings give independent seeds.
    ///
    /// Build `purpose` with `format!("{a}/{b}")` from displayed nouns, for instance `"batches/{lane}/{round}"`.
    pub fn derive(&self, purpose: &str) -> Self {
        Self(*blake3::keyed_hash(&self.0, purpose.as_bytes()).as_bytes())
    }

    /// The key for a keyed hash, as used to order cases.
    pub const fn as_key(&self) -> &[u8; 32] {
        &self.0
    }

    /// An endless stream of random numbers.
    pub fn stream(&self) -> RandomStream {
        RandomStream {
            reader: blake3::Hasher::new_keyed(&self.0).finalize_xof(),
            buffer: [0; 256],
            used: 256,
        }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seed({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

/// Random numbers from BLAKE3's extendable output.
pub struct RandomStream {
    reader: blake3::OutputReader,
    buffer: [u8; 256],
    used: usize,
}

impl RandomStream {
    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        if self.used == self.buffer.len() {
            self.reader.fill(&mut self.buffer);
            self.used = 0;
        }
        let bytes = self.buffer[self.used..self.used + 8].try_into().expect("eight bytes");
        self.used += 8;
        u64::from_le_bytes(bytes)
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in `0..bound`. `bound` must be positive.
    ///
    /// The modulo bias is below `bound / 2^64`, which no study can notice.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "an empty range has no element to draw");
        (self.next_u64() % bound as u64) as usize
    }

    /// Approximately standard normal: the centred sum of twelve uniforms (Irwin-Hall), so that no platform's
    /// `ln` or `cos` can change a study. Bounded by six in absolute value.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// Fisher-Yates shuffle in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_independent_and_stable() {
        let root = Seed::from_number(7);
        assert_ne!(root.derive("a"), root.derive("b"));
        assert_eq!(root.derive("a"), Seed::from_number(7).derive("a"));
        assert_ne!(Seed::from_number(8), root);
    }

    #[test]
    fn moments_are_right() {
        let mut stream = Seed::from_number(1).stream();
        let normals: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean = normals.iter().sum::<f64>() / normals.len() as f64;
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / normals.len() as f64 - mean * mean;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..100).collect();
        Seed::from_number(3).stream().shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
