//! Whether the tensors of a checkpoint are exactly those of a network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use consilium_domain::network::{Depth, NetworkSpec, TensorKind, TensorSpec};

use super::callable::shown;
use super::element::Element;
use super::{Checkpoint, SavedTensor};

/// The segmentation head of MedicalNet's training, which no study uses.
const HEAD_PREFIX: &str = "conv_seg.";
/// Counts the batches a norm has seen; used only where running statistics are plain averages.
const COUNTER: &str = "num_batches_tracked";
/// What type-B shortcuts are called.
const PROJECTION: &str = ".downsample.";

/// Every way in which a checkpoint is not a network's, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMismatch {
    /// The network it was compared with.
    pub depth: Depth,
    /// In the network, not in the file.
    pub missing: Vec<String>,
    /// In the file, not in the network.
    pub unexpected: Vec<String>,
    /// In both, and different.
    pub wrong: Vec<WrongTensor>,
    /// The depth whose names these are.
    pub fits: Option<Depth>,
}

/// A tensor of another shape or type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongTensor {
    /// Its name.
    pub name: String,
    /// What the file holds.
    pub found: String,
    /// What the network has.
    pub expected: String,
}

/// What was found beside the backbone, and left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LeftOut {
    pub(super) head: Vec<String>,
    pub(super) counters: usize,
}

/// Checks that `checkpoint` holds the backbone of `network`: every tensor, no other, float32, of its shape. A head
/// and all or none of the counters may be there.
pub(super) fn verify(checkpoint: &Checkpoint<'_>, network: NetworkSpec) -> Result<LeftOut, KeyMismatch> {
    let manifest = network.backbone_tensors();
    let counters = counters(&manifest);
    let by_name: BTreeMap<&str, &TensorSpec> =
        manifest.iter().map(|spec| (spec.name.as_str(), spec)).collect();
    let mut mismatch =
        KeyMismatch { depth: network.depth, missing: vec![], unexpected: vec![], wrong: vec![], fits: None };
    let mut left_out = LeftOut::default();
    for (name, tensor) in checkpoint.tensors() {
        let element = checkpoint.storage(tensor).element;
        if name.starts_with(HEAD_PREFIX) {
            left_out.head.push(shown(name));
        } else if counters.contains(name) {
            left_out.counters += 1;
            mismatch.wrong.extend(wrong(name, (tensor, element), (&[], Element::Int64)));
        } else if let Some(spec) = by_name.get(name) {
            mismatch.wrong.extend(wrong(name, (tensor, element), (&spec.shape, Element::Float32)));
        } else {
            mismatch.unexpected.push(shown(name));
        }
    }
    let no_counters = BTreeSet::new();
    let wanted = if left_out.counters > 0 { &counters } else { &no_counters };
    let wanted = by_name.keys().copied().chain(wanted.iter().map(String::as_str));
    mismatch.missing = wanted.filter(|name| checkpoint.tensor(name).is_none()).map(str::to_owned).collect();
    mismatch.missing.sort_unstable();
    if mismatch.missing.is_empty() && mismatch.unexpected.is_empty() && mismatch.wrong.is_empty() {
        return Ok(left_out);
    }
    mismatch.fits =
        Depth::ALL.into_iter().find(|&depth| has_names_of(checkpoint, NetworkSpec { depth, ..network }));
    Err(mismatch)
}

fn counters(manifest: &[TensorSpec]) -> BTreeSet<String> {
    let norm = |spec: &TensorSpec| {
        let layer =
            spec.name.strip_suffix("running_var").filter(|_| spec.kind == TensorKind::NormVariance)?;
        Some(format!("{layer}{COUNTER}"))
    };
    manifest.iter().filter_map(norm).collect()
}

fn wrong(
    name: &str,
    (tensor, element): (&SavedTensor, Element),
    (shape, expected): (&[usize], Element),
) -> Option<WrongTensor> {
    let same_shape = tensor.shape().iter().copied().eq(shape.iter().map(|&extent| extent as u64));
    (!same_shape || element != expected).then(|| WrongTensor {
        name: name.to_owned(),
        found: format!("{element} {:?}", tensor.shape()),
        expected: format!("{expected} {shape:?}"),
    })
}

/// Whether the names, heads and counters aside, are those of `network` and its tensors have its shapes.
fn has_names_of(checkpoint: &Checkpoint<'_>, network: NetworkSpec) -> bool {
    let mut wanted = network.backbone_tensors();
    wanted.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let kept = |name: &&str| !name.starts_with(HEAD_PREFIX) && !name.ends_with(COUNTER);
    let shape =
        |tensor: &SavedTensor| tensor.shape().iter().map(|&extent| extent as usize).collect::<Vec<_>>();
    let found = checkpoint.tensors().filter(|(name, _)| kept(name));
    found
        .map(|(name, tensor)| (name, shape(tensor)))
        .eq(wanted.iter().map(|spec| (spec.name.as_str(), spec.shape.clone())))
}

impl fmt::Display for KeyMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the tensors are not those of MedicalNet's ResNet-{}", self.depth.layers())?;
        match self.fits {
            Some(fits) if fits != self.depth => {
                write!(f, ", but of ResNet-{}: pass --depth {}", fits.layers(), fits.layers())?;
            }
            Some(_) => f.write_str(": the names are, the types are not; save it in float32")?,
            None if self.is_other_shortcut() => write!(
                f,
                ": its shortcuts are convolutions (type B), and ResNet-{} of the release has none (type A); fetch the \
                 released file",
                self.depth.layers()
            )?,
            None => {
                f.write_str(
                    " nor of another depth: fetch the released file, or a network of the same layout",
                )?;
            }
        }
        list(f, "missing", &self.missing)?;
        list(f, "unexpected", &self.unexpected)?;
        let wrong: Vec<String> = self
            .wrong
            .iter()
            .map(|tensor| format!("{} is {}, not {}", tensor.name, tensor.found, tensor.expected))
            .collect();
        list(f, "different", &wrong)
    }
}

impl KeyMismatch {
    fn is_other_shortcut(&self) -> bool {
        let extra = |name: &String| name.contains(PROJECTION);
        !self.depth.has_projection_shortcut()
            && !self.unexpected.is_empty()
            && self.unexpected.iter().all(extra)
            && self.missing.is_empty()
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, names: &[String]) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    write!(f, "\n{what} ({}):", names.len())?;
    names.iter().try_for_each(|name| write!(f, "\n  {name}"))
}

impl std::error::Error for KeyMismatch {}
