//! A rotation about a random axis through the middle of the input.
//!
//! Not about the patient's axes or in millimetres: the input is turned as the network sees it, so that with
//! `tumour-crop`, whose cube stretches each axis by its own factor, a turn also shears a little.

use consilium_domain::RandomStream;

use super::series::cos_sin;

/// A rotation of (z, y, x) coordinates, by rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rotation([[f64; 3]; 3]);

impl Rotation {
    /// No rotation.
    pub(super) const NONE: Self = Self([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);

    /// The axis is uniform on the sphere, the angle uniform in [-`degrees`, `degrees`].
    pub(super) fn draw(degrees: f64, stream: &mut RandomStream) -> Self {
        let axis = loop {
            // Uniform in the ball, found by rejection: only its direction counts.
            let point: [f64; 3] = std::array::from_fn(|_| stream.between(-1.0, 1.0));
            let square: f64 = point.iter().map(|c| c * c).sum();
            if (1e-6..=1.0).contains(&square) {
                break point;
            }
        };
        Self::about(axis, stream.between(-degrees, degrees))
    }

    /// The rotation about `axis` (z, y, x; any length but 0) by an angle of at most 180 degrees either way.
    ///
    /// By the unit quaternion (cos θ/2, axis sin θ/2), as in Shoemake 1985, doi:10.1145/325165.325242.
    pub(super) fn about(axis: [f64; 3], degrees: f64) -> Self {
        let length = axis.iter().map(|c| c * c).sum::<f64>().sqrt();
        let (w, sin) = cos_sin(degrees.to_radians() / 2.0);
        let [a, b, c] = axis.map(|component| component / length * sin);
        Self([
            [1.0 - 2.0 * (b * b + c * c), 2.0 * (a * b - w * c), 2.0 * (a * c + w * b)],
            [2.0 * (a * b + w * c), 1.0 - 2.0 * (a * a + c * c), 2.0 * (b * c - w * a)],
            [2.0 * (a * c - w * b), 2.0 * (b * c + w * a), 1.0 - 2.0 * (a * a + b * b)],
        ])
    }

    /// Where the turned (z, y, x) lies.
    pub(super) fn turn(&self, point: [f64; 3]) -> [f64; 3] {
        self.0.map(|row| row[0] * point[0] + row[1] * point[1] + row[2] * point[2])
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::Seed;

    use super::*;

    fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
        a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    }

    #[test]
    fn drawn_rotations_keep_lengths_and_angles_and_stay_below_the_limit() {
        let mut stream = Seed::from_number(1).stream();
        let mut mean = [0.0; 3];
        let mut widest: f64 = 0.0;
        for _ in 0..2000 {
            let Rotation(rows) = Rotation::draw(30.0, &mut stream);
            for i in 0..3 {
                for j in 0..3 {
                    assert!((dot(rows[i], rows[j]) - f64::from(u8::from(i == j))).abs() < 1e-14);
                }
            }
            // The trace tells the angle, the antisymmetric part the axis times its sine.
            let angle = ((rows[0][0] + rows[1][1] + rows[2][2] - 1.0) / 2.0).min(1.0).acos().to_degrees();
            assert!(angle <= 30.0 + 1e-6, "{angle}");
            widest = widest.max(angle);
            let axis = [rows[2][1] - rows[1][2], rows[0][2] - rows[2][0], rows[1][0] - rows[0][1]];
            mean.iter_mut().zip(axis).for_each(|(sum, c)| *sum += c / 2000.0);
        }
        assert!(widest > 29.5, "{widest}");
        assert!(mean.iter().all(|c| c.abs() < 0.03), "no direction is preferred: {mean:?}");
    }

    #[test]
    fn nothing_turns_nothing() {
        assert_eq!(Rotation::about([0.3, -1.0, 2.0], 0.0), Rotation::NONE);
        assert_eq!(Rotation::NONE.turn([1.0, -2.0, 3.5]), [1.0, -2.0, 3.5]);
    }
}
