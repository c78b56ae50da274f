//! `cargo xtask release`: the programs as an archive to hand out, with what belongs to them.
//!
//! It signs nothing and uploads nothing: that is for who hands it out.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Programs of every machine.
const PROGRAMS: [&str; 4] = ["consilium", "consilium-client", "consilium-coordinator", "consilium-certs"];
/// Programs that compute, which is what a graphics card is for.
const COMPUTING: [&str; 2] = ["consilium", "consilium-client"];
/// What goes with them.
const DOCUMENTS: [&str; 5] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "docs"];

/// What an archive holds.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The programs that compute, with the backend for graphics cards (docs/gpu.md). Builds for half an hour.
    #[arg(long)]
    gpu: bool,
    /// Folder for the archive and its checksum.
    #[arg(long, default_value = "target/release-archives")]
    out: PathBuf,
}

/// Builds, packs and prints where the archive is.
pub(crate) fn release(options: &Options) -> Result<()> {
    let root = crate::building::root();
    // The other backend has a folder of its own, so that neither build undoes the other's.
    let target = root.join(if options.gpu { "target/gpu" } else { "target" });
    let programs = if options.gpu { &COMPUTING[..] } else { &PROGRAMS[..] };
    build(root, &target, options.gpu)?;
    let name = name(&host()?, options.gpu);
    let staged = tempfile::tempdir().context("no temporary folder")?;
    let folder = staged.path().join(&name);
    stage(root, &target.join("release"), programs, &folder)?;
    let out = root.join(&options.out);
    std::fs::create_dir_all(&out).with_context(|| format!("{} cannot be made", out.display()))?;
    let archive = format!("{name}.tar.gz");
    run(Command::new("tar").current_dir(staged.path()).arg("-czf").arg(out.join(&archive)).arg(&name))?;
    let sum = Command::new("sha256sum").current_dir(&out).arg(&archive).output().context("sha256sum")?;
    std::fs::write(out.join(format!("{archive}.sha256")), &sum.stdout)?;
    println!("{}\n{}", out.join(&archive).display(), String::from_utf8_lossy(&sum.stdout).trim());
    Ok(())
}

fn build(root: &Path, target: &Path, gpu: bool) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).args(["build", "--release", "--locked", "--target-dir"]).arg(target);
    if gpu {
        cargo.args(["-p", "consilium-client", "-p", "consilium-simulator", "--features"]);
        cargo.arg("consilium-client/gpu,consilium-simulator/gpu");
    } else {
        cargo.arg("--workspace");
    }
    run(&mut cargo)
}

/// What this machine is, as the compiler says.
fn host() -> Result<String> {
    let said = Command::new("rustc").arg("-vV").output().context("rustc")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc names no host")
}

fn name(host: &str, gpu: bool) -> String {
    format!("consilium-{}-{host}{}", env!("CARGO_PKG_VERSION"), if gpu { "-gpu" } else { "" })
}

fn stage(root: &Path, built: &Path, programs: &[&str], folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for program in programs {
        run(Command::new("cp").arg(built.join(program)).arg(folder))?;
    }
    for document in DOCUMENTS {
        run(Command::new("cp").arg("-r").arg(root.join(document)).arg(folder))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} cannot be started"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_say_what_they_are_for() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            name("x86_64-unknown-linux-gnu", false),
            format!("consilium-{version}-x86_64-unknown-linux-gnu")
        );
        assert!(name("aarch64-apple-darwin", true).ends_with("-gpu"));
    }

    #[test]
    fn a_stage_holds_programs_and_documents_or_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let (root, built, folder) =
            (dir.path().join("root"), dir.path().join("built"), dir.path().join("out"));
        std::fs::create_dir_all(root.join("docs")).unwrap();
        std::fs::create_dir_all(&built).unwrap();
        for document in &DOCUMENTS[..4] {
            std::fs::write(root.join(document), document).unwrap();
        }
        let error = stage(&root, &built, &["consilium"], &folder).unwrap_err().to_string();
        assert!(error.contains("built/consilium"), "{error}");
        std::fs::write(built.join("consilium"), "a program").unwrap();
        stage(&root, &built, &["consilium"], &folder).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1 + DOCUMENTS.len());
    }
}
