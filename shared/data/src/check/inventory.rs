//! What a site has, in numbers.

use std::collections::{BTreeMap, BTreeSet};

use consilium_domain::{ClassCounts, Modality};

use super::dates::ScanDates;
use super::headers::Inspected;
use super::report::CheckedCase;
use crate::{Cohort, Exclusion, VolumeHeader};

/// Spacings are told apart to this part of a millimetre, as grids are compared.
const SPACING_STEPS_PER_MM: f32 = 1000.0;

/// A grid and how many files lie on it.
#[derive(Debug, Clone, PartialEq)]
pub struct GridCount {
    /// Voxels along z, y and x.
    pub shape: [usize; 3],
    /// Voxel size along z, y and x in millimetres, to the thousandth.
    pub spacing: [f32; 3],
    /// Three letters such as `LPS`; none where the files do not say.
    pub orientation: Option<String>,
    /// Images and masks.
    pub files: usize,
}

/// The cases with one modality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModalityInventory {
    /// With such an image.
    pub found: ClassCounts,
    /// With a usable one.
    pub usable: ClassCounts,
}

/// What a site has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inventory {
    /// Patients with a case.
    pub patients: usize,
    /// Scans that the layout knows, those left out included.
    pub scans: usize,
    /// Labelled scans with a mask and an image.
    pub cases: ClassCounts,
    /// Of those, the ones that remain after the check.
    pub usable: ClassCounts,
    /// Cases that hold none of the modalities that were asked for.
    pub without_modality: usize,
    /// Scans left out by the layout, by reason.
    pub excluded: BTreeMap<Exclusion, u32>,
    /// Every modality that was looked at.
    pub modalities: BTreeMap<Modality, ModalityInventory>,
    /// When the usable cases were scanned, as far as the layout says.
    pub dates: ScanDates,
    /// The most frequent first.
    pub grids: Vec<GridCount>,
}

impl Inventory {
    pub(super) fn of(
        cohort: &Cohort,
        cases: &[CheckedCase],
        without_modality: usize,
        modalities: &[Modality],
        files: &[Inspected],
    ) -> Self {
        let patients: BTreeSet<_> = cohort.cases.iter().map(|case| &case.patient).collect();
        let mut inventory = Self {
            patients: patients.len(),
            scans: cohort.cases.len() + without_modality + cohort.excluded.len(),
            without_modality,
            excluded: cohort.exclusions(),
            modalities: modalities.iter().map(|&modality| (modality, ModalityInventory::default())).collect(),
            dates: ScanDates::of(cases),
            grids: grids(files.iter().filter_map(|file| file.header.as_ref())),
            ..Self::default()
        };
        for case in cases {
            let label = case.case.label;
            inventory.cases.count(label);
            if case.is_usable() {
                inventory.usable.count(label);
            }
            for modality in case.case.images.keys() {
                let entry = inventory.modalities.entry(*modality).or_default();
                entry.found.count(label);
                if case.usable.contains(modality) {
                    entry.usable.count(label);
                }
            }
        }
        inventory
    }
}

/// What is one grid, in numbers that can be compared.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct GridKey {
    shape: [usize; 3],
    spacing_steps: [u32; 3],
    orientation: Option<String>,
}

fn grids<'a>(headers: impl Iterator<Item = &'a VolumeHeader>) -> Vec<GridCount> {
    let mut counts: BTreeMap<GridKey, usize> = BTreeMap::new();
    for header in headers {
        let key = GridKey {
            shape: header.shape(),
            spacing_steps: header.spacing().map(|mm| (mm * SPACING_STEPS_PER_MM).round() as u32),
            orientation: header.orientation().map(|axes| axes.to_string()),
        };
        *counts.entry(key).or_default() += 1;
    }
    let mut grids: Vec<GridCount> = counts
        .into_iter()
        .map(|(GridKey { shape, spacing_steps, orientation }, files)| {
            let spacing = spacing_steps.map(|steps| steps as f32 / SPACING_STEPS_PER_MM);
            GridCount { shape, spacing, orientation, files }
        })
        .collect();
    grids.sort_by_key(|grid| std::cmp::Reverse(grid.files));
    grids
}
