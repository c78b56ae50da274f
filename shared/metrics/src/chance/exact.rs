//! All ways to choose the patients of a class, counted by their rank sum.

use super::Ranks;

/// Additions that counting may cost: some tens of milliseconds, two classes of about 30 patients each.
const MAX_WORK: u64 = 1 << 24;

/// The two-sided and the upper probability; `None` where counting would take too long.
///
/// The shift algorithm (Streitberg and Roehmel, Statistical Software Newsletter 12, 1986, 10-17): bin by bin,
/// the number of ways to have drawn k patients with a rank sum of s. Counts are sums of products of binomial
/// coefficients, all positive, so that their relative error is that of a few hundred roundings.
pub(super) fn probabilities(ranks: &Ranks) -> Option<(f64, f64)> {
    let drawn = usize::try_from(ranks.drawn).ok()?;
    // The drawn patients cannot have more than the largest doubled rank each.
    let most = ranks.bins.last().map_or(0, |&(rank, _)| rank) * ranks.drawn;
    let steps: u64 = ranks.bins.iter().map(|&(_, count)| count.min(ranks.drawn) + 1).sum();
    let work = steps.checked_mul(ranks.drawn + 1)?.checked_mul(most + 1)?;
    if work > MAX_WORK {
        return None;
    }
    let width = most as usize + 1;
    let mut ways = vec![0.0f64; (drawn + 1) * width];
    ways[0] = 1.0;
    let mut seen = 0;
    for &(rank, count) in &ranks.bins {
        // From many to few, so that no patient of this bin is drawn twice.
        for chosen in (1..=drawn.min(seen + count as usize)).rev() {
            for here in 1..=chosen.min(count as usize) {
                add_shifted(
                    &mut ways,
                    width,
                    chosen - here,
                    chosen,
                    here * rank as usize,
                    binomial(count, here),
                );
            }
        }
        seen += count as usize;
    }
    let ways = &ways[drawn * width..];
    let total: f64 = ways.iter().sum();
    let share = |extreme: &dyn Fn(i64) -> bool| {
        let met = ways.iter().enumerate().filter(|(sum, _)| extreme(ranks.deviation(*sum as u64)));
        met.map(|(_, ways)| ways).sum::<f64>() / total
    };
    let two_sided = share(&|deviation| deviation.abs() >= ranks.observed.abs());
    Some((two_sided.min(1.0), share(&|deviation| deviation >= ranks.observed).min(1.0)))
}

/// Adds `times` the row of `from` patients, shifted by `shift` ranks, to the row of `to` patients.
fn add_shifted(ways: &mut [f64], width: usize, from: usize, to: usize, shift: usize, times: f64) {
    let (before, after) = ways.split_at_mut(to * width);
    let source = &before[from * width..(from + 1) * width];
    for (target, ways) in after[shift..width].iter_mut().zip(source) {
        *target += times * ways;
    }
}

fn binomial(n: u64, k: usize) -> f64 {
    (0..k).fold(1.0, |value, i| value * (n - i as u64) as f64 / (i + 1) as f64)
}
