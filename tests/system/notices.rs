//! What a coordinator tells on standard output while it runs.

use std::net::SocketAddr;

use consilium_coordinator::{Notice, Progress};

use crate::process::Process;

/// What a coordinator has told so far. A line that is still being written is not among it.
pub(crate) fn notices(coordinator: &Process) -> Vec<Notice> {
    let text = coordinator.stdout();
    let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    complete.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where it listens.
pub(crate) fn address(coordinator: &mut Process) -> SocketAddr {
    coordinator.wait_until("it listens", |process| !notices(process).is_empty());
    let [Notice::Listening(address), ..] = notices(coordinator)[..] else {
        panic!("it must begin with its address")
    };
    address
}

/// How far it is.
pub(crate) fn progress(coordinator: &Process) -> Option<Progress> {
    let shown = |notice| if let Notice::Progress(progress) = notice { Some(progress) } else { None };
    notices(coordinator).into_iter().filter_map(shown).next_back()
}
