//! How long something is valid, as people write it: `30d`, `72h`, `15m`, `90s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest: no certificate outlives the root's ten years.
const MAX_SECS: u64 = 3_653 * 86_400;

/// A whole number of seconds, minutes, hours or days; at least a second, at most ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(Duration);

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no length of time: use for instance 30d, 72h, 15m or 90s, up to ten years")]
pub struct LifetimeError(String);

impl Lifetime {
    /// So many days.
    pub const fn days(days: u32) -> Self {
        Self(Duration::from_secs(days as u64 * 86_400))
    }

    /// So many hours.
    pub const fn hours(hours: u32) -> Self {
        Self(Duration::from_secs(hours as u64 * 3_600))
    }

    /// So many seconds.
    pub const fn secs(secs: u32) -> Self {
        Self(Duration::from_secs(secs as u64))
    }

    /// The same as a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let (unit, letter) = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(unit, _)| secs != 0 && secs.is_multiple_of(*unit))
            .unwrap_or((1, 's'));
        write!(f, "{}{letter}", secs / unit)
    }
}

impl FromStr for Lifetime {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let letter = text.chars().next_back()?;
            let unit = match letter {
                'd' => 86_400,
                'h' => 3_600,
                'm' => 60,
                's' => 1,
                _ => return None,
            };
            let digits = &text[..text.len() - 1];
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let secs = digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(unit)?;
            (1..=MAX_SECS).contains(&secs).then(|| Self(Duration::from_secs(secs)))
        };
        parse().ok_or_else(|| LifetimeError(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_units() {
        for (text, secs) in [("30d", 2_592_000), ("72h", 259_200), ("15m", 900), ("90s", 90)] {
            assert_eq!(text.parse::<Lifetime>().unwrap().duration().as_secs(), secs);
        }
        for bad in
            ["", "d", "30", "0s", "-1d", "+1d", "1.5h", "4000d", "1w", "30 d", "99999999999999999999d", "1é"]
        {
            assert!(bad.parse::<Lifetime>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read(secs in 1u64..=MAX_SECS) {
            let lifetime = Lifetime(Duration::from_secs(secs));
            prop_assert_eq!(lifetime.to_string().parse(), Ok(lifetime));
        }
    }
}
