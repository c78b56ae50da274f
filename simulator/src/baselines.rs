//! What federating bought: the same study with each site alone, and with all patients in one place. Which of them are
//! trained is [`Choice`]'s to say.

mod choice;

use std::path::Path;

use consilium_client::{Gain, GainError, compare_states};
use consilium_data::Layout;
use consilium_domain::{Federation, Study};

pub(crate) use choice::{Baseline, Choice, chosen};

use crate::consortium::Consortium;
use crate::report::{Baselines, holdout};
use crate::sites::Site;

/// Trains every site alone (all sites evaluate), and all patients pooled, as far as either was chosen. Folds and hold-outs
/// stay the same. `None` where neither was.
pub(crate) async fn run(federated: &Consortium, choice: &Choice) -> anyhow::Result<Option<Baselines>> {
    if !choice.trains() {
        return Ok(None);
    }
    let mut baselines = Baselines::default();
    if choice.has(Baseline::LocalOnly) {
        for site in &federated.sites {
            let alone = alone(federated, site);
            let report = alone.run(&format!("{} alone", site.id)).await?;
            baselines.local_only.insert(site.id.clone(), holdout(&report));
            let gained = gain(&federated.state_of(&site.id), &alone.state_of(&site.id))?;
            baselines.gains.insert(site.id.clone(), gained);
        }
    }
    if choice.has(Baseline::Pooled) {
        baselines.pooled = holdout(&pooled(federated).run("all patients pooled").await?);
    }
    Ok(Some(baselines))
}

/// What a site gained, as it would see it itself; nothing where its hold-out has no patient of a class.
fn gain(joined: &Path, alone: &Path) -> Result<Vec<Gain>, GainError> {
    match compare_states(joined, None, alone, None) {
        Err(GainError::NothingInCommon) => Ok(Vec::new()),
        other => other,
    }
}

fn alone(federated: &Consortium, site: &Site) -> Consortium {
    let name = format!("{}-only-{}", federated.study.name, site.id);
    let federation =
        Federation { training_sites: vec![site.id.clone()], quorum: 1, ..federated.study.federation.clone() };
    variant(federated, name, federation, federated.sites.clone())
}

/// One site with every folder. Each folder is dealt on its own, so hold-out and folds are those of the sites.
fn pooled(federated: &Consortium) -> Consortium {
    let id: consilium_domain::SiteId = "pooled".parse().expect("a name of letters");
    let folders = federated.sites.iter().flat_map(|site| site.folders.clone()).collect();
    let federation = Federation { sites: vec![id.clone()], quorum: 1, ..federated.study.federation.clone() };
    let name = format!("{}-pooled", federated.study.name);
    // Where the pooled baseline was chosen, all folders are in one layout.
    let layout = federated.sites.first().map_or(Layout::UpennGbm, |site| site.layout);
    variant(federated, name, federation, vec![Site { id, folders, layout }])
}

fn variant(federated: &Consortium, name: String, federation: Federation, sites: Vec<Site>) -> Consortium {
    Consortium {
        folder: federated.folder.join("baselines").join(&name),
        study: Study { name, federation, ..federated.study.clone() },
        sites,
        weights: federated.weights.clone(),
        device: federated.device.clone(),
        checkpointing: federated.checkpointing,
        profile: federated.profile,
    }
}
