//! What was measured, for the terminal.

use std::fmt::Write as _;

use super::agreement::Agreement;
use super::measurement::{Measurement, Side};

/// One line a workload: medians (minima), ratios, and what bounds them.
pub(crate) fn of(measured: &[(Measurement, Option<Agreement>)], threads: u16, peak_gflops: f64) -> String {
    let mut text = format!(
        "{:22} {:>15} {:>15} {:>11} {:>8} {:>8} {:>6} {:>6} {:>5}\n",
        "workload",
        "ours s (min)",
        "torch s (min)",
        "ratio (min)",
        "ours MiB",
        "torch",
        "ratio",
        "GF/s",
        "peak"
    );
    for (measurement, _) in measured {
        let Measurement { workload, ours, torch, .. } = measurement;
        let gflops = measurement.gflops();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:22} {:>15} {:>15} {:>11} {:>8} {:>8} {:>6} {gflops:>6.0} {:>4.0}%",
            workload.name,
            seconds(ours),
            torch.as_ref().map_or_else(absent, seconds),
            ratios(measurement).unwrap_or_else(absent),
            ours.memory_mib().map_or_else(absent, whole),
            torch.as_ref().and_then(Side::memory_mib).map_or_else(absent, whole),
            measurement.memory_ratio().map_or_else(absent, ratio),
            100.0 * gflops / peak_gflops,
        );
    }
    let _ = write!(
        text,
        "Medians, {threads} threads. MiB: highest resident memory above that of the idle program. GF/s: operations \
         outside the padding,\nof a measured peak of {peak_gflops:.0} GF/s in f32."
    );
    for (measurement, agreement) in measured {
        if measurement.is_disturbed() {
            let name = measurement.workload.name;
            let _ = write!(
                text,
                "\n{name}: medians far above minima: the machine was busy, do not quote these times"
            );
        }
        if let Some(Agreement { text: agreed }) = agreement {
            let _ = write!(text, "\n{}: {agreed}", measurement.workload.name);
        }
    }
    text
}

fn seconds(side: &Side) -> String {
    format!("{:.3} ({:.3})", side.seconds.median(), side.seconds.minimum())
}

fn ratios(measurement: &Measurement) -> Option<String> {
    Some(format!("{:.2} ({:.2})", measurement.time_ratio()?, measurement.minimum_ratio()?))
}

fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn absent() -> String {
    "-".to_owned()
}
