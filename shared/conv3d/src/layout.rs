//! Between planar activations, `[batch][channels][voxels]`, and blocked ones.

use rayon::prelude::*;

use crate::elementwise::{SLAB_VOXELS, Slab, Unwritten, Written, fresh, lanes, multiversion};
use crate::{Block, BlockedShape, CHANNELS, InstructionSet};

/// The voxels of a channel beyond the last.
static ZEROS: [f32; SLAB_VOXELS] = [0.0; SLAB_VOXELS];

/// Blocked activations of planar ones, with zeros in the channels beyond the last.
///
/// # Shapes
/// `planar` is `[batch][channels][voxels]`, the result `[batch][blocks][voxels]`.
///
/// # Panics
/// When `planar` has another length.
pub fn to_blocked(
    instructions: InstructionSet,
    planar: &[f32],
    batch: usize,
    channels: usize,
    voxels: usize,
) -> Vec<Block> {
    assert_eq!(planar.len(), batch * channels * voxels, "the floats are not {batch} x {channels} x {voxels}");
    let shape = BlockedShape { batch, channels, voxels };
    fresh(shape.total_voxels(), |out| {
        let slabs = shape.cut(out).into_par_iter();
        slabs
            .map(|(slab, out)| {
                let count = slab.len();
                let row = &planar[slab.row * channels * voxels..][..channels * voxels];
                let rows = std::array::from_fn(|lane| {
                    let start = (slab.block * CHANNELS + lane) * voxels + slab.voxels.start % voxels;
                    row.get(start..start + count).unwrap_or(&ZEROS[..count])
                });
                blocked_slab(instructions, out, rows)
            })
            .sum()
    })
}

/// Planar activations of blocked ones.
///
/// # Shapes
/// `blocked` is `[batch][blocks][voxels]`, the result `[batch][channels][voxels]`.
///
/// # Panics
/// When `blocked` has another length.
pub fn to_planar(
    instructions: InstructionSet,
    blocked: &[f32],
    batch: usize,
    channels: usize,
    voxels: usize,
) -> Vec<f32> {
    let shape = BlockedShape { batch, channels, voxels };
    let blocked = shape.voxels_of("blocked", blocked);
    fresh(batch * channels * voxels, |out| {
        let slabs = shape.slabs();
        let parts = by_slab(&shape, out);
        let done = slabs.into_par_iter().zip(parts);
        done.map(|(slab, channels)| planar_slab(instructions, channels, &blocked[slab.voxels])).sum()
    })
}

/// The channels' parts of a planar array for each slab, in the order of [`BlockedShape::slabs`].
fn by_slab<'vector>(shape: &BlockedShape, out: Unwritten<'vector, f32>) -> Vec<Vec<Unwritten<'vector, f32>>> {
    let slabs = shape.slabs_of_plane();
    let lengths: Vec<usize> = shape.slabs().iter().take(slabs).map(Slab::len).collect();
    let rows = shape.batch * shape.channels;
    let parts = out.cut((0..rows).flat_map(|_| lengths.iter().copied()));
    let mut grouped: Vec<Vec<_>> = (0..shape.batch * shape.blocks() * slabs).map(|_| Vec::new()).collect();
    for (index, part) in parts.into_iter().enumerate() {
        let (row, slab) = (index / slabs, index % slabs);
        let plane = row / shape.channels * shape.blocks() + row % shape.channels / CHANNELS;
        grouped[plane * slabs + slab].push(part);
    }
    grouped
}

multiversion! {
    fn blocked_slab<'out>(out: Unwritten<'out, Block>, rows: [&[f32]; CHANNELS]) -> Written<'out> {
        let count = rows[0].len();
        let rows = rows.map(|row| &row[..count]);
        out.write((0..count).map(|voxel| Block(lanes(|lane| rows[lane][voxel]))))
    }
}

multiversion! {
    fn planar_slab<'out>(channels: Vec<Unwritten<'out, f32>>, voxels: &[[f32; CHANNELS]]) -> Written<'out> {
        let channels = channels.into_iter().zip(0..CHANNELS);
        channels.map(|(out, lane)| out.write(voxels.iter().map(|voxel| voxel[lane]))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::trial;

    #[test]
    fn sixteen_channels_of_a_voxel_lie_together() {
        for (batch, channels, voxels) in
            [(2, 35, 300), (1, 1, 7), (3, 16, SLAB_VOXELS), (2, 48, 1), (1, 5, 0)]
        {
            let planar: Vec<f32> = trial::numbers(batch * channels * voxels, 1).collect();
            let shape = BlockedShape { batch, channels, voxels };
            trial::each_way(
                |instructions| to_blocked(instructions, &planar, batch, channels, voxels),
                |blocked| {
                    let blocked = trial::floats(&blocked);
                    trial::assert_padding_is_zero(shape, blocked);
                    for (index, plane) in planar.chunks(voxels.max(1)).enumerate() {
                        let expected: Vec<f64> = plane.iter().copied().map(f64::from).collect();
                        let found = trial::channel(shape, blocked, index / channels, index % channels);
                        assert_eq!(found, expected, "row {index}");
                    }
                },
            );
            let blocked = to_blocked(InstructionSet::Portable, &planar, batch, channels, voxels);
            trial::each_way(
                |instructions| to_planar(instructions, trial::floats(&blocked), batch, channels, voxels),
                |back| assert_eq!(back, planar),
            );
        }
    }
}
