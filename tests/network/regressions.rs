//! Schedules that failed once, and some that show what is meant.

use crate::consortium::Patience;
use crate::schedule::Schedule;

#[test]
fn a_site_that_is_cut_off_goes_on_where_it_was() {
    Schedule::of(0, Patience::Long, "cut:2@4s+20s").holds().unwrap();
}

#[test]
fn a_restarted_coordinator_and_restarted_clients_lose_nothing() {
    Schedule::of(2, Patience::Long, "stop:coordinator@6s+3s,stop:all@12s+2s").holds().unwrap();
}

#[test]
fn a_flapping_line_loses_nothing() {
    let faults = "cut:1@2s+5s,cut:1@8s+5s,cut:1@14s+5s,loss:all@0s+1m=20%";
    Schedule::of(4, Patience::Long, faults).holds().unwrap();
}
