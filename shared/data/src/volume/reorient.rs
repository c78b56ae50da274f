//! Turning an image's axes to other anatomical directions, voxel for voxel.
//!
//! Deliberately no interpolation: an oblique image stays oblique, its values stay the same numbers.

use super::{Affine, Orientation, Volume};

/// The file did not say where the axes point, so they cannot be turned, nor compared with another image's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the image does not say where its axes point (sform_code and qform_code are 0): export it again with \
     its orientation"
)]
pub struct UnknownPlacement;

impl Volume {
    /// The same image with its axes permuted and mirrored to `orientation`. Every voxel keeps its value and
    /// its place in the patient: the affine changes with the axes.
    ///
    /// # Errors
    /// [`UnknownPlacement`] where the axes' directions are unknown.
    pub fn in_orientation(self, orientation: Orientation) -> Result<Self, UnknownPlacement> {
        let affine = self.affine.ok_or(UnknownPlacement)?;
        let current = affine.orientation();
        if current == orientation {
            return Ok(self);
        }
        let turns = Turn::each(current, orientation);
        let axis_of = |turn: &Turn| 2 - turn.from;
        let sizes = turns.each_ref().map(|turn| self.shape[axis_of(turn)]);
        let spacings = turns.each_ref().map(|turn| self.spacing[axis_of(turn)]);
        let mut values = Vec::with_capacity(self.values.len());
        let steps = turns.each_ref().map(|turn| turn.step(self.shape));
        let start: isize = turns.iter().zip(steps).zip(sizes).map(|((t, step), n)| t.start(step, n)).sum();
        for z in 0..sizes[2] as isize {
            for y in 0..sizes[1] as isize {
                let row = start + z * steps[2] + y * steps[1];
                values.extend((0..sizes[0] as isize).map(|x| self.values[(row + x * steps[0]) as usize]));
            }
        }
        let [x, y, z] = sizes;
        let [dx, dy, dz] = spacings;
        let affine = turned(affine, &turns, sizes);
        Ok(Self { shape: [z, y, x], spacing: [dz, dy, dx], affine: Some(affine), values })
    }
}

/// How one new axis comes from an old one; axes counted x 0, y 1, z 2.
struct Turn {
    from: usize,
    mirrored: bool,
}

impl Turn {
    /// For the new x, y and z.
    fn each(current: Orientation, wanted: Orientation) -> [Self; 3] {
        wanted.0.map(|code| {
            let same_axis = |old: &i8| old.abs() == code.abs();
            let from = current.0.iter().position(same_axis).expect("an orientation names all three axes");
            Self { from, mirrored: current.0[from] != code }
        })
    }

    /// How far one step along the new axis moves in the old values.
    fn step(&self, [_, height, width]: [usize; 3]) -> isize {
        let stride = [1, width, width * height][self.from] as isize;
        if self.mirrored { -stride } else { stride }
    }

    /// Where the new axis starts in the old values.
    fn start(&self, step: isize, size: usize) -> isize {
        if self.mirrored { -step * (size as isize - 1) } else { 0 }
    }
}

/// The affine of the new axes: the old one after "new index to old index".
fn turned(affine: Affine, turns: &[Turn; 3], sizes: [usize; 3]) -> Affine {
    let mut old_of_new = [[0.0; 4]; 3];
    for (column, turn) in turns.iter().enumerate() {
        let row = &mut old_of_new[turn.from];
        (row[column], row[3]) = if turn.mirrored { (-1.0, (sizes[column] - 1) as f64) } else { (1.0, 0.0) };
    }
    // Not checked again: mirrored images may lie a little farther out, and stay invertible.
    Affine::of_sound_rows(affine.after(&old_of_new))
}
