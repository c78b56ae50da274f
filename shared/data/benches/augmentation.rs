//! What a training step pays for its augmentation: 70x86x86 voxels, each change alone and all together.

use std::hint::black_box;

use consilium_data::Augmentation;
use consilium_domain::{AugmentationSpec, Elastic, Flip, Seed};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const SHAPE: [usize; 3] = [70, 86, 86];

/// Half of the voxels are background, as in a cube around a tumour at the brain's border.
fn input() -> Vec<f32> {
    let mut stream = Seed::from_number(1).stream();
    let half = SHAPE[0] / 2;
    let plane = SHAPE[1] * SHAPE[2];
    let mut values = vec![0.0; half * plane];
    values.extend((0..(SHAPE[0] - half) * plane).map(|_| stream.between(-1.0, 1.0) as f32));
    values
}

fn changes() -> [(&'static str, AugmentationSpec); 5] {
    let off = AugmentationSpec::default;
    let all = AugmentationSpec {
        flips: vec![Flip::Depth, Flip::Height, Flip::Width],
        rotation_degrees: 15.0,
        noise: 0.1,
        intensity_scale: 0.1,
        intensity_shift: 0.1,
        elastic: Some(Elastic { sigma: 5.0, amplitude: 1.0 }),
    };
    [
        ("flips", AugmentationSpec { flips: all.flips.clone(), ..off() }),
        ("rotation", AugmentationSpec { rotation_degrees: 15.0, ..off() }),
        ("elastic", AugmentationSpec { elastic: all.elastic, ..off() }),
        (
            "intensity and noise",
            AugmentationSpec { flips: vec![], rotation_degrees: 0.0, elastic: None, ..all.clone() },
        ),
        ("everything", all),
    ]
}

fn augmentation(criterion: &mut Criterion) {
    let (input, seed) = (input(), Seed::from_number(2));
    let mut group = criterion.benchmark_group("augmentation");
    group.sample_size(40);
    for (name, spec) in changes() {
        let augmentation = Augmentation::new(spec);
        let mut epoch = 0;
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || input.clone(),
                |values| {
                    epoch += 1;
                    augmentation.apply(black_box(values), SHAPE, &seed, 0, epoch);
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, augmentation);
criterion_main!(benches);
