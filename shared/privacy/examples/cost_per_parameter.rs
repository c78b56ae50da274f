//! Measures each step of an update's way on one thread, in nanoseconds a parameter.
//!
//! `cargo run --release -p consilium-privacy --example cost_per_parameter [PARAMETERS]`

use std::time::Instant;

use consilium_domain::{FixedPoint, Seed};
use consilium_privacy::{Accumulator, Grid, LocalUpdate, UpdatePayload};

/// What one site of the paper's network sends: the tuned blocks of a ResNet-50.
const DEFAULT_PARAMETERS: usize = 46_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parameters = std::env::args().nth(1).map_or(Ok(DEFAULT_PARAMETERS), |text| text.parse())?;
    let grid = Grid::new(FixedPoint { clip: 64, fraction_bits: 24 })?;
    let mut stream = Seed::from_number(1).stream();
    let before: Vec<f32> = (0..parameters).map(|_| stream.between(-1.0, 1.0) as f32).collect();
    let after: Vec<f32> = before.iter().map(|value| value * 1.001).collect();

    println!("{parameters} parameters");
    let update = timed("difference", parameters, || LocalUpdate::between(&before, after, 100))?;
    let clipped = timed("clip", parameters, || update.clip(grid));
    let protected = timed("quantise", parameters, || clipped.quantise());
    let envelope = timed("seal", parameters, || protected.seal());
    let payload = timed("parse", parameters, || UpdatePayload::parse(envelope.payload(), parameters, grid))?;
    let mut sum = timed("reserve the sum", parameters, || Accumulator::new(parameters, grid));
    timed("add (first)", parameters, || sum.add(&payload, 100))?;
    timed("add (again)", parameters, || sum.add(&payload, 50))?;
    let next = timed("apply", parameters, || sum.apply(&before))?;
    println!("largest coordinate of the next model: {}", next.iter().copied().fold(0.0, f32::max));
    Ok(())
}

fn timed<T>(step: &str, parameters: usize, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let elapsed = start.elapsed();
    let nanoseconds = elapsed.as_secs_f64() * 1e9 / parameters as f64;
    println!("{step:>16}: {nanoseconds:6.2} ns a parameter, {:7.1} ms", elapsed.as_secs_f64() * 1e3);
    result
}
