//! What connects a site to the coordinator: how fast, how far, how lossy. And mixes of sites to plan with.

use std::time::Duration;

use consilium_client::Pace;
use consilium_domain::{RandomStream, Seed, SiteId};

/// A line to the coordinator. Both directions share its latency and losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Bits a second from the site.
    pub up: u64,
    /// Bits a second to it.
    pub down: u64,
    /// How long a datagram is on its way, at least.
    pub latency: Duration,
    /// How much longer it may take. Datagrams do not overtake each other by this.
    pub jitter: Duration,
    /// The share of datagrams that is lost.
    pub loss: f64,
    /// The share that arrives late, behind others.
    pub reordering: f64,
}

impl Line {
    /// A line as between two rooms of one house: it costs next to no time and loses nothing.
    pub const LAN: Self = Self {
        up: GBIT,
        down: GBIT,
        latency: Duration::from_micros(200),
        jitter: Duration::ZERO,
        loss: 0.0,
        reordering: 0.0,
    };

    /// A good line through the internet.
    pub const WAN: Self = Self {
        up: 100 * MBIT,
        down: 100 * MBIT,
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(3),
        loss: 0.001,
        reordering: 0.001,
    };
}

const MBIT: u64 = 1_000_000;
const GBIT: u64 = 1_000 * MBIT;

/// A site of a dry run.
#[derive(Debug, Clone, PartialEq)]
pub struct DrySite {
    /// Its name.
    pub id: SiteId,
    /// Its line.
    pub line: Line,
    /// Patients it pretends to have.
    pub cases: u32,
    /// How fast it works.
    pub pace: Pace,
}

/// Sites to plan with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Links {
    /// Hospitals as unequal as those of the FeTS initiative.
    Fets,
    /// Equal hospitals on good lines through the internet.
    Wan,
    /// Equal hospitals in one house.
    Lan,
}

/// Subjects of each institution in the partition of the FeTS 2021 challenge (arXiv:2105.05874).
const FETS_CASES: [u32; 23] =
    [511, 382, 47, 35, 35, 34, 33, 30, 22, 15, 14, 13, 12, 11, 9, 8, 8, 7, 6, 6, 5, 4, 4];
/// Seconds that one model took down to and up from an institution, and that a patient took in training: the least and
/// the most of 16 networks' means in the timings which came with the challenge.
const FETS_DOWN_SECS: [f64; 2] = [13.0, 217.0];
const FETS_UP_SECS: [f64; 2] = [20.0, 431.0];
const FETS_TRAINING_SECS: [f64; 2] = [1.8, 20.7];
/// The length of that model is not told with the timings: we take it to be 100 MB.
const FETS_MODEL_BITS: f64 = 8.0e8;

/// Patients of a site where all are equal.
const EQUAL_CASES: u32 = 60;
/// How such sites work.
const EQUAL_PACE: Pace = Pace {
    preparing: Duration::from_millis(500),
    training: Duration::from_secs(2),
    scoring: Duration::from_millis(500),
};

impl Links {
    /// The site numbered `number`, from 1.
    pub fn site(self, number: u16, id: SiteId, seed: &Seed) -> DrySite {
        match self {
            Self::Lan => DrySite { id, line: Line::LAN, cases: EQUAL_CASES, pace: EQUAL_PACE },
            Self::Wan => DrySite { id, line: Line::WAN, cases: EQUAL_CASES, pace: EQUAL_PACE },
            Self::Fets => fets(number, id, seed),
        }
    }

    /// The coordinator's own line, which all sites share.
    pub const fn centre(self) -> Line {
        match self {
            Self::Lan => Line { up: 10 * GBIT, down: 10 * GBIT, ..Line::LAN },
            Self::Wan | Self::Fets => Line { latency: Duration::ZERO, ..Line::LAN },
        }
    }
}

/// Sizes go round the 23 institutions; each site's speeds are drawn between the extremes, evenly over their logarithm.
/// Latency and losses were not measured there: they are those of lines that are ordinary for such speeds.
fn fets(number: u16, id: SiteId, seed: &Seed) -> DrySite {
    let mut stream = seed.derive(&format!("fets/{id}")).stream();
    let slowness = stream.uniform();
    let down = FETS_MODEL_BITS / between(FETS_DOWN_SECS, slowness);
    // A site that is slow in one direction is slow in the other.
    let up = FETS_MODEL_BITS / between(FETS_UP_SECS, (slowness + stream.between(-0.1, 0.1)).clamp(0.0, 1.0));
    let line = Line {
        up: up as u64,
        down: down as u64,
        latency: Duration::from_secs_f64(between([0.008, 0.120], stream.uniform())),
        jitter: Duration::from_secs_f64(between([0.000_5, 0.010], slowness)),
        loss: between([0.000_1, 0.005], slowness),
        reordering: 0.001,
    };
    let training = Duration::from_secs_f64(between(FETS_TRAINING_SECS, stream.uniform()));
    let pace = Pace { preparing: training / 4, training, scoring: training / 4 };
    let cases = FETS_CASES[usize::from(number.saturating_sub(1)) % FETS_CASES.len()];
    DrySite { id, line, cases, pace }
}

/// At `share` of the way from the least to the most, by their logarithm.
fn between([least, most]: [f64; 2], share: f64) -> f64 {
    least * (most / least).powf(share)
}

/// A draw of whether something that happens to `share` of all happens now.
pub(super) fn happens(share: f64, stream: &mut RandomStream) -> bool {
    share > 0.0 && stream.uniform() < share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fets_sites_are_within_what_was_measured_and_the_same_every_time() {
        let seed = Seed::from_number(7);
        let site = |number: u16| Links::Fets.site(number, format!("site-{number}").parse().unwrap(), &seed);
        for number in 1..=100 {
            let DrySite { line, cases, pace, .. } = site(number);
            assert!((1_800_000..=62_000_000).contains(&line.up) && line.down >= 3_600_000, "{line:?}");
            assert!(FETS_CASES.contains(&cases));
            assert!((1.8..=20.7).contains(&pace.training.as_secs_f64()));
        }
        assert_eq!(site(3), site(3));
        assert_ne!(site(3).line, site(4).line);
    }
}
