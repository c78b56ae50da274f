//! How the updates of a round lay to their mean. Kept for the report, decides nothing.
//!
//! The coordinator computes it from updates that it sees. Where it sees their sum only (secure aggregation), there is none.

use std::collections::BTreeMap;

use consilium_domain::SiteId;
use serde::{Deserialize, Serialize};

/// Of the updates of one round as they were summed, after clipping and rounding.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Movement {
    /// Euclidean norm of the mean, weighted by cases: how far the model moved.
    pub norm: f64,
    /// Every contributor's.
    pub sites: BTreeMap<SiteId, SiteMovement>,
}

/// One site's update.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SiteMovement {
    /// Its Euclidean norm.
    pub norm: f64,
    /// The cosine of its angle to the mean; none where either is zero.
    pub cosine: Option<f64>,
}

impl Movement {
    /// The root mean square distance between the updates of two contributors, each drawn with the weight of its cases
    /// (the same may be drawn twice): √(2 (Σ pₖ‖δₖ‖² - ‖Σ pₖδₖ‖²)), which is the theorem of König and Huygens, by which
    /// Σ pₖ‖δₖ - D‖² is Σ pₖ‖δₖ‖² - ‖D‖², and half of the mean over pairs. No two updates are looked at together.
    pub fn drift(&self, weight: impl Fn(&SiteId) -> f64) -> f64 {
        let squares: f64 =
            self.sites.iter().map(|(site, moved)| weight(site) * moved.norm * moved.norm).sum();
        (2.0 * (squares - self.norm * self.norm)).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_the_mean_distance_between_pairs() {
        let updates: [(&str, f64, [f64; 2]); 3] =
            [("a", 0.5, [1.0, 0.0]), ("b", 0.3, [0.0, 2.0]), ("c", 0.2, [-1.0, 1.0])];
        let length = |[x, y]: [f64; 2]| (x * x + y * y).sqrt();
        let mean = updates.iter().fold([0.0, 0.0], |[x, y], (_, p, d)| [x + p * d[0], y + p * d[1]]);
        let site = |(name, _, update): &(&str, f64, [f64; 2])| {
            (name.parse().unwrap(), SiteMovement { norm: length(*update), cosine: None })
        };
        let movement = Movement { norm: length(mean), sites: updates.iter().map(site).collect() };
        let pairs = updates.iter().flat_map(|one| updates.iter().map(move |other| (one, other)));
        let squares: f64 = pairs
            .map(|((_, p, one), (_, q, other))| {
                p * q * length([one[0] - other[0], one[1] - other[1]]).powi(2)
            })
            .sum();
        let weight = |site: &SiteId| updates.iter().find(|(name, ..)| *name == site.as_str()).unwrap().1;
        assert!((movement.drift(weight) - squares.sqrt()).abs() < 1e-12);
        assert_eq!(
            Movement { norm: 1.0, sites: BTreeMap::new() }.drift(|_| 0.0),
            0.0,
            "rounding makes no root of less than nothing"
        );
    }
}
