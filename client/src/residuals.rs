//! What eight bits could not tell of this site's updates, kept here for the next update of the same lane.
//!
//! It is as secret as an update and stays in the state folder: one file a lane and round, for the owner's eyes only.
//! The file of the round before is kept too, so that a round which is trained again, after a power cut, starts from
//! what it started from the first time and gives the same update.

use std::io;
use std::path::{Path, PathBuf};

use consilium_domain::{Lane, Round, StudyHash};
use consilium_privacy::{Residual, ResidualError};

use crate::durable::{self, Draft, SealedError};

/// Why rounding errors cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum ResidualsError {
    /// The disk refuses.
    #[error(
        "rounding errors {path} cannot be {action}: {source}; check the disk's space and permissions, and start the client again"
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error(
        "rounding errors {path} are damaged; delete the file and start the client again: the lane goes on without them"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// A file that belongs to another network.
    #[error(
        "rounding errors {path}: {source}; delete the file and start the client again: the lane goes on without them"
    )]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        source: ResidualError,
    },
}

/// The folder of one study's rounding errors.
pub(crate) struct Residuals {
    folder: PathBuf,
}

impl Residuals {
    /// The folder of `study` under `folder`. It is made when something is kept.
    pub(crate) fn of(folder: &Path, study: StudyHash) -> Self {
        Self { folder: folder.join(study.to_string()) }
    }

    /// What the last update of `lane` before `round` could not tell, if one was made here.
    pub(crate) fn before(
        &self,
        lane: &Lane,
        round: Round,
        coordinates: usize,
    ) -> Result<Option<Residual>, ResidualsError> {
        let Some(last) = self.rounds(lane)?.into_iter().filter(|kept| *kept < round.0).max() else {
            return Ok(None);
        };
        let path = self.path(lane, last);
        let content = durable::open_sealed(&path).map_err(|error| match error {
            SealedError::Io(source) => failed("read", &path, source),
            SealedError::Damaged => ResidualsError::Damaged { path: path.clone() },
        })?;
        let Some(content) = content else { return Ok(None) };
        let residual = Residual::read(content, coordinates)
            .map_err(|source| ResidualsError::Unusable { path: path.clone(), source })?;
        Ok(Some(residual))
    }

    /// Keeps what the update of `lane` in `round` could not tell, durably, and forgets what no round needs any more.
    pub(crate) fn keep(&self, lane: &Lane, round: Round, residual: &Residual) -> Result<(), ResidualsError> {
        let path = self.path(lane, round.0);
        write(&path, residual).map_err(|source| failed("stored", &path, source))?;
        let mut before: Vec<u16> = self.rounds(lane)?.into_iter().filter(|kept| *kept < round.0).collect();
        before.sort_unstable();
        before.pop();
        for old in before {
            let path = self.path(lane, old);
            durable::remove(&path).map_err(|source| failed("deleted", &path, source))?;
        }
        Ok(())
    }

    /// The rounds of `lane` of which something is kept.
    fn rounds(&self, lane: &Lane) -> Result<Vec<u16>, ResidualsError> {
        let names = durable::names(&self.folder).map_err(|source| failed("listed", &self.folder, source))?;
        let prefix = prefix(lane);
        Ok(names.iter().filter_map(|name| name.strip_prefix(&prefix)?.parse().ok()).collect())
    }

    fn path(&self, lane: &Lane, round: u16) -> PathBuf {
        self.folder.join(format!("{}{round}", prefix(lane)))
    }
}

fn write(path: &Path, residual: &Residual) -> io::Result<()> {
    let mut draft = Draft::begin(path)?;
    residual.keep(&mut draft)?;
    draft.seal()
}

fn prefix(lane: &Lane) -> String {
    format!("{}-{}-{}-round", lane.arm, lane.modality, lane.fold)
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ResidualsError {
    ResidualsError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use consilium_domain::{Arm, FixedPoint, Fold, Modality, Wire};
    use consilium_privacy::{Grid, LocalUpdate};

    use super::*;

    const LANE: Lane = Lane { arm: Arm::Random, modality: Modality::T1gd, fold: Fold(1) };

    fn hash() -> StudyHash {
        serde_json::from_str(&format!("\"{}\"", "ab".repeat(32))).unwrap()
    }

    /// An update with `before` packed again shows which residual was found: its bytes.
    fn bytes(before: Option<&Residual>) -> Vec<u8> {
        packed([0.0; 3], before).0
    }

    fn packed(change: [f32; 3], before: Option<&Residual>) -> (Vec<u8>, Residual) {
        let grid = Grid::new(FixedPoint { clip: 64, fraction_bits: 24 }).unwrap();
        let update = LocalUpdate::between(&[0.0; 3], change.to_vec(), 1).unwrap().clip(grid).quantise();
        let packed = update.pack(Wire::Int8, before).unwrap();
        (packed.envelope.into_parts().0, packed.residual.unwrap())
    }

    #[test]
    fn a_round_finds_what_was_kept_before_it_however_often_it_is_trained() {
        let dir = tempfile::tempdir().unwrap();
        let residuals = Residuals::of(dir.path(), hash());
        assert!(residuals.before(&LANE, Round(1), 3).unwrap().is_none());
        let kept: Vec<Residual> =
            [0.1, 0.2, 0.3].map(|size| packed([1.0, size * 0.013, -size], None).1).into();
        for (round, residual) in kept.iter().enumerate() {
            residuals.keep(&LANE, Round(round as u16 + 1), residual).unwrap();
        }
        let residuals = Residuals::of(dir.path(), hash());
        let found = |round| bytes(residuals.before(&LANE, Round(round), 3).unwrap().as_ref());
        assert_eq!(found(4), bytes(Some(&kept[2])));
        assert_eq!(found(3), bytes(Some(&kept[1])), "round 3 is trained again");
        assert_ne!(found(3), found(4));
        assert!(residuals.before(&LANE, Round(2), 3).unwrap().is_none(), "round 1 is forgotten");
        let other = Lane { fold: Fold(11), ..LANE };
        assert!(residuals.before(&other, Round(4), 3).unwrap().is_none());
    }

    #[test]
    fn only_the_owner_reads_it_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let residuals = Residuals::of(dir.path(), hash());
        residuals.keep(&LANE, Round(1), &packed([1.0, 0.3, 0.1], None).1).unwrap();
        let path = residuals.path(&LANE, 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let other = residuals.before(&LANE, Round(2), 4);
        assert!(matches!(other, Err(ResidualsError::Unusable { .. })));
        let mut content = fs::read(&path).unwrap();
        content[20] ^= 1;
        fs::write(&path, content).unwrap();
        assert!(matches!(residuals.before(&LANE, Round(2), 3), Err(ResidualsError::Damaged { .. })));
    }
}
