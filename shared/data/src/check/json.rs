//! The report as JSON, for the site's own tools. `docs/check.md` describes every field.
//!
//! These structures are the schema: a field is added freely, and a change of meaning raises [`JSON_VERSION`].

use std::collections::BTreeMap;

use consilium_domain::{ClassCounts, Modality};
use serde::Serialize;

use super::folds::{CountRange, FoldSizes, Sizes};
use super::inventory::{GridCount, Inventory};
use super::problem::{Place, Problem};
use super::progress::PassTiming;
use super::report::Report;

/// The value of the field `schema`.
pub const JSON_SCHEMA: &str = "consilium-check";

/// The value of the field `version`.
pub const JSON_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    version: u32,
    names_patients: bool,
    layout: &'static str,
    folders: Vec<String>,
    verdict: &'static str,
    exit_code: u8,
    inventory: InventoryPart<'a>,
    folds: FoldsPart,
    problems: Vec<ProblemPart<'a>>,
    passes: Vec<PassPart>,
}

#[derive(Serialize)]
struct InventoryPart<'a> {
    scans: usize,
    patients: usize,
    cases: ClassCounts,
    usable: ClassCounts,
    without_modality: usize,
    excluded: BTreeMap<&'static str, u32>,
    modalities: BTreeMap<Modality, ModalityPart>,
    scan_dates: DatesPart,
    grids: Vec<GridPart<'a>>,
}

#[derive(Serialize)]
struct ModalityPart {
    found: ClassCounts,
    usable: ClassCounts,
}

#[derive(Serialize)]
struct DatesPart {
    dated: usize,
    first_year: Option<u16>,
    last_year: Option<u16>,
}

#[derive(Serialize)]
struct GridPart<'a> {
    shape: [usize; 3],
    spacing_mm: [f32; 3],
    orientation: Option<&'a str>,
    files: usize,
}

#[derive(Serialize)]
struct FoldsPart {
    design: &'static str,
    count: u8,
    holdout_fraction: f64,
    all: Option<SizesPart>,
    modalities: BTreeMap<Modality, SizesPart>,
}

#[derive(Serialize)]
struct SizesPart {
    total: ClassCounts,
    exact: bool,
    holdout: RangePart,
    folds: Vec<RangePart>,
}

#[derive(Serialize)]
struct RangePart {
    least: ClassCounts,
    most: ClassCounts,
}

#[derive(Serialize)]
struct ProblemPart<'a> {
    kind: &'static str,
    severity: &'static str,
    left_out_by_study: bool,
    patient: Option<&'a str>,
    scan: Option<&'a str>,
    role: Option<&'static str>,
    file: Option<String>,
    line: Option<u64>,
    reason: &'a str,
    remedy: &'a str,
}

#[derive(Serialize)]
struct PassPart {
    pass: &'static str,
    files: usize,
    seconds: f64,
    files_per_second: f64,
}

/// The report as one JSON object.
pub fn render_json(report: &Report) -> String {
    let verdict = report.verdict();
    let document = Document {
        schema: JSON_SCHEMA,
        version: JSON_VERSION,
        names_patients: true,
        layout: report.layout.name(),
        folders: report.folders.iter().map(|folder| folder.display().to_string()).collect(),
        verdict: verdict.name(),
        exit_code: verdict.exit_code(),
        inventory: inventory(&report.inventory),
        folds: folds(report),
        problems: report.problems.iter().map(|found| problem(found, report)).collect(),
        passes: report.passes.iter().map(pass).collect(),
    };
    serde_json::to_string_pretty(&document).expect("text, numbers and maps with text keys always serialise")
}

fn inventory(inventory: &Inventory) -> InventoryPart<'_> {
    let modality = |(&modality, counts): (&Modality, &super::ModalityInventory)| {
        (modality, ModalityPart { found: counts.found, usable: counts.usable })
    };
    InventoryPart {
        scans: inventory.scans,
        patients: inventory.patients,
        cases: inventory.cases,
        usable: inventory.usable,
        without_modality: inventory.without_modality,
        excluded: inventory.excluded.iter().map(|(reason, &count)| (reason.reason(), count)).collect(),
        modalities: inventory.modalities.iter().map(modality).collect(),
        scan_dates: DatesPart {
            dated: inventory.dates.dated,
            first_year: inventory.dates.years.map(|(first, _)| first),
            last_year: inventory.dates.years.map(|(_, last)| last),
        },
        grids: inventory.grids.iter().map(grid).collect(),
    }
}

fn grid(grid: &GridCount) -> GridPart<'_> {
    GridPart {
        shape: grid.shape,
        spacing_mm: grid.spacing,
        orientation: grid.orientation.as_deref(),
        files: grid.files,
    }
}

fn folds(report: &Report) -> FoldsPart {
    let evaluation = report.options.evaluation();
    let of_modality = |folds: &FoldSizes| -> BTreeMap<Modality, SizesPart> {
        folds.modalities.iter().map(|(&modality, found)| (modality, sizes(found))).collect()
    };
    FoldsPart {
        design: evaluation.design.name(),
        count: evaluation.folds,
        holdout_fraction: evaluation.holdout_fraction,
        all: report.folds.as_ref().map(|folds| sizes(&folds.all)),
        modalities: report.folds.as_ref().map(of_modality).unwrap_or_default(),
    }
}

fn sizes(sizes: &Sizes) -> SizesPart {
    SizesPart {
        total: sizes.total,
        exact: sizes.folds.iter().chain([&sizes.holdout]).all(|range| range.is_exact()),
        holdout: range(sizes.holdout),
        folds: sizes.folds.iter().copied().map(range).collect(),
    }
}

const fn range(range: CountRange) -> RangePart {
    RangePart { least: range.least, most: range.most }
}

fn problem<'a>(problem: &'a Problem, report: &'a Report) -> ProblemPart<'a> {
    let case = problem.place.case().map(|case| &report.cases[case].case);
    let (role, file, line) = match &problem.place {
        Place::Site | Place::Case(_) => (None, None, None),
        Place::Path(path) => (None, Some(path), None),
        Place::Scan { folder, line, .. } => (None, Some(folder), *line),
        Place::File { role, path, .. } => (Some(role.name()), Some(path), None),
    };
    let scan = match &problem.place {
        Place::Scan { name, .. } => Some(name.as_str()),
        _ => case.map(|case| case.scan.reveal()),
    };
    ProblemPart {
        kind: problem.kind.code(),
        severity: problem.severity().name(),
        left_out_by_study: problem.kind.left_out_by_study(),
        patient: case.map(|case| case.patient.reveal()),
        scan,
        role,
        file: file.map(|path| path.display().to_string()),
        line,
        reason: &problem.reason,
        remedy: &problem.remedy,
    }
}

fn pass(pass: &PassTiming) -> PassPart {
    PassPart {
        pass: pass.pass.name(),
        files: pass.files,
        seconds: pass.elapsed.as_secs_f64(),
        files_per_second: pass.files_per_second(),
    }
}
