//! Running a step where its tensor operations are computed.

/// Runs `work` on a thread of rayon's pool.
///
/// Every operation of the CPU backend hands itself to that pool. From outside, each of the hundreds of operations of a
/// step would cost two switches between threads; from inside it starts at once. Only a step at a time goes in, so
/// that several trainings of one process take turns.
pub(crate) fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}
