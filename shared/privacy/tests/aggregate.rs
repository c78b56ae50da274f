//! From trained models at several sites to the next global model: exact, and the same in any order.

use consilium_domain::{FixedPoint, Seed};
use consilium_privacy::{Accumulator, Grid, LocalUpdate, UpdatePayload};
use proptest::prelude::*;

const COORDINATES: usize = 5;

#[derive(Debug, Clone)]
struct Site {
    change: Vec<f32>,
    cases: u32,
}

fn sites() -> impl Strategy<Value = Vec<Site>> {
    let change = prop_oneof![-0.01f32..=0.01, -20.0f32..=20.0, Just(0.0)];
    let site = (
        prop::collection::vec(change, COORDINATES),
        prop_oneof![1u32..500, any::<u32>().prop_map(|n| n / 8 + 1)],
    )
        .prop_map(|(change, cases)| Site { change, cases });
    prop::collection::vec(site, 1..7)
}

fn fixed_points() -> impl Strategy<Value = FixedPoint> {
    (0u32..=5, 8u8..=24)
        .prop_map(|(log_clip, fraction_bits)| FixedPoint { clip: 1 << log_clip, fraction_bits })
}

fn sealed(site: &Site, grid: Grid) -> Vec<u8> {
    let update = LocalUpdate::between(&[0.0; COORDINATES], site.change.clone(), site.cases).unwrap();
    update.clip(grid).quantise().seal().into_parts().0
}

/// Each site's payload with the cases told beside it.
fn sent(sites: &[Site], grid: Grid) -> Vec<(Vec<u8>, u32)> {
    sites.iter().map(|site| (sealed(site, grid), site.cases)).collect()
}

fn summed<'a>(arrivals: impl Iterator<Item = &'a (Vec<u8>, u32)>, grid: Grid) -> Accumulator {
    let mut sum = Accumulator::new(COORDINATES, grid);
    for (bytes, cases) in arrivals {
        sum.add(&UpdatePayload::parse(bytes, COORDINATES, grid).unwrap(), *cases).unwrap();
    }
    sum
}

fn bits(model: &[f32]) -> Vec<u32> {
    model.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #[test]
    fn any_order_of_arrival_gives_the_same_bits(
        sites in sites(),
        fixed_point in fixed_points(),
        base in prop::collection::vec(-3.0f32..=3.0, COORDINATES),
        order in any::<u64>(),
    ) {
        let grid = Grid::new(fixed_point).unwrap();
        let mut arrivals = sent(&sites, grid);
        let first = summed(arrivals.iter(), grid);
        Seed::from_number(order).stream().shuffle(&mut arrivals);
        let second = summed(arrivals.iter(), grid);
        prop_assert_eq!(bits(&first.apply(&base).unwrap()), bits(&second.apply(&base).unwrap()));
        prop_assert_eq!(first.mean_units(), second.mean_units());
        prop_assert_eq!(first.cases(), second.cases());
    }

    #[test]
    fn the_aggregate_is_the_weighted_mean_within_a_unit(
        sites in sites(),
        fixed_point in fixed_points(),
        base in prop::collection::vec(-3.0f32..=3.0, COORDINATES),
    ) {
        let grid = Grid::new(fixed_point).unwrap();
        let arrivals = sent(&sites, grid);
        let sum = summed(arrivals.iter(), grid);
        let (mean, next) = (sum.mean_units().unwrap(), sum.apply(&base).unwrap());
        let clip = f64::from(fixed_point.clip);
        let cases: f64 = sites.iter().map(|site| f64::from(site.cases)).sum();
        for index in 0..COORDINATES {
            let clipped = |site: &Site| f64::from(site.change[index]).clamp(-clip, clip);
            let exact = sites.iter().map(|site| f64::from(site.cases) * clipped(site)).sum::<f64>() / cases;
            // The reference itself is computed in f64, from a handful of terms of at most `clip`.
            let reference_rounding = 32.0 * f64::EPSILON * clip;
            let mean = f64::from(mean[index]) / fixed_point.scale();
            let error = (mean - exact).abs();
            // Half a unit at the sites, half at the mean.
            prop_assert!(error <= 2.0 * fixed_point.half_unit() + reference_rounding, "{error}");
            // The next model is the nearest f32: off by half a step of f32 at its size.
            let unrounded = f64::from(base[index]) + mean;
            prop_assert_eq!(next[index], unrounded as f32);
        }
    }
}
