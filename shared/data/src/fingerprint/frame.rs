//! A coarse lattice about the middle of the brain, in anatomical axes.
//!
//! It depends on the tissue alone and not on the array: background around it may be cropped or padded, axes
//! stored in another order or direction, voxels be of another size.

use super::sketch::SketchError;
use crate::{Orientation, Volume};

/// Distance of two nodes in millimetres: some gyri, so that a voxel's error of the middle changes little.
pub(super) const PITCH_MM: f32 = 6.0;
/// Nodes along the axes right-left, front-back and up-down. Even, so that the middle lies between two nodes and
/// each has a mirror image.
pub(super) const NODES: [usize; 3] = [24, 30, 24];
const COUNT: usize = NODES[0] * NODES[1] * NODES[2];

/// Weight and mean of the tissue about each node of the lattice.
pub(super) struct Lattice {
    weights: Vec<f32>,
    sums: Vec<f32>,
}

impl Lattice {
    /// Spreads every voxel of tissue over the eight nodes around it, by its distance from each.
    pub(super) fn of(volume: &Volume) -> Result<Self, SketchError> {
        let background = background(volume);
        let axes = Axes::of(volume);
        let middle = axes.middle(volume, background)?;
        let places = axes.places(volume.shape(), middle);
        let mut lattice = Self { weights: vec![0.0; COUNT], sums: vec![0.0; COUNT] };
        let [_, height, width] = volume.shape();
        for (row, values) in volume.values().chunks_exact(width).enumerate() {
            let (Some(z), Some(y)) = (places[0][row / height], places[1][row % height]) else { continue };
            for (value, x) in values.iter().zip(&places[2]) {
                if let Some(x) = x.as_ref().filter(|_| *value != background) {
                    lattice.spread(*value, [z, y, *x]);
                }
            }
        }
        Ok(lattice)
    }

    fn spread(&mut self, value: f32, [z, y, x]: [Place; 3]) {
        let corner = z.node + y.node + x.node;
        for (dz, wz) in [(0, 1.0 - z.beyond), (z.step, z.beyond)] {
            for (dy, wy) in [(0, 1.0 - y.beyond), (y.step, y.beyond)] {
                for (dx, wx) in [(0, 1.0 - x.beyond), (x.step, x.beyond)] {
                    let (node, weight) = (corner + dz + dy + dx, wz * wy * wx);
                    self.weights[node] += weight;
                    self.sums[node] += weight * value;
                }
            }
        }
    }

    /// How much brighter the tissue about `node` is than that of the 125 nodes around and including it; `None`
    /// where there is no tissue.
    pub(super) fn contrast(&self, node: [usize; 3]) -> Option<f32> {
        let here = index(node);
        let (mut weight, mut sum) = (0.0, 0.0);
        let near = |axis: usize| node[axis].saturating_sub(2)..(node[axis] + 3).min(NODES[axis]);
        for right in near(0) {
            for front in near(1) {
                for up in near(2) {
                    let node = index([right, front, up]);
                    weight += self.weights[node];
                    sum += self.sums[node];
                }
            }
        }
        (self.weights[here] > 0.0).then(|| self.sums[here] / self.weights[here] - sum / weight)
    }
}

const STRIDES: [usize; 3] = [NODES[1] * NODES[2], NODES[2], 1];

fn index(node: [usize; 3]) -> usize {
    (0..3).map(|axis| node[axis] * STRIDES[axis]).sum()
}

/// The commonest value on the six faces of the array, which lie outside the brain.
fn background(volume: &Volume) -> f32 {
    let [depth, height, width] = volume.shape();
    let mut faces = Vec::new();
    for z in 0..depth {
        for y in 0..height {
            let row = &volume.values()[(z * height + y) * width..][..width];
            if z == 0 || z == depth - 1 || y == 0 || y == height - 1 {
                faces.extend_from_slice(row);
            } else {
                faces.extend([row[0], row[width - 1]]);
            }
        }
    }
    faces.sort_unstable_by(f32::total_cmp);
    let longest = faces.chunk_by(|a, b| a == b).max_by_key(|run| run.len());
    longest.and_then(|run| run.first()).copied().unwrap_or_default()
}

/// Where a coordinate of the array lies between two nodes.
#[derive(Clone, Copy)]
struct Place {
    /// Its part of the index of the node before it.
    node: usize,
    /// From there to the index of the node after it.
    step: usize,
    /// Share of the way to that node.
    beyond: f32,
}

/// For each axis of the array (z, y, x): the anatomical axis along which it runs, and millimetres a step.
struct Axes([(usize, f32); 3]);

impl Axes {
    /// An image that does not say where its axes point is taken for LPS, as the public archives are.
    fn of(volume: &Volume) -> Self {
        let towards = volume.orientation().unwrap_or(Orientation::LPS).axes();
        let spacing = volume.spacing();
        Self(std::array::from_fn(|axis| {
            let towards = towards[2 - axis];
            (usize::from(towards.unsigned_abs()) - 1, spacing[axis] * f32::from(towards.signum()))
        }))
    }

    /// The mean index of the tissue along each axis of the array.
    fn middle(&self, volume: &Volume, background: f32) -> Result<[f64; 3], SketchError> {
        let [_, height, width] = volume.shape();
        let (mut voxels, mut sums) = (0u64, [0u64; 3]);
        for (row, values) in volume.values().chunks_exact(width).enumerate() {
            let (mut here, mut along) = (0u64, 0u64);
            for (x, _) in values.iter().enumerate().filter(|(_, value)| **value != background) {
                here += 1;
                along += x as u64;
            }
            voxels += here;
            let [z, y] = [row / height, row % height].map(|index| index as u64 * here);
            sums = [sums[0] + z, sums[1] + y, sums[2] + along];
        }
        if voxels == 0 {
            return Err(SketchError::Empty);
        }
        Ok(sums.map(|sum| sum as f64 / voxels as f64))
    }

    /// Where each coordinate of each axis of the array lies on the lattice; `None` outside of it.
    fn places(&self, shape: [usize; 3], middle: [f64; 3]) -> [Vec<Option<Place>>; 3] {
        std::array::from_fn(|axis| {
            let (anatomical, mm) = self.0[axis];
            let place = |index: usize| {
                let from_middle = (index as f64 - middle[axis]) as f32 * mm / PITCH_MM;
                let node = from_middle + (NODES[anatomical] - 1) as f32 / 2.0;
                let before = node.floor();
                let inside = before >= 0.0 && before < (NODES[anatomical] - 1) as f32;
                inside.then(|| Place {
                    node: before as usize * STRIDES[anatomical],
                    step: STRIDES[anatomical],
                    beyond: node - before,
                })
            };
            (0..shape[axis]).map(place).collect()
        })
    }
}
