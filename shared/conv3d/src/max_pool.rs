//! Max pooling with a kernel of 3 voxels, stride 2 and padding 1, the one of a residual network's stem.
//!
//! The output remembers which of the 27 taps was the largest, so that the gradient needs neither input nor
//! output.

use std::ops::Range;

use rayon::prelude::*;

use crate::elementwise::{Unwritten, Written, fresh, fresh_with, lanes, multiversion};
use crate::{Block, BlockedShape, CHANNELS, Geometry, InstructionSet};

/// The kernel; its padding never wins.
const GEOMETRY: Geometry = Geometry::same(3, 2, 1);

/// The largest of each window's values; NaN if one of them is.
///
/// # Shapes
/// `x` are blocked activations of `shape` with volumes of `extents`, the result of half the extents, rounded
/// up.
///
/// # Panics
/// When the shapes do not fit.
pub fn max_pool(
    instructions: InstructionSet,
    shape: BlockedShape,
    extents: [usize; 3],
    x: &[f32],
) -> Vec<Block> {
    let pool = Pool::new(shape, extents);
    let x = shape.voxels_of("x", x);
    fresh(pool.planes * pool.out_volume(), |out| {
        let slices = out.cut(pool.out_slices()).into_par_iter().enumerate();
        let done = slices.map(|(slice, out)| {
            let (plane, depth) = (slice / pool.out[0], slice % pool.out[0]);
            pool_slice(instructions, out.cut(pool.out_rows()), &pool, pool.plane(x, plane), depth)
        });
        done.sum()
    })
}

/// As [`max_pool`], with the tap that won in each lane of the output, `(depth * 3 + height) * 3 + width`: the
/// first of several that are equal, and of several NaN.
///
/// # Shapes
/// As [`max_pool`]; one tap for each float of the result.
///
/// # Panics
/// As [`max_pool`].
pub fn max_pool_with_winners(
    instructions: InstructionSet,
    shape: BlockedShape,
    extents: [usize; 3],
    x: &[f32],
) -> (Vec<Block>, Vec<u8>) {
    let pool = Pool::new(shape, extents);
    let x = shape.voxels_of("x", x);
    let total = pool.planes * pool.out_volume();
    let (z, winners) = fresh_with(total, |out| {
        let (winners, out) = fresh_with(total, |winners| {
            let outs = out.cut(pool.out_slices()).into_par_iter();
            let slices = outs.zip(winners.cut(pool.out_slices())).enumerate();
            let done = slices.map(|(slice, (out, winners))| {
                let (plane, depth) = (slice / pool.out[0], slice % pool.out[0]);
                let rows = out.cut(pool.out_rows()).into_iter().zip(winners.cut(pool.out_rows())).collect();
                pool_slice_with_winners(instructions, rows, &pool, pool.plane(x, plane), depth)
            });
            let (out, winners): (Vec<_>, Vec<_>) = done.unzip();
            (winners.into_iter().sum(), out.into_iter().sum())
        });
        (out, winners)
    });
    (z, winners.into_flattened())
}

/// The gradient of [`max_pool`]'s input given that of its result.
///
/// # Shapes
/// `winners` and `dz` as the results of [`max_pool_with_winners`], the result as its input.
///
/// # Panics
/// When the shapes do not fit.
pub fn max_pool_gradient(
    instructions: InstructionSet,
    shape: BlockedShape,
    extents: [usize; 3],
    winners: &[u8],
    dz: &[f32],
) -> Vec<Block> {
    let pool = Pool::new(shape, extents);
    let dz = BlockedShape { voxels: pool.out_volume(), ..shape }.voxels_of("dz", dz);
    assert_eq!(winners.len(), dz.len() * CHANNELS, "each float of the gradient needs a winner");
    let winners: &[[u8; CHANNELS]] = winners.as_chunks().0;
    fresh(shape.total_voxels(), |out| {
        let [depths, rows, columns] = extents;
        let slices = out.cut((0..pool.planes * depths).map(|_| rows * columns)).into_par_iter().enumerate();
        let done = slices.map(|(slice, out)| {
            let (plane, depth) = (slice / depths, slice % depths);
            let volume = plane * pool.out_volume()..(plane + 1) * pool.out_volume();
            let gradient = (&winners[volume.clone()], &dz[volume]);
            gradient_slice(instructions, out.cut((0..rows).map(|_| columns)), &pool, gradient, depth)
        });
        done.sum()
    })
}

/// The extents before and after.
struct Pool {
    planes: usize,
    extents: [usize; 3],
    out: [usize; 3],
}

impl Pool {
    fn new(shape: BlockedShape, extents: [usize; 3]) -> Self {
        assert_eq!(
            extents.iter().product::<usize>(),
            shape.voxels,
            "{extents:?} are not the voxels of {shape:?}"
        );
        assert!(shape.voxels > 0, "there is nothing to pool in volumes of {extents:?}");
        Self { planes: shape.batch * shape.blocks(), extents, out: GEOMETRY.output(extents) }
    }

    fn out_volume(&self) -> usize {
        self.out.iter().product()
    }

    /// Voxels of each slice of the output.
    fn out_slices(&self) -> impl Iterator<Item = usize> {
        let [depth, rows, columns] = self.out;
        (0..self.planes * depth).map(move |_| rows * columns)
    }

    /// Voxels of each row of a slice of the output.
    fn out_rows(&self) -> impl Iterator<Item = usize> {
        let [_, rows, columns] = self.out;
        (0..rows).map(move |_| columns)
    }

    fn plane<'a>(&self, x: &'a [[f32; CHANNELS]], plane: usize) -> &'a [[f32; CHANNELS]] {
        let volume: usize = self.extents.iter().product();
        &x[plane * volume..][..volume]
    }

    /// The rows of the input under the window of an output row, with the number of their first tap.
    fn rows<'a>(
        &self,
        plane: &'a [[f32; CHANNELS]],
        depth: usize,
        row: usize,
    ) -> impl Iterator<Item = (u8, &'a [[f32; CHANNELS]])> + Clone {
        let [depths, rows, columns] = self.extents;
        taps(depth, depths).flat_map(move |tap_depth| {
            taps(row, rows).map(move |tap_row| {
                let start = ((2 * depth + tap_depth - 1) * rows + 2 * row + tap_row - 1) * columns;
                ((tap_depth * 9 + tap_row * 3) as u8, &plane[start..start + columns])
            })
        })
    }

    /// The rows of the output whose window covers an input row, with the number of the first tap that does.
    fn covering(&self, depth: usize, row: usize) -> impl Iterator<Item = (u8, usize)> + Clone {
        let [depths, rows, columns] = self.out;
        windows(depth, depths).flat_map(move |(out_depth, tap_depth)| {
            windows(row, rows).map(move |(out_row, tap_row)| {
                ((tap_depth * 9 + tap_row * 3) as u8, (out_depth * rows + out_row) * columns)
            })
        })
    }
}

/// The taps of the window of output `index` that are inside along an axis of `extent` voxels.
#[inline(always)]
fn taps(index: usize, extent: usize) -> Range<usize> {
    usize::from(index == 0)..(extent + 1 - 2 * index).min(3)
}

/// The outputs, of `outputs` along an axis, whose window covers voxel `index`, each with the tap that does.
#[inline(always)]
fn windows(index: usize, outputs: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let first = index / 2;
    let end = (index.div_ceil(2) + 1).min(outputs);
    (first..end).map(move |output| (output, index + 1 - 2 * output))
}

/// The larger of two values, the first if they are equal; NaN if one is.
#[inline(always)]
fn larger(best: f32, value: f32) -> bool {
    value > best || value.is_nan()
}

/// The value if it `passes`, zero if not, without a branch: no one can predict which tap has won.
#[inline(always)]
fn passed(passes: bool, value: f32) -> f32 {
    f32::from_bits(value.to_bits() & 0u32.wrapping_sub(u32::from(passes)))
}

multiversion! {
    fn pool_slice<'out>(
        out: Vec<Unwritten<'out, Block>>,
        pool: &Pool,
        plane: &[[f32; CHANNELS]],
        depth: usize,
    ) -> Written<'out> {
        let rows = out.into_iter().enumerate();
        rows.map(|(row, out)| {
            let rows: Vec<_> = pool.rows(plane, depth, row).collect();
            out.write((0..pool.out[2]).map(|column| {
                let taps = taps(column, pool.extents[2]);
                let mut best = [f32::NEG_INFINITY; CHANNELS];
                for (_, row) in &rows {
                    for value in &row[2 * column + taps.start - 1..2 * column + taps.end - 1] {
                        let wins: [bool; CHANNELS] = lanes(|lane| larger(best[lane], value[lane]));
                        best = lanes(|lane| if wins[lane] { value[lane] } else { best[lane] });
                    }
                }
                Block(best)
            }))
        })
        .sum()
    }
}

multiversion! {
    fn pool_slice_with_winners<'out, 'winners>(
        out: Vec<(Unwritten<'out, Block>, Unwritten<'winners, [u8; CHANNELS]>)>,
        pool: &Pool,
        plane: &[[f32; CHANNELS]],
        depth: usize,
    ) -> (Written<'out>, Written<'winners>) {
        let rows = out.into_iter().enumerate();
        let done = rows.map(|(row, (out, winners))| {
            let rows: Vec<_> = pool.rows(plane, depth, row).collect();
            out.write_pairs(winners, (0..pool.out[2]).map(|column| {
                let taps = taps(column, pool.extents[2]);
                let mut best = [f32::NEG_INFINITY; CHANNELS];
                let mut winner = [u32::from(rows[0].0) + taps.start as u32; CHANNELS];
                for (first, row) in &rows {
                    let window = &row[2 * column + taps.start - 1..2 * column + taps.end - 1];
                    for (tap, value) in (u32::from(*first) + taps.start as u32..).zip(window) {
                        let wins: [bool; CHANNELS] = lanes(|lane| larger(best[lane], value[lane]));
                        best = lanes(|lane| if wins[lane] { value[lane] } else { best[lane] });
                        winner = lanes(|lane| if wins[lane] { tap } else { winner[lane] });
                    }
                }
                (Block(best), lanes(|lane| winner[lane] as u8))
            }))
        });
        let (out, winners): (Vec<_>, Vec<_>) = done.unzip();
        (out.into_iter().sum(), winners.into_iter().sum())
    }
}

multiversion! {
    fn gradient_slice<'out>(
        out: Vec<Unwritten<'out, Block>>,
        pool: &Pool,
        gradient: (&[[u8; CHANNELS]], &[[f32; CHANNELS]]),
        depth: usize,
    ) -> Written<'out> {
        let rows = out.into_iter().enumerate();
        rows.map(|(row, out)| {
            let rows: Vec<_> = pool.covering(depth, row).collect();
            out.write((0..pool.extents[2]).map(|column| {
                let mut sum = [0.0; CHANNELS];
                for (first, start) in &rows {
                    for (output, tap) in windows(column, pool.out[2]) {
                        let (winners, dz) = (&gradient.0[start + output], &gradient.1[start + output]);
                        let tap = *first + tap as u8;
                        sum = lanes(|lane| sum[lane] + passed(winners[lane] == tap, dz[lane]));
                    }
                }
                Block(sum)
            }))
        })
        .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::elementwise::trial;

    /// Largest value and its tap for each output of one channel of one volume.
    fn reference(x: &[f64], [depths, rows, columns]: [usize; 3]) -> Vec<(f64, usize)> {
        let inside = |index: usize, tap: usize, extent: usize| {
            (2 * index + tap).checked_sub(1).filter(|i| *i < extent)
        };
        let mut outputs = Vec::new();
        for depth in 0..depths.div_ceil(2) {
            for row in 0..rows.div_ceil(2) {
                for column in 0..columns.div_ceil(2) {
                    let mut best: Option<(f64, usize)> = None;
                    for tap in 0..27 {
                        let Some(d) = inside(depth, tap / 9, depths) else { continue };
                        let Some(h) = inside(row, tap / 3 % 3, rows) else { continue };
                        let Some(w) = inside(column, tap % 3, columns) else { continue };
                        let value = x[(d * rows + h) * columns + w];
                        if best.is_none_or(|(best, _)| value > best) {
                            best = Some((value, tap));
                        }
                    }
                    outputs.push(best.expect("a window has its middle"));
                }
            }
        }
        outputs
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn pools_what_the_definition_says(
            extents in prop::array::uniform3(1usize..10),
            batch in 1usize..3,
            channels in 1usize..34,
            seed: u64,
        ) {
            let shape = BlockedShape { batch, channels, voxels: extents.iter().product() };
            let halved = extents.map(|extent| extent.div_ceil(2));
            let small = BlockedShape { voxels: halved.iter().product(), ..shape };
            // Rounded, so that there are ties.
            let x: Vec<f32> = trial::activations(shape, seed).iter().map(|x| (x * 8.0).round()).collect();
            let dz = trial::activations(small, seed ^ 1);
            trial::each_way(|instructions| max_pool(instructions, shape, extents, &x), |z| {
                let (again, winners) = max_pool_with_winners(InstructionSet::Portable, shape, extents, &x);
                assert_eq!(z, again);
                let taps: Vec<f32> = winners.iter().map(|tap| f32::from(*tap)).collect();
                for (row, of) in (0..batch).flat_map(|row| (0..channels).map(move |of| (row, of))) {
                    let expected = reference(&trial::channel(shape, &x, row, of), extents);
                    let found = trial::channel(small, trial::floats(&z), row, of);
                    let taps = trial::channel(small, &taps, row, of);
                    let found: Vec<_> = found.iter().zip(&taps).map(|(z, tap)| (*z, *tap as usize)).collect();
                    assert_eq!(found, expected);
                }
            });
            trial::each_way(
                |instructions| max_pool_with_winners(instructions, shape, extents, &x),
                |(_, winners)| trial::each_way(
                    |instructions| max_pool_gradient(instructions, shape, extents, &winners, &dz),
                    |dx| {
                        trial::assert_padding_is_zero(shape, trial::floats(&dx));
                        check_gradient(shape, extents, &x, small, &dz, trial::floats(&dx));
                    },
                ),
            );
        }
    }

    fn check_gradient(
        shape: BlockedShape,
        extents: [usize; 3],
        x: &[f32],
        small: BlockedShape,
        dz: &[f32],
        dx: &[f32],
    ) {
        for (row, of) in (0..shape.batch).flat_map(|row| (0..shape.channels).map(move |of| (row, of))) {
            let mut expected = vec![0.0; shape.voxels];
            let winners = reference(&trial::channel(shape, x, row, of), extents);
            let out = extents.map(|extent| extent.div_ceil(2));
            for (index, dz) in trial::channel(small, dz, row, of).into_iter().enumerate() {
                let at = [index / out[2] / out[1], index / out[2] % out[1], index % out[2]];
                let tap = [winners[index].1 / 9, winners[index].1 / 3 % 3, winners[index].1 % 3];
                let [d, h, w] = std::array::from_fn(|axis| 2 * at[axis] + tap[axis] - 1);
                expected[(d * extents[1] + h) * extents[2] + w] += dz;
            }
            for (found, expected) in trial::channel(shape, dx, row, of).into_iter().zip(expected) {
                trial::assert_close(found, expected, 1e-6, "gradient");
            }
        }
    }

    #[test]
    fn nan_wins_once_and_infinities_count() {
        let shape = BlockedShape { batch: 1, channels: 16, voxels: 3 };
        let mut x = [[0.0; CHANNELS]; 3];
        x[0][0] = f32::NAN;
        (x[0][1], x[1][1]) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        (x[0][2], x[1][2]) = (1.0, f32::NAN);
        for instructions in InstructionSet::available() {
            let x: &[f32] = x.as_flattened();
            let (z, winners) = max_pool_with_winners(instructions, shape, [1, 1, 3], x);
            assert!(
                z[0].0[0].is_nan()
                    && z[0].0[2].is_nan()
                    && max_pool(instructions, shape, [1, 1, 3], x)[0].0[2].is_nan()
            );
            assert_eq!(z[0].0[1], f32::NEG_INFINITY);
            // The tap in the middle is 13: the first voxel's.
            assert_eq!(winners[..4], [13, 13, 14, 13]);
        }
    }
}
