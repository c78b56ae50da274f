//! Which voxels the taps of a kernel read.

use burn::tensor::Slice;

use crate::convolution::Geometry;

/// A convolution over an input of known extents. Taps that only ever read padding are left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taps {
    geometry: Geometry,
    /// Of the input.
    extents: [usize; 3],
    /// Taps on either side of the centre that matter.
    reach: [usize; 3],
}

impl Taps {
    pub(super) fn new(geometry: Geometry, extents: [usize; 3]) -> Self {
        Self { geometry, extents, reach: extents.map(|extent| geometry.useful_reach(extent)) }
    }

    /// Extents of the output.
    pub(super) fn outputs(&self) -> [usize; 3] {
        self.extents.map(|extent| extent.div_ceil(self.geometry.stride))
    }

    /// Zeros on either side of the input.
    pub(super) fn padding(&self) -> [usize; 3] {
        self.reach.map(|reach| reach * self.geometry.dilation)
    }

    /// Taps along each axis.
    pub(super) fn sides(&self) -> [usize; 3] {
        self.reach.map(|reach| 2 * reach + 1)
    }

    /// Which part of a kernel `[out, in, side, side, side]` matters.
    pub(super) fn of_kernel(&self) -> [Slice; 5] {
        let centre = self.geometry.side / 2;
        let [z, y, x] = self.reach.map(|reach| range(centre - reach, centre + reach + 1));
        [Slice::full(), Slice::full(), z, y, x]
    }

    /// Which voxels of the padded input each tap reads, in the kernel's order.
    pub(super) fn of_input(&self) -> Vec<[Slice; 5]> {
        let [deep, high, wide] = self.sides();
        let [z_outputs, y_outputs, x_outputs] = self.outputs();
        let along = |tap: usize, outputs: usize| {
            let first = tap * self.geometry.dilation;
            let last = first + (outputs - 1) * self.geometry.stride;
            Slice::new(first as isize, Some(last as isize + 1), self.geometry.stride as isize)
        };
        let mut found = Vec::with_capacity(deep * high * wide);
        for z in 0..deep {
            for y in 0..high {
                for x in 0..wide {
                    let (z, y, x) = (along(z, z_outputs), along(y, y_outputs), along(x, x_outputs));
                    found.push([Slice::full(), Slice::full(), z, y, x]);
                }
            }
        }
        found
    }

    /// Which voxels of an input are the centres of outputs.
    pub(super) fn centres(&self) -> [Slice; 5] {
        let [z, y, x] =
            self.extents.map(|extent| Slice::new(0, Some(extent as isize), self.geometry.stride as isize));
        [Slice::full(), Slice::full(), z, y, x]
    }
}

/// `from..to`.
pub(super) fn range(from: usize, to: usize) -> Slice {
    Slice::new(from as isize, Some(to as isize), 1)
}
