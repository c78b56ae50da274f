//! Symmetric positive definite systems of a few unknowns.

/// A share of the diagonal below which a pivot is rounding: features this close to a combination of others
/// are one.
const LEAST_PIVOT_SHARE: f64 = 1e-10;

/// The lower triangular L with L Lᵀ = A.
pub(super) struct Cholesky {
    size: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// Of the matrix `full`, row by row; `None` where it is not positive definite beyond rounding. A diagonal
    /// entry up to `noise` counts as zero.
    pub(super) fn of(full: &[f64], size: usize, noise: f64) -> Option<Self> {
        let mut lower = vec![0.0; size * size];
        for row in 0..size {
            for column in 0..=row {
                let known: f64 = (0..column).map(|k| lower[row * size + k] * lower[column * size + k]).sum();
                let rest = full[row * size + column] - known;
                if row != column {
                    lower[row * size + column] = rest / lower[column * size + column];
                    continue;
                }
                let least = noise.max(LEAST_PIVOT_SHARE * full[row * size + row]);
                if rest.is_nan() || rest <= least {
                    return None;
                }
                lower[row * size + row] = libm::sqrt(rest);
            }
        }
        Some(Self { size, lower })
    }

    /// A⁻¹ b.
    pub(super) fn solve(&self, b: &[f64]) -> Vec<f64> {
        let (size, lower) = (self.size, &self.lower);
        let mut x = b.to_vec();
        for row in 0..size {
            let known: f64 = (0..row).map(|k| lower[row * size + k] * x[k]).sum();
            x[row] = (x[row] - known) / lower[row * size + row];
        }
        for row in (0..size).rev() {
            let known: f64 = (row + 1..size).map(|k| lower[k * size + row] * x[k]).sum();
            x[row] = (x[row] - known) / lower[row * size + row];
        }
        x
    }

    /// A⁻¹, row by row.
    pub(super) fn inverse(&self) -> Vec<f64> {
        let unit =
            |place: usize| (0..self.size).map(|row| f64::from(u8::from(row == place))).collect::<Vec<_>>();
        (0..self.size).flat_map(|place| self.solve(&unit(place))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_by_hand() {
        let cholesky = Cholesky::of(&[4.0, 2.0, 2.0, 5.0], 2, 0.0).unwrap();
        assert_eq!(cholesky.solve(&[8.0, 12.0]), [1.0, 2.0]);
        assert_eq!(cholesky.inverse(), [0.3125, -0.125, -0.125, 0.25]);
    }

    #[test]
    fn what_is_not_definite_has_none() {
        for full in [[1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 2.0, 1.0], [0.0; 4], [f64::NAN; 4]] {
            assert!(Cholesky::of(&full, 2, 0.0).is_none(), "{full:?}");
        }
        assert!(Cholesky::of(&[1e-3, 0.0, 0.0, 1e-3], 2, 1e-2).is_none());
    }
}
