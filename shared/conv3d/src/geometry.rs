//! The shapes of a 3D convolution.

/// Kernel, stride, padding and dilation along depth, height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Taps of the kernel.
    pub kernel: [usize; 3],
    /// Step between outputs, in voxels.
    pub stride: [usize; 3],
    /// Zeros before and after the input, in voxels.
    pub padding: [usize; 3],
    /// Step between taps, in voxels.
    pub dilation: [usize; 3],
}

/// One convolution: how many volumes of what size through which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Volumes.
    pub batch: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Depth, height and width of the input.
    pub extents: [usize; 3],
    /// How the kernel moves over it.
    pub geometry: Geometry,
}

impl Geometry {
    /// A cubic kernel of odd `side` with padding that keeps the extents at stride 1.
    pub const fn same(side: usize, stride: usize, dilation: usize) -> Self {
        let padding = dilation * (side - 1) / 2;
        Self { kernel: [side; 3], stride: [stride; 3], padding: [padding; 3], dilation: [dilation; 3] }
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Extents of the output over an input of `extents`.
    ///
    /// # Panics
    /// When the dilated kernel is larger than the padded input.
    pub fn output(&self, extents: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| {
            let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            let room = extents[axis] + 2 * self.padding[axis];
            assert!(reach <= room, "a kernel that reaches over {reach} voxels does not fit into {room}");
            (room - reach) / self.stride[axis] + 1
        })
    }

    /// The outputs along `axis` whose tap number `tap` lies in an input of `extent` voxels, not in the padding.
    pub fn valid(&self, axis: usize, tap: usize, extent: usize, outputs: usize) -> std::ops::Range<usize> {
        let (stride, padding, offset) = (self.stride[axis], self.padding[axis], tap * self.dilation[axis]);
        let first = padding.saturating_sub(offset).div_ceil(stride);
        let end = (extent + padding).saturating_sub(offset).div_ceil(stride).min(outputs);
        first.min(end)..end
    }
}

impl Problem {
    /// Extents of the output.
    pub fn output(&self) -> [usize; 3] {
        self.geometry.output(self.extents)
    }

    /// Floats of the kernel, `[outputs][inputs][depth][height][width]`.
    pub fn kernel_len(&self) -> usize {
        self.outputs * self.inputs * self.geometry.taps()
    }

    /// Floating-point operations that do not touch padding, two for each multiplication and addition.
    pub fn useful_flops(&self) -> f64 {
        let outputs = self.output();
        let taps: f64 = (0..3)
            .map(|axis| {
                let taps = 0..self.geometry.kernel[axis];
                let valid = |tap| self.geometry.valid(axis, tap, self.extents[axis], outputs[axis]).len();
                taps.map(valid).sum::<usize>() as f64
            })
            .product();
        2.0 * (self.batch * self.inputs * self.outputs) as f64 * taps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_those_of_the_usual_formula() {
        assert_eq!(Geometry::same(7, 2, 1).output([70, 86, 86]), [35, 43, 43]);
        assert_eq!(Geometry::same(3, 1, 4).output([9, 11, 1]), [9, 11, 1]);
    }

    #[test]
    fn valid_outputs_are_those_whose_tap_is_inside() {
        for (kernel, stride, padding, dilation) in
            [(3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 4, 4), (2, 3, 2, 2), (7, 2, 3, 1)]
        {
            let geometry = Geometry {
                kernel: [kernel; 3],
                stride: [stride; 3],
                padding: [padding; 3],
                dilation: [dilation; 3],
            };
            for extent in 3..20 {
                let outputs = geometry.output([extent; 3])[0];
                for tap in 0..kernel {
                    let inside = |output: &usize| {
                        (padding..padding + extent).contains(&(output * stride + tap * dilation))
                    };
                    let expected: Vec<usize> = (0..outputs).filter(inside).collect();
                    let found: Vec<usize> = geometry.valid(0, tap, extent, outputs).collect();
                    assert_eq!(found, expected, "tap {tap} of {geometry:?} over {extent}");
                }
            }
        }
    }

    #[test]
    fn a_dilated_kernel_on_a_small_map_is_mostly_padding() {
        let problem =
            Problem { batch: 1, inputs: 1, outputs: 1, extents: [8; 3], geometry: Geometry::same(3, 1, 4) };
        assert_eq!(problem.useful_flops(), 2.0 * 16f64.powi(3));
    }
}
