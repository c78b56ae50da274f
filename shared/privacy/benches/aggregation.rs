//! How fast updates in memory become the next model, beside a copy of the same bytes on the same threads.
//!
//! `cargo bench -p consilium-privacy`. Blocks of all sites are summed and applied at once, as the coordinator does
//! it, without its reading, hashing and writing of files. Throughput counts the bytes of the updates as they
//! would be without compression: 4 a coordinate and site, for the copy too.

use consilium_codec::{BLOCK_VALUES, Unpacker};
use consilium_domain::{FixedPoint, Wire};
use consilium_privacy::{Block, Grid, LocalUpdate, UpdateReader, Weighted, add_units, mean_units};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;

/// 64 MiB of model: far beyond any cache.
const COORDINATES: usize = 512 * BLOCK_VALUES;
const CASES: u32 = 100;

fn grid() -> Grid {
    Grid::new(FixedPoint { clip: 64, fraction_bits: 24 }).expect("a sound grid")
}

/// A site's update: plain bytes, or packed.
fn update(site: u32, wire: Option<Wire>) -> Vec<u8> {
    let mut state = site;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let change: Vec<f32> = (0..COORDINATES).map(|_| (uniform() + uniform() + uniform()) * 1e-3).collect();
    let update = LocalUpdate::between(&vec![0.0; COORDINATES], change, CASES).expect("finite");
    let protected = update.clip(grid()).quantise();
    match wire {
        None => protected.seal(),
        Some(wire) => protected.pack(wire, None).expect("nothing was kept").envelope,
    }
    .into_parts()
    .0
}

/// Where the blocks of an update are.
fn blocks(bytes: &[u8], wire: Wire) -> (Vec<Block>, Vec<u8>) {
    let mut reader = UpdateReader::open(bytes, wire, COORDINATES, grid()).expect("written here");
    let (mut blocks, mut buffer) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block(&mut buffer).expect("written here") {
        blocks.push(block);
    }
    (blocks, buffer)
}

fn sum(sites: &[(Vec<Block>, Vec<u8>)], base: &[f32], next: &mut [f32]) {
    let tools = || (Unpacker::new(), vec![vec![0; BLOCK_VALUES]; sites.len()], vec![0; BLOCK_VALUES]);
    next.par_chunks_mut(BLOCK_VALUES).zip(base.par_chunks(BLOCK_VALUES)).enumerate().for_each_init(
        tools,
        |(unpacker, units, mean), (block, (next, base))| {
            for ((blocks, bytes), units) in sites.iter().zip(&mut *units) {
                blocks[block].decode(bytes, unpacker, &mut units[..base.len()]).expect("written here");
            }
            let updates: Vec<_> =
                units.iter().map(|units| Weighted { units: &units[..base.len()], cases: CASES }).collect();
            let mean = &mut mean[..base.len()];
            mean_units(&updates, grid(), mean).expect("it fits");
            next.copy_from_slice(base);
            add_units(mean, grid(), next).expect("finite");
        },
    );
}

fn aggregation(criterion: &mut Criterion) {
    let base = vec![0.5f32; COORDINATES];
    let mut next = base.clone();
    let mut group = criterion.benchmark_group("aggregation");
    for sites in [2u32, 4] {
        group.throughput(Throughput::Bytes(u64::from(sites) * 4 * COORDINATES as u64));
        let plain: Vec<_> = (0..sites).map(|site| update(site, None)).collect();
        let mut copies = plain.clone();
        group.bench_function(BenchmarkId::new("memcpy", sites), |bencher| {
            bencher.iter(|| {
                for (copy, plain) in copies.iter_mut().zip(&plain) {
                    let pairs = copy.par_chunks_mut(4 * BLOCK_VALUES).zip(plain.par_chunks(4 * BLOCK_VALUES));
                    pairs.for_each(|(copy, plain)| copy.copy_from_slice(plain));
                }
            });
        });
        drop(copies);
        let plain: Vec<_> = plain.iter().map(|bytes| blocks(bytes, Wire::F32)).collect();
        group.bench_function(BenchmarkId::new("plain", sites), |bencher| {
            bencher.iter(|| sum(&plain, &base, &mut next));
        });
        drop(plain);
        for wire in [Wire::F32, Wire::Bf16, Wire::Int8] {
            let packed: Vec<_> = (0..sites).map(|site| blocks(&update(site, Some(wire)), wire)).collect();
            group.bench_function(BenchmarkId::new(wire.name(), sites), |bencher| {
                bencher.iter(|| sum(&packed, &base, &mut next));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, aggregation);
criterion_main!(benches);
