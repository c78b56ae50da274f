//! Times and memory of one workload, both sides in alternation.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::agreement::Agreement;
use super::programs::Programs;
use super::samples::Samples;
use super::worker::{Worker, number};
use super::workload::Workload;

/// Repetitions before the first that counts: memory is asked for, code is generated.
const WARM_UP: u16 = 2;

/// What one side needed.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) seconds: Samples,
    /// Highest resident memory; `None` where the system does not tell.
    peak_mib: Option<f64>,
    /// Resident memory of a worker that has not built a network yet: program and libraries.
    idle_mib: Option<f64>,
}

/// What a workload needed.
#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) workload: &'static Workload,
    pub(crate) ours: Side,
    pub(crate) torch: Option<Side>,
    /// Operations outside the padding.
    operations: f64,
    /// How PyTorch ran: its version, and the fastest of its ways.
    torch_choice: Value,
}

impl Side {
    /// Highest resident memory above that of the idle program. PyTorch's libraries, of which a build for GPUs has
    /// many, are not what a training step needs.
    pub(crate) fn memory_mib(&self) -> Option<f64> {
        Some(self.peak_mib? - self.idle_mib?)
    }

    fn of(worker: &mut Worker, seconds: Vec<f64>) -> Result<Self> {
        let memory = worker.ask(&"peak_memory".into())?;
        let seconds = Samples::new(seconds).context("nothing was timed")?;
        let [peak_mib, idle_mib] = ["mib", "idle_mib"].map(|field| memory[field].as_f64());
        Ok(Self { seconds, peak_mib, idle_mib })
    }

    fn json(&self) -> Value {
        let memory = json!({ "peak": self.peak_mib, "idle": self.idle_mib, "above_idle": self.memory_mib() });
        json!({ "seconds": self.seconds.json(), "mib": memory })
    }
}

impl Measurement {
    /// Measures; weights and cases have been prepared. Each side is a process of its own that does nothing else.
    pub(crate) fn take(
        programs: &Programs,
        workload: &'static Workload,
        plan: &Value,
        steps: u16,
    ) -> Result<Self> {
        let choice = tuned(programs, workload, plan)?;
        let mut ours = programs.ours()?;
        let built = ours.ask(&json!({ "build": plan }))?;
        let operations = number(&built["operations"], workload.work.name())?;
        let mut torch = programs.torch()?;
        let mut torch_choice = choice.clone();
        if let Some(torch) = &mut torch {
            let mut plan = plan.clone();
            for option in ["layout", "fused"] {
                plan[option] = choice[option].clone();
            }
            torch_choice["version"] = torch.ask(&json!({ "build": plan }))?["version"].clone();
        }
        let (mut our_seconds, mut torch_seconds) = (Vec::new(), Vec::new());
        for step in 0..WARM_UP + steps {
            let once = |worker: &mut Worker| worker.number(workload.work.command(), "seconds");
            let ours = once(&mut ours)?;
            let theirs = torch.as_mut().map(once).transpose()?;
            if step >= WARM_UP {
                our_seconds.push(ours);
                torch_seconds.extend(theirs);
            }
        }
        let torch = torch.as_mut().map(|torch| Side::of(torch, torch_seconds)).transpose()?;
        Ok(Self { workload, ours: Side::of(&mut ours, our_seconds)?, torch, operations, torch_choice })
    }

    /// Our median time as a share of PyTorch's.
    pub(crate) fn time_ratio(&self) -> Option<f64> {
        Some(self.ours.seconds.median() / self.torch.as_ref()?.seconds.median())
    }

    /// Our shortest time as a share of PyTorch's shortest.
    pub(crate) fn minimum_ratio(&self) -> Option<f64> {
        Some(self.ours.seconds.minimum() / self.torch.as_ref()?.seconds.minimum())
    }

    /// Whether the machine was too busy for these times to be quoted.
    pub(crate) fn is_disturbed(&self) -> bool {
        [Some(&self.ours), self.torch.as_ref()].into_iter().flatten().any(|side| side.seconds.are_disturbed())
    }

    /// Our memory as a share of PyTorch's.
    pub(crate) fn memory_ratio(&self) -> Option<f64> {
        Some(self.ours.memory_mib()? / self.torch.as_ref()?.memory_mib()?)
    }

    /// Operations outside the padding a second, at our median.
    pub(crate) fn gflops(&self) -> f64 {
        self.operations / self.ours.seconds.median() / 1e9
    }

    /// What to say as soon as it is known.
    pub(crate) fn line(&self) -> String {
        let ratio = self.time_ratio().map(|ratio| format!(", {ratio:.2} of PyTorch's")).unwrap_or_default();
        format!("{}: {:.3} s{ratio}", self.workload.name, self.ours.seconds.median())
    }

    /// Everything about it.
    pub(crate) fn json(&self, agreement: &Option<Agreement>, peak_gflops: f64) -> Value {
        json!({
            "name": self.workload.name,
            "ours": self.ours.json(),
            "torch": self.torch.as_ref().map(Side::json),
            "torch_choice": self.torch_choice,
            "time_ratio": self.time_ratio(),
            "minimum_ratio": self.minimum_ratio(),
            "disturbed": self.is_disturbed(),
            "memory_ratio": self.memory_ratio(),
            "operations": self.operations,
            "gflops": self.gflops(),
            "share_of_peak": self.gflops() / peak_gflops,
            "agreement": agreement.as_ref().map(|agreement| &agreement.text),
        })
    }
}

/// The layout and the optimiser with which PyTorch is fastest, found by a process of its own so that what it tries
/// does not count as memory; an empty object without PyTorch.
fn tuned(programs: &Programs, workload: &Workload, plan: &Value) -> Result<Value> {
    match programs.torch()? {
        Some(mut torch) => torch.ask(&json!({ "tune": { "plan": plan, "work": workload.work.name() } })),
        None => Ok(json!({})),
    }
}
