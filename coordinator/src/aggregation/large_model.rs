//! What a sum over a model of 46 million coordinates takes: for docs/measurements.md, and a bound on its memory.
//!
//! `cargo test --release -p consilium-coordinator large_model -- --ignored --nocapture`

use std::sync::Arc;
use std::time::Instant;

use consilium_domain::network::{TensorKind, TensorSpec};
use consilium_domain::{Arm, FixedPoint, Fold, Lane, Modality, Round, Seed, Wire};
use consilium_privacy::{Grid, LocalUpdate, UpdatePayload};
use consilium_protocol::coordinator::Contribution;
use consilium_transport::BlobStore;
use consilium_weights::Weights;

use super::{Aggregation, check_update};

/// The tuned blocks of a ResNet-50, about.
const TENSORS: usize = 46;
const TENSOR_VALUES: usize = 1_000_000;
const COORDINATES: usize = TENSORS * TENSOR_VALUES;
const FIXED_POINT: FixedPoint = FixedPoint { clip: 64, fraction_bits: 24 };

/// Two waves of 32 MiB, and room for what a process has beside them: a third of the model, and the same for any number
/// of sites.
const MOST_KIB: u64 = 160 * 1024;

fn manifest() -> Arc<[TensorSpec]> {
    let tensor = |i| TensorSpec {
        name: format!("tensor.{i}"),
        shape: vec![TENSOR_VALUES],
        kind: TensorKind::LinearBias,
    };
    (0..TENSORS).map(tensor).collect()
}

/// Roughly normal, with a deviation that differs from tensor to tensor.
fn change(site: u64) -> Vec<f32> {
    let mut stream = Seed::from_number(site).stream();
    (0..COORDINATES)
        .map(|i| {
            let size = 1e-5 * f64::from(1 << (i / TENSOR_VALUES % 8));
            ((0..3).map(|_| stream.between(-1.0, 1.0)).sum::<f64>() * size) as f32
        })
        .collect()
}

/// A site's update; None: plain.
async fn contribution(site: u64, wire: Option<Wire>, store: &BlobStore) -> Contribution {
    let grid = Grid::new(FIXED_POINT).unwrap();
    let update = LocalUpdate::between(&vec![0.0; COORDINATES], change(site), 50).unwrap();
    let quantised = update.clip(grid).quantise();
    let began = Instant::now();
    let (envelope, error) = match wire {
        None => (quantised.seal(), 0.0),
        Some(wire) => {
            let packed = quantised.pack(wire, None).unwrap();
            (packed.envelope, packed.relative_error)
        }
    };
    let payload = envelope.into_parts().0;
    let share = payload.len() as f64 / UpdatePayload::bytes(COORDINATES) as f64;
    println!("  update: {share:.3} of its bytes, error {error:.5}, packed in {:.2?}", began.elapsed());
    let update = store.insert(payload).await.unwrap();
    Contribution { site: format!("site-{site}").parse().unwrap(), update, cases: 50 }
}

/// A line of Linux's `/proc/self/status`, in KiB.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    value.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs `work` and returns how much memory it took beyond what there was.
async fn peak_kib<T>(work: impl Future<Output = T>) -> (T, u64) {
    // Forgets the peak of before.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmRSS");
    let result = work.await;
    (result, memory("VmHWM").saturating_sub(before))
}

#[tokio::test]
#[ignore = "takes minutes and gigabytes of disk"]
async fn large_model_takes_little_memory_whatever_the_number_of_sites() {
    for sites in [2, 4] {
        for wire in [None, Some(Wire::F32), Some(Wire::Bf16), Some(Wire::Int8)] {
            let dir = tempfile::tempdir().unwrap();
            let store = BlobStore::open(dir.path()).unwrap();
            println!("{sites} sites, {}", wire.map_or("plain", Wire::name));
            let start = Weights::new(manifest(), change(0)).unwrap().to_safetensors();
            let start = store.insert(start).await.unwrap();
            let mut contributions = Vec::new();
            for site in 1..=sites {
                contributions.push(contribution(site, wire, &store).await);
            }
            let wire = wire.unwrap_or_default();
            let update = contributions[0].update;
            let began = Instant::now();
            check_update(&store, &update, wire, COORDINATES, Grid::new(FIXED_POINT).unwrap()).unwrap();
            println!("  one update checked in {:.2?}", began.elapsed());
            let aggregation = Aggregation {
                lane: Lane { arm: Arm::Random, modality: Modality::T1gd, fold: Fold(0) },
                round: Round(1),
                manifest: manifest(),
                fixed_point: FIXED_POINT,
                wire,
                start,
                contributions,
            };
            let began = Instant::now();
            let (model, peak) = peak_kib(aggregation.run(&store)).await;
            assert_eq!(model.unwrap().movement.sites.len() as u64, sites);
            println!("  summed in {:.2?}, {} MiB", began.elapsed(), peak / 1024);
            assert!(peak < MOST_KIB, "{} MiB", peak / 1024);
        }
    }
}
