//! Every convolution of MedicalNet-10 and -50, every pass, in useful floating-point operations a second.

#[path = "layers/mod.rs"]
mod layers;

use std::time::Duration;

use consilium_conv3d::Arithmetic;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use layers::{Pass, layers};

fn every_layer(criterion: &mut Criterion) {
    for pass in Pass::ALL {
        let mut group = criterion.benchmark_group(format!("{pass:?}"));
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1));
        for layer in layers().into_iter().filter(|layer| !(layer.planar && pass == Pass::InputGradient)) {
            let case = layer.case();
            group.throughput(Throughput::Elements(layer.problem.useful_flops() as u64));
            let id = BenchmarkId::from_parameter(&layer.name);
            group.bench_function(id, |bencher| bencher.iter(|| case.run(Arithmetic::best(), pass)));
        }
        group.finish();
    }
}

criterion_group!(benches, every_layer);
criterion_main!(benches);
