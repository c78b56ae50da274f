//! Times of the same work.

use serde_json::{Value, json};

/// On a quiet machine medians are within a few hundredths of the minima.
const DISTURBED: f64 = 1.2;

/// Seconds, in the order they were taken; never empty.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Samples, if there is one at least.
    pub(crate) fn new(seconds: Vec<f64>) -> Option<Self> {
        (!seconds.is_empty()).then_some(Self(seconds))
    }

    /// The middle one, or the mean of the middle two.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { 0.5 * (sorted[middle - 1] + sorted[middle]) }
    }

    /// The shortest: what is left when nothing else disturbs.
    pub(crate) fn minimum(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Whether something else kept the machine busy: half of the samples took far longer than the shortest.
    pub(crate) fn are_disturbed(&self) -> bool {
        self.median() > DISTURBED * self.minimum()
    }

    /// Everything about them.
    pub(crate) fn json(&self) -> Value {
        json!({ "median": self.median(), "minimum": self.minimum(), "all": self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        let of = |seconds: &[f64]| Samples::new(seconds.to_vec()).unwrap();
        assert_eq!(of(&[9.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(of(&[9.0, 1.0, 2.0, 4.0]).median(), 3.0);
        assert_eq!(of(&[9.0, 1.0, 2.0]).minimum(), 1.0);
        assert_eq!(Samples::new(Vec::new()), None);
    }

    #[test]
    fn one_slow_sample_disturbs_nothing_and_most_do() {
        let of = |seconds: &[f64]| Samples::new(seconds.to_vec()).unwrap();
        assert!(!of(&[1.0, 1.1, 9.0]).are_disturbed());
        assert!(of(&[3.2, 20.3, 20.4]).are_disturbed());
    }
}
