//! The anatomical directions of an image's axes, as three letters.
//!
//! Not a full affine: a small tilt or shift does not matter to networks that look at boxes, a mirrored mask
//! does. [`Affine`](super::Affine) holds the rest.

use std::fmt;
use std::str::FromStr;

/// The anatomical direction of increasing x, y and z index, in this order: 1 right, 2 anterior, 3 superior,
/// negative for their opposites. `[-1, -2, 3]` is LPS, the orientation of UPENN-GBM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation(pub(super) [i8; 3]);

impl Orientation {
    /// Left, posterior, superior.
    pub const LPS: Self = Self([-1, -2, 3]);
    /// Right, anterior, superior.
    pub const RAS: Self = Self([1, 2, 3]);
}

/// Letters that name no orientation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no orientation: give one letter each of R or L, A or P and S or I, such as LPS")]
pub struct UnknownOrientation(String);

impl FromStr for Orientation {
    type Err = UnknownOrientation;

    fn from_str(letters: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownOrientation(letters.to_owned());
        let code = |letter| match letter {
            'R' => Ok(1),
            'L' => Ok(-1),
            'A' => Ok(2),
            'P' => Ok(-2),
            'S' => Ok(3),
            'I' => Ok(-3),
            _ => Err(unknown()),
        };
        let axes: Vec<i8> = letters.chars().map(code).collect::<Result<_, _>>()?;
        let axes: [i8; 3] = axes.try_into().map_err(|_| unknown())?;
        let mut used = axes.map(i8::abs);
        used.sort_unstable();
        if used == [1, 2, 3] { Ok(Self(axes)) } else { Err(unknown()) }
    }
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
    fn letters_are_read_and_written() {
        for letters in ["LPS", "RAS", "ASL", "IRP"] {
            assert_eq!(letters.parse::<Orientation>().unwrap().to_string(), letters);
        }
        for letters in ["", "LP", "LPSS", "LRS", "lps", "XYZ"] {
            assert_eq!(letters.parse::<Orientation>(), Err(UnknownOrientation(letters.to_owned())));
        }
    }
}
