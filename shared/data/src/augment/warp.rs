//! Rotation and elastic deformation in one trilinear interpolation: each further pass would blur the image.
//!
//! The value of voxel p becomes the input's at `middle + R (p - middle) + u(p)`, with R the rotation and u the
//! displacement. Outside the input is 0. Where all eight neighbours are exactly 0 the result is exactly 0.

use super::elastic::{ElasticField, FieldRow};
use super::rotation::Rotation;

/// Binary digits of a coordinate after the point: positions are rounded to 1/65536 of a voxel. Rounding, not
/// saving: a quarter turn so lands exactly on voxels.
const FRACTION_BITS: u32 = 16;
const ONE: f64 = (1 << FRACTION_BITS) as f64;
const FRACTION: i32 = (1 << FRACTION_BITS) - 1;

/// Turns and deforms an array of `shape` (z, y, x; x fastest, each axis at most 16,384) in place.
pub(super) fn warp(
    values: &mut [f32],
    shape: [usize; 3],
    rotation: &Rotation,
    mut field: Option<&mut ElasticField>,
) {
    let [_, height, width] = shape;
    let source = Padded::new(values, shape);
    let middle = shape.map(|length| (length as f64 - 1.0) / 2.0);
    let step = rotation.turn([0.0, 0.0, 1.0]);
    let mut moved = FieldRow::still(width);
    for (index, row) in values.chunks_exact_mut(width).enumerate() {
        let (z, y) = (index / height, index % height);
        if let Some(field) = &mut field {
            field.row(z, y, &mut moved);
        }
        let turned = rotation.turn([z as f64 - middle[0], y as f64 - middle[1], -middle[2]]);
        let start: [f64; 3] = std::array::from_fn(|axis| middle[axis] + turned[axis]);
        let displacements = moved.0[0].iter().zip(&moved.0[1]).zip(&moved.0[2]);
        for (x, (value, ((&dz, &dy), &dx))) in row.iter_mut().zip(displacements).enumerate() {
            let at = |axis: usize, moved: f32| start[axis] + step[axis] * x as f64 + f64::from(moved);
            *value = source.at([at(0, dz), at(1, dy), at(2, dx)]);
        }
    }
}

/// An array with a voxel of 0 around it, so that every point within reach of a voxel has eight neighbours.
struct Padded {
    values: Vec<f32>,
    /// One past the last first neighbour along each axis, in fixed point.
    limits: [u32; 3],
    plane: usize,
    width: usize,
}

impl Padded {
    fn new(values: &[f32], shape: [usize; 3]) -> Self {
        let [depth, height, width] = shape.map(|length| length + 2);
        let mut padded = vec![0.0; depth * height * width];
        for (index, row) in values.chunks_exact(shape[2]).enumerate() {
            let (z, y) = (index / shape[1], index % shape[1]);
            padded[((z + 1) * height + y + 1) * width + 1..][..shape[2]].copy_from_slice(row);
        }
        let limits = shape.map(|length| ((length + 1) << FRACTION_BITS) as u32);
        Self { values: padded, limits, plane: height * width, width }
    }

    /// The value at (z, y, x) in voxels of the array that was padded.
    fn at(&self, point: [f64; 3]) -> f32 {
        // Rounds to nearest: the border moves every point that matters above 0, where `as` truncates downwards.
        let [z, y, x] = point.map(|coordinate| ((coordinate + 1.0) * ONE + 0.5) as i32);
        // A negative coordinate is a huge unsigned one.
        if z as u32 >= self.limits[0] || y as u32 >= self.limits[1] || x as u32 >= self.limits[2] {
            return 0.0;
        }
        let whole = |fixed: i32| (fixed >> FRACTION_BITS) as usize;
        let part = |fixed: i32| (fixed & FRACTION) as f32 / ONE as f32;
        let first = whole(z) * self.plane + whole(y) * self.width + whole(x);
        let along_x = |corner: usize| {
            let pair = &self.values[corner..corner + 2];
            between(pair[0], pair[1], part(x))
        };
        let along_y = |corner: usize| between(along_x(corner), along_x(corner + self.width), part(y));
        between(along_y(first), along_y(first + self.plane), part(z))
    }
}

fn between(left: f32, right: f32, part: f32) -> f32 {
    left + part * (right - left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(shape: [usize; 3]) -> Vec<f32> {
        (0..shape.iter().product::<usize>()).map(|i| (i * 37 % 211) as f32).collect()
    }

    /// The array of `shape` whose voxel p is `values` at `source(p)`.
    fn permuted(
        values: &[f32],
        shape: [usize; 3],
        source: impl Fn(usize, usize, usize) -> [usize; 3],
    ) -> Vec<f32> {
        let [depth, height, width] = shape;
        let voxels =
            (0..depth).flat_map(|z| (0..height).flat_map(move |y| (0..width).map(move |x| (z, y, x))));
        let index = |[z, y, x]: [usize; 3]| (z * height + y) * width + x;
        voxels.map(|(z, y, x)| values[index(source(z, y, x))]).collect()
    }

    #[test]
    fn a_quarter_turn_is_exactly_a_permutation() {
        type Source = fn(usize, usize, usize) -> [usize; 3];
        // The length of the turned axes is 6 (middle between voxels) or 7 (middle on a voxel).
        let turns: [([usize; 3], [f64; 3], Source); 4] = [
            ([4, 6, 6], [1.0, 0.0, 0.0], |z, y, x| [z, 5 - x, y]),
            ([4, 7, 7], [1.0, 0.0, 0.0], |z, y, x| [z, 6 - x, y]),
            ([6, 3, 6], [0.0, 2.0, 0.0], |z, y, x| [x, y, 5 - z]),
            ([7, 7, 5], [0.0, 0.0, 0.1], |z, y, x| [6 - y, z, x]),
        ];
        for (shape, axis, source) in turns {
            let original = ramp(shape);
            let mut turned = original.clone();
            warp(&mut turned, shape, &Rotation::about(axis, 90.0), None);
            assert_eq!(turned, permuted(&original, shape, source), "{axis:?}");
            warp(&mut turned, shape, &Rotation::about(axis, -90.0), None);
            assert_eq!(turned, original, "{axis:?} and back");
        }
    }

    #[test]
    fn no_turn_is_exactly_nothing_and_a_half_turn_mirrors_two_axes() {
        let shape = [3, 4, 5];
        let original = ramp(shape);
        let mut values = original.clone();
        warp(&mut values, shape, &Rotation::NONE, None);
        assert_eq!(values, original);
        warp(&mut values, shape, &Rotation::about([0.0, 1.0, 0.0], 180.0), None);
        assert_eq!(values, permuted(&original, shape, |z, y, x| [2 - z, y, 4 - x]));
    }

    #[test]
    fn outside_is_zero_and_the_border_fades() {
        let source = Padded::new(&[8.0; 8], [2, 2, 2]);
        assert_eq!(source.at([0.3, 0.7, 1.0]), 8.0);
        assert_eq!(source.at([-0.25, 0.5, 0.5]), 6.0);
        assert_eq!(source.at([0.5, 0.5, 1.75]), 2.0);
        for far in [-1.0, -1.5, -1e9, 2.0, 2.5, 1e9] {
            assert_eq!(source.at([0.5, far, 0.5]), 0.0, "{far}");
        }
    }
}
