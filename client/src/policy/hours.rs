//! The hours of a day in which a hospital's machine works for a study.
//!
//! Local time is UTC plus the offset that the policy names. There is deliberately no daylight saving: what the
//! system thinks of time zones changes under a running daemon, an offset in a file does not.

use std::str::FromStr;

use consilium_protocol::Timestamp;
use serde::{Deserialize, Serialize};

const SECS_A_DAY: i64 = 24 * 60 * 60;
/// No time zone is further from UTC.
const MOST_OFFSET_MINUTES: i64 = 14 * 60;

/// From one time of day to another, over midnight where the second is earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    from_secs: i64,
    to_secs: i64,
    offset_secs: i64,
}

/// As written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoursFile {
    /// `HH:MM`, included.
    pub from: String,
    /// `HH:MM`, excluded.
    pub to: String,
    /// `+HH:MM` or `-HH:MM`: what local time is ahead of UTC.
    pub utc_offset: String,
}

impl Hours {
    /// Checks what is written.
    ///
    /// # Errors
    /// A line with the key for each problem.
    pub(crate) fn check(file: &HoursFile) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut parse = |key: &str, text: &str, parsed: Option<i64>, form: &str| {
            if parsed.is_none() {
                problems.push(format!("hours.{key}: `{text}` is not {form}"));
            }
            parsed.unwrap_or_default()
        };
        let from_secs = parse("from", &file.from, time_of_day(&file.from), "a time such as 19:00");
        let to_secs = parse("to", &file.to, time_of_day(&file.to), "a time such as 07:00");
        let offset = offset(&file.utc_offset);
        let offset_secs = parse("utc_offset", &file.utc_offset, offset, "an offset such as +01:00");
        if problems.is_empty() && from_secs == to_secs {
            problems.push("hours: from and to are equal; leave [hours] out for the whole day".into());
        }
        if problems.is_empty() { Ok(Self { from_secs, to_secs, offset_secs }) } else { Err(problems) }
    }

    /// Whether `at` is within them.
    pub fn contain(&self, at: Timestamp) -> bool {
        let now = self.second_of_day(at);
        if self.from_secs < self.to_secs {
            (self.from_secs..self.to_secs).contains(&now)
        } else {
            now >= self.from_secs || now < self.to_secs
        }
    }

    /// When they begin or end next, after `at`.
    pub fn next_change(&self, at: Timestamp) -> Timestamp {
        let now = self.second_of_day(at);
        let until = |boundary: i64| match (boundary - now).rem_euclid(SECS_A_DAY) {
            0 => SECS_A_DAY,
            secs => secs,
        };
        let secs = until(self.from_secs).min(until(self.to_secs));
        let whole = at.0 / 1000;
        Timestamp((whole + secs.unsigned_abs()) * 1000)
    }

    fn second_of_day(&self, at: Timestamp) -> i64 {
        let secs = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX - MOST_OFFSET_MINUTES * 60);
        (secs + self.offset_secs).rem_euclid(SECS_A_DAY)
    }
}

/// Seconds after midnight.
fn time_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes) = (i64::from_str(hours).ok()?, i64::from_str(minutes).ok()?);
    (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60)
}

/// Seconds ahead of UTC.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let secs = time_of_day(text.get(1..)?)?;
    (secs <= MOST_OFFSET_MINUTES * 60).then_some(sign * secs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(from: &str, to: &str, utc_offset: &str) -> Hours {
        Hours::check(&HoursFile { from: from.into(), to: to.into(), utc_offset: utc_offset.into() }).unwrap()
    }

    /// A time of a day in UTC.
    fn at(hour: u64, minute: u64) -> Timestamp {
        Timestamp((20_000 * 24 * 60 + hour * 60 + minute) * 60_000)
    }

    #[test]
    fn hours_are_local_and_may_pass_midnight() {
        let night = hours("19:00", "07:00", "+01:00");
        let contained = |hour, minute| night.contain(at(hour, minute));
        assert!(!contained(17, 59) && contained(18, 0) && contained(23, 59) && contained(0, 0));
        assert!(contained(5, 59) && !contained(6, 0) && !contained(12, 0));
        let day = hours("09:00", "17:00", "-05:00");
        assert!(!day.contain(at(13, 59)) && day.contain(at(14, 0)) && !day.contain(at(22, 0)));
        assert_eq!(night.next_change(at(12, 0)), at(18, 0));
        assert_eq!(night.next_change(at(18, 0)), at(30, 0));
    }

    #[test]
    fn what_is_no_time_is_told_with_its_key() {
        let file = HoursFile { from: "24:00".into(), to: "7:00".into(), utc_offset: "01:00".into() };
        let problems = Hours::check(&file).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        let same = HoursFile { from: "07:00".into(), to: "07:00".into(), utc_offset: "+01:00".into() };
        assert!(Hours::check(&same).unwrap_err()[0].contains("whole day"));
        for text in ["+15:00", "+1:00", "", "é1:00"] {
            assert_eq!(offset(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_changes_before_the_next_change_and_then_it_does(
            from in 0i64..1440, to in 0i64..1440, offset in -840i64..=840, at in 0u64..4_000_000_000_000, part in 0.0..1.0f64,
        ) {
            prop_assume!(from != to);
            let hours = Hours { from_secs: from * 60, to_secs: to * 60, offset_secs: offset * 60 };
            let at = Timestamp(at);
            let change = hours.next_change(at);
            prop_assert!(change > at && change.0 - at.0 <= 86_400_000);
            let between = Timestamp(at.0 + ((change.0 - at.0 - 1) as f64 * part) as u64);
            prop_assert_eq!(hours.contain(between), hours.contain(at));
            prop_assert_ne!(hours.contain(change), hours.contain(at));
        }
    }
}
