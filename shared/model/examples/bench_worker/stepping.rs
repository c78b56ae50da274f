//! A training that goes on step by step, when it is told to.
//!
//! `Classifier::train` makes its optimisers anew, so the steps to be timed are those of a single call. It runs on a
//! thread of its own and waits in its observer.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use consilium_domain::{Seed, Training};
use consilium_model::{Classifier, ModelError};

use crate::Failure;
use crate::cases::Cases;

/// What a training leaves: the network, and why it ended early.
type Rest = (Box<Classifier>, Option<ModelError>);

/// A training in progress.
pub(crate) struct Stepping {
    permits: Sender<()>,
    seconds: Receiver<f64>,
    training: JoinHandle<Rest>,
}

impl Stepping {
    /// Begins a training that waits for its first step.
    pub(crate) fn begin(mut classifier: Box<Classifier>, cases: Arc<Cases>, recipe: Training) -> Self {
        let (permits, permitted) = channel();
        let (finished, seconds) = channel();
        let training = thread::spawn(move || {
            let failure = train(&mut classifier, &cases, &recipe, &permitted, &finished);
            (classifier, failure)
        });
        Self { permits, seconds, training }
    }

    /// The seconds of one more step; `None` when training failed.
    pub(crate) fn step(&self) -> Option<f64> {
        self.permits.send(()).ok()?;
        self.seconds.recv().ok()
    }

    /// Ends the training.
    pub(crate) fn end(self) -> Result<Rest, Failure> {
        drop(self.permits);
        self.training.join().map_err(|_| "training panicked: see its message above".into())
    }
}

fn train(
    classifier: &mut Classifier,
    cases: &Cases,
    recipe: &Training,
    permitted: &Receiver<()>,
    finished: &Sender<f64>,
) -> Option<ModelError> {
    permitted.recv().ok()?;
    let mut start = Instant::now();
    let mut observe = |_| {
        // Whoever does not listen any more gives no permit either.
        let _ = finished.send(start.elapsed().as_secs_f64());
        if permitted.recv().is_err() {
            return ControlFlow::Break(());
        }
        start = Instant::now();
        ControlFlow::Continue(())
    };
    match classifier.train(cases, recipe, Seed::from_number(2), &mut observe) {
        Ok(_) | Err(ModelError::Stopped { .. }) => None,
        Err(failure) => Some(failure),
    }
}
