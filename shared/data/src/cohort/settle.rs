//! From the scans that a layout lists to usable cases: the rules that are the same everywhere.
//!
//! The patient is the unit. Of several usable scans of a patient the first by name is the case; where they
//! disagree about the label, none is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use consilium_domain::Modality;

use super::mgmt::Mgmt;
use super::{Alias, Case, ExcludedScan, Exclusion, PatientId, ScanName};

/// A scan as a table lists it, before anybody looked for its files.
pub(super) struct ListedScan {
    pub(super) scan: ScanName,
    pub(super) patient: PatientId,
    /// The line of the table.
    pub(super) line: u64,
    /// Why it is not used whatever its label and files: follow-up or withdrawn.
    pub(super) objection: Option<Exclusion>,
    pub(super) mgmt: Mgmt,
    /// Names under which collections know the patient.
    pub(super) aliases: Vec<Alias>,
}

/// The files of a scan that exist.
pub(super) struct Files {
    pub(super) images: BTreeMap<Modality, PathBuf>,
    pub(super) mask: Option<PathBuf>,
}

/// What a layout found in one folder; `root` of its cases and excluded scans is not set yet.
pub(super) struct Scanned {
    pub(super) cases: Vec<Case>,
    pub(super) excluded: Vec<ExcludedScan>,
}

/// Judges the listed scans; `find` looks for the files of those that have a label.
///
/// A case carries the aliases of all its patient's scans: a collection may know a patient by a follow-up.
pub(super) fn settle<S>(
    listed: Vec<S>,
    scan: impl Fn(&S) -> &ListedScan,
    find: impl Fn(&S) -> Result<Files, Exclusion>,
) -> Scanned {
    let mut aliases: BTreeMap<&PatientId, BTreeSet<&Alias>> = BTreeMap::new();
    for scan in listed.iter().map(&scan) {
        aliases.entry(&scan.patient).or_default().extend(&scan.aliases);
    }
    let mut usable: BTreeMap<&PatientId, Vec<(u64, Case)>> = BTreeMap::new();
    let mut excluded = Vec::new();
    for entry in &listed {
        let scan = scan(entry);
        match judge(scan, || find(entry)) {
            Ok(case) => {
                let aliases = aliases[&scan.patient].iter().copied().cloned().collect();
                usable.entry(&scan.patient).or_default().push((scan.line, Case { aliases, ..case }));
            }
            Err(reason) => excluded.push(exclude(scan.scan.clone(), scan.line, reason)),
        }
    }
    let cases = usable.into_values().filter_map(|scans| one_of(scans, &mut excluded)).collect();
    Scanned { cases, excluded }
}

/// The case of a scan, without aliases, or why it is none.
fn judge(scan: &ListedScan, find: impl FnOnce() -> Result<Files, Exclusion>) -> Result<Case, Exclusion> {
    if let Some(objection) = scan.objection {
        return Err(objection);
    }
    let label = scan.mgmt.label()?;
    let Files { images, mask } = find()?;
    let mask = mask.ok_or(Exclusion::NoMask)?;
    if images.is_empty() {
        return Err(Exclusion::NoImage);
    }
    let (patient, scan) = (scan.patient.clone(), scan.scan.clone());
    Ok(Case { patient, scan, aliases: Vec::new(), label, images, mask, root: 0 })
}

/// The scan of a patient that is used; the others are excluded.
fn one_of(mut scans: Vec<(u64, Case)>, excluded: &mut Vec<ExcludedScan>) -> Option<Case> {
    scans.sort_by(|(_, a), (_, b)| a.scan.cmp(&b.scan));
    let agree = scans.iter().all(|(_, case)| case.label == scans[0].1.label);
    let reason = if agree { Exclusion::SecondScan } else { Exclusion::LabelsDiffer };
    let rest = scans.split_off(usize::from(agree));
    excluded.extend(rest.into_iter().map(|(line, case)| exclude(case.scan, line, reason)));
    scans.pop().map(|(_, case)| case)
}

fn exclude(scan: ScanName, line: u64, reason: Exclusion) -> ExcludedScan {
    ExcludedScan { scan, root: 0, line: Some(line), reason }
}
