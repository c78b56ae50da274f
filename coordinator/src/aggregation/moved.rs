//! How a round's updates lay to their mean: norms and cosines, taken while the blocks are summed.
//!
//! Sums of squares and products over the coordinates, in the order of blocks, so that the same updates give the same
//! figures to the bit whatever the threads did. They are for the report and decide nothing.

use consilium_protocol::coordinator::{Contribution, Movement, SiteMovement};

/// Sums over some coordinates, in units of the grid.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Moved {
    /// Squares of the mean.
    mean: f64,
    /// Of each site: squares, and products with the mean.
    sites: Vec<(f64, f64)>,
}

impl Moved {
    /// Of one block: every site's units and cases. `mean` is a buffer.
    pub(super) fn of(updates: &[(&[i32], u32)], mean: &mut Vec<f64>) -> Self {
        let values = updates.first().map_or(0, |(units, _)| units.len());
        let cases: f64 = updates.iter().map(|(_, cases)| f64::from(*cases)).sum();
        mean.clear();
        mean.resize(values, 0.0);
        for (units, site_cases) in updates {
            let weight = f64::from(*site_cases) / cases;
            mean.iter_mut().zip(*units).for_each(|(mean, unit)| *mean += weight * f64::from(*unit));
        }
        let of_site = |(units, _): &(&[i32], u32)| {
            units.iter().zip(mean.iter()).fold((0.0, 0.0), |(squares, products), (unit, mean)| {
                let unit = f64::from(*unit);
                (squares + unit * unit, products + unit * mean)
            })
        };
        Self { sites: updates.iter().map(of_site).collect(), mean: mean.iter().map(|mean| mean * mean).sum() }
    }

    /// Adds the coordinates of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        self.sites.resize(self.sites.len().max(other.sites.len()), (0.0, 0.0));
        self.mean += other.mean;
        for (ours, theirs) in self.sites.iter_mut().zip(&other.sites) {
            *ours = (ours.0 + theirs.0, ours.1 + theirs.1);
        }
    }

    /// The figures, of `units` a one.
    pub(super) fn figures(&self, contributions: &[Contribution], units: f64) -> Movement {
        let norm = self.mean.sqrt();
        let of_site = |&(squares, products): &(f64, f64)| {
            let length = squares.sqrt() * norm;
            // Rounding must not make it more than a cosine can be.
            let cosine = (length > 0.0).then(|| (products / length).clamp(-1.0, 1.0));
            SiteMovement { norm: squares.sqrt() / units, cosine }
        };
        let sites = contributions.iter().zip(&self.sites);
        let sites = sites.map(|(contribution, sums)| (contribution.site.clone(), of_site(sums))).collect();
        Movement { norm: norm / units, sites }
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::BlobRef;

    use super::*;

    #[test]
    fn norms_and_cosines_by_hand_in_one_block_or_two() {
        let contribution = |site: &str, cases| {
            let update = BlobRef::of(site.as_bytes());
            Contribution { site: site.parse().unwrap(), update, cases }
        };
        let contributions = [contribution("a", 1), contribution("b", 3), contribution("c", 4)];
        let units: [&[i32]; 3] = [&[8, 0, 0], &[0, 8, 0], &[0, 0, 0]];
        let whole: Vec<(&[i32], u32)> =
            units.iter().zip([1, 3, 4]).map(|(units, cases)| (*units, cases)).collect();
        let mut buffer = Vec::new();
        let moved = Moved::of(&whole, &mut buffer);
        let mut parts = Moved::default();
        for place in 0..3 {
            let part: Vec<_> = whole.iter().map(|(units, cases)| (&units[place..=place], *cases)).collect();
            parts.add(&Moved::of(&part, &mut buffer));
        }
        assert_eq!(parts, moved);
        // The mean is (1, 3, 0).
        let movement = moved.figures(&contributions, 4.0);
        let norm = 10f64.sqrt();
        assert!((movement.norm - norm / 4.0).abs() < 1e-12);
        let of = |site: &str| movement.sites[&site.parse().unwrap()];
        assert!((of("a").norm - 2.0).abs() < 1e-12 && (of("a").cosine.unwrap() - 1.0 / norm).abs() < 1e-12);
        assert!((of("b").cosine.unwrap() - 3.0 / norm).abs() < 1e-12);
        assert_eq!((of("c").norm, of("c").cosine), (0.0, None), "nothing has no direction");
    }
}
