//! The report as a table for a terminal.
//!
//! Names of files and patients go through [`shown`]: a control character in a name must not command the
//! terminal.

use std::fmt::Write as _;

use consilium_domain::{ClassCounts, Design};

use super::folds::{CountRange, FoldSizes, Sizes};
use super::problem::{Place, Problem, ProblemKind, Severity};
use super::report::{Report, Verdict};

/// Problems of one kind that are listed before `--all` is asked for.
const SHORT_LIST: usize = 5;

/// How much of each kind of problem is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// The first five.
    Short,
    /// All.
    All,
}

/// The report for a terminal, ending with the verdict.
pub fn render_text(report: &Report, listing: Listing) -> String {
    let mut text = format!("Data check, layout {}\n", report.layout);
    for folder in &report.folders {
        line(&mut text, 1, &shown(&folder.display().to_string()));
    }
    inventory(&mut text, report);
    if let Some(folds) = &report.folds {
        fold_table(&mut text, folds, report);
    }
    problems(&mut text, report, listing);
    for pass in &report.passes {
        let (rate, seconds) = (pass.files_per_second(), pass.elapsed.as_secs_f64());
        let line = format!(
            "\nRead {} of {} files in {seconds:.1} s: {rate:.0} a second",
            pass.pass.name(),
            pass.files
        );
        text.push_str(&line);
    }
    text.push_str(&verdict(report));
    text
}

fn line(text: &mut String, depth: usize, content: &str) {
    let _ = writeln!(text, "{:width$}{content}", "", width = 2 * depth);
}

fn heading(text: &mut String, title: &str) {
    let _ = write!(text, "\n{title}\n");
}

/// A name without control characters.
pub(super) fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn classes(counts: ClassCounts) -> String {
    format!("{} methylated, {} unmethylated", counts.methylated, counts.unmethylated)
}

fn inventory(text: &mut String, report: &Report) {
    let inventory = &report.inventory;
    heading(text, "Inventory");
    let mut rows = vec![
        vec!["scans".to_owned(), inventory.scans.to_string(), String::new()],
        vec!["patients with a case".to_owned(), inventory.patients.to_string(), String::new()],
    ];
    for (reason, count) in &inventory.excluded {
        rows.push(vec!["left out".to_owned(), count.to_string(), reason.reason().to_owned()]);
    }
    if inventory.without_modality > 0 {
        let reason = "none of the modalities asked for".to_owned();
        rows.push(vec!["left out".to_owned(), inventory.without_modality.to_string(), reason]);
    }
    for (name, counts) in [("cases", inventory.cases), ("usable after the check", inventory.usable)] {
        rows.push(vec![name.to_owned(), counts.total().to_string(), classes(counts)]);
    }
    let dates = inventory.dates;
    if dates.dated > 0 || report.options.evaluation().design == Design::Temporal {
        let years =
            dates.years.map_or("no day is known".to_owned(), |(first, last)| format!("{first} to {last}"));
        rows.push(vec!["of these with a scan date".to_owned(), dates.dated.to_string(), years]);
    }
    table(text, &rows, 2);

    let mut rows = vec![row([
        "modality",
        "cases",
        "methylated",
        "unmethylated",
        "usable",
        "methylated",
        "unmethylated",
    ])];
    for (modality, counts) in &inventory.modalities {
        // Most sites lack most of the eleven; those are listed on request only.
        if counts.found.total() == 0 && !report.options.modalities.contains(modality) {
            continue;
        }
        let numbers = [counts.found, counts.usable].map(|c| [c.total(), c.methylated, c.unmethylated]);
        let cells = numbers.as_flattened().iter().map(u32::to_string);
        rows.push([modality.name().to_owned()].into_iter().chain(cells).collect());
    }
    text.push('\n');
    table(text, &rows, 7);

    let mut rows = vec![row(["grid (z, y, x)", "spacing (mm)", "axes", "files"])];
    for grid in &inventory.grids {
        let axes = grid.orientation.clone().unwrap_or_else(|| "unknown".to_owned());
        rows.push(vec![times(&grid.shape), times(&grid.spacing), axes, grid.files.to_string()]);
    }
    if rows.len() > 1 {
        text.push('\n');
        table(text, &rows, 4);
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn times<T: ToString>(sizes: &[T; 3]) -> String {
    sizes.each_ref().map(T::to_string).join("x")
}

fn fold_table(text: &mut String, folds: &FoldSizes, report: &Report) {
    let evaluation = report.options.evaluation();
    let share = 100.0 * evaluation.holdout_fraction;
    let aside = match evaluation.design {
        Design::KFold | Design::LeaveOneSiteOut => format!("{share:.0} % of each class"),
        Design::Temporal => format!("the latest {share:.0} % of scans"),
    };
    let title = format!("Folds of the usable cases, methylated/unmethylated ({aside} set aside)");
    heading(text, &title);
    let mut rows = vec![row(["", "cases", "hold-out"])];
    rows[0].extend((1..=evaluation.folds).map(|fold| format!("fold {fold}")));
    let sized = |name: &str, sizes: &Sizes| {
        let total = format!("{}/{}", sizes.total.methylated, sizes.total.unmethylated);
        let ranges = [sizes.holdout].into_iter().chain(sizes.folds.iter().copied()).map(range);
        [name.to_owned(), total].into_iter().chain(ranges).collect::<Vec<String>>()
    };
    rows.push(sized("all", &folds.all));
    rows.extend(folds.modalities.iter().map(|(modality, sizes)| sized(modality.name(), sizes)));
    table(text, &rows, usize::MAX);
    let exact = |sizes: &Sizes| sizes.folds.iter().chain([&sizes.holdout]).all(|range| range.is_exact());
    if !folds.modalities.values().all(exact) {
        line(text, 1, "Ranges: who lacks a modality falls into other folds with another study's seed.");
    }
}

fn range(range: CountRange) -> String {
    let span = |least: u32, most: u32| {
        if least == most { least.to_string() } else { format!("{least}-{most}") }
    };
    let (least, most) = (range.least, range.most);
    format!("{}/{}", span(least.methylated, most.methylated), span(least.unmethylated, most.unmethylated))
}

fn problems(text: &mut String, report: &Report, listing: Listing) {
    if report.problems.is_empty() {
        return;
    }
    heading(text, "Problems");
    for kind in ProblemKind::ALL {
        let found: Vec<&Problem> = report.problems.iter().filter(|problem| problem.kind == *kind).collect();
        if found.is_empty() {
            continue;
        }
        line(text, 1, &format!("{}: {} ({})", kind.severity().name(), kind.title(), found.len()));
        let most = if listing == Listing::All { found.len() } else { SHORT_LIST };
        for problem in found.iter().take(most) {
            line(text, 2, &place(problem, report));
            line(text, 3, &shown(&problem.reason));
            line(text, 3, &format!("-> {}", shown(&problem.remedy)));
        }
        if found.len() > most {
            line(text, 2, &format!("and {} more: --all lists them", found.len() - most));
        }
    }
}

/// Whom and which file a problem is about.
pub(super) fn place(problem: &Problem, report: &Report) -> String {
    let patient = |case: usize| {
        let case = &report.cases[case].case;
        let (patient, scan) = (case.patient.reveal(), case.scan.reveal());
        if patient == scan { format!("patient {patient}") } else { format!("patient {patient}, scan {scan}") }
    };
    let text = match &problem.place {
        Place::Site => "the site".to_owned(),
        Place::Path(path) => path.display().to_string(),
        Place::Scan { name, folder, line } => {
            let line = line.map(|line| format!(", line {line} of its table")).unwrap_or_default();
            format!("scan {name} in {}{line}", folder.display())
        }
        Place::Case(case) => patient(*case),
        Place::File { case, role, path } => {
            format!("{} ({}, {})", path.display(), role.name(), patient(*case))
        }
    };
    shown(&text)
}

fn verdict(report: &Report) -> String {
    let verdict = report.verdict();
    let word = match verdict {
        Verdict::Usable => "usable",
        Verdict::UsableWithWarnings => "usable, with problems to look at",
        Verdict::NotUsable => "not usable",
    };
    let [errors, warnings, notes] =
        [Severity::Error, Severity::Warning, Severity::Note].map(|severity| report.count(severity));
    let counts = format!("{errors} errors, {warnings} warnings, {notes} notes");
    format!("\n\nVerdict: {word} ({counts}; exit code {})\n", verdict.exit_code())
}

/// Columns aligned: the first to the left, those after it to the right, those from `left_again` to the left.
fn table(text: &mut String, rows: &[Vec<String>], left_again: usize) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 || column >= left_again {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        line(text, 1, cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_names_cannot_command_the_terminal() {
        let mut text = String::new();
        table(&mut text, &[row(["a", "b", "c"]), row(["long", "10", "word"])], 2);
        assert_eq!(text, "  a      b  c\n  long  10  word\n");
        assert_eq!(shown("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
