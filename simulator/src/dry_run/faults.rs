//! What goes wrong in a dry run, and when: one text that people write and a failing test prints.
//!
//! ```text
//! FAULTS = FAULT { "," FAULT }
//! FAULT  = "cut:"   WHO "@" TIME "+" TIME                nothing passes, in either direction
//!        | "loss:"  WHO "@" TIME "+" TIME "=" PERCENT    so many more datagrams are lost
//!        | "delay:" WHO "@" TIME "+" TIME "=" TIME       every datagram takes so much longer
//!        | "stop:"  WHO "@" TIME "+" TIME                the program is stopped, and started again afterwards
//!        | "gone:"  SITE "@" TIME                        the client ends and never comes back
//!        | "slow:"  SITE "=" FACTOR                      work takes so many times as long, from 2 to 1000
//! WHO    = "all" (sites) | SITE | "coordinator" (stop only)
//! SITE   = 1 to 500
//! TIME   = whole number with "ms", "s", "m", "h" or "d"
//! PERCENT= 0.01% to 100%, with at most two decimals
//! ```
//!
//! Nothing is guessed: a space, a sign, a leading zero or a unit too many is refused.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The most sites a study can have.
const MAX_SITES: u16 = 500;
/// The longest time: no plan looks further ahead than a year.
const MAX_TIME: Duration = Duration::from_hours(366 * 24);
/// The largest slowdown: three orders of magnitude are between a graphics card and no computer at all.
const MAX_FACTOR: u16 = 1_000;
/// Faults in one text: more than anybody writes by hand.
const MAX_FAULTS: usize = 1_000;
/// Units of time, largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Everything that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults(pub Vec<Fault>);

/// One thing that goes wrong. Sites are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes.
    Cut(Whom, Spell),
    /// More datagrams are lost: so many of ten thousand.
    Loss(Whom, Spell, u16),
    /// Datagrams take longer, by a whole number of milliseconds.
    Delay(Whom, Spell, Duration),
    /// Clients are stopped and started again.
    StopSite(Whom, Spell),
    /// The coordinator is.
    StopCoordinator(Spell),
    /// A client ends at this time and never comes back.
    Gone(u16, Duration),
    /// A site works so many times slower.
    Slow(u16, u16),
}

/// Which sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// All of them.
    Everybody,
    /// One.
    Site(u16),
}

impl Whom {
    /// Whether `site` is among them.
    pub fn means(self, site: u16) -> bool {
        self == Self::Everybody || self == Self::Site(site)
    }
}

/// A stretch of time, counted from the beginning; whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spell {
    /// When it begins.
    pub from: Duration,
    /// How long it lasts; more than nothing.
    pub length: Duration,
}

impl Spell {
    /// When it is over.
    pub fn end(self) -> Duration {
        self.from + self.length
    }

    /// Whether `at` is within.
    pub fn contains(self, at: Duration) -> bool {
        at >= self.from && at < self.end()
    }
}

/// A text that is no list of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{fault}` is no fault: {problem}; for instance cut:3@10m+6m, loss:all@0s+1h=2%, stop:coordinator@2h+1m"
)]
pub struct UnknownFault {
    fault: String,
    problem: &'static str,
}

impl Faults {
    /// How much slower `site` works.
    pub fn slowdown(&self, site: u16) -> u32 {
        let slow = |fault: &Fault| matches!(fault, Fault::Slow(slow, _) if *slow == site);
        let factor = |fault: &Fault| if let Fault::Slow(_, factor) = fault { u32::from(*factor) } else { 1 };
        self.0.iter().filter(|fault| slow(fault)).map(factor).product()
    }

    /// When the client of `site` does not run, in the order of time; overlapping stops are one.
    pub fn stops_of_site(&self, site: u16) -> Vec<Spell> {
        merged(self.0.iter().filter_map(|fault| match fault {
            Fault::StopSite(whom, spell) if whom.means(site) => Some(*spell),
            Fault::Gone(gone, from) if *gone == site => Some(Spell { from: *from, length: 2 * MAX_TIME }),
            _ => None,
        }))
    }

    /// When the coordinator does not run.
    pub fn stops_of_coordinator(&self) -> Vec<Spell> {
        merged(self.0.iter().filter_map(|fault| match fault {
            Fault::StopCoordinator(spell) => Some(*spell),
            _ => None,
        }))
    }

    /// Whether nothing passes between `site` and the coordinator.
    pub fn cuts(&self, site: u16, at: Duration) -> bool {
        self.0
            .iter()
            .any(|fault| matches!(fault, Fault::Cut(whom, spell) if whom.means(site) && spell.contains(at)))
    }

    /// The share of datagrams of `site` that is lost, and how much later the others come.
    pub fn worsens(&self, site: u16, at: Duration) -> (f64, Duration) {
        self.0.iter().fold((0.0, Duration::ZERO), |(loss, delay), fault| match fault {
            Fault::Loss(whom, spell, more) if whom.means(site) && spell.contains(at) => {
                (loss + f64::from(*more) / 10_000.0, delay)
            }
            Fault::Delay(whom, spell, more) if whom.means(site) && spell.contains(at) => {
                (loss, delay + *more)
            }
            _ => (loss, delay),
        })
    }
}

fn merged(spells: impl Iterator<Item = Spell>) -> Vec<Spell> {
    let mut spells: Vec<Spell> = spells.collect();
    spells.sort_by_key(|spell| spell.from);
    let mut merged: Vec<Spell> = Vec::new();
    for spell in spells {
        match merged.last_mut() {
            Some(last) if spell.from <= last.end() => {
                last.length = last.length.max(spell.end() - last.from);
            }
            _ => merged.push(spell),
        }
    }
    merged
}

impl FromStr for Faults {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.split(',').count() > MAX_FAULTS {
            return Err(UnknownFault { fault: "...".into(), problem: "there are more than 1000" });
        }
        let parse = |fault: &str| {
            let shown = || fault.chars().take(80).collect();
            fault_of(fault).map_err(|problem| UnknownFault { fault: shown(), problem })
        };
        text.split(',').map(parse).collect::<Result<_, _>>().map(Self)
    }
}

fn fault_of(text: &str) -> Result<Fault, &'static str> {
    let (kind, rest) = text.split_once(':').ok_or("it names no kind and whom")?;
    match kind {
        "cut" => {
            let (whom, spell) = whom_and_spell(rest)?;
            Ok(Fault::Cut(whom, spell))
        }
        "loss" => {
            let (rest, share) = rest.split_once('=').ok_or("it says no share, as in =2%")?;
            let (whom, spell) = whom_and_spell(rest)?;
            Ok(Fault::Loss(whom, spell, hundredths(share)?))
        }
        "delay" => {
            let (rest, delay) = rest.split_once('=').ok_or("it says no delay, as in =300ms")?;
            let (whom, spell) = whom_and_spell(rest)?;
            Ok(Fault::Delay(whom, spell, longer_than_nothing(delay)?))
        }
        "stop" => match rest.split_once('@') {
            Some(("coordinator", times)) => Ok(Fault::StopCoordinator(spell(times)?)),
            _ => whom_and_spell(rest).map(|(whom, spell)| Fault::StopSite(whom, spell)),
        },
        "gone" => {
            let (site, from) = rest.split_once('@').ok_or("it says no time, as in @10m")?;
            Ok(Fault::Gone(site_number(site)?, time(from)?))
        }
        "slow" => {
            let (site, factor) = rest.split_once('=').ok_or("it says no factor, as in =3")?;
            match number(factor)? {
                factor if (2..=u64::from(MAX_FACTOR)).contains(&factor) => {
                    Ok(Fault::Slow(site_number(site)?, factor as u16))
                }
                _ => Err("a factor is 2 to 1000"),
            }
        }
        _ => Err("kinds are cut, loss, delay, stop, gone and slow"),
    }
}

fn whom_and_spell(text: &str) -> Result<(Whom, Spell), &'static str> {
    let (whom, times) = text.split_once('@').ok_or("it says no time, as in @10m+6m")?;
    let whom = if whom == "all" { Whom::Everybody } else { Whom::Site(site_number(whom)?) };
    Ok((whom, spell(times)?))
}

fn spell(text: &str) -> Result<Spell, &'static str> {
    let (from, length) = text.split_once('+').ok_or("it says no length, as in @10m+6m")?;
    Ok(Spell { from: time(from)?, length: longer_than_nothing(length)? })
}

fn site_number(text: &str) -> Result<u16, &'static str> {
    match number(text)? {
        site if (1..=u64::from(MAX_SITES)).contains(&site) => Ok(site as u16),
        _ => Err("sites are 1 to 500"),
    }
}

/// Digits alone, no zero before another.
fn number(text: &str) -> Result<u64, &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let number = plain.then(|| text.parse().ok()).flatten();
    number.ok_or("there must be a whole number, written plainly")
}

fn time(text: &str) -> Result<Duration, &'static str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or("times end in ms, s, m, h or d")?;
    let millis = number(count)?.checked_mul(*millis).map(Duration::from_millis);
    millis.filter(|time| *time <= MAX_TIME).ok_or("no time is longer than 366d")
}

fn longer_than_nothing(text: &str) -> Result<Duration, &'static str> {
    time(text).and_then(|time| if time.is_zero() { Err("nothing lasts no time") } else { Ok(time) })
}

fn hundredths(text: &str) -> Result<u16, &'static str> {
    const PROBLEM: &str = "shares are 0.01% to 100%, with at most two decimals";
    let share = text.strip_suffix('%').ok_or(PROBLEM)?;
    let (whole, decimals) = share.split_once('.').unwrap_or((share, ""));
    let point_alone = share.contains('.') && decimals.is_empty();
    if point_alone || decimals.len() > 2 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PROBLEM);
    }
    let fraction: u64 = format!("{decimals:0<2}").parse().map_err(|_| PROBLEM)?;
    let hundredths = number(whole)?.checked_mul(100).map(|whole| whole + fraction);
    match hundredths {
        Some(share @ 1..=10_000) => Ok(share as u16),
        _ => Err(PROBLEM),
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(whom, spell) => write!(f, "cut:{whom}@{spell}"),
            Self::Loss(whom, spell, share) => {
                let decimals = format!(".{:02}", share % 100);
                let decimals = if share % 100 == 0 { "" } else { decimals.trim_end_matches('0') };
                write!(f, "loss:{whom}@{spell}={}{decimals}%", share / 100)
            }
            Self::Delay(whom, spell, delay) => write!(f, "delay:{whom}@{spell}={}", Shown(*delay)),
            Self::StopSite(whom, spell) => write!(f, "stop:{whom}@{spell}"),
            Self::StopCoordinator(spell) => write!(f, "stop:coordinator@{spell}"),
            Self::Gone(site, from) => write!(f, "gone:{site}@{}", Shown(*from)),
            Self::Slow(site, factor) => write!(f, "slow:{site}={factor}"),
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("all"),
            Self::Site(site) => site.fmt(f),
        }
    }
}

impl fmt::Display for Spell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", Shown(self.from), Shown(self.length))
    }
}

/// A time in its largest whole unit.
struct Shown(Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        let fits = |(_, unit): &&(&str, u64)| millis.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().find(fits).expect("every time is a number of milliseconds");
        write!(f, "{}{name}", millis / unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whom() -> impl Strategy<Value = Whom> {
        prop_oneof![Just(Whom::Everybody), (1..=MAX_SITES).prop_map(Whom::Site)]
    }

    fn time(least: u64) -> impl Strategy<Value = Duration> {
        let unit = proptest::sample::select(UNITS.to_vec());
        let most = u64::try_from(MAX_TIME.as_millis()).unwrap();
        (unit, least..3_000)
            .prop_map(move |((_, unit), count)| Duration::from_millis((unit * count).min(most)))
    }

    fn spell() -> impl Strategy<Value = Spell> {
        (time(0), time(1)).prop_map(|(from, length)| Spell { from, length })
    }

    fn fault() -> impl Strategy<Value = Fault> {
        prop_oneof![
            (whom(), spell()).prop_map(|(whom, spell)| Fault::Cut(whom, spell)),
            (whom(), spell(), 1..=10_000u16).prop_map(|(whom, spell, share)| Fault::Loss(whom, spell, share)),
            (whom(), spell(), time(1)).prop_map(|(whom, spell, delay)| Fault::Delay(whom, spell, delay)),
            (whom(), spell()).prop_map(|(whom, spell)| Fault::StopSite(whom, spell)),
            spell().prop_map(Fault::StopCoordinator),
            (1..=MAX_SITES, time(0)).prop_map(|(site, from)| Fault::Gone(site, from)),
            (1..=MAX_SITES, 2..=MAX_FACTOR).prop_map(|(site, factor)| Fault::Slow(site, factor)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(faults in proptest::collection::vec(fault(), 1..6)) {
            let faults = Faults(faults);
            prop_assert_eq!(faults.to_string().parse::<Faults>(), Ok(faults));
        }

        #[test]
        fn nothing_is_read_in_two_ways(text in "[cutlosdeaygnpwrimh:@+=%.,0-9 ]{0,40}") {
            if let Ok(faults) = text.parse::<Faults>() {
                prop_assert_eq!(faults.to_string().parse::<Faults>(), Ok(faults));
            }
        }

        /// A letter more, less or changed is another list of faults, or none.
        #[test]
        fn every_letter_counts(faults in proptest::collection::vec(fault(), 1..3), at in 0usize..60, letter in "[0-9a-z@+=%. ]") {
            let text = Faults(faults.clone()).to_string();
            let at = at % text.len();
            let changed = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
            if let Ok(read) = changed.parse::<Faults>() && changed != text {
                // The same fault has two texts where its unit is not the largest: 60s and 1m.
                prop_assert!(read != Faults(faults.clone()) || read.to_string() != changed);
            }
        }
    }

    #[test]
    fn what_is_not_a_fault_is_refused_with_its_reason() {
        for (text, problem) in [
            ("", "kind"),
            ("cut", "kind"),
            ("burn:1@1s+1s", "kinds are"),
            ("cut:1", "no time"),
            ("cut:1@1s", "no length"),
            ("cut:0@1s+1s", "1 to 500"),
            ("cut:501@1s+1s", "1 to 500"),
            ("cut: 1@1s+1s", "plainly"),
            ("cut:01@1s+1s", "plainly"),
            ("cut:+1@1s+1s", "plainly"),
            ("cut:1@1s+0s", "no time"),
            ("cut:1@1x+1s", "times end"),
            ("cut:1@1s+1s=2%", "times end"),
            ("cut:coordinator@1s+1s", "plainly"),
            ("loss:1@1s+1s", "no share"),
            ("loss:1@1s+1s=0%", "shares"),
            ("loss:1@1s+1s=101%", "shares"),
            ("loss:1@1s+1s=1.%", "shares"),
            ("loss:1@1s+1s=1.234%", "shares"),
            ("delay:1@1s+1s=0s", "no time"),
            ("gone:all@1s", "plainly"),
            ("slow:1=1", "factor"),
            ("slow:1=1001", "factor"),
            ("cut:1@367d+1s", "366d"),
            ("cut:1@99999999999999999999d+1s", "plainly"),
            ("cut:1@1s+1s,", "kind"),
        ] {
            let error = text.parse::<Faults>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn stops_that_touch_are_one_and_slowness_multiplies() {
        let faults: Faults =
            "stop:2@10s+5s,stop:all@12s+10s,stop:2@1m+1s,slow:2=3,slow:2=2,gone:3@5s".parse().unwrap();
        let secs = Duration::from_secs;
        let spell = |from, length| Spell { from: secs(from), length: secs(length) };
        assert_eq!(faults.stops_of_site(2), [spell(10, 12), spell(60, 1)]);
        assert_eq!((faults.slowdown(2), faults.slowdown(1)), (6, 1));
        assert_eq!(faults.stops_of_site(3).len(), 1, "whoever is gone stays gone");
        assert!(faults.stops_of_coordinator().is_empty());
    }
}
