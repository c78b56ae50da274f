//! Who has heard that the study is over, on the disk: a coordinator that starts once more after that, for its report, does
//! not wait for sites that have left.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use consilium_domain::SiteId;
use tokio::sync::watch;

use crate::whole_file::write_whole;

/// The sites that have heard it.
#[derive(Debug)]
pub(crate) struct Farewells {
    /// Where they are kept; nowhere where nobody waits for them.
    path: Option<PathBuf>,
    heard: watch::Sender<BTreeSet<SiteId>>,
}

impl Farewells {
    /// Those in the file `path`. Where there is none, or none that can be read, nobody has heard it: who has is waited for
    /// once more, and that is all.
    pub(crate) fn open(path: PathBuf) -> Self {
        let kept = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path: Some(path), heard: watch::Sender::new(kept.unwrap_or_default()) }
    }

    /// Kept in memory only.
    pub(crate) fn passing() -> Self {
        Self { path: None, heard: watch::Sender::default() }
    }

    /// `site` has heard it.
    pub(crate) fn heard(&self, site: &SiteId) {
        if !self.heard.send_if_modified(|heard| heard.insert(site.clone())) {
            return;
        }
        let Some(path) = &self.path else { return };
        let text = serde_json::to_string(&*self.heard.borrow()).expect("names are text");
        // Nothing is lost but time, should the coordinator start again.
        if let Err(error) = write_whole(path, &text) {
            tracing::warn!(%error, path = %path.display(), "not kept: who has heard that the study is over");
        }
    }

    /// Waits until all of `sites` have.
    pub(crate) async fn of_all(&self, sites: &BTreeSet<SiteId>) {
        // The sender is ours.
        let _ = self.heard.subscribe().wait_for(|heard| heard.is_superset(sites)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_heard_it_is_not_waited_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heard.json");
        let [one, other]: [SiteId; 2] = ["one", "other"].map(|name| name.parse().unwrap());
        let both = BTreeSet::from([one.clone(), other.clone()]);
        let patience = std::time::Duration::from_secs(1);
        let before = Farewells::open(path.clone());
        before.heard(&one);
        assert!(tokio::time::timeout(patience, before.of_all(&both)).await.is_err());
        let after = Farewells::open(path.clone());
        after.of_all(&BTreeSet::from([one])).await;
        assert!(tokio::time::timeout(patience, after.of_all(&both)).await.is_err());
        after.heard(&other);
        Farewells::open(path.clone()).of_all(&both).await;
        fs::write(&path, "torn").unwrap();
        assert!(tokio::time::timeout(patience, Farewells::open(path).of_all(&both)).await.is_err());
    }

    #[tokio::test]
    async fn a_disk_that_refuses_costs_nothing_but_the_memory_of_it() {
        let farewells = Farewells::open("/absent/heard.json".into());
        let site: SiteId = "one".parse().unwrap();
        farewells.heard(&site);
        farewells.of_all(&BTreeSet::from([site])).await;
    }
}
