//! Stops work where it stands, and lets it go on: for a pause, for the end of the policy's hours, for good.

use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard};

use consilium_model::{InputError, Inputs};

use super::Meter;

/// Between the steps of a training and the inputs of a prediction the worker passes here. While it is shut the worker
/// waits and computes nothing; its memory stays taken, and nothing it did is lost.
#[derive(Debug, Default)]
pub(crate) struct Valve {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Open,
    Shut,
    /// For ever.
    Ended,
}

impl Valve {
    /// Work may go on, or must wait.
    pub(crate) fn set_open(&self, open: bool) {
        self.change(if open { State::Open } else { State::Shut });
    }

    /// Nobody wants the work any more.
    pub(crate) fn end(&self) {
        self.change(State::Ended);
    }

    fn change(&self, to: State) {
        let mut state = self.lock();
        if *state != State::Ended {
            *state = to;
        }
        self.changed.notify_all();
    }

    /// Waits while it is shut; whether to go on.
    pub(crate) fn pass(&self) -> ControlFlow<()> {
        let shut = |state: &mut State| *state == State::Shut;
        let state = self.changed.wait_while(self.lock(), shut).expect("no panic while the lock is held");
        if *state == State::Ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }
}

/// Inputs behind a valve, counted as they are read.
pub(crate) struct Valved<'a, I> {
    pub(crate) inputs: &'a I,
    pub(crate) valve: &'a Valve,
    pub(crate) meter: &'a Meter,
}

impl<I: Inputs> Inputs for Valved<'_, I> {
    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.inputs.shape()
    }

    fn read(&self, index: usize, out: &mut [f32]) -> Result<(), InputError> {
        if self.valve.pass().is_break() {
            return Err(InputError("the work was given up".into()));
        }
        self.inputs.read(index, out)?;
        self.meter.step();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{TryRecvError, channel};

    use super::*;

    #[test]
    fn work_waits_while_it_is_shut_and_ends_for_good() {
        let valve = Arc::new(Valve::default());
        assert!(valve.pass().is_continue());
        valve.set_open(false);
        let (passed, passing) = channel();
        let worker = std::thread::spawn({
            let valve = valve.clone();
            move || {
                let _ = passed.send(valve.pass());
                valve.pass()
            }
        });
        assert_eq!(passing.try_recv(), Err(TryRecvError::Empty));
        valve.set_open(true);
        assert!(passing.recv().unwrap().is_continue());
        valve.end();
        valve.set_open(true);
        assert!(valve.pass().is_break(), "the end is the end");
        let _ = worker.join().unwrap();
    }
}
