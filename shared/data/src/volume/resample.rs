//! Values of an image on another grid, through the places of the voxels in the patient.
//!
//! The same numbers as `scipy.ndimage.affine_transform(order=1 or 0, mode='constant', cval=0)`, which
//! `nibabel.processing.resample_from_to` calls. Not a smoothing filter: shrink an image a lot and it aliases,
//! as there.

use super::{Grid, UnknownPlacement, Volume};

/// A place this close to a voxel's centre (in voxels) is that centre. Without it, rounding of the affines
/// would push the first and the last slice of an unchanged grid outside the image.
const ON_CENTRE: f64 = 1e-6;

/// How a value between voxel centres comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// From the eight neighbours, weighted by closeness: for images.
    Trilinear,
    /// The closest voxel's, the higher index where two are equally close: for masks.
    Nearest,
}

impl Volume {
    /// The image's values at the voxels of `grid`; 0 where those lie outside the image's outermost voxel
    /// centres.
    ///
    /// # Errors
    /// [`UnknownPlacement`] where it is unknown where this image lies.
    pub fn resample_onto(&self, grid: &Grid, interpolation: Interpolation) -> Result<Self, UnknownPlacement> {
        let affine = self.affine.ok_or(UnknownPlacement)?;
        // From the new grid's indices to this image's, rows in the order x, y, z.
        let rows = affine.inverse().after(&grid.affine().rows());
        let [depth, height, width] = grid.shape();
        let mut values = Vec::with_capacity(depth * height * width);
        for z in 0..depth {
            for y in 0..height {
                let start = rows.map(|row| row[1] * y as f64 + row[2] * z as f64 + row[3]);
                values.extend((0..width).map(|x| {
                    let place: [f64; 3] = std::array::from_fn(|axis| rows[axis][0] * x as f64 + start[axis]);
                    match interpolation {
                        Interpolation::Trilinear => self.trilinear(place),
                        Interpolation::Nearest => self.nearest(place),
                    }
                }));
            }
        }
        let spacing = grid.affine().spacing();
        Ok(Self { shape: grid.shape(), spacing, affine: Some(grid.affine()), values })
    }

    fn nearest(&self, [x, y, z]: [f64; 3]) -> f32 {
        let [depth, height, width] = self.shape;
        let closest = |place, size| within(place, size).map(|place| (place + 0.5).floor() as usize);
        match (closest(x, width), closest(y, height), closest(z, depth)) {
            (Some(x), Some(y), Some(z)) => self.values[(z * height + y) * width + x],
            _ => 0.0,
        }
    }

    fn trilinear(&self, [x, y, z]: [f64; 3]) -> f32 {
        let [depth, height, width] = self.shape;
        let between = |place, size| within(place, size).map(|place| Between::new(place, size));
        let (Some(x), Some(y), Some(z)) = (between(x, width), between(y, height), between(z, depth)) else {
            return 0.0;
        };
        let along_x = |z: usize, y: usize| {
            let row = (z * height + y) * width;
            x.mix(self.values[row + x.lower].into(), self.values[row + x.upper].into())
        };
        let along_y = |z: usize| y.mix(along_x(z, y.lower), along_x(z, y.upper));
        z.mix(along_y(z.lower), along_y(z.upper)) as f32
    }
}

/// A place between two voxel centres of one axis.
struct Between {
    lower: usize,
    upper: usize,
    /// From 0 at the lower to 1 at the upper.
    share: f64,
}

impl Between {
    fn new(place: f64, size: usize) -> Self {
        let lower = place as usize;
        // At the last centre there is no upper neighbour, and its share is 0.
        Self { lower, upper: (lower + 1).min(size - 1), share: place - lower as f64 }
    }

    fn mix(&self, lower: f64, upper: f64) -> f64 {
        lower * (1.0 - self.share) + upper * self.share
    }
}

/// The place if it is between the first and the last voxel centre, and exactly on a centre if it nearly is.
fn within(place: f64, size: usize) -> Option<f64> {
    let centre = place.round();
    let place = if (place - centre).abs() < ON_CENTRE { centre } else { place };
    (0.0..=(size - 1) as f64).contains(&place).then_some(place)
}
