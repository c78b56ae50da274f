//! A study followed in a real browser on the coordinator's live page, from before its submission to its report, while a site
//! disappears and comes back; and a hospital's own page.
//!
//! What is to be seen is checked by `tests/pages/follow.mjs`, who is let in by `tests/pages/enter.mjs`. Where there is no Chromium, Node or playwright-core, this says
//! so and passes, unless `CONSILIUM_BROWSER_TEST` is set, as the checks of a change do.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use consilium_coordinator::Notice;
use consilium_protocol::admin::StudyState;

use crate::consortium::{Consortium, Serving, study};
use crate::process::Process;

/// Rounds that take some seconds: long enough for the browser to see them under way.
const ROUNDS: u16 = 60;
/// What Chromium is called.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pages")
}

/// The program `name`, where the system finds programs.
fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The browser, or what is missing.
fn browser() -> Result<PathBuf, &'static str> {
    program("node").ok_or("node is absent")?;
    if !scripts().join("node_modules/playwright-core").exists() {
        return Err("playwright-core is absent: run `npm ci` in tests/pages");
    }
    BROWSERS.iter().find_map(|name| program(name)).ok_or("chromium is absent")
}

/// Where a process says its page is.
fn page_of(process: &mut Process) -> String {
    let mut url = None;
    process.wait_until("its page is open", |process| {
        let stdout = process.stdout();
        url = stdout.lines().find_map(|line| match serde_json::from_str(line) {
            Ok(Notice::Page(url)) => Some(url),
            _ => None,
        });
        url.is_some()
    });
    url.unwrap()
}

/// The browser; without one it says what is missing, and that is all there is to a test, unless a browser must be there.
fn browser_or_skip() -> Option<PathBuf> {
    browser()
        .inspect_err(|missing| {
            assert!(env::var_os("CONSILIUM_BROWSER_TEST").is_none(), "{missing}");
            println!("skipped: {missing}");
        })
        .ok()
}

#[test]
fn a_study_is_followed_in_a_browser_from_its_submission_to_its_report() {
    let Some(browser) = browser_or_skip() else { return };
    let consortium = Consortium::new().with_patients();
    let mut serving = consortium.serve_with(None, &["--web", "127.0.0.1:0"]);
    let at = serving.address;
    let url = page_of(&mut serving.process);
    let mut north = consortium.client_with("north", "north", at, &["--web", "127.0.0.1:0"]);
    let south = consortium.daemon("south", at);

    let screenshots = scripts().join("screenshots");
    let script = scripts().join("follow.mjs");
    let hospital = page_of(&mut north);
    let arguments = [script.as_path(), &browser, Path::new(&url), Path::new(&hospital), &screenshots];
    let mut following = Process::start_program("node", arguments);
    let mut wait_for = |word: &str| {
        following.wait_until(&format!("the browser saw `{word}`"), |process| {
            process.stdout().lines().any(|line| line == word)
        });
    };
    wait_for("empty");
    let submitted = consortium.submit(at, &study(11, ROUNDS));
    wait_for("connected");
    south.kill();
    wait_for("gone");
    let south = consortium.daemon("south", at);
    wait_for("back");
    let mut watching = Process::coordinator([
        "watch",
        "--every",
        "1",
        "--connect",
        &at.to_string(),
        "--identity",
        consortium.kit("olga").to_str().unwrap(),
    ]);
    watching.wait_until("it watches", |process| process.stdout().contains("running: "));
    following.end().successfully();
    let watched = watching.end().successfully();
    assert!(watched.stdout.lines().any(|line| line.starts_with("finished: ")), "{}", watched.stdout);
    let show = consortium.ask("olga", at, &["watch", &submitted.hash.short(), "--json"]).successfully();
    let last: consilium_protocol::admin::StudyView = serde_json::from_str(&show.stdout).unwrap();
    assert_eq!(last.summary.state, StudyState::Finished);
    let told = get(&url, "/metrics");
    for line in ["consilium_coordinator_studies{state=\"finished\"} 1", "consilium_coordinator_build_info{"] {
        assert!(told.contains(line), "`{line}` is missing from\n{told}");
    }
    let told = get(&hospital, "/metrics");
    for line in ["consilium_client_sent_bytes_total{kind=\"update\"}", "consilium_client_paused 0"] {
        assert!(told.contains(line), "`{line}` is missing from\n{told}");
    }
    drop((north, south));
}

/// Opens a line to the page at `url` and asks for `path`.
fn ask(url: &str, path: &str) -> TcpStream {
    let place = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(place).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn get(url: &str, path: &str) -> String {
    let mut answer = String::new();
    ask(url, path).read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_page_that_others_could_read_is_no_page() {
    let consortium = Consortium::new();
    let [state, identity] = [consortium.path("state"), consortium.kit("coordinator")];
    let [state, identity] = [&state, &identity].map(|path| path.to_str().unwrap());
    let serve = ["serve", "--state", state, "--identity", identity, "--listen", "127.0.0.1:0"];
    let everywhere =
        |more: &[&str]| Process::coordinator([&serve, &["--web", "0.0.0.0:0"][..], more].concat()).end();
    let exposed = everywhere(&[]);
    assert!(exposed.code == Some(1) && exposed.stderr.contains("--web-login"), "{}", exposed.stderr);
    let without_token = everywhere(&["--web-login", "token"]);
    assert!(without_token.stderr.contains("web-token"), "{}", without_token.stderr);
    let made = Process::coordinator(["web-token", "--state", state]).end().successfully();
    assert!(made.stdout.starts_with("consilium-web-1:"), "{}", made.stdout);
    let mut serving = consortium.serve_with(None, &["--web", "0.0.0.0:0", "--web-login", "token"]);
    assert!(page_of(&mut serving.process).starts_with("https://"));
}

#[test]
fn one_study_has_its_page_and_a_listener_holds_up_no_end() {
    let consortium = Consortium::new();
    let file = consortium.path("study.toml");
    std::fs::write(&file, toml::to_string(&study(12, 1)).unwrap()).unwrap();
    let [state, identity] = [consortium.path("state"), consortium.kit("coordinator")];
    let [file, state, identity] = [&file, &state, &identity].map(|path| path.to_str().unwrap());
    let mut running = Process::coordinator([
        "run",
        "--study",
        file,
        "--state",
        state,
        "--identity",
        identity,
        "--listen",
        "127.0.0.1:0",
        "--web",
        "127.0.0.1:0",
        "--notices",
        "json",
    ]);
    let url = page_of(&mut running);
    assert!(get(&url, "/").contains("study-12"));
    assert!(get(&url, "/metrics").contains("consilium_coordinator_studies{state=\"running\"} 1"));
    let mut listener = ask(&url, "/events");
    let mut heard = [0; 15];
    listener.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"HTTP/1.1 200 OK");
    running.signal("TERM");
    assert_eq!(running.end().code, Some(4));
}

/// Enters the page that `serving` has, as `keys` say.
fn enter(browser: &Path, serving: &mut Serving, keys: &[&str]) {
    // What is listened to is every address of this machine; a browser needs one.
    let url = page_of(&mut serving.process).replace("0.0.0.0", "127.0.0.1");
    let [script, screenshots] = ["enter.mjs", "screenshots"].map(|name| scripts().join(name));
    let [script, screenshots, browser] = [&script, &screenshots, browser].map(|path| path.to_str().unwrap());
    Process::start_program("node", [&[script, browser, &url, screenshots][..], keys].concat())
        .end()
        .successfully();
}

#[test]
fn a_browser_enters_with_the_token_and_not_without() {
    let Some(browser) = browser_or_skip() else { return };
    let consortium = Consortium::new();
    let state = consortium.path("state");
    let made = Process::coordinator(["web-token", "--state", state.to_str().unwrap()]).end().successfully();
    let token = made.stdout.split_whitespace().find(|word| word.starts_with("consilium-web-1:")).unwrap();
    let mut serving = consortium.serve_with(None, &["--web", "0.0.0.0:0", "--web-login", "token"]);
    enter(&browser, &mut serving, &["token", token]);
}

#[test]
fn a_browser_enters_with_an_observers_certificate_and_not_with_a_sites() {
    let Some(browser) = browser_or_skip() else { return };
    let consortium = Consortium::new();
    let files =
        ["olga", "north"].map(|name| ["cert.pem", "key.pem"].map(|file| consortium.kit(name).join(file)));
    let files: Vec<&str> = files.iter().flatten().map(|path| path.to_str().unwrap()).collect();
    let mut serving = consortium.serve_with(None, &["--web", "0.0.0.0:0", "--web-login", "certificate"]);
    enter(&browser, &mut serving, &[&["certificate"], &files[..]].concat());
}
