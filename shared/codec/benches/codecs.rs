//! Bytes a second of every codec, beside a copy of the same bytes, and how small it makes an update.
//!
//! `cargo bench -p consilium-codec`. One thread. The numbers are drawn like those of a trained update: of either
//! sign, their sizes spread over a few binary orders from tensor to tensor.

use std::hint::black_box;

use consilium_codec::{BLOCK_VALUES, Packer, UnitCodec, Unpacker, pack_words, unpack_words};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// 16 MiB of units: more than a core's cache.
const BLOCKS: usize = 64;
const LIMIT: i32 = 1 << 30;

/// Roughly normal around 0, with a deviation of 2^8 to 2^15 units that changes every 4,096 numbers.
fn update() -> Vec<i32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24) - 0.5
    };
    (0..BLOCKS * BLOCK_VALUES)
        .map(|i| {
            let deviation = f64::from(1 << (8 + (i / 4_096) * 7 % 8));
            ((0..12).map(|_| uniform()).sum::<f64>() * deviation).round() as i32
        })
        .collect()
}

fn codecs(criterion: &mut Criterion) {
    let update = update();
    let plain = size_of_val(&update[..]);
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(plain as u64));
    let mut copy = update.clone();
    group.bench_function("memcpy", |bencher| bencher.iter(|| copy.copy_from_slice(black_box(&update))));
    let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
    for codec in UnitCodec::ALL {
        let blocks = codec.encode_all(&mut update.clone(), LIMIT);
        let bytes: usize = blocks.iter().map(Vec::len).sum();
        eprintln!("{codec:?}: {:.3} of {plain} bytes", bytes as f64 / plain as f64);
        let mut units = update.clone();
        group.bench_function(BenchmarkId::new("encode", format!("{codec:?}")), |bencher| {
            bencher.iter(|| {
                let mut out = Vec::new();
                for block in units.chunks_mut(BLOCK_VALUES) {
                    out.clear();
                    codec.encode(block, LIMIT, &mut packer, &mut out);
                }
                out
            });
        });
        group.bench_function(BenchmarkId::new("decode", format!("{codec:?}")), |bencher| {
            bencher.iter(|| {
                for (block, units) in blocks.iter().zip(units.chunks_mut(BLOCK_VALUES)) {
                    codec.decode(block, LIMIT, &mut unpacker, units).expect("it was encoded here");
                }
            });
        });
    }
    let weights: Vec<u8> = update.iter().flat_map(|&unit| (unit as f32 * 2e-5).to_le_bytes()).collect();
    let pack = |packer: &mut Packer| {
        weights
            .chunks(1 << 20)
            .map(|chunk| {
                let mut out = Vec::new();
                pack_words(chunk, packer, &mut out);
                out
            })
            .collect::<Vec<_>>()
    };
    let packed = pack(&mut packer);
    eprintln!(
        "words: {:.3} of {plain} bytes",
        packed.iter().map(Vec::len).sum::<usize>() as f64 / plain as f64
    );
    group.bench_function("pack words", |bencher| bencher.iter(|| pack(&mut packer)));
    let mut read = weights.clone();
    group.bench_function("unpack words", |bencher| {
        bencher.iter(|| {
            for (packed, bytes) in packed.iter().zip(read.chunks_mut(1 << 20)) {
                unpack_words(packed, &mut unpacker, bytes).expect("it was packed here");
            }
        });
    });
    group.finish();
}

criterion_group!(benches, codecs);
criterion_main!(benches);
