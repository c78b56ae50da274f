//! Times training and prediction of a small SpotTune network: `step_time [depth] [width] [side] [batch]`.
//!
//! Set `RAYON_NUM_THREADS` to choose the number of threads.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use consilium_domain::network::{Depth, NetworkSpec, initial_values};
use consilium_domain::{Arm, Label, NormMode, Seed, Training};
use consilium_model::{Classifier, ComputeDevice, TrainingCases};
use consilium_weights::{Weights, initial_trainable};

/// Passes over the cases; the fastest step counts, because the machine is shared.
const REPEATS: u16 = 5;

/// Noise with alternating labels.
struct Noise {
    inputs: Vec<Vec<f32>>,
    side: usize,
}

impl TrainingCases for Noise {
    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn label(&self, index: usize) -> Label {
        Label::ALL[index % 2]
    }

    fn shape(&self) -> [usize; 3] {
        [self.side; 3]
    }

    fn fill(&self, index: usize, _epoch: u16, out: &mut [f32]) {
        out.copy_from_slice(&self.inputs[index]);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<usize> =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let argument = |position: usize, otherwise| arguments.get(position).copied().unwrap_or(otherwise);
    let (depth, width, side, batch) = (argument(0, 10), argument(1, 8), argument(2, 24), argument(3, 8));
    let depth = Depth::from_layers(depth as u16).ok_or("no such depth")?;
    let spec = NetworkSpec { depth, width: width as u16 };
    let seed = Seed::from_number(1);
    let manifest: std::sync::Arc<[_]> = spec.backbone_tensors().into();
    let values = manifest.iter().flat_map(|tensor| initial_values(tensor, &seed)).collect();
    let base = Weights::new(manifest, values)?;
    let mut stream = seed.stream();
    let mut volume = || (0..side.pow(3)).map(|_| stream.normal() as f32).collect::<Vec<f32>>();
    let cases = Noise { inputs: (0..8 * batch).map(|_| volume()).collect(), side };
    for arm in Arm::ALL {
        for norm in [NormMode::Batch, NormMode::Fixed] {
            measure(spec, arm, norm, &base, &cases, batch)?;
        }
    }
    Ok(())
}

fn measure(
    spec: NetworkSpec,
    arm: Arm,
    norm: NormMode,
    base: &Weights,
    cases: &Noise,
    batch: usize,
) -> Result<(), Box<dyn Error>> {
    let seed = Seed::from_number(2);
    let trainable = initial_trainable(spec, arm, &seed, Some(base))?;
    let device = ComputeDevice::cpu();
    let mut classifier = Classifier::new(spec, arm, norm, Some(base), &trainable, &device)?;
    let recipe = Training {
        rounds: 1,
        local_epochs: REPEATS,
        batch_size: batch as u16,
        learning_rate: 1e-4,
        policy_learning_rate: 1e-4,
        weight_decay: 0.0,
        temperature: 5.0,
        norm,
        flips: vec![],
    };
    let mut best = f64::INFINITY;
    let mut start = Instant::now();
    classifier.train(cases, &recipe, seed, &mut |_| {
        best = best.min(start.elapsed().as_secs_f64());
        start = Instant::now();
        ControlFlow::Continue(())
    })?;
    let inputs: Vec<&[f32]> = cases.inputs.iter().map(Vec::as_slice).collect();
    let mut predicting = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        classifier.predict(&inputs, [cases.side; 3], batch)?;
        predicting = predicting.min(start.elapsed().as_secs_f64() / inputs.len() as f64);
    }
    let training = best / batch as f64;
    println!(
        "{arm:10} {norm:?}: {:.2} ms a training case, {:.2} ms a prediction",
        1e3 * training,
        1e3 * predicting
    );
    Ok(())
}
