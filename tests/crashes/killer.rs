//! `killer.c`, compiled, and a daemon started under it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// Whether the write at which a daemon is killed is done first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// What a disk says that takes nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    ReadOnly,
}

/// What happens at a durable write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed.
    Kill(Moment),
    /// It is the last one that the disk takes.
    Refuse(Refusal),
}

/// Where something happens to a daemon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// The number of its durable write, from 1.
    pub(crate) write: usize,
    pub(crate) fault: Fault,
}

/// The compiled library; `None` where there is no C compiler.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<(TempDir, PathBuf)>> = OnceLock::new();
    let made = LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("killer.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("crashes/killer.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut compile = Command::new(compiler);
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(source).arg("-ldl");
        match compile.status() {
            Ok(status) => {
                assert!(status.success(), "killer.c does not compile");
                Some((folder, path))
            }
            Err(_) => None,
        }
    });
    made.as_ref().map(|(_, path)| path.as_path())
}

/// Whether daemons can be killed here; says so where they cannot.
pub(crate) fn is_possible() -> bool {
    let possible = library().is_some();
    if !possible {
        println!("skipped: there is no C compiler to build tests/crashes/killer.c with");
    }
    possible
}

/// What is put before a command to count its durable writes in the file `list` and for the fault at `point`.
pub(crate) fn under(list: &Path, point: Option<Point>) -> Vec<OsString> {
    let setting = |name: &str, value: OsString| {
        let mut setting = OsString::from(format!("{name}="));
        setting.push(value);
        setting
    };
    let library = library().expect("asked before");
    let mut command =
        vec![setting("LD_PRELOAD", library.into()), setting("CONSILIUM_WRITES", list.as_os_str().into())];
    if let Some(Point { write, fault }) = point {
        command.push(setting("CONSILIUM_KILL_AT", write.to_string().into()));
        if fault != Fault::Kill(Moment::Before) {
            command.push(setting("CONSILIUM_KILL_AFTER", "1".into()));
        }
        if let Fault::Refuse(refusal) = fault {
            let words = if refusal == Refusal::Full { "ENOSPC" } else { "EROFS" };
            command.push(setting("CONSILIUM_REFUSE", words.into()));
        }
    }
    command
}

/// The durable writes in `list` so far, without the folder they lie in.
pub(crate) fn writes(list: &Path, folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(list).unwrap_or_default();
    let folder = format!("{}/", folder.display());
    text.lines().map(|line| line.replace(&folder, "")).collect()
}
