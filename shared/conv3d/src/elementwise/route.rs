//! The mixture of a tuned and a frozen path, volume by volume (SpotTune, arXiv:1811.08737).

use rayon::prelude::*;

use super::{Unwritten, Written, fresh, fresh_with, lanes, multiversion, sums::Sums};
use crate::{Block, BlockedShape, CHANNELS, InstructionSet};

/// Gradients of [`route`].
#[derive(Debug, Clone, PartialEq)]
pub struct RouteGradient {
    /// Of the tuned path, `gate * dz`.
    pub tuned: Vec<Block>,
    /// Of the frozen path, `(1 - gate) * dz`.
    pub frozen: Vec<Block>,
    /// Of each volume's gate, the sum of `dz * (tuned - frozen)`.
    pub gates: Vec<f32>,
}

/// `gate * tuned + (1 - gate) * frozen` for each volume. Where the gate is exactly 1 or 0 the one path is
/// copied and the other is not read.
///
/// # Shapes
/// `tuned`, `frozen` and the result are `batch` rows of `volume_len` floats, `gates` one float for each row.
///
/// # Panics
/// When a slice has another length.
pub fn route(
    instructions: InstructionSet,
    batch: usize,
    volume_len: usize,
    tuned: &[f32],
    frozen: &[f32],
    gates: &[f32],
) -> Vec<Block> {
    let shape = BlockedShape::of_rows(batch, volume_len);
    let (tuned, frozen) = (shape.voxels_of("tuned", tuned), shape.voxels_of("frozen", frozen));
    assert_eq!(gates.len(), batch, "each volume needs one gate");
    fresh(shape.total_voxels(), |out| {
        let slabs = shape.cut(out).into_par_iter();
        slabs
            .map(|(slab, out)| {
                let (tuned, frozen) = (&tuned[slab.voxels.clone()], &frozen[slab.voxels]);
                match gates[slab.row] {
                    1.0 => out.copy(tuned),
                    0.0 => out.copy(frozen),
                    gate => mix_slab(instructions, out, tuned, frozen, gate),
                }
            })
            .sum()
    })
}

/// Gradients of [`route`] given that of its result, `dz`.
///
/// # Shapes
/// As for [`route`]; `dz` as its result.
///
/// # Panics
/// When a slice has another length.
pub fn route_gradient(
    instructions: InstructionSet,
    batch: usize,
    volume_len: usize,
    tuned: &[f32],
    frozen: &[f32],
    gates: &[f32],
    dz: &[f32],
) -> RouteGradient {
    let shape = BlockedShape::of_rows(batch, volume_len);
    let (tuned, frozen) = (shape.voxels_of("tuned", tuned), shape.voxels_of("frozen", frozen));
    let dz = shape.voxels_of("dz", dz);
    assert_eq!(gates.len(), batch, "each volume needs one gate");
    let (dtuned, (dfrozen, gates)) = fresh_with(shape.total_voxels(), |dtuned| {
        let (dfrozen, (dtuned, gates)) = fresh_with(shape.total_voxels(), |dfrozen| {
            let slabs = shape.cut(dtuned).into_par_iter().zip(shape.cut(dfrozen));
            let done = slabs.map(|((slab, dtuned), (_, dfrozen))| {
                let paths = (&tuned[slab.voxels.clone()], &frozen[slab.voxels.clone()]);
                let (gate, dz) = (gates[slab.row], &dz[slab.voxels.clone()]);
                let (written, sums) = split_slab(instructions, (dtuned, dfrozen), paths, gate, dz);
                (written, (slab, sums))
            });
            let (written, sums): (Vec<_>, Vec<_>) = done.unzip();
            let (dtuned, dfrozen): (Vec<_>, Vec<_>) = written.into_iter().unzip();
            let gates = Sums::grouped(batch, &sums, |slab| slab.row);
            let gates = gates.iter().map(|sums| sums.total() as f32).collect();
            (dfrozen.into_iter().sum(), (dtuned.into_iter().sum(), gates))
        });
        (dtuned, (dfrozen, gates))
    });
    RouteGradient { tuned: dtuned, frozen: dfrozen, gates }
}

multiversion! {
    fn mix_slab<'out>(
        out: Unwritten<'out, Block>,
        tuned: &[[f32; CHANNELS]],
        frozen: &[[f32; CHANNELS]],
        gate: f32,
    ) -> Written<'out> {
        let rest = 1.0 - gate;
        out.write(tuned.iter().zip(frozen).map(|(tuned, frozen)| {
            Block(lanes(|lane| gate * tuned[lane] + rest * frozen[lane]))
        }))
    }
}

multiversion! {
    fn split_slab<'tuned, 'frozen>(
        out: (Unwritten<'tuned, Block>, Unwritten<'frozen, Block>),
        paths: (&[[f32; CHANNELS]], &[[f32; CHANNELS]]),
        gate: f32,
        dz: &[[f32; CHANNELS]],
    ) -> ((Written<'tuned>, Written<'frozen>), [f32; CHANNELS]) {
        let rest = 1.0 - gate;
        let mut sums = [0.0; CHANNELS];
        let voxels = paths.0.iter().zip(paths.1).zip(dz);
        let written = out.0.write_pairs(out.1, voxels.map(|((tuned, frozen), dz)| {
            sums = lanes(|lane| sums[lane] + dz[lane] * (tuned[lane] - frozen[lane]));
            (Block(lanes(|lane| gate * dz[lane])), Block(lanes(|lane| rest * dz[lane])))
        }));
        (written, sums)
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;

    const ROWS: BlockedShape = BlockedShape { batch: 4, channels: 32, voxels: 301 };
    const VOLUME: usize = 2 * 301 * CHANNELS;
    const GATES: [f32; 4] = [1.0, 0.25, 0.0, -0.0];

    #[test]
    fn each_volume_is_its_own_mixture() {
        let (mut tuned, mut frozen) = (trial::activations(ROWS, 1), trial::activations(ROWS, 2));
        // A path that is not taken is not even multiplied by zero.
        (frozen[5], tuned[2 * VOLUME + 5]) = (f32::NAN, f32::INFINITY);
        trial::each_way(
            |instructions| route(instructions, 4, VOLUME, &tuned, &frozen, &GATES),
            |z| {
                let z = trial::floats(&z);
                assert_eq!(z[..VOLUME], tuned[..VOLUME]);
                assert_eq!(z[2 * VOLUME..], frozen[2 * VOLUME..]);
                for index in VOLUME..2 * VOLUME {
                    let expected = 0.25 * f64::from(tuned[index]) + 0.75 * f64::from(frozen[index]);
                    trial::assert_close(f64::from(z[index]), expected, 1e-7, "mixture");
                }
            },
        );
    }

    #[test]
    fn gradients_are_those_of_the_mixture() {
        let [tuned, frozen, dz] = [1, 2, 3].map(|seed| trial::activations(ROWS, seed));
        trial::each_way(
            |instructions| route_gradient(instructions, 4, VOLUME, &tuned, &frozen, &GATES, &dz),
            |found| {
                let (dtuned, dfrozen) = (trial::floats(&found.tuned), trial::floats(&found.frozen));
                for (row, gate) in GATES.iter().enumerate() {
                    let volume = row * VOLUME..(row + 1) * VOLUME;
                    let expected = trial::dot(&tuned[volume.clone()], &dz[volume.clone()])
                        - trial::dot(&frozen[volume.clone()], &dz[volume.clone()]);
                    trial::assert_close(f64::from(found.gates[row]), expected, 1e-5, "gate");
                    for index in volume {
                        assert_eq!(dtuned[index], gate * dz[index]);
                        assert_eq!(dfrozen[index], (1.0 - gate) * dz[index]);
                    }
                }
            },
        );
    }

    #[test]
    #[should_panic(expected = "each volume needs one gate")]
    fn a_missing_gate_is_refused() {
        route(InstructionSet::best(), 2, 16, &[0.0; 32], &[0.0; 32], &[1.0]);
    }
}
