//! Patients that several sites hold: who they are, how they look, and that one copy of each stays.
//!
//! The checker knows who is who and never looks at a fingerprint; the machine sees fingerprints only.

use std::collections::BTreeMap;

use consilium_domain::{
    ClassCounts, Fingerprint, FingerprintToken, IMAGE_BANDS, ImageTokens, MATCHING_BANDS, Modality, SiteId,
};
use consilium_protocol::coordinator::Coordinator;

use crate::properties::harm;
use crate::scene::{MODALITY, Scene};
use crate::schedule::Op::{Calm, CrashClient, NewPatients, RestartCoordinator};
use crate::schedule::Schedule;
use crate::violation::{Checked, Violation};
use crate::world::World;

/// Who somebody is, whatever sites call them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Patient {
    /// Every site's first case. All know the same name.
    Everywhere,
    /// The second case of a site and the third of the next one. Their images are alike.
    Moved(u8),
    /// Known to one site only.
    Own(u8, u32),
}

impl Scene {
    /// Who the cases of a site are, in their order.
    pub(crate) fn patients(&self, index: u8, growth: u32) -> Vec<Patient> {
        let counts = self.cohort(index, growth, 0).counts(MODALITY);
        let cases = (counts.folds.iter().copied().sum::<ClassCounts>() + counts.holdout).total();
        let who = |case| match case {
            0 => Patient::Everywhere,
            1 => Patient::Moved(index),
            2 if index > 0 => Patient::Moved(index - 1),
            own => Patient::Own(index, own),
        };
        (0..cases).map(who).collect()
    }

    /// What a site tells of its cases.
    pub(crate) fn fingerprints(&self, index: u8, growth: u32) -> Vec<Fingerprint> {
        self.patients(index, growth).into_iter().map(|patient| fingerprint(patient, index)).collect()
    }
}

/// How a patient looks at a site. Of one scan each site's export has bands of its own, as many as may be.
fn fingerprint(patient: Patient, site: u8) -> Fingerprint {
    let number = match patient {
        Patient::Everywhere => return Fingerprint { aliases: vec![token(&[1])], ..Fingerprint::default() },
        Patient::Moved(first) => u32::from(first),
        Patient::Own(site, case) => 1_000 * (u32::from(site) + 1) + case,
    };
    let band = |band: usize| {
        let own = if band < IMAGE_BANDS - MATCHING_BANDS { site + 1 } else { 0 };
        let [a, b, ..] = number.to_le_bytes();
        token(&[2, a, b, band as u8, own])
    };
    let images: BTreeMap<Modality, ImageTokens> = [(MODALITY, ImageTokens(std::array::from_fn(band)))].into();
    Fingerprint { aliases: Vec::new(), images }
}

fn token(bytes: &[u8]) -> FingerprintToken {
    let mut token = [0; 8];
    token[..bytes.len()].copy_from_slice(bytes);
    FingerprintToken(token)
}

/// Once the roster is pinned, no two sites that take part have a patient in common, and nobody was excluded of
/// whom no compared site keeps a copy.
pub(crate) fn copies(scene: &Scene, state: &Coordinator) -> Checked {
    let mut kept: BTreeMap<Patient, Vec<(SiteId, bool)>> = BTreeMap::new();
    let mut gone: Vec<Patient> = Vec::new();
    for index in 0..scene.sites {
        let site = scene.site(index);
        let enlisted = state.roster().member(&site).is_some_and(|member| member.cohort.is_some());
        let exclusion = state.exclusion(&site);
        let excluded = |case: usize| exclusion.is_some_and(|e| e.cases.contains(&(case as u32)));
        if exclusion.is_none() && !enlisted {
            continue;
        }
        // Patients that came later are the last ones, and nobody else's.
        for (case, patient) in scene.patients(index, 0).into_iter().enumerate() {
            if excluded(case) {
                gone.push(patient);
            } else {
                kept.entry(patient).or_default().push((site.clone(), enlisted));
            }
        }
    }
    for (patient, holders) in &kept {
        let holders: Vec<SiteId> =
            holders.iter().filter(|(_, enlisted)| *enlisted).map(|(site, _)| site.clone()).collect();
        if holders.len() > 1 {
            return Err(Violation::Copies { patient: format!("{patient:?}"), holders });
        }
    }
    match gone.into_iter().find(|patient| !kept.contains_key(patient)) {
        Some(patient) => Err(Violation::Copies { patient: format!("{patient:?}"), holders: Vec::new() }),
        None => Ok(()),
    }
}

const SHARING: Scene = Scene { quorum: 3, duplicates: true, ..Scene::PLAIN };

#[test]
fn all_planted_duplicates_are_found_and_no_others() {
    let world = World::play(&Schedule { scene: SHARING, ops: vec![] }).expect("no invariant is broken");
    assert_eq!(harm(&world), None);
    // The first site has the fewest patients: its copies stay.
    let excluded = |site| world.coordinator.exclusion(&SHARING.site(site)).map(|e| e.cases.clone());
    assert_eq!([0, 1, 2].map(excluded), [Some(vec![]), Some(vec![0, 2]), Some(vec![0, 2])]);
}

/// Clients and the coordinator restart in every phase of the comparison, and nobody is lost by it.
#[test]
fn a_comparison_survives_restarts() {
    for steps in 0..40 {
        let ops = vec![Calm(steps), CrashClient(1), Calm(3), RestartCoordinator(5), Calm(1), CrashClient(2)];
        let world = World::play(&Schedule { scene: SHARING, ops }).expect("no invariant is broken");
        assert_eq!(harm(&world), None, "after {steps} steps");
    }
}

/// Patients that came before the comparison are compared; those that came after it cannot be.
#[test]
fn patients_that_came_after_the_comparison_keep_their_site_out() {
    let scene = Scene { quorum: 2, ..SHARING };
    let play = |steps| {
        let ops = vec![Calm(steps), NewPatients(2)];
        World::play(&Schedule { scene: scene.clone(), ops }).expect("no invariant is broken")
    };
    assert_eq!(harm(&play(3)), None);
    let late = play(40);
    assert!(harm(&late).is_some(), "{:?}", late.effects);
}
