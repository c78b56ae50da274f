//! How learnable phantoms are: hand-made features of the network's input, and how many cases they take.
//!
//! Prints, for some modalities, the AUC of the best single feature and of a logistic regression on all of
//! them, trained on growing numbers of cases and tested on 400 others. The ideal observer's AUC is the
//! ceiling.
//!
//! `cargo run --release -p consilium-data --example phantom_features [SIGNAL [SEED]]`

use std::time::Instant;

use consilium_data::phantom::{Grid, PhantomCohort, ideal_auc, observed_auc};
use consilium_data::{Volume, preprocess};
use consilium_domain::{Label, Modality, Preprocessing, Seed};

/// Edge of the cube that features are taken from.
const SIDE: usize = 24;
/// Cases for training and for testing, from three sites.
const POOL: usize = 200;
const TEST: usize = 400;
/// How many training sets of one size are tried.
const REPEATS: usize = 20;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let signal: f64 = arguments.next().map_or(2.33, |text| text.parse().expect("SIGNAL is a number"));
    let seed: u64 = arguments.next().map_or(1, |text| text.parse().expect("SEED is a whole number"));
    println!("signal {signal}: an ideal observer reaches {:.3}", ideal_auc(signal));
    for modality in
        [Modality::T1gd, Modality::Flair, Modality::T2, Modality::T1, Modality::DtiFa, Modality::DscPsr]
    {
        let started = Instant::now();
        let cases = cases(signal, Seed::from_number(seed), modality);
        let per_second = cases.len() as f64 / started.elapsed().as_secs_f64();
        report(modality, &cases, per_second);
    }
}

struct Example {
    features: Vec<f64>,
    latent: f64,
    methylated: bool,
}

/// Cases of three sites in turn.
fn cases(signal: f64, seed: Seed, modality: Modality) -> Vec<Example> {
    let sites = 3;
    let cohort = PhantomCohort {
        sites,
        cases_per_site: (POOL + TEST) / sites,
        signal,
        seed,
        grid: Grid::Small,
        modalities: vec![modality],
    };
    let mut by_site: Vec<Vec<Example>> = (0..sites)
        .map(|site| {
            cohort
                .patients(site)
                .map(|(label, patient)| {
                    let scene = patient.scene(Grid::Small);
                    let profile = Preprocessing::TumourCrop { side: SIDE as u16 };
                    let input = preprocess(&scene.image(modality), &scene.mask(), profile)
                        .expect("a phantom is sound");
                    let mut features = features(&input);
                    features.extend(informed_features(&scene.image(modality), &scene.mask()));
                    Example { features, latent: patient.latent(), methylated: label == Label::Methylated }
                })
                .collect()
        })
        .collect();
    let mut mixed = Vec::new();
    while by_site.iter().any(|site| !site.is_empty()) {
        mixed.extend(by_site.iter_mut().filter_map(Vec::pop));
    }
    standardise(&mut mixed);
    mixed
}

/// The last two are for a reader who knows the segmentation.
const NAMES: [&str; 12] = [
    "skewness",
    "kurtosis",
    "5th percentile",
    "95th percentile",
    "99th percentile",
    "middle: mean",
    "middle: log variance",
    "middle: log fine energy",
    "shell: log fine energy",
    "border: log fine energy",
    "core: log fine energy",
    "rim: brightness",
];

/// The features that need no segmentation, and those that do.
const BLIND: std::ops::Range<usize> = 0..10;
const INFORMED: std::ops::Range<usize> = 10..12;

/// What a reader would measure without the mask: the histogram, and the energy of fine detail by depth.
fn features(input: &[f32]) -> Vec<f64> {
    let mut sorted: Vec<f64> = input.iter().filter(|&&v| v != 0.0).map(|&v| f64::from(v)).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let moment = |power| sorted.iter().map(|v| v.powi(power)).sum::<f64>() / sorted.len() as f64;
    let percentile = |share: f64| sorted[(share * (sorted.len() - 1) as f64) as usize];
    let middle = zone(0.0, 0.30);
    let mean = middle.iter().map(|&i| f64::from(input[i])).sum::<f64>() / middle.len() as f64;
    let variance =
        middle.iter().map(|&i| (f64::from(input[i]) - mean).powi(2)).sum::<f64>() / middle.len() as f64;
    vec![
        moment(3),
        moment(4),
        percentile(0.05),
        percentile(0.95),
        percentile(0.99),
        mean,
        variance.ln(),
        fine_energy(input, &middle),
        fine_energy(input, &zone(0.35, 0.65)),
        fine_energy(input, &zone(0.65, 0.95)),
    ]
}

/// Energy of fine detail in the core and brightness of the rim, in standard deviations of the brain.
fn informed_features(image: &Volume, mask: &Volume) -> [f64; 2] {
    let [_, height, width] = image.shape();
    let brain: Vec<f64> = image.values().iter().filter(|&&v| v != 0.0).map(|&v| f64::from(v)).collect();
    let mean = brain.iter().sum::<f64>() / brain.len() as f64;
    let deviation = (brain.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / brain.len() as f64).sqrt();
    let value = |i: usize| (f64::from(image.values()[i]) - mean) / deviation;
    let marked = |label: f32| (0..mask.values().len()).filter(move |&i| mask.values()[i] == label);
    let rim: Vec<f64> = marked(4.0).map(value).collect();
    let steps = [1, width, width * height];
    let inside =
        |i: usize| steps.iter().all(|step| mask.values()[i - step] == 1.0 && mask.values()[i + step] == 1.0);
    let laplacian =
        |i: usize| steps.iter().map(|step| value(i - step) + value(i + step)).sum::<f64>() - 6.0 * value(i);
    let energies: Vec<f64> = marked(1.0).filter(|&i| inside(i)).map(|i| laplacian(i).powi(2)).collect();
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    [(average(&energies) + 1e-9).ln(), average(&rim)]
}

/// The voxels whose distance from the middle, in half sides, lies between two radii.
fn zone(from: f64, to: f64) -> Vec<usize> {
    let offset = |index: usize| (index as f64 + 0.5) / (SIDE as f64 / 2.0) - 1.0;
    let radius = |i: usize| {
        let place = [i / SIDE / SIDE, i / SIDE % SIDE, i % SIDE];
        place.map(|index| offset(index).powi(2)).iter().sum::<f64>().sqrt()
    };
    let inner =
        |i: usize| [i / SIDE / SIDE, i / SIDE % SIDE, i % SIDE].iter().all(|v| (1..SIDE - 1).contains(v));
    (0..SIDE.pow(3)).filter(|&i| inner(i) && (from..to).contains(&radius(i))).collect()
}

/// Logarithm of the mean squared Laplacian.
fn fine_energy(input: &[f32], zone: &[usize]) -> f64 {
    let laplacian = |i: usize| {
        let sum: f32 = [1, SIDE, SIDE * SIDE].iter().map(|step| input[i - step] + input[i + step]).sum();
        f64::from(sum - 6.0 * input[i])
    };
    (zone.iter().map(|&i| laplacian(i).powi(2)).sum::<f64>() / zone.len() as f64 + 1e-9).ln()
}

fn standardise(examples: &mut [Example]) {
    for feature in 0..NAMES.len() {
        let count = examples.len() as f64;
        let mean = examples.iter().map(|e| e.features[feature]).sum::<f64>() / count;
        let variance = examples.iter().map(|e| (e.features[feature] - mean).powi(2)).sum::<f64>() / count;
        for example in examples.iter_mut() {
            example.features[feature] = (example.features[feature] - mean) / variance.sqrt().max(1e-9);
        }
    }
}

fn report(modality: Modality, cases: &[Example], per_second: f64) {
    let (pool, test) = cases.split_at(POOL);
    let area = |score: &dyn Fn(&Example) -> f64| {
        let scores: Vec<(f64, bool)> = test.iter().map(|e| (score(e), e.methylated)).collect();
        observed_auc(&scores).expect("both classes are there")
    };
    println!("\n{modality}: {per_second:.0} cases a second; latent score {:.3}", area(&|e| e.latent));
    for (feature, name) in NAMES.iter().enumerate() {
        let auc = area(&|e| e.features[feature]);
        println!(
            "  {name:24} {:.3}  correlation with the latent score {:+.2}",
            auc.max(1.0 - auc),
            correlation(test, feature)
        );
    }
    for (reader, columns) in [("the input alone", BLIND), ("the segmentation too", INFORMED)] {
        println!("  logistic regression of a reader who sees {reader}:");
        for size in [20, 40, 60, 100, 200] {
            println!("    on {size:3} cases: {:.3}", mean_auc(pool, test, columns.clone(), size));
        }
    }
}

/// The mean AUC on `test` over models trained on random sets of `size` from the pool.
fn mean_auc(pool: &[Example], test: &[Example], columns: std::ops::Range<usize>, size: usize) -> f64 {
    let mut stream = Seed::from_number(9).stream();
    let mut indices: Vec<usize> = (0..pool.len()).collect();
    let aucs = (0..REPEATS).map(|_| {
        stream.shuffle(&mut indices);
        let chosen: Vec<&Example> = indices[..size].iter().map(|&i| &pool[i]).collect();
        let weights = logistic_regression(&chosen, columns.clone());
        let scores: Vec<(f64, bool)> =
            test.iter().map(|e| (linear(&weights, &e.features[columns.clone()]), e.methylated)).collect();
        observed_auc(&scores).expect("both classes are there")
    });
    aucs.sum::<f64>() / REPEATS as f64
}

fn correlation(examples: &[Example], feature: usize) -> f64 {
    let pairs = || examples.iter().map(|e| (e.features[feature], e.latent));
    let count = examples.len() as f64;
    let (a, b) = (pairs().map(|p| p.0).sum::<f64>() / count, pairs().map(|p| p.1).sum::<f64>() / count);
    let covariance: f64 = pairs().map(|p| (p.0 - a) * (p.1 - b)).sum();
    let variances =
        pairs().map(|p| (p.0 - a).powi(2)).sum::<f64>() * pairs().map(|p| (p.1 - b).powi(2)).sum::<f64>();
    covariance / variances.sqrt()
}

fn linear(weights: &[f64], features: &[f64]) -> f64 {
    weights[0] + weights[1..].iter().zip(features).map(|(w, x)| w * x).sum::<f64>()
}

/// Gradient descent with a little weight decay; the first weight is the intercept.
fn logistic_regression(examples: &[&Example], columns: std::ops::Range<usize>) -> Vec<f64> {
    const STEPS: usize = 1500;
    const RATE: f64 = 0.2;
    const DECAY: f64 = 0.01;
    let mut weights = vec![0.0; columns.len() + 1];
    for _ in 0..STEPS {
        let mut gradient: Vec<f64> = weights.iter().map(|w| DECAY * w).collect();
        for example in examples {
            let probability = 1.0 / (1.0 + (-linear(&weights, &example.features[columns.clone()])).exp());
            let error = (probability - f64::from(u8::from(example.methylated))) / examples.len() as f64;
            gradient[0] += error;
            gradient[1..]
                .iter_mut()
                .zip(&example.features[columns.clone()])
                .for_each(|(g, x)| *g += error * x);
        }
        weights.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= RATE * g);
    }
    weights
}
