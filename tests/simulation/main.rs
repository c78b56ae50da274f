//! The protocol machines under random schedules, in virtual time: what must hold is checked after every
//! event.
//!
//! One coordinator and a few participants exchange messages over a bus that can delay, cut and restart
//! anything; a schedule ([`schedule::Schedule`]) says what goes wrong and when, and after it the world runs
//! calmly to its end. There is deliberately no network, no clock, no file and no neural network here: the
//! shells' own duties (serving a ready site, repeating what a restart interrupted) have stand-ins in
//! [`shell`] and [`site`], training and aggregation in [`work`], the latter with the real privacy types.
//!
//! A failing property prints its schedule as Rust; paste it into [`regressions`].

mod aggregation;
mod calm;
mod duplicates;
mod invariants;
mod leases;
mod lies;
mod mutants;
mod properties;
mod rates;
mod regressions;
mod releases;
mod scene;
mod schedule;
mod shell;
mod site;
mod violation;
mod withdrawals;
mod work;
mod world;
