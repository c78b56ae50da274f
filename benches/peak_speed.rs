//! Measures how many 32-bit floating-point operations a second this machine does at most: `peak_speed [threads]`.
//!
//! Fused multiplications and additions in registers, nothing read or written. No program that works on data gets
//! there; how near one gets says what there is to gain. Not a package: `cargo xtask bench-train` compiles it for the
//! processor it runs on, because safe Rust has vector instructions of its own choice only that way.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

/// Independent numbers: few enough for the fastest cache, enough to hide an instruction's latency.
const NUMBERS: usize = 1024;
/// Operations on a number between reading and writing it, so that memory is not what is measured.
const CHAIN: usize = 8;
/// Short enough for a trial to run undisturbed on a busy machine: about a millisecond.
const ROUNDS: usize = 10_000;
/// The fastest trial counts.
const TRIALS: usize = 500;

fn main() {
    let threads = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    let barrier = Barrier::new(threads);
    let trials: Vec<Vec<f64>> = thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(|| measure(&barrier))).collect();
        started.into_iter().map(|thread| thread.join().expect("a loop of additions does not panic")).collect()
    });
    // A trial takes as long as its slowest thread: cores that share their arithmetic must not count twice.
    let slowest = (0..TRIALS).map(|trial| trials.iter().map(|times| times[trial]).fold(0.0, f64::max));
    let seconds = slowest.fold(f64::INFINITY, f64::min);
    let operations = threads * 2 * NUMBERS * CHAIN * ROUNDS;
    println!("{{\"gflops\": {:.1}, \"threads\": {threads}}}", operations as f64 / seconds / 1e9);
}

fn measure(barrier: &Barrier) -> Vec<f64> {
    let mut numbers = [1.0f32; NUMBERS];
    let trial = |_| {
        barrier.wait();
        let start = Instant::now();
        multiply_and_add(black_box(&mut numbers), black_box(0.999), black_box(0.001));
        start.elapsed().as_secs_f64()
    };
    (0..TRIALS).map(trial).collect()
}

fn multiply_and_add(numbers: &mut [f32; NUMBERS], factor: f32, summand: f32) {
    for _ in 0..ROUNDS {
        for number in numbers.iter_mut() {
            let mut value = *number;
            for _ in 0..CHAIN {
                value = value.mul_add(factor, summand);
            }
            *number = value;
        }
    }
}
