//! From voxel indices to places in the patient.
//!
//! The one type here that counts (x, y, z), as NIfTI and nibabel do; shapes and spacings of this crate count
//! (z, y, x). Not a registration: it only says where a scanner put the voxels.

use super::Orientation;

/// Columns whose volume is below this share of a box with the same edges are taken for damage: real scans are
/// sheared by a few degrees at most (gantry tilt), which leaves a share above 0.8.
const LEAST_SHARE_OF_BOX: f64 = 1e-4;

/// Edges of a voxel that a scanner or microscope can produce, in millimetres.
pub(super) const EDGES_MM: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// Farthest place of the first voxel, in millimetres: scanners are metres wide.
const FARTHEST_MM: f64 = 1e7;

/// The map from a voxel's index (x, y, z) to its centre in millimetres (right, anterior, superior).
///
/// Always finite and invertible.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    rows: [[f64; 4]; 3],
}

/// Rows that do not place voxels.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "the rows {rows:?} do not place voxels: each needs finite numbers, and the axes must point in three \
     different directions"
)]
pub struct InvalidAffine {
    /// What was passed.
    pub rows: Box<[[f64; 4]; 3]>,
}

impl Affine {
    /// From three rows: the millimetres towards right, anterior and superior are
    /// `row[0] * x + row[1] * y + row[2] * z + row[3]`.
    ///
    /// # Errors
    /// [`InvalidAffine`] where an entry is not finite, or the axes are (nearly) in one plane, or lengths are
    /// beyond anything physical.
    pub fn new(rows: [[f64; 4]; 3]) -> Result<Self, InvalidAffine> {
        let affine = Self { rows };
        let edges = affine.edges();
        let near = rows.iter().all(|row| row[3].abs() <= FARTHEST_MM);
        let share = affine.determinant().abs() / edges.iter().product::<f64>();
        if near && edges.iter().all(|edge| EDGES_MM.contains(edge)) && share > LEAST_SHARE_OF_BOX {
            Ok(affine)
        } else {
            Err(InvalidAffine { rows: Box::new(rows) })
        }
    }

    /// Axes along `orientation`, voxels of `spacing` (z, y, x), the first voxel's centre at the origin.
    ///
    /// # Errors
    /// [`InvalidAffine`] where a spacing is not positive or not physical.
    pub fn aligned(orientation: Orientation, spacing: [f32; 3]) -> Result<Self, InvalidAffine> {
        let mut rows = [[0.0; 4]; 3];
        let [z, y, x] = spacing;
        for (column, (axis, edge)) in orientation.0.into_iter().zip([x, y, z]).enumerate() {
            rows[usize::from(axis.unsigned_abs()) - 1][column] = f64::from(edge) * f64::from(axis.signum());
        }
        Self::new(rows)
    }

    /// [`Affine::aligned`] for the spacing of a [`Volume`](super::Volume), which has been checked.
    pub(super) fn of_volume(orientation: Orientation, spacing: [f32; 3]) -> Self {
        Self::aligned(orientation, spacing).expect("every volume has physical spacings")
    }

    /// From rows that a sound affine's rows became by exact steps.
    pub(super) const fn of_sound_rows(rows: [[f64; 4]; 3]) -> Self {
        Self { rows }
    }

    /// The box in the patient that the voxel centres of an image of `shape` (z, y, x) span: along each anatomical axis
    /// the least and the greatest coordinate, in millimetres.
    pub(crate) fn bounds(&self, shape: [usize; 3]) -> [[f64; 2]; 3] {
        let [z, y, x] = shape.map(|voxels| voxels.saturating_sub(1) as f64);
        let mut bounds = [[f64::INFINITY, f64::NEG_INFINITY]; 3];
        for corner in 0..8u8 {
            let at = [(1, x), (2, y), (4, z)].map(|(bit, last)| if corner & bit == 0 { 0.0 } else { last });
            for (bounds, place) in bounds.iter_mut().zip(self.apply(at)) {
                *bounds = [bounds[0].min(place), bounds[1].max(place)];
            }
        }
        bounds
    }

    /// The three rows, as in [`Affine::new`].
    pub const fn rows(&self) -> [[f64; 4]; 3] {
        self.rows
    }

    /// The centre of the voxel (x, y, z), in millimetres (right, anterior, superior).
    pub fn apply(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        self.rows.map(|row| row[0] * x + row[1] * y + row[2] * z + row[3])
    }

    /// Distances between neighbouring voxels along z, y and x, in millimetres.
    pub fn spacing(&self) -> [f32; 3] {
        let [x, y, z] = self.edges();
        [z as f32, y as f32, x as f32]
    }

    /// The anatomical directions closest to the voxel axes.
    ///
    /// Of the six ways to pair voxel axes with anatomical ones, the one whose cosines sum to the most: two
    /// axes never get the same letter, however oblique the image.
    pub fn orientation(&self) -> Orientation {
        const PAIRINGS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let edges = self.edges();
        let alignment = |pairing: &[usize; 3]| -> f64 {
            pairing
                .iter()
                .enumerate()
                .map(|(column, &row)| self.rows[row][column].abs() / edges[column])
                .sum()
        };
        let best = PAIRINGS
            .into_iter()
            .reduce(|best, next| if alignment(&next) > alignment(&best) { next } else { best })
            .expect("there are six pairings");
        let mut axes = [0; 3];
        for ((column, axis), row) in axes.iter_mut().enumerate().zip(best) {
            let code = [1, 2, 3][row];
            *axis = if self.rows[row][column] < 0.0 { -code } else { code };
        }
        Orientation(axes)
    }

    /// First `first`, then this one.
    pub(super) fn after(&self, first: &[[f64; 4]; 3]) -> [[f64; 4]; 3] {
        self.rows.map(|row| {
            let mut product = [0.0, 0.0, 0.0, row[3]];
            for (&factor, other) in row.iter().zip(first) {
                for (entry, value) in product.iter_mut().zip(other) {
                    *entry += factor * value;
                }
            }
            product
        })
    }

    /// From millimetres to (fractional) voxel indices: the inverse by cofactors.
    pub(super) fn inverse(&self) -> Self {
        let [a, b, c] = self.rows;
        let cross = |u: [f64; 4], v: [f64; 4]| {
            [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
        };
        let cofactors = [cross(b, c), cross(c, a), cross(a, b)];
        let determinant = self.determinant();
        let mut rows = [[0.0; 4]; 3];
        for (r, row) in rows.iter_mut().enumerate() {
            for column in 0..3 {
                row[column] = cofactors[column][r] / determinant;
            }
            row[3] = -(row[0] * a[3] + row[1] * b[3] + row[2] * c[3]);
        }
        Self { rows }
    }

    /// Lengths of the voxel's edges along x, y and z.
    fn edges(&self) -> [f64; 3] {
        [0, 1, 2].map(|column| self.rows.iter().map(|row| row[column] * row[column]).sum::<f64>().sqrt())
    }

    fn determinant(&self) -> f64 {
        let [a, b, c] = self.rows;
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBLIQUE: [[f64; 4]; 3] = [[-1.4, 0.3, 0.2, 90.0], [0.2, 1.1, -0.8, -126.0], [0.1, 0.5, 2.3, -72.0]];

    #[test]
    fn the_inverse_undoes_the_map() {
        let affine = Affine::new(OBLIQUE).unwrap();
        let back = affine.inverse().apply(affine.apply([3.0, -4.0, 5.5]));
        for (value, expected) in back.into_iter().zip([3.0, -4.0, 5.5]) {
            assert!((value - expected).abs() < 1e-12, "{back:?}");
        }
        let identity = Affine { rows: affine.inverse().after(&affine.rows) };
        let moved = identity.apply([1.0, 2.0, 3.0]);
        assert!(moved.iter().zip([1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{moved:?}");
    }

    #[test]
    fn letters_follow_the_closest_axes_even_when_oblique() {
        let letters = |rows| Affine::new(rows).unwrap().orientation().to_string();
        assert_eq!(letters(OBLIQUE), "LAS");
        assert_eq!(letters([[0.0, 0.0, -2.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0]]), "PIL");
        // Two columns lean most towards the same axis; still every axis gets its own letter.
        assert_eq!(letters([[0.8, 0.7, 0.0, 0.0], [-0.6, 0.6, 0.1, 0.0], [0.0, 0.0, 1.0, 0.0]]), "RAS");
    }

    #[test]
    fn alignment_is_the_inverse_of_reading_the_letters() {
        for letters in ["LPS", "RAS", "PIL", "SRA", "AIR"] {
            let affine = Affine::aligned(letters.parse().unwrap(), [3.0, 2.0, 1.0]).unwrap();
            assert_eq!(affine.orientation().to_string(), letters);
            assert_eq!(affine.spacing(), [3.0, 2.0, 1.0]);
        }
    }

    #[test]
    fn flat_and_unphysical_maps_are_refused() {
        let identity = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        assert!(Affine::new(identity).is_ok());
        for (row, column, value) in [
            (0, 0, 0.0),
            (0, 0, f64::NAN),
            (1, 3, f64::INFINITY),
            (1, 3, f64::NAN),
            (2, 2, 1e9),
            (2, 2, 1e-9),
            (0, 1, 1e5),
        ] {
            let mut rows = identity;
            rows[row][column] = value;
            assert!(Affine::new(rows).is_err(), "{rows:?}");
        }
    }
}
