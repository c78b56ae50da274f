//! A stand-in for MedicalNet's weights: a small backbone that learned to read synthetic anatomy.
//!
//! MedicalNet was pretrained to segment 23 data sets; its files are not ours to ship. The stand-in regresses
//! attributes of unlabelled phantoms (size, shape, texture), so that the pretrained arms have something to transfer.
//! It says nothing about real MedicalNet.

use std::ops::ControlFlow;

use anyhow::Context;
use consilium_data::phantom::pretext_examples;
use consilium_domain::{Preprocessing, Study};
use consilium_model::{ComputeDevice, Pretext, pretrain_backbone};
use consilium_weights::Weights;

use crate::progress::Progress;

/// Phantoms to learn from, over all modalities.
const EXAMPLES: usize = 480;

/// How to learn.
const PRETEXT: Pretext = Pretext { epochs: 8, batch: 8, learning_rate: 2e-3 };

/// The side of the study's inputs, in voxels, where they are cubes that a stand-in can be pretrained on.
pub(crate) fn input_side(study: &Study) -> anyhow::Result<u16> {
    match study.preprocessing {
        Preprocessing::TumourCrop { side } => Ok(side),
        Preprocessing::Schmitz2024 => anyhow::bail!(
            "this preset needs real MedicalNet weights: pass --weights FILE, or compare --arms random only"
        ),
    }
}

/// Pretrains a backbone of the study's size on phantoms of its modalities.
pub(crate) fn pretrain(study: &Study, device: &ComputeDevice) -> anyhow::Result<Weights> {
    let side = input_side(study)?;
    let seed = study.seed().derive("stand-in");
    let each = EXAMPLES / study.modalities.len();
    let progress = Progress::start("pretraining a stand-in backbone");
    let examples: Vec<_> = study
        .modalities
        .iter()
        .flat_map(|&modality| pretext_examples(each, side, &seed.derive(modality.name()), modality))
        .collect();
    let inputs: Vec<&[f32]> = examples.iter().map(|example| example.input.as_slice()).collect();
    let targets: Vec<Vec<f32>> = examples.iter().map(|example| example.targets.to_vec()).collect();
    let mut observe = |at: consilium_model::TrainingProgress| {
        let done = u32::from(at.epoch) * at.steps + at.step;
        progress.show(done, u32::from(at.epochs) * at.steps, &format!("loss {:.3}", at.loss));
        ControlFlow::Continue(())
    };
    let shape = study.preprocessing.input_shape();
    let weights =
        pretrain_backbone(study.network, &inputs, shape, &targets, PRETEXT, seed, device, &mut observe)
            .context("the stand-in backbone cannot be trained")?;
    progress.finish("a stand-in backbone is ready");
    Ok(weights)
}
