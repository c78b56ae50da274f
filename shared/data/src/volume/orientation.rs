//! Where the axes of an image point in the patient.
//!
//! Not a full affine: a small tilt or shift does not matter to networks that look at boxes, a mirrored mask
//! does.

use std::fmt;

use nifti::NiftiHeader;

/// The anatomical direction of increasing x, y and z index, in this order: 1 right, 2 anterior, 3 superior,
/// negative for their opposites. `[-1, -2, 3]` is LPS, the orientation of UPENN-GBM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation(pub(super) [i8; 3]);

impl Orientation {
    /// Left, posterior, superior.
    pub const LPS: Self = Self([-1, -2, 3]);
    /// Right, anterior, superior.
    pub const RAS: Self = Self([1, 2, 3]);

    /// The three numbers, for x, y and z.
    pub(crate) const fn axes(self) -> [i8; 3] {
        self.0
    }

    /// From the three numbers, which the caller knows to be a permutation of 1, 2 and 3 with signs.
    #[cfg(test)]
    pub(crate) const fn from_axes(axes: [i8; 3]) -> Self {
        Self(axes)
    }

    /// From a header's sform, else its qform, else unknown. Unknown too where the matrix is degenerate.
    pub(super) fn of_header(header: &NiftiHeader) -> Option<Self> {
        if header.sform_code > 0 {
            Self::of_rows([header.srow_x, header.srow_y, header.srow_z].map(|row| [row[0], row[1], row[2]]))
        } else if header.qform_code > 0 {
            Self::of_rows(quaternion_rows(header))
        } else {
            None
        }
    }

    /// Row r, column c: how far anatomical axis r moves as voxel index c grows.
    fn of_rows(rows: [[f32; 3]; 3]) -> Option<Self> {
        let mut axes = [0i8; 3];
        for (column, axis) in axes.iter_mut().enumerate() {
            let (row, code) = (0..3)
                .zip(1i8..)
                .max_by(|a, b| rows[a.0][column].abs().total_cmp(&rows[b.0][column].abs()))
                .expect("three rows");
            let step = rows[row][column];
            if !step.is_finite() || step == 0.0 {
                return None;
            }
            *axis = if step > 0.0 { code } else { -code };
        }
        let mut used = axes.map(i8::abs);
        used.sort_unstable();
        (used == [1, 2, 3]).then_some(Self(axes))
    }
}

/// The rotation of the NIfTI-1 standard's method 2, with the sign of z (`qfac`) from `pixdim[0]`.
fn quaternion_rows(header: &NiftiHeader) -> [[f32; 3]; 3] {
    let (b, c, d) = (header.quatern_b, header.quatern_c, header.quatern_d);
    let a = (1.0 - (b * b + c * c + d * d)).max(0.0).sqrt();
    let z = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), z * 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, z * 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), z * (a * a + d * d - b * b - c * c)],
    ]
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for axis in self.0 {
            f.write_str(match axis {
                1 => "R",
                -1 => "L",
                2 => "A",
                -2 => "P",
                3 => "S",
                _ => "I",
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_matrix_forms_give_the_letters() {
        let mut header = NiftiHeader {
            sform_code: 1,
            srow_x: [-1.0, 0.01, 0.0, 9.0],
            srow_y: [0.0, -1.0, 0.0, 9.0],
            srow_z: [0.0, 0.0, 1.0, 9.0],
            ..NiftiHeader::default()
        };
        assert_eq!(Orientation::of_header(&header), Some(Orientation::LPS));
        assert_eq!(Orientation::LPS.to_string(), "LPS");
        // The half turn about z, as a quaternion, is LPS as well.
        header = NiftiHeader { sform_code: 0, qform_code: 1, quatern_d: 1.0, ..header };
        assert_eq!(Orientation::of_header(&header), Some(Orientation::LPS));
        header = NiftiHeader { qform_code: 0, ..header };
        assert_eq!(Orientation::of_header(&header), None);
    }

    #[test]
    fn degenerate_matrices_are_unknown() {
        let header = NiftiHeader { sform_code: 1, srow_x: [f32::NAN; 4], ..NiftiHeader::default() };
        assert_eq!(Orientation::of_header(&header), None);
        let same_twice = [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        assert_eq!(Orientation::of_rows(same_twice), None);
    }
}
