//! Whether both sides compute the same: times of different functions cannot be compared.
//!
//! Checked in 32 bits even where a workload multiplies in bfloat16: with so few digits a route flips now and then, and
//! then everything behind it differs.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::programs::Programs;
use super::worker::{Worker, number};
use super::workload::{Work, Workload};

/// Largest relative difference of losses, of answers, and of each tensor of gradients by its norm.
const TOLERANCE: f64 = 1e-3;
/// Where PyTorch's own 32 bits are further than that from its 64 bits, ours may be this many times as far. That is so
/// in deep networks only; the same code must keep to the tolerance in shallow ones.
const OWN_ERRORS: f64 = 2.0;

/// How near the two sides are.
#[derive(Debug)]
pub(crate) struct Agreement {
    /// What was compared, with the largest difference.
    pub(crate) text: String,
}

/// One tensor's gradient.
#[derive(Debug)]
struct Difference<'a> {
    tensor: &'a str,
    /// Of ours from PyTorch's, relative to its norm; infinite when only PyTorch's is zero.
    error: f64,
    /// Of PyTorch's 32 bits from its 64 bits; zero when 32 bits are what is compared with.
    own_error: f64,
}

impl<'a> Difference<'a> {
    fn read(entry: &'a Value) -> Result<Self> {
        Ok(Self {
            tensor: entry["name"].as_str().context("a tensor has no name")?,
            error: entry["error"].as_f64().unwrap_or(f64::INFINITY),
            own_error: entry["own_error"].as_f64().unwrap_or(0.0),
        })
    }
}

/// Compares both sides on the weights and cases that it writes for `plan`. `None` when there is no PyTorch.
pub(crate) fn check(programs: &Programs, workload: &Workload, plan: &Value) -> Result<Option<Agreement>> {
    let mut ours = programs.ours()?;
    ours.ask(&json!({ "prepare": plan }))?;
    let Some(mut torch) = programs.torch()? else { return Ok(None) };
    let mut plan = plan.clone();
    plan["precision"] = "f32".into();
    let build = json!({ "build": plan });
    ours.ask(&build)?;
    torch.ask(&build)?;
    let text = match workload.work {
        Work::Train => compare_gradients(&mut ours, &mut torch, &plan)?,
        Work::Evaluate => compare_answers(&mut ours, &mut torch)?,
    };
    Ok(Some(Agreement { text }))
}

fn compare_answers(ours: &mut Worker, torch: &mut Worker) -> Result<String> {
    let [ours, theirs] =
        [ours, torch].map(|side| -> Result<Vec<f64>> { logits(&side.ask(&"evaluate".into())?) });
    let (ours, theirs) = (ours?, theirs?);
    let largest = theirs.iter().fold(0.0f64, |largest, logit| largest.max(logit.abs()));
    let differences = ours.iter().zip(&theirs).map(|(ours, theirs)| (ours - theirs).abs() / largest);
    let error = differences.max_by(f64::total_cmp).unwrap_or(f64::INFINITY);
    if ours.len() != theirs.len() || !agrees(error) {
        bail!("the logits {ours:?} are not PyTorch's {theirs:?}: relative difference {error:.1e}");
    }
    Ok(format!("logits within {error:.1e}"))
}

/// Not the contrary of "is larger": that is false for what is no number.
fn agrees(error: f64) -> bool {
    error <= TOLERANCE
}

fn logits(answer: &Value) -> Result<Vec<f64>> {
    let logits = answer["logits"].as_array().with_context(|| format!("{answer} has no logits"))?;
    logits.iter().map(|logit| logit.as_f64().context("a logit is not a number")).collect()
}

fn compare_gradients(ours: &mut Worker, torch: &mut Worker, plan: &Value) -> Result<String> {
    let folder = plan["weights"].as_str().context("weights lie in a folder")?;
    let file = std::path::Path::new(folder).join("gradients.safetensors");
    let found = ours.ask(&json!({ "gradients": { "file": file } }))?;
    let mut compare = |double: bool| {
        let request = json!({ "file": file, "noise": found["noise"], "double": double });
        torch.ask(&json!({ "compare": request }))
    };
    let (mut bits, mut reference) = (32, compare(false)?);
    if judge(&differences(&reference)?).is_err() {
        (bits, reference) = (64, compare(true)?);
    }
    let (loss, expected) = (number(&found, "loss")?, number(&reference, "loss")?);
    let error = (loss - expected).abs() / expected.abs();
    if !agrees(error) {
        bail!("the loss {loss} is not PyTorch's {expected}: relative difference {error:.1e}");
    }
    let differences = differences(&reference)?;
    match judge(&differences) {
        Ok(worst) => Ok(format!("loss within {error:.1e}; gradients, against {bits} bits: {worst}")),
        Err(worst) => bail!("the gradients are not PyTorch's: {worst}"),
    }
}

fn differences(answer: &Value) -> Result<Vec<Difference<'_>>> {
    let tensors = answer["tensors"].as_array().context("PyTorch compared no tensors")?;
    tensors.iter().map(Difference::read).collect()
}

/// The largest difference; as an error when it is too large.
///
/// What is allowed goes by the worst of PyTorch's own errors in all tensors, not in the same one: which tensor is hit
/// by a ReLU whose sign is a matter of rounding is chance, how hard it is hit is a property of the network.
fn judge(differences: &[Difference<'_>]) -> Result<String, String> {
    let Some(worst) = differences.iter().max_by(|a, b| a.error.total_cmp(&b.error)) else {
        return Err("there are none".to_owned());
    };
    let own_error = differences.iter().map(|difference| difference.own_error).fold(0.0, f64::max);
    let mut text = format!("at most {:.1e} ({})", worst.error, worst.tensor);
    if own_error > 0.0 {
        text += &format!(", PyTorch's own in 32 bits {own_error:.1e}");
    }
    if worst.error <= TOLERANCE.max(OWN_ERRORS * own_error) { Ok(text) } else { Err(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(tensors: &[(&str, f64, f64)]) -> Result<String, String> {
        let difference = |&(tensor, error, own_error)| Difference { tensor, error, own_error };
        judge(&tensors.iter().map(difference).collect::<Vec<_>>())
    }

    #[test]
    fn what_pytorch_itself_cannot_tell_is_forgiven_and_no_more() {
        assert!(judged(&[("a", 9e-4, 0.0), ("b", 0.0, 0.0)]).is_ok_and(|text| text.contains("(a)")));
        assert!(judged(&[("a", 1.9e-2, 1e-7), ("b", 9e-4, 1e-2)]).is_ok());
        assert!(judged(&[("a", 2.1e-2, 1e-2), ("b", 9e-4, 1e-7)]).is_err_and(|text| text.contains("(a)")));
        assert!(judged(&[("a", 1.1e-3, 1e-7)]).is_err());
        assert!(judged(&[("a", f64::INFINITY, 0.0)]).is_err());
        assert!(judged(&[("a", f64::NAN, 0.0), ("b", 1e-4, 0.0)]).is_err());
        assert!(judged(&[]).is_err());
    }

    #[test]
    fn a_gradient_that_is_zero_only_for_pytorch_is_a_difference() {
        let answer = json!({ "tensors": [{ "name": "a", "error": null }, { "name": "b", "error": 0.0 }] });
        let found = differences(&answer).unwrap();
        assert_eq!([found[0].error, found[1].error], [f64::INFINITY, 0.0]);
    }
}
