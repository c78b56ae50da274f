//! Whole studies over bad networks, in virtual time: the daemons' own code, QUIC and TLS over a network in memory that
//! delays, loses, reorders and cuts, with training replaced by waiting.
//!
//! A [`schedule::Schedule`] says what the lines are like and what goes wrong. What must hold is looked at after every
//! event of the coordinator's log, by the very checker of `tests/simulation`. There is deliberately no wall clock, no
//! socket of the system and no neural network here.
//!
//! A failing schedule is printed as Rust; paste it into [`regressions`]. Unlike that of `tests/simulation` it need not
//! fail again at the first try: which of two things that happen at one instant comes first is the machine's to say
//! (docs/adr/0022-dry-runs-in-virtual-time.md).

mod calm;
mod consortium;
mod farewells;
#[path = "../simulation/invariants.rs"]
#[allow(dead_code, reason = "what a log cannot show is checked by the simulation alone")]
mod invariants;
mod leases;
#[path = "../simulation/rates.rs"]
mod rates;
mod regressions;
mod schedule;
mod schedules;
#[path = "../simulation/violation.rs"]
mod violation;
