//! Daemons that are killed at every durable write, one after the other, in a study of real processes.
//!
//! A calm run counts the durable writes of a daemon: every fsync, fdatasync, truncation, rename and unlink, by whichever
//! thread. Then the same study is run once for each of them, the daemon is killed there, before and after, and started
//! again. Every one of these studies must end with the report of the calm one, to the bit. What a disk does to data that
//! was never synced is not shown here: a process dies, the system lives.
//!
//! Linux with the GNU C library only (`killer.c`); elsewhere, and without a C compiler, one line says so.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[allow(dead_code, reason = "shared with tests/system, which uses all of it")]
#[path = "../system/by_hand.rs"]
mod by_hand;
mod client;
mod coordinator;
mod every_write;
mod evidence;
mod killer;
#[allow(dead_code, reason = "shared with tests/system, which uses all of it")]
#[path = "../system/process.rs"]
mod process;
mod refusing_disk;
mod study;
#[path = "../system/timeless.rs"]
mod timeless;
