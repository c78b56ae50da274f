//! Which files a package has, and how large each may be.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use consilium_domain::{Arm, Fold, Modality, Study};

/// The card.
pub(crate) const CARD_FILE: &str = "card.json";
/// The card for people.
pub(crate) const CARD_TEXT_FILE: &str = "card.md";
/// The pretrained backbone.
pub(crate) const BASE_FILE: &str = "base.safetensors";
/// The signature.
pub(crate) const SIGNATURE_FILE: &str = "signature.json";
/// Folder of the models.
pub(crate) const MODELS_DIR: &str = "models";

/// Largest card: 220 models (11 modalities, 20 folds) and a study of 500 sites make less than 1 MiB.
pub(crate) const MAX_CARD_BYTES: u64 = 4 << 20;
/// Largest card for people: shorter than the card.
pub(crate) const MAX_CARD_TEXT_BYTES: u64 = 4 << 20;
/// Largest signature: four certificates of 2 KiB, in Base64, and the names around them.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 32 << 10;

/// What a safetensors header may say of one tensor: name, shape and place take less than 200 bytes.
const HEADER_BYTES_PER_TENSOR: u64 = 512;

/// The path of a model in a package.
pub(crate) fn model_path(modality: Modality, fold: Fold) -> String {
    format!("{MODELS_DIR}/{modality}-fold{fold}.safetensors")
}

/// The models of an arm: modality by modality, fold by fold.
pub(crate) fn model_places(study: &Study) -> Vec<(Modality, Fold)> {
    let folds = (0..study.evaluation.folds).map(Fold);
    study.modalities.iter().flat_map(|&modality| folds.clone().map(move |fold| (modality, fold))).collect()
}

/// The files that the card of `arm` lists, in its order.
pub(crate) fn listed_paths(study: &Study, arm: Arm) -> Vec<String> {
    let mut paths = vec![CARD_TEXT_FILE.to_owned()];
    paths.extend(arm.is_pretrained().then(|| BASE_FILE.to_owned()));
    paths.extend(model_places(study).into_iter().map(|(modality, fold)| model_path(modality, fold)));
    paths
}

/// The tensors of a model.
pub(crate) fn model_manifest(study: &Study, arm: Arm) -> Arc<[TensorSpec]> {
    study.trainable_tensors(arm).into()
}

/// The tensors of the backbone.
pub(crate) fn base_manifest(study: &Study) -> Arc<[TensorSpec]> {
    study.network.backbone_tensors().into()
}

/// The most bytes that a file of these tensors can have.
pub(crate) fn most_bytes(manifest: &[TensorSpec]) -> u64 {
    let values: u64 = manifest.iter().map(|tensor| tensor.values() as u64).sum();
    4 * values + HEADER_BYTES_PER_TENSOR * (manifest.len() as u64 + 1)
}

/// What lies in a folder, told apart from what should.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Should be there and is not.
    pub(crate) missing: Vec<String>,
    /// Is there and should not.
    pub(crate) unexpected: Vec<String>,
}

/// Compares the files in `folder` with `expected`.
pub(crate) fn compare(folder: &Path, expected: &[String]) -> io::Result<Difference> {
    let mut found = BTreeSet::new();
    for name in names(folder)? {
        if name == MODELS_DIR && fs::symlink_metadata(folder.join(&name))?.is_dir() {
            found.extend(
                names(&folder.join(MODELS_DIR))?.into_iter().map(|name| format!("{MODELS_DIR}/{name}")),
            );
        } else {
            found.insert(name);
        }
    }
    let expected: BTreeSet<String> = expected.iter().cloned().collect();
    Ok(Difference {
        missing: expected.difference(&found).cloned().collect(),
        unexpected: found.difference(&expected).cloned().collect(),
    })
}

/// Names that are not Unicode are told as well as they can be: none of a package is.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
