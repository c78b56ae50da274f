//! A process of the program under test: started as a user starts it, with its output in files.
//!
//! However a test ends, its processes end with it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What cargo built: `consilium` under the name of this package.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_consilium-tests");

/// The same: `consilium-coordinator`.
const COORDINATOR: &str = env!("CARGO_BIN_EXE_consilium-tests-coordinator");

/// Nothing in these tests takes half as long, even on a busy machine: what does, hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// Between two looks at something that is waited for.
const GLANCE: Duration = Duration::from_millis(5);

/// A running process.
pub(crate) struct Process {
    child: Child,
    output: TempDir,
}

/// A process that ended.
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output.
    pub(crate) stdout: String,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
}

impl Process {
    /// Starts the program with `arguments`.
    pub(crate) fn start<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        Self::start_logging(None, arguments)
    }

    /// The same, logging what `level` asks for.
    pub(crate) fn start_logging<S: AsRef<OsStr>>(
        level: Option<&str>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).envs(level.map(|level| ("RUST_LOG", level)));
        Self::spawn(command)
    }

    /// The same, with a disk that takes no file of more than `blocks` times 512 bytes.
    pub(crate) fn start_with_short_files<S: AsRef<OsStr>>(
        blocks: u64,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut command = Command::new("sh");
        // The system's signal for it would end the process before it can say why.
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        command.args(["-c", &limited, PROGRAM]).args(arguments);
        Self::spawn(command)
    }

    /// Starts `consilium-coordinator` with `arguments`.
    pub(crate) fn coordinator<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(COORDINATOR);
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts another program that starts the one under test.
    pub(crate) fn start_program<S: AsRef<OsStr>>(
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let output = tempfile::tempdir().unwrap();
        let file = |name| File::create(output.path().join(name)).unwrap();
        // What is logged must not depend on who runs the tests.
        if !command.get_envs().any(|(name, _)| name == "RUST_LOG") {
            command.env_remove("RUST_LOG");
        }
        let child = command
            .env_remove("CONSILIUM_LOG")
            .env_remove("CONSILIUM_CONNECT")
            .env_remove("CONSILIUM_IDENTITY")
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Self { child, output }
    }

    /// Starts `consilium simulate` with `options`; it writes to `out`.
    pub(crate) fn simulate(out: &Path, options: &[&str]) -> Self {
        let out = [OsStr::new("--out"), out.as_os_str()];
        Self::start([OsStr::new("simulate")].into_iter().chain(options.iter().map(OsStr::new)).chain(out))
    }

    /// The most memory that it ever had at once, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kibibytes: u64 = line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap();
        kibibytes * 1024
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.output.path().join("stdout")).unwrap()
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.output.path().join("stderr")).unwrap()
    }

    /// Sends it the signal of that name, `INT` for instance.
    pub(crate) fn signal(&self, signal: &str) {
        send(self.child.id(), signal);
    }

    /// Waits until `condition` holds. It must do so while the process runs.
    pub(crate) fn wait_until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("ended with {status} before {what}\n{}\n{}", self.stdout(), self.stderr());
            }
            let late = began.elapsed() > PATIENCE;
            assert!(!late, "waited too long until {what}\n{}", self.told());
            sleep(GLANCE);
        }
    }

    /// What it has written, and what its threads wait for: a lock, the disk, the network.
    fn told(&self) -> String {
        format!("{}\n{}\n{}", self.stdout(), self.stderr(), self.threads())
    }

    /// For every thread its name, its state, and where in the kernel it waits.
    fn threads(&self) -> String {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let thread = |task: fs::DirEntry| {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let stat = read("stat");
            let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
            format!("thread {} {} {}", read("comm").trim(), state.unwrap_or("-"), read("wchan"))
        };
        tasks.map(thread).collect::<Vec<_>>().join("\n")
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let began = Instant::now();
        while !self.has_ended() {
            let late = began.elapsed() > PATIENCE;
            assert!(!late, "does not end\n{}", self.told());
            sleep(GLANCE);
        }
        let status = self.child.wait().unwrap();
        self.ended(status)
    }

    /// Kills it, as a power cut would, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn ended(&self, status: ExitStatus) -> Ended {
        Ended { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The same, having ended well.
    pub(crate) fn successfully(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// Sends `signal` to the process `id`. A shell does it: it needs neither `unsafe` nor another crate.
pub(crate) fn send(id: u32, signal: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -s {signal} {id}")]).status().unwrap();
    assert!(status.success(), "process {id} cannot be sent {signal}");
}

/// Whether the process `id` is there. One that has ended and only waits to be collected is not.
pub(crate) fn is_running(id: u32) -> bool {
    // The state is the first word after the name, which is in brackets and may hold anything.
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

#[test]
fn an_ended_process_is_not_running() {
    assert!(is_running(std::process::id()));
    let process = Process::start(["--version"]);
    let id = process.child.id();
    assert!(process.end().successfully().stdout.starts_with("consilium "));
    assert!(!is_running(id));
}
