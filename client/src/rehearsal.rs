//! A rehearsal: prepare this site's data for a study and take a few training steps, to know what the study will take.
//!
//! Nothing is sent, and nothing is learned: the network starts from random numbers and is thrown away. The cache it
//! fills is the one that the study will use.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use consilium_data::{IMAGE_SKETCHER, InputCache};
use consilium_domain::network::{TensorSpec, initial_values};
use consilium_domain::{ClassBalance, Lane, Seed, Study, Training};
use consilium_model::{Architecture, Classifier};
use consilium_weights::{Weights, initial_trainable};
use serde::Serialize;

use crate::config::Config;
use crate::study_data::{Intake, LaneCases, LaneInputs, StudyData};

/// Seed of the rehearsal's random numbers; nothing of them is kept.
const SEED: u64 = 1;

/// What a study will take at this site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rehearsal {
    /// The study's name.
    pub study: String,
    /// The lane that was rehearsed.
    pub lane: String,
    /// What trained.
    pub device: String,
    /// Inputs of all modalities of the study.
    pub inputs: u64,
    /// Of them built just now; the others were in the cache.
    pub built: u64,
    /// Seconds to have them all.
    pub preparing_seconds: f64,
    /// Training steps taken.
    pub steps: u32,
    /// Patients a step.
    pub batch_size: u16,
    /// Seconds of the first step, in which a graphics card compiles its kernels and a processor fills its caches.
    pub first_step_seconds: f64,
    /// Mean seconds of the later steps; of the first where there is no other.
    pub step_seconds: f64,
    /// Share of the time of all steps spent waiting for inputs.
    pub waiting_share: f64,
    /// Highest memory of this process in bytes, where the system tells.
    pub peak_memory: Option<u64>,
    /// Estimated seconds of training for one round of the lane.
    pub round_seconds: f64,
    /// Estimated seconds of training for the whole study: rounds of all lanes.
    pub study_seconds: f64,
}

/// Rehearses `study` with at most `steps` training steps.
///
/// # Errors
/// Where the data, the cache or the network cannot be used, or the site has too few patients to train.
pub fn rehearse(config: &Config, study: &Study, steps: u32) -> anyhow::Result<Rehearsal> {
    let began = Instant::now();
    let cache = InputCache::open(&config.state.join("cache"), config.cache)?.with_sketcher(IMAGE_SKETCHER);
    // Where sites are left out one after the other, the last one trains in the first lane.
    let site = study.federation.sites.last().context("the study has no site")?;
    let data = Intake::open(study, config.layout, &config.data, &cache)?.deal(study, site, &[])?;
    cache.flush()?;
    let preparing_seconds = began.elapsed().as_secs_f64();
    let stats = cache.stats();
    let lane = study.lanes().into_iter().next().context("the study has no lane")?;
    let patients = data.training(&lane).len();
    if patients < 2 {
        bail!("{patients} patients of {} to train on: a site needs at least two", lane.modality);
    }
    let trained = train(config, study, &lane, &data, &cache, steps)?;
    let steps_a_round = patients.div_ceil(study.training.batch_size.into()) as f64;
    let round_seconds = steps_a_round * f64::from(study.training.local_epochs) * trained.step_seconds;
    Ok(Rehearsal {
        study: study.name.clone(),
        lane: lane.to_string(),
        device: config.device.to_string(),
        inputs: stats.hits + stats.built,
        built: stats.built,
        preparing_seconds,
        steps: trained.steps,
        batch_size: study.training.batch_size,
        first_step_seconds: trained.first_step_seconds,
        step_seconds: trained.step_seconds,
        waiting_share: trained.waiting_share,
        peak_memory: peak_memory(),
        round_seconds,
        study_seconds: round_seconds * f64::from(study.training.rounds) * study.lanes().len() as f64,
    })
}

struct Trained {
    steps: u32,
    first_step_seconds: f64,
    step_seconds: f64,
    waiting_share: f64,
}

fn train(
    config: &Config,
    study: &Study,
    lane: &Lane,
    data: &StudyData,
    cache: &InputCache,
    steps: u32,
) -> anyhow::Result<Trained> {
    let seed = Seed::from_number(SEED);
    let manifest: Arc<[TensorSpec]> = study.network.backbone_tensors().into();
    let values = manifest.iter().flat_map(|tensor| initial_values(tensor, &seed)).collect();
    let base = Weights::new(manifest, values).context("random numbers are no weights")?;
    let start = initial_trainable(study.network, lane.arm, study.training.tuning(), &seed, Some(&base))?;
    let architecture = Architecture::of_study(study, lane.arm);
    let mut network = Classifier::new(architecture, Some(&base), &start, &config.device)?;
    let shape = study.preprocessing.input_shape();
    let inputs = LaneInputs { inputs: data.training(lane), shape, cache };
    let wanted = usize::from(study.training.batch_size).saturating_mul(steps as usize);
    let epochs = wanted.div_ceil(inputs.inputs.len().max(1));
    // The first patients need not be of both classes.
    let recipe = Training {
        class_balance: ClassBalance::None,
        local_epochs: u16::try_from(epochs).unwrap_or(u16::MAX),
        ..study.training.clone()
    };
    let mut cases = LaneCases::new(inputs, &recipe, None, seed.derive("augmentation"));
    cases.truncate(wanted);
    if !config.device.honours(recipe.precision) {
        tracing::warn!(device = %config.device, "the study allows 16-bit factors; this device has none and computes in 32 bits");
    }
    let began = Instant::now();
    let mut ends = Vec::new();
    let summary = network.train(&cases, &recipe, seed.derive("network"), &mut |_| {
        ends.push(began.elapsed().as_secs_f64());
        ControlFlow::Continue(())
    })?;
    let first_step_seconds = ends.first().copied().unwrap_or_default();
    Ok(Trained {
        steps: summary.steps,
        first_step_seconds,
        step_seconds: mean_of_later(&ends),
        waiting_share: summary.waiting_share,
    })
}

/// The mean time of the steps after the first, of which `ends` holds when each ended; of the first if it is alone.
fn mean_of_later(ends: &[f64]) -> f64 {
    match ends {
        [] => 0.0,
        [only] => *only,
        [first, .., last] => (last - first) / (ends.len() - 1) as f64,
    }
}

/// Linux counts it for every process.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string(PathBuf::from("/proc/self/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rehearsal of {}, lane {}", self.study, self.lane)?;
        writeln!(f, "device     {}", self.device)?;
        writeln!(
            f,
            "preparing  {} inputs in {:.1} s, {} of them built now",
            self.inputs, self.preparing_seconds, self.built
        )?;
        writeln!(
            f,
            "training   {} steps of {} patients, {:.3} s a step after a first one of {:.3} s, {:.1} % of it waiting \
             for inputs",
            self.steps,
            self.batch_size,
            self.step_seconds,
            self.first_step_seconds,
            100.0 * self.waiting_share
        )?;
        if let Some(bytes) = self.peak_memory {
            writeln!(f, "memory     {:.2} GiB at most", bytes as f64 / f64::from(1 << 30))?;
        }
        write!(
            f,
            "estimate   {} of training for a round of this lane, {} for the study",
            duration(self.round_seconds),
            duration(self.study_seconds)
        )
    }
}

/// In the unit a person would use.
fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 120.0 => format!("{short:.0} s"),
        medium if medium < 7200.0 => format!("{:.0} min", medium / 60.0),
        long => format!("{:.1} h", long / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_as_people_do() {
        assert_eq!([1.6, 300.0, 90_000.0].map(duration), ["2 s", "5 min", "25.0 h"]);
    }

    #[test]
    fn a_slow_first_step_does_not_count_where_there_are_others() {
        assert_eq!(mean_of_later(&[40.0, 41.0, 43.0]), 1.5);
        assert_eq!(mean_of_later(&[40.0]), 40.0);
        assert_eq!(mean_of_later(&[]), 0.0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_memory() {
        assert!(peak_memory().unwrap() > 1 << 20);
    }
}
