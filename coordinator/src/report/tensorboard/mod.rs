//! The curves of every lane as event files for TensorBoard: one folder a lane, scalars by round.
//!
//! A report is the whole of it, as for the page. Times are seconds since the study was opened, as TensorBoard's relative axis
//! shows them: a report has no calendar. There are no images, histograms of weights or graphs, because the coordinator has none.

mod event;

use std::fs;
use std::path::{Path, PathBuf};

use event::{Event, file_header};

use super::tables::training_loss;
use super::{LaneReport, Report, RoundReport};

/// TensorBoard finds files by this name; what follows it is for people.
const FILE_NAME: &str = "events.out.tfevents.0000000000.consilium";

/// Why an event file was not written.
#[derive(Debug, thiserror::Error)]
#[error("the event file {path} cannot be written: {source}; check the folder and the disk's space")]
pub struct TensorboardError {
    /// Which file.
    pub path: PathBuf,
    /// What the system says.
    pub source: std::io::Error,
}

/// Writes the curves of every lane below `folder`, which is made where absent; the files' paths.
///
/// # Errors
/// When a folder or a file cannot be written. Files written before stay.
pub fn write_tensorboard(report: &Report, folder: &Path) -> Result<Vec<PathBuf>, TensorboardError> {
    let mut paths = Vec::new();
    for arm in &report.arms {
        for lane in &arm.lanes {
            let run =
                folder.join(arm.arm.name()).join(lane.modality.name()).join(format!("fold-{}", lane.fold));
            let path = run.join(FILE_NAME);
            let failed = |source| TensorboardError { path: path.clone(), source };
            fs::create_dir_all(&run).map_err(failed)?;
            fs::write(&path, events(lane)).map_err(failed)?;
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The file of one lane.
fn events(lane: &LaneReport) -> Vec<u8> {
    let mut file = file_header();
    for round in &lane.rounds {
        let time = round.validated_secs.or(round.trained_secs).unwrap_or(round.opened_secs);
        let mut event = Event::at(time, i64::from(round.round.0));
        for (tag, value) in scalars(round) {
            event.scalar(&tag, value as f32);
        }
        event.scalar("chosen", if lane.chosen_round == Some(round.round) { 1.0 } else { 0.0 });
        file.extend(event.record());
    }
    file
}

/// What is drawn of a round; what is undefined is left out.
fn scalars(round: &RoundReport) -> Vec<(String, f64)> {
    let scores = round.validation.as_ref();
    let area = scores.and_then(|scores| scores.pooled.auc);
    let of_all = [
        ("training/loss", training_loss(round)),
        ("training/contributors", Some(round.contributors.len() as f64)),
        ("training/reductions", Some(f64::from(round.reductions))),
        ("movement/norm", round.movement.map(|movement| movement.norm)),
        ("movement/drift", round.movement.map(|movement| movement.drift)),
        ("validation/loss", round.validation_loss),
        ("validation/auc", area.map(|area| area.value)),
        ("validation/auc-lower", area.map(|area| area.interval.lower)),
        ("validation/auc-upper", area.map(|area| area.interval.upper)),
        ("validation/m", round.validation_m),
        ("routing/entropy", round.routing.as_ref().map(|routing| routing.pooled.entropy)),
    ];
    let mut scalars: Vec<(String, f64)> =
        of_all.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?))).collect();
    for told in &round.contributors {
        scalars.push((format!("norm/{}", told.site), told.norm));
        scalars.push((format!("loss/{}", told.site), told.mean_loss));
        scalars.extend(told.cosine.map(|cosine| (format!("cosine/{}", told.site), cosine)));
    }
    let shares = round.routing.iter().flat_map(|routing| routing.pooled.all.iter().zip(1u32..));
    scalars.extend(shares.map(|(share, block)| (format!("routing/block-{block:02}"), *share)));
    scalars
}

#[cfg(test)]
mod tests {
    use consilium_protocol::Timestamp;

    use super::event::tests::read;
    use super::*;
    use crate::scene::Scene;

    #[test]
    fn every_lane_has_its_rounds_and_the_figures_of_the_report() {
        let report = Report::of(&Scene::finished().state, Timestamp(100_000)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let paths = write_tensorboard(&report, dir.path()).unwrap();
        let expected =
            ["random/t1gd/fold-0", "random/t1gd/fold-1"].map(|run| dir.path().join(run).join(FILE_NAME));
        assert_eq!(paths, expected);
        let lane = &report.arms[0].lanes[1];
        let events = read(&fs::read(&paths[1]).unwrap());
        assert_eq!(events.len(), 1 + lane.rounds.len());
        assert_eq!(events[0].version.as_deref(), Some("brain.Event:2"));
        for (event, round) in events[1..].iter().zip(&lane.rounds) {
            assert_eq!((event.step, event.time), (i64::from(round.round.0), round.validated_secs.unwrap()));
            let value =
                |tag: &str| event.scalars.iter().find(|(name, _)| name == tag).map(|(_, value)| *value);
            assert_eq!(value("validation/loss"), Some(round.validation_loss.unwrap() as f32));
            assert_eq!(
                (value("validation/auc"), value("norm/a"), value("norm/b")),
                (Some(1.0), Some(1.0), Some(1.0))
            );
            assert_eq!(value("chosen"), Some(f32::from(u8::from(lane.chosen_round == Some(round.round)))));
            assert_eq!(value("routing/entropy"), None, "the arm has no policy");
        }
    }
}
