//! The aggregate does not depend on the order of arrival, neither of one round's updates nor of a whole
//! study's.

use std::collections::BTreeMap;

use consilium_domain::{Digest, FixedPoint, Lane, Round, Seed};
use consilium_privacy::{Accumulator, Grid, LocalUpdate, UpdatePayload};
use proptest::prelude::*;

use crate::properties::config;
use crate::scene::Scene;
use crate::schedule::Op::{self, Deliver, FinishWork, Reconnect};
use crate::schedule::scenes;
use crate::world::World;

/// Random rounds, and random interleavings of a study.
const CASES: u32 = 64;

/// Changes are multiples of 2^-FINE_BITS, so that the exact mean is a quotient of integers.
const FINE_BITS: i32 = 40;

const COORDINATES: usize = 4;

/// What a site sends: a change of each coordinate, and its cases.
#[derive(Debug, Clone)]
struct Update {
    /// In units of 2^-FINE_BITS; each is an `f32` exactly.
    change: Vec<i64>,
    cases: u32,
}

impl Update {
    fn sealed(&self, grid: Grid) -> Vec<u8> {
        let after: Vec<f32> = self.change.iter().map(|&units| value(units) as f32).collect();
        let update = LocalUpdate::between(&[0.0; COORDINATES], after, self.cases).expect("a sound update");
        update.clip(grid).quantise().seal().into_parts().0
    }
}

fn value(units: i64) -> f64 {
    units as f64 * 2f64.powi(-FINE_BITS)
}

fn updates() -> impl Strategy<Value = Vec<Update>> {
    let change = (-(1i64 << 23)..=1 << 23, 0u32..20).prop_map(|(digits, shift)| digits << shift);
    let update = (prop::collection::vec(change, COORDINATES), 1u32..1 << 15)
        .prop_map(|(change, cases)| Update { change, cases });
    prop::collection::vec(update, 1..8)
}

/// The weighted mean in the order given.
fn mean(updates: &[&Update], grid: Grid) -> Vec<f64> {
    let mut sum = Accumulator::new(COORDINATES, grid);
    for update in updates {
        let bytes = update.sealed(grid);
        let payload = UpdatePayload::parse(&bytes, COORDINATES, grid).expect("a sealed update");
        sum.add(&payload, update.cases).expect("an update of this round");
    }
    let units = sum.mean_units().expect("somebody contributed");
    units.into_iter().map(|units| f64::from(units) / grid.fixed_point().scale()).collect()
}

/// The weighted mean of coordinate `index`, by integers: only the last two operations round.
fn exact_mean(updates: &[Update], index: usize, clip: u32) -> f64 {
    let limit = i64::from(clip) << FINE_BITS;
    let weighted =
        |update: &Update| i128::from(update.change[index].clamp(-limit, limit)) * i128::from(update.cases);
    let sum: i128 = updates.iter().map(weighted).sum();
    let cases: i128 = updates.iter().map(|update| i128::from(update.cases)).sum();
    sum as f64 / cases as f64 * 2f64.powi(-FINE_BITS)
}

/// Every model of the study of `scene` after `ops` and the calm after them, and the order in which updates
/// came.
fn models(scene: &Scene, ops: &[Op]) -> (BTreeMap<(Lane, Round), Digest>, BTreeMap<Digest, usize>) {
    let mut world = World::open(scene);
    world.suffer(ops).and_then(|()| world.end()).expect("no invariant is broken");
    (world.aggregates, world.arrivals)
}

/// Sites start in any order, and messages and work interleave in any way; nothing fails.
fn interleavings(sites: u8) -> impl Strategy<Value = Vec<Op>> {
    let starts = Just((0..sites).map(Reconnect).collect::<Vec<_>>()).prop_shuffle();
    let steps = prop::collection::vec(
        prop_oneof![4 => any::<u8>().prop_map(Deliver), 1 => any::<u8>().prop_map(FinishWork)],
        0..400,
    );
    (starts, steps).prop_map(|(starts, steps)| [starts, steps].concat())
}

proptest! {
    #![proptest_config(config(CASES))]

    #[test]
    fn a_rounds_mean_is_bit_identical_in_any_order_and_within_a_unit(
        updates in updates(),
        (log_clip, fraction_bits) in (0u32..=2, 8u8..=24),
        order in any::<u64>(),
    ) {
        let fixed_point = FixedPoint { clip: 1 << log_clip, fraction_bits };
        let grid = Grid::new(fixed_point).expect("a sensible fixed point");
        let mut arrivals: Vec<&Update> = updates.iter().collect();
        let mean_in_order = mean(&arrivals, grid);
        Seed::from_number(order).stream().shuffle(&mut arrivals);
        prop_assert_eq!(&mean(&arrivals, grid), &mean_in_order);
        for (index, &mean) in mean_in_order.iter().enumerate() {
            let exact = exact_mean(&updates, index, fixed_point.clip);
            let rounding = 4.0 * f64::EPSILON * exact.abs();
            // Half a unit at the sites, half at the mean.
            prop_assert!((mean - exact).abs() <= 2.0 * fixed_point.half_unit() + rounding, "{mean} for {exact}");
        }
    }

    #[test]
    fn a_studys_models_do_not_depend_on_who_comes_first(
        (scene, ops) in scenes()
            .prop_map(|scene| Scene { crash_looper: None, ..scene })
            .prop_flat_map(|scene| { let sites = scene.sites; (Just(scene), interleavings(sites)) }),
    ) {
        let (calm, _) = models(&scene, &[]);
        let (other, _) = models(&scene, &ops);
        prop_assert_eq!(calm, other);
    }
}

#[test]
fn the_order_of_arrival_does_change_when_the_order_of_start_does() {
    let scene = Scene::PLAIN;
    let backwards: Vec<Op> = (0..scene.sites).rev().map(Reconnect).collect();
    // The last site is quick: its first update is the first of all.
    let quick = [Op::Calm(2), FinishWork(2), Op::Calm(3), FinishWork(2)];
    let (calm, calm_arrivals) = models(&scene, &[]);
    let (other, other_arrivals) = models(&scene, &[&backwards[..], &quick].concat());
    assert_eq!(calm, other);
    assert_eq!(calm.len(), 4, "two lanes of two rounds");
    assert_ne!(calm_arrivals, other_arrivals);
}
