//! Which source voxels each tap of a kernel adds to which target voxels, without those in the padding.
//!
//! The same for both directions: the source is the input and the target the output in the forward pass, the other way
//! round for the input gradient. Along an axis, tap by tap, both advance by a constant step.

use std::ops::Range;

use crate::geometry::Problem;

/// A box of target voxels.
pub(crate) type Region = [Range<usize>; 3];

/// What one tap does along one axis: `count` voxels from `source` on are added to those from `target` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) count: usize,
    pub(crate) source: usize,
    pub(crate) target: usize,
}

/// A tap that reaches at least one voxel.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    /// Its place in the kernel.
    pub(crate) index: usize,
    runs: [Run; 3],
}

/// All taps of a kernel over a volume.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) source: [usize; 3],
    pub(crate) target: [usize; 3],
    pub(crate) source_step: [usize; 3],
    pub(crate) target_step: [usize; 3],
    /// If one tap reaches every target voxel, it is the first.
    pub(crate) taps: Vec<Tap>,
    /// Whether the first tap reaches every target voxel.
    pub(crate) covered: bool,
}

impl Sweep {
    /// From inputs to outputs.
    pub(crate) fn forward(problem: &Problem) -> Self {
        let (stride, outputs) = (problem.geometry.stride, problem.output());
        Self::new(problem, problem.extents, outputs, stride, [1; 3], |input, output, count| Run {
            count,
            source: input,
            target: output,
        })
    }

    /// From output gradients to input gradients.
    pub(crate) fn backward(problem: &Problem) -> Self {
        let (stride, outputs) = (problem.geometry.stride, problem.output());
        Self::new(problem, outputs, problem.extents, [1; 3], stride, |input, output, count| Run {
            count,
            source: output,
            target: input,
        })
    }

    fn new(
        problem: &Problem,
        source: [usize; 3],
        target: [usize; 3],
        source_step: [usize; 3],
        target_step: [usize; 3],
        run: impl Fn(usize, usize, usize) -> Run,
    ) -> Self {
        let (geometry, outputs) = (&problem.geometry, problem.output());
        let along = |axis: usize, tap: usize| {
            let valid = geometry.valid(axis, tap, problem.extents[axis], outputs[axis]);
            let input = (valid.start * geometry.stride[axis] + tap * geometry.dilation[axis])
                .saturating_sub(geometry.padding[axis]);
            run(input, valid.start, valid.len())
        };
        let [depth, height, width] = geometry.kernel;
        let mut taps = Vec::new();
        for index in 0..depth * height * width {
            let runs =
                [along(0, index / width / height), along(1, index / width % height), along(2, index % width)];
            if runs.iter().all(|run| run.count > 0) {
                taps.push(Tap { index, runs });
            }
        }
        let covers =
            |tap: &Tap| target_step == [1; 3] && (0..3).all(|axis| tap.runs[axis].count == target[axis]);
        let covering = taps.iter().position(covers);
        if let Some(first) = covering {
            taps.swap(0, first);
        }
        Self { source, target, source_step, target_step, taps, covered: covering.is_some() }
    }

    /// What `tap` does to the target voxels of `region`, if anything.
    pub(crate) fn within(&self, tap: &Tap, region: &Region) -> Option<[Run; 3]> {
        let mut runs = tap.runs;
        for axis in 0..3 {
            let (run, step) = (&mut runs[axis], self.target_step[axis]);
            let skipped = region[axis].start.saturating_sub(run.target).div_ceil(step);
            let end = region[axis].end.saturating_sub(run.target).div_ceil(step).min(run.count);
            if skipped >= end {
                return None;
            }
            run.count = end - skipped;
            run.source += skipped * self.source_step[axis];
            run.target += skipped * step;
        }
        Some(runs)
    }
}

/// Splits a volume into regions of about `voxels` voxels that lie without gaps in memory, rows of `multiple` voxels
/// where rows must be cut.
pub(crate) fn regions(extents: [usize; 3], voxels: usize, multiple: usize) -> Vec<Region> {
    let [depth, height, width] = extents;
    if height * width <= voxels {
        let planes = cut(depth, voxels / (height * width).max(1));
        return planes.map(|d| [d, 0..height, 0..width]).collect();
    }
    let mut all = Vec::new();
    for d in 0..depth {
        if width <= voxels {
            all.extend(cut(height, voxels / width).map(|h| [d..d + 1, h, 0..width]));
            continue;
        }
        let pieces = cut(width.div_ceil(multiple), voxels.div_ceil(multiple));
        let pieces: Vec<_> = pieces.map(|w| w.start * multiple..(w.end * multiple).min(width)).collect();
        for h in 0..height {
            all.extend(pieces.iter().map(|w| [d..d + 1, h..h + 1, w.clone()]));
        }
    }
    all
}

/// `0..len` in pieces of at most `most`, as even as can be.
pub(crate) fn cut(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let pieces = len.div_ceil(most.max(1));
    (0..pieces).map(move |i| i * len / pieces..(i + 1) * len / pieces)
}

/// Voxels of `region`.
pub(crate) fn voxels(region: &Region) -> usize {
    region.iter().map(ExactSizeIterator::len).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Geometry;

    #[test]
    fn regions_lie_one_behind_the_other_and_cover_the_volume() {
        for extents in [[5, 7, 9], [1, 1, 100], [3, 40, 2], [1, 9, 30]] {
            for limit in [1, 8, 20, 63, 64, 1000] {
                let mut next = 0;
                for region in regions(extents, limit, 6) {
                    let [d, h, w] = [0, 1, 2].map(|axis: usize| region[axis].start);
                    assert_eq!((d * extents[1] + h) * extents[2] + w, next, "{extents:?} by {limit}");
                    next += voxels(&region);
                }
                assert_eq!(next, extents.iter().product::<usize>());
            }
        }
    }

    #[test]
    fn clipping_by_regions_loses_no_voxel() {
        let geometry =
            Geometry { kernel: [3; 3], stride: [2, 1, 3], padding: [1, 4, 2], dilation: [1, 4, 2] };
        let problem = Problem { batch: 1, inputs: 1, outputs: 1, extents: [7, 9, 8], geometry };
        for sweep in [Sweep::forward(&problem), Sweep::backward(&problem)] {
            for limit in [1, 5, 30, 1000] {
                let regions = regions(sweep.target, limit, 2);
                for tap in &sweep.taps {
                    let all: usize = tap.runs.iter().map(|run| run.count).product();
                    let parts = regions.iter().filter_map(|region| sweep.within(tap, region));
                    let sum: usize =
                        parts.map(|runs| runs.iter().map(|run| run.count).product::<usize>()).sum();
                    assert_eq!(sum, all);
                }
            }
        }
    }
}
