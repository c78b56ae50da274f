//! When the usable scans were made, in years, and whether a study that sets the latest aside could deal them.

use consilium_domain::Design;

use super::options::CheckOptions;
use super::problem::{Place, Problem, ProblemKind};
use super::report::CheckedCase;
use crate::ScanDate;

const REMEDY: &str = "give every case its day in a manifest with the column `scan-date` (docs/layouts.md), or take part in \
                      studies of another design";

/// How many usable cases have the day of their scan, and between which years they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanDates {
    /// Usable cases with a day.
    pub dated: usize,
    /// All usable cases.
    pub usable: usize,
    /// The first year and the last; none where no case has a day.
    pub years: Option<(u16, u16)>,
}

impl ScanDates {
    pub(super) fn of(cases: &[CheckedCase]) -> Self {
        let usable = cases.iter().filter(|case| case.is_usable());
        let dates: Vec<Option<ScanDate>> = usable.map(|case| case.case.clinical.scanned).collect();
        let years = || dates.iter().flatten().map(|date| date.year());
        Self {
            dated: dates.iter().flatten().count(),
            usable: dates.len(),
            years: years().min().zip(years().max()),
        }
    }
}

/// What keeps a study of the design `temporal` from being dealt. A site with one case without a day cannot take part: left
/// out, such cases would change what "the latest" are.
pub(super) fn judge(cases: &[CheckedCase], options: &CheckOptions) -> Vec<Problem> {
    let dates = ScanDates::of(cases);
    if options.evaluation().design != Design::Temporal || dates.dated == dates.usable {
        return Vec::new();
    }
    if dates.dated == 0 {
        let reason = format!(
            "none of the {} usable cases has the day of its scan, which the design temporal needs",
            dates.usable
        );
        return vec![Problem::new(ProblemKind::NoDate, Place::Site, reason, REMEDY)];
    }
    let undated = |case: &CheckedCase| case.is_usable() && case.case.clinical.scanned.is_none();
    let of_case = |(index, _)| {
        let reason = "has no day, which the design temporal needs of every case";
        Problem::new(ProblemKind::NoDate, Place::Case(index), reason, REMEDY)
    };
    cases.iter().enumerate().filter(|(_, case)| undated(case)).map(of_case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::folds::{deal, judge as judge_folds};
    use crate::check::made_up_case;

    /// As many cases of each class as days; an empty day is none.
    fn cases(days: &[&str]) -> Vec<CheckedCase> {
        let of_class = |methylated| {
            days.iter().enumerate().map(move |(number, day)| {
                let mut case = made_up_case(methylated);
                case.patient = crate::PatientId::new(format!("P{methylated}{number}"));
                case.clinical.scanned = ScanDate::read(day);
                CheckedCase { usable: case.images.keys().copied().collect(), case }
            })
        };
        of_class(true).chain(of_class(false)).collect()
    }

    fn temporal() -> CheckOptions {
        CheckOptions::new(2, 0.5).unwrap().with_design(Design::Temporal)
    }

    fn kinds(cases: &[CheckedCase], options: &CheckOptions) -> Vec<(ProblemKind, Option<usize>)> {
        let sizes = deal(cases, options);
        let problems = judge(cases, options).into_iter().chain(judge_folds(sizes.as_ref(), cases, options));
        problems.map(|problem| (problem.kind, problem.place.case())).collect()
    }

    #[test]
    fn years_are_told_and_the_latest_are_set_aside() {
        let cases = cases(&["2015-01-02", "2016-03-04", "2019-05-06", "2021-07-08"]);
        assert_eq!(ScanDates::of(&cases), ScanDates { dated: 8, usable: 8, years: Some((2015, 2021)) });
        assert_eq!(kinds(&cases, &temporal()), []);
        let sizes = deal(&cases, &temporal()).unwrap().all;
        assert_eq!(sizes.holdout.least.total(), 4);
    }

    #[test]
    fn who_has_no_day_is_named_and_stops_the_site_in_that_design_alone() {
        let mut some = cases(&["2015-01-02", "2016-03-04", "2019-05-06", ""]);
        assert_eq!(
            kinds(&some, &temporal()),
            [(ProblemKind::NoDate, Some(3)), (ProblemKind::NoDate, Some(7))]
        );
        assert_eq!(kinds(&some, &CheckOptions::new(2, 0.5).unwrap()), []);
        some[3].usable.clear();
        some[7].usable.clear();
        assert_eq!(kinds(&some, &temporal()), [], "a case that is not used needs no day");
        assert_eq!(kinds(&cases(&[""; 4]), &temporal()), [(ProblemKind::NoDate, None)]);
        assert!(ProblemKind::NoDate.stops_site());
    }

    #[test]
    fn days_that_set_nobody_of_a_class_aside_are_told() {
        let same_day = cases(&["2015-01-02"; 4]);
        assert_eq!(kinds(&same_day, &temporal()), [(ProblemKind::HoldoutLacksClass, None); 2]);
    }
}
