//! `consilium-coordinator model contributors`: the verified lists, for people or as JSON.

use std::path::Path;

use consilium_signing::Authorities;

use super::{Contributors, ContributorsError, read_all};

/// Verifies the lists of the study in the state folder `state` against the authority `ca`, and prints them.
///
/// # Errors
/// When there is none, or one was altered.
pub fn show(state: &Path, ca: &Path, json: bool) -> Result<(), ContributorsError> {
    let lists = read_all(state, &Authorities::read(ca)?)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&lists).expect("lists have only text keys"));
    } else {
        lists.iter().for_each(|list| print!("{}", describe(list)));
        println!("{} lists, each signed by the consortium's coordinator", lists.len());
    }
    Ok(())
}

fn describe(list: &Contributors) -> String {
    let Contributors { lane, round, model, contributors, missing, .. } = list;
    let mut text = format!("{lane} round {round}: model {}\n", model.short());
    for contributor in contributors {
        let (site, cases, update) = (&contributor.site, contributor.cases, contributor.update.short());
        text.push_str(&format!("  {site}: {cases} cases, update {update}\n"));
    }
    for (site, reason) in missing {
        text.push_str(&format!("  warning: without {site}: {reason}\n"));
    }
    text
}
