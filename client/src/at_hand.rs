//! Models that stay in memory for a while: a lane's next round is made of its last one, and begins with what was made.

use std::collections::VecDeque;
use std::sync::Arc;

use consilium_domain::BlobRef;
use consilium_weights::Weights;

/// Models at hand. A site works on one lane while the next one's model comes: with fewer, each would be read from the disk for every
/// order; each takes the memory of a model.
const MODELS: usize = 2;

/// The models that were used last.
#[derive(Debug, Default)]
pub(crate) struct AtHand(VecDeque<(BlobRef, Arc<Weights>)>);

impl AtHand {
    /// `model` is used now; what was not used for longest goes.
    pub(crate) fn keep(&mut self, model: BlobRef, weights: Arc<Weights>) {
        self.0.retain(|(kept, _)| *kept != model);
        self.0.push_back((model, weights));
        if self.0.len() > MODELS {
            self.0.pop_front();
        }
    }

    /// `model`, if it is here.
    pub(crate) fn find(&self, model: BlobRef) -> Option<Arc<Weights>> {
        self.0.iter().find(|(kept, _)| *kept == model).map(|(_, weights)| weights.clone())
    }

    /// The same, to make another of it.
    pub(crate) fn take(&mut self, model: BlobRef) -> Option<Arc<Weights>> {
        let place = self.0.iter().position(|(kept, _)| *kept == model)?;
        self.0.remove(place).map(|(_, weights)| weights)
    }

    /// Nothing of this is of use any more.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::Digest;

    use super::*;

    #[test]
    fn the_last_two_are_here() {
        let weights = Arc::new(Weights::new(Vec::new().into(), Vec::new()).unwrap());
        let model = |number: u8| BlobRef { digest: Digest::of(&[number]), bytes: 1 };
        let mut at_hand = AtHand::default();
        for number in [0, 1, 0, 2] {
            at_hand.keep(model(number), weights.clone());
        }
        let here =
            |at_hand: &AtHand| (0..3).filter(|&number| at_hand.find(model(number)).is_some()).collect();
        let found: Vec<u8> = here(&at_hand);
        assert_eq!(found, [0, 2]);
        assert!(at_hand.take(model(0)).is_some() && at_hand.take(model(1)).is_none());
        let found: Vec<u8> = here(&at_hand);
        assert_eq!(found, [2]);
    }
}
