//! From a patient to voxels.

use consilium_domain::Modality;

use super::contrast::Contrast;
use super::grain::{SmoothNoise, WhiteNoise};
use super::head::Tissue;
use super::scanner::BIAS_MM;
use super::tumour::CoreGrain;
use super::{Grid, PhantomPatient};
use crate::{Orientation, Volume};

/// The least relative brightness of brain: scans keep the brain off zero, which means background.
const DARKEST: f32 = 0.02;

/// What is at each voxel of a patient's brain on one grid; its images and mask are painted from it.
pub struct Scene<'a> {
    patient: &'a PhantomPatient,
    grid: Grid,
    brain: Vec<BrainVoxel>,
}

struct BrainVoxel {
    index: usize,
    place: [f32; 3],
    tissue: Tissue,
    tumour_radius: Option<f32>,
}

impl PhantomPatient {
    /// Lays the patient on a grid.
    pub fn scene(&self, grid: Grid) -> Scene<'_> {
        let [depth, height, width] = grid.shape();
        let centre = grid.head_centre_mm();
        let place = |index: [usize; 3]| {
            std::array::from_fn(|axis| (index[axis] as f32 + 0.5) * grid.spacing_mm() - centre[axis])
        };
        let mut brain = Vec::new();
        for z in 0..depth {
            for y in 0..height {
                for x in 0..width {
                    let place = place([z, y, x]);
                    if let Some(tissue) = self.head.tissue(place) {
                        let index = (z * height + y) * width + x;
                        brain.push(BrainVoxel {
                            index,
                            place,
                            tissue,
                            tumour_radius: self.tumour.radius(place),
                        });
                    }
                }
            }
        }
        Scene { patient: self, grid, brain }
    }
}

impl Scene<'_> {
    /// The segmentation: 1 core, 2 oedema, 4 enhancing rim, 0 elsewhere.
    pub fn mask(&self) -> Volume {
        let mut values = vec![0.0; self.grid.shape().iter().product()];
        for voxel in &self.brain {
            if let Some(radius) = voxel.tumour_radius {
                values[voxel.index] = f32::from(self.patient.tumour.compartment(radius) as u8);
            }
        }
        self.volume(values)
    }

    /// One image as the site's scanner stores it: brain in whole numbers of at least 1, background 0.
    pub fn image(&self, modality: Modality) -> Volume {
        let seed = self.patient.seed.derive(&format!("image/{modality}"));
        let scanner = &self.patient.scanner;
        let blurred = blur(self.paint(modality), self.grid.shape(), scanner.blur);
        let bias = SmoothNoise::new(&seed.derive("bias"), BIAS_MM);
        let noise = WhiteNoise::new(&seed.derive("noise"));
        let mut values = vec![0.0; blurred.len()];
        for voxel in &self.brain {
            let field = (scanner.bias * bias.at(voxel.place)).exp();
            let grain = scanner.noise * noise.at([voxel.index as i32, 0, 0]);
            let received = (field * blurred[voxel.index] + grain).max(DARKEST);
            values[voxel.index] = (scanner.gain * received).round().max(1.0);
        }
        self.volume(values)
    }

    /// Relative brightness before the scanner.
    fn paint(&self, modality: Modality) -> Vec<f32> {
        let contrast = Contrast::of(modality);
        let grain = CoreGrain::draw(&self.patient.seed.derive(&format!("core/{modality}")));
        let tumour = &self.patient.tumour;
        let mut values = vec![0.0; self.grid.shape().iter().product()];
        for voxel in &self.brain {
            let healthy = voxel.tissue.brightness(&contrast);
            values[voxel.index] = match voxel.tumour_radius {
                Some(radius) => tumour.brightness(voxel.place, radius, healthy, &contrast, &grain),
                None => healthy,
            };
        }
        values
    }

    fn volume(&self, values: Vec<f32>) -> Volume {
        Volume::new(self.grid.shape(), [self.grid.spacing_mm(); 3], values)
            .expect("one finite value was painted for every voxel of the grid")
            .with_orientation(Orientation::LPS)
    }
}

/// Mixes each voxel with its neighbours on the three axes; the outermost voxels, which are never brain, stay.
fn blur(mut values: Vec<f32>, [_, height, width]: [usize; 3], share: f32) -> Vec<f32> {
    let mut mixed = values.clone();
    for step in [1, width, width * height] {
        let inner = step..values.len() - step;
        let neighbours = values.iter().zip(&values[2 * step..]);
        let centres = &values[inner.clone()];
        for ((target, centre), (before, after)) in mixed[inner].iter_mut().zip(centres).zip(neighbours) {
            *target = centre + share * (before + after - 2.0 * centre);
        }
        std::mem::swap(&mut values, &mut mixed);
        mixed.copy_from_slice(&values);
    }
    values
}
