//! The mixture of a tuned and a frozen path, volume by volume (SpotTune, arXiv:1811.08737).

use rayon::prelude::*;

use super::{Unwritten, Written, fresh, fresh_with, lanes, multiversion, shape::Slab, sums::Sums};
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

/// What [`route_gradient`] needs of the two paths.
#[derive(Debug, Clone, Copy)]
pub enum RoutedPaths<'a> {
    /// Both of them.
    Both {
        /// The tuned path.
        tuned: &'a [f32],
        /// The frozen path.
        frozen: &'a [f32],
    },
    /// What was taken and what was not, for gates that [are choices](are_choices).
    Chosen {
        /// The result of [`route`].
        output: &'a [f32],
        /// Of each volume the path that was not taken: what [`route`] gives for exchanged paths.
        other: &'a [f32],
    },
}

/// Whether every gate is exactly 1 or 0, so that each volume takes one of the paths.
pub fn are_choices(gates: &[f32]) -> bool {
    gates.iter().all(|gate| matches!(gate, 0.0 | 1.0))
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
/// When a slice has another length, or for chosen paths with gates between 1 and 0.
pub fn route_gradient(
    instructions: InstructionSet,
    batch: usize,
    volume_len: usize,
    paths: RoutedPaths<'_>,
    gates: &[f32],
    dz: &[f32],
) -> RouteGradient {
    let shape = BlockedShape::of_rows(batch, volume_len);
    assert_eq!(gates.len(), batch, "each volume needs one gate");
    let (paths, dz) = (Voxels::new(&shape, paths, gates), shape.voxels_of("dz", dz));
    let (dtuned, (dfrozen, gates)) = fresh_with(shape.total_voxels(), |dtuned| {
        let (dfrozen, (dtuned, gates)) = fresh_with(shape.total_voxels(), |dfrozen| {
            let slabs = shape.cut(dtuned).into_par_iter().zip(shape.cut(dfrozen));
            let done = slabs.map(|((slab, dtuned), (_, dfrozen))| {
                let (gate, dz) = (gates[slab.row], &dz[slab.voxels.clone()]);
                let paths = paths.of(&slab, gate);
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

/// The voxels of two paths.
struct Voxels<'a> {
    one: &'a [[f32; CHANNELS]],
    two: &'a [[f32; CHANNELS]],
    /// `one` is what was taken, not the tuned path.
    chosen: bool,
}

impl<'a> Voxels<'a> {
    fn new(shape: &BlockedShape, paths: RoutedPaths<'a>, gates: &[f32]) -> Self {
        match paths {
            RoutedPaths::Both { tuned, frozen } => Self {
                one: shape.voxels_of("tuned", tuned),
                two: shape.voxels_of("frozen", frozen),
                chosen: false,
            },
            RoutedPaths::Chosen { output, other } => {
                assert!(are_choices(gates), "between 1 and 0 no path was chosen: {gates:?} need both");
                Self {
                    one: shape.voxels_of("output", output),
                    two: shape.voxels_of("other", other),
                    chosen: true,
                }
            }
        }
    }

    /// The tuned and the frozen path in `slab`.
    fn of(&self, slab: &Slab, gate: f32) -> (&'a [[f32; CHANNELS]], &'a [[f32; CHANNELS]]) {
        let (one, two) = (&self.one[slab.voxels.clone()], &self.two[slab.voxels.clone()]);
        if self.chosen && gate == 0.0 { (two, one) } else { (one, two) }
    }
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
            |instructions| {
                let paths = RoutedPaths::Both { tuned: &tuned, frozen: &frozen };
                route_gradient(instructions, 4, VOLUME, paths, &GATES, &dz)
            },
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
    fn what_was_taken_and_what_was_not_give_the_gradients_of_both() {
        let [tuned, frozen, dz] = [1, 2, 3].map(|seed| trial::activations(ROWS, seed));
        for gates in [[1.0, 0.0, -0.0, 1.0], [1.0; 4], [0.0; 4]] {
            assert!(are_choices(&gates));
            let best = InstructionSet::best();
            let output = route(best, 4, VOLUME, &tuned, &frozen, &gates);
            let other = route(best, 4, VOLUME, &frozen, &tuned, &gates);
            let both = RoutedPaths::Both { tuned: &tuned, frozen: &frozen };
            let expected = route_gradient(best, 4, VOLUME, both, &gates, &dz);
            trial::each_way(
                |instructions| {
                    let paths =
                        RoutedPaths::Chosen { output: trial::floats(&output), other: trial::floats(&other) };
                    route_gradient(instructions, 4, VOLUME, paths, &gates, &dz)
                },
                |found| assert!(found == expected, "{gates:?}"),
            );
        }
    }

    #[test]
    fn mixtures_are_not_choices() {
        for gate in [0.5, 1.0 - f32::EPSILON / 2.0, f32::MIN_POSITIVE / 4.0, -1.0, f32::NAN] {
            assert!(!are_choices(&[1.0, gate, 0.0]), "{gate}");
        }
    }

    #[test]
    #[should_panic(expected = "need both")]
    fn chosen_paths_of_a_mixture_are_refused() {
        let paths = RoutedPaths::Chosen { output: &[0.0; 16], other: &[0.0; 16] };
        route_gradient(InstructionSet::best(), 1, 16, paths, &[0.5], &[0.0; 16]);
    }

    #[test]
    #[should_panic(expected = "each volume needs one gate")]
    fn a_missing_gate_is_refused() {
        route(InstructionSet::best(), 2, 16, &[0.0; 32], &[0.0; 32], &[1.0]);
    }
}
