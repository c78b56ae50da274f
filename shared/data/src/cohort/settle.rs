//! From the scans that a layout lists to usable cases: the rules that are the same everywhere.
//!
//! The patient is the unit. Of several usable scans of a patient the first by name is the case; where they
//! disagree about the label, none is. Two names of patients that share an alias are one patient.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use consilium_domain::Modality;

use super::mgmt::Mgmt;
use super::{Alias, Case, Clinical, ExcludedScan, Exclusion, PatientId, ScanName};

/// A scan as a table lists it, before anybody looked for its files.
pub(super) struct ListedScan {
    pub(super) scan: ScanName,
    pub(super) patient: PatientId,
    /// The line of the table.
    pub(super) line: u64,
    /// Why it is not used whatever its label and files: follow-up or withdrawn.
    pub(super) objection: Option<Exclusion>,
    pub(super) mgmt: Mgmt,
    pub(super) clinical: Clinical,
    /// Names under which collections know the patient.
    pub(super) aliases: Vec<Alias>,
}

/// The files of a scan that exist.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) images: BTreeMap<Modality, PathBuf>,
    pub(crate) mask: Option<PathBuf>,
}

/// A file that a manifest names is not there.
pub(crate) struct FileMissing;

/// A scan whose files were looked for whatever its label, and whether or not it has one.
pub(crate) struct FoundScan {
    pub(crate) name: ScanName,
    pub(crate) files: Result<Files, FileMissing>,
}

impl FoundScan {
    /// The scans of these names, in their order, each with what `find` finds of it.
    pub(super) fn all(names: impl IntoIterator<Item = String>, find: impl Fn(&str) -> Files) -> Vec<Self> {
        let found = |name: String| Self { files: Ok(find(&name)), name: ScanName::new(name) };
        names.into_iter().map(found).collect()
    }
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
    find: impl Fn(&S) -> Result<Files, FileMissing>,
) -> Scanned {
    let people = People::among(listed.iter().map(&scan));
    let mut aliases: BTreeMap<&PatientId, BTreeSet<&Alias>> = BTreeMap::new();
    for scan in listed.iter().map(&scan) {
        aliases.entry(people.first_name(&scan.patient)).or_default().extend(&scan.aliases);
    }
    let mut usable: BTreeMap<&PatientId, Vec<(u64, Case)>> = BTreeMap::new();
    let mut excluded = Vec::new();
    for entry in &listed {
        let scan = scan(entry);
        match judge(scan, || find(entry)) {
            Ok(case) => {
                let person = people.first_name(&scan.patient);
                let aliases = aliases[person].iter().copied().cloned().collect();
                usable.entry(person).or_default().push((scan.line, Case { aliases, ..case }));
            }
            Err(reason) => excluded.push(exclude(scan.scan.clone(), scan.line, reason)),
        }
    }
    let cases = usable.into_values().filter_map(|scans| one_of(scans, &mut excluded)).collect();
    Scanned { cases, excluded }
}

/// The case of a scan, without aliases, or why it is none.
fn judge(scan: &ListedScan, find: impl FnOnce() -> Result<Files, FileMissing>) -> Result<Case, Exclusion> {
    if let Some(objection) = scan.objection {
        return Err(objection);
    }
    let label = scan.mgmt.label()?;
    let Files { images, mask } = find().map_err(|FileMissing| Exclusion::FileMissing)?;
    let mask = mask.ok_or(Exclusion::NoMask)?;
    if images.is_empty() {
        return Err(Exclusion::NoImage);
    }
    let (patient, clinical, scan) = (scan.patient.clone(), scan.clinical, scan.scan.clone());
    Ok(Case { patient, scan, aliases: Vec::new(), label, clinical, images, mask, root: 0 })
}

/// The scan of a patient that is used; the others are excluded.
fn one_of(mut scans: Vec<(u64, Case)>, excluded: &mut Vec<ExcludedScan>) -> Option<Case> {
    scans.sort_by(|(_, a), (_, b)| (&a.scan, &a.patient).cmp(&(&b.scan, &b.patient)));
    let agree = scans.iter().all(|(_, case)| case.label == scans[0].1.label);
    let reason = if agree { Exclusion::SecondScan } else { Exclusion::LabelsDiffer };
    let rest = scans.split_off(usize::from(agree));
    excluded.extend(rest.into_iter().map(|(line, case)| exclude(case.scan, line, reason)));
    scans.pop().map(|(_, case)| case)
}

fn exclude(scan: ScanName, line: u64, reason: Exclusion) -> ExcludedScan {
    ExcludedScan { scan, root: 0, line: Some(line), reason }
}

/// Names of patients that mean the same person, as a forest: each leads to another name of the person, the
/// first name of all to itself.
struct People<'a>(BTreeMap<&'a PatientId, &'a PatientId>);

impl<'a> People<'a> {
    fn among(listed: impl Iterator<Item = &'a ListedScan>) -> Self {
        let mut people = Self(BTreeMap::new());
        let mut known_by: BTreeMap<&Alias, &PatientId> = BTreeMap::new();
        for scan in listed {
            people.0.entry(&scan.patient).or_insert(&scan.patient);
            for alias in &scan.aliases {
                let other = *known_by.entry(alias).or_insert(&scan.patient);
                let (a, b) = (people.first_name(other), people.first_name(&scan.patient));
                people.0.insert(a.max(b), a.min(b));
            }
        }
        people
    }

    /// The least of a person's names. `patient` is one of the listed.
    fn first_name(&self, mut patient: &'a PatientId) -> &'a PatientId {
        while self.0[patient] != patient {
            patient = self.0[patient];
        }
        patient
    }
}
