//! What a client is started with: `client.toml` as written, then checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use consilium_data::{CachePrecision, CacheSettings, Layout};
use consilium_model::ComputeDevice;
use consilium_transport::{Congestion, Dialler, LinkChoice, Tuning};
use serde::{Deserialize, Serialize};

use crate::links::{LinkKeys, ProxySetting, exposes_password};
use crate::policy::SitePolicy;
use crate::transfer_limits::{TransferLimits, TransfersFile};

/// The file as written. Unknown keys are refused; relative paths start at the file's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Host and UDP port of the coordinator.
    pub coordinator: String,
    /// `auto` (QUIC, then TCP, then a proxy), `quic` or `tcp`.
    #[serde(default = "default_link")]
    pub link: String,
    /// TCP port of the coordinator, where it is not that of UDP.
    #[serde(default)]
    pub tcp_port: Option<u16>,
    /// `http://HOST:PORT` or `http://NAME:PASSWORD@HOST:PORT` of an HTTP proxy, `off`, or absent: as the environment
    /// says.
    #[serde(default)]
    pub proxy: Option<ProxySetting>,
    /// Folder with ca.pem, cert.pem and key.pem of this site.
    pub identity: PathBuf,
    /// Folder for models, predictions and updates that wait to be sent. Holds patient identifiers: keep it inside.
    pub state: PathBuf,
    /// Folders with the hospital's scans.
    pub data: Vec<PathBuf>,
    /// How those folders are laid out.
    pub layout: String,
    /// `cpu`, `auto`, or in a build with the feature `gpu` also `wgpu` and `wgpu:INDEX`.
    #[serde(default = "default_device")]
    pub device: String,
    /// Train with less memory and more time: maps within a residual block are computed twice. The result is the same.
    #[serde(default)]
    pub checkpointing: bool,
    /// Most space that preprocessed inputs take in the state folder, in GiB. One study's should fit.
    #[serde(default = "default_cache_gib")]
    pub cache_gib: u32,
    /// `f32`, or `f16` for inputs of half the size and eleven binary digits.
    #[serde(default)]
    pub cache_precision: CachePrecision,
    /// `cubic` or `bbr`.
    #[serde(default = "default_congestion")]
    pub congestion: String,
    /// Seconds of silence after which the connection counts as lost.
    #[serde(default = "default_idle_timeout_secs")]
    pub idle_timeout_secs: u16,
    /// The hospital's rules; see docs/samples/policy.toml. Without it a person decides on every study.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PathBuf>,
    /// How fast and when models and updates travel.
    #[serde(default, skip_serializing_if = "TransfersFile::limits_nothing")]
    pub transfers: TransfersFile,
}

fn default_link() -> String {
    LinkChoice::default().to_string()
}

fn default_device() -> String {
    "auto".to_owned()
}

fn default_cache_gib() -> u32 {
    50
}

fn default_congestion() -> String {
    Congestion::default().to_string()
}

fn default_idle_timeout_secs() -> u16 {
    60
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Host and port, as written.
    pub coordinator: String,
    /// The ways there; the name is looked up at every connection, so that the coordinator may move.
    pub dialler: Dialler,
    /// Folder of the certificate.
    pub identity: PathBuf,
    /// Folder of the state.
    pub state: PathBuf,
    /// Folders of the scans.
    pub data: Vec<PathBuf>,
    /// Their layout.
    pub layout: Layout,
    /// What trains and predicts.
    pub device: ComputeDevice,
    /// How many preprocessed inputs are kept, and how.
    pub cache: CacheSettings,
    /// How connections behave.
    pub tuning: Tuning,
    /// How fast and when blobs travel.
    pub transfers: TransferLimits,
    /// The hospital's rules.
    pub policy: SitePolicy,
}

/// Why a file is not a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not TOML of the right shape.
    #[error("the configuration {path} is not valid:\n{source}")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// Values are impossible; one line a problem.
    #[error("the configuration {path} has {} problem(s):\n  {}", problems.len(), problems.join("\n  "))]
    Values {
        /// Which.
        path: PathBuf,
        /// Each with its key.
        problems: Vec<String>,
    },
}

impl Config {
    /// Reads and checks a configuration; all problems are reported at once.
    ///
    /// # Errors
    /// With the line or the keys that are wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let file: ConfigFile = toml::from_str(&text).map_err(|mut source| {
            // The error would repeat the line it is about, which may hold the password of a proxy.
            if text.lines().any(|line| line.trim_start().starts_with("proxy")) {
                source.set_input(None);
            }
            ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) }
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let values = |problems| ConfigError::Values { path: path.to_owned(), problems };
        let config = file.check(folder).map_err(values)?;
        if exposes_password(&config.dialler.proxy, path) {
            let problem = "proxy: holds a password, and others on this machine can read this file: run `chmod 600` on it";
            return Err(values(vec![problem.to_owned()]));
        }
        Ok(config)
    }
}

/// The folders of state and identity that the file names. The rest of it need not be right, and no data need be there:
/// an audit log is also looked at when nothing else works.
///
/// # Errors
/// When the file cannot be read, or is not TOML of the right shape.
pub(crate) fn folders(path: &Path) -> Result<(PathBuf, PathBuf), ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let file: ConfigFile = toml::from_str(&text)
        .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok((folder.join(file.state), folder.join(file.identity)))
}

impl ConfigFile {
    fn check(self, folder: &Path) -> Result<Config, Vec<String>> {
        let mut problems = Vec::new();
        if self.data.is_empty() {
            problems.push("data: must name at least one folder".to_owned());
        }
        let layout: Option<Layout> = parse("layout", &self.layout, &mut problems);
        // A manifest may also be named itself.
        let admits = |data: &Path| layout.map_or_else(|| data.exists(), |layout| layout.admits(data));
        for data in self.data.iter().map(|data| folder.join(data)).filter(|data| !admits(data)) {
            problems.push(format!("data: {} is not a folder", data.display()));
        }
        if self.cache_gib == 0 {
            problems.push("cache_gib: must be at least 1".to_owned());
        }
        if !(2..=600).contains(&self.idle_timeout_secs) {
            problems.push("idle_timeout_secs: must be 2 to 600".to_owned());
        }
        let policy = self.policy.as_ref().map(|path| SitePolicy::read(&folder.join(path))).transpose();
        let policy = policy.unwrap_or_else(|error| {
            problems.push(format!("policy: {error}"));
            None
        });
        let transfers = self.transfers.check().unwrap_or_else(|found| {
            problems.extend(found);
            TransferLimits::default()
        });
        let device: Option<ComputeDevice> = parse("device", &self.device, &mut problems);
        let congestion: Option<Congestion> = parse("congestion", &self.congestion, &mut problems);
        let idle_timeout = Duration::from_secs(self.idle_timeout_secs.into());
        let tuning = Tuning { congestion: congestion.unwrap_or_default(), idle_timeout };
        let keys = LinkKeys {
            coordinator: &self.coordinator,
            link: &self.link,
            tcp_port: self.tcp_port,
            proxy: self.proxy.as_ref(),
        };
        let dialler = keys.check(tuning, &mut problems);
        match (layout, device, dialler) {
            (Some(layout), Some(device), Some(dialler)) if problems.is_empty() => Ok(Config {
                dialler,
                coordinator: self.coordinator,
                identity: folder.join(self.identity),
                state: folder.join(self.state),
                data: self.data.into_iter().map(|data| folder.join(data)).collect(),
                layout,
                device: device.with_checkpointing(self.checkpointing),
                cache: CacheSettings {
                    max_bytes: u64::from(self.cache_gib) << 30,
                    precision: self.cache_precision,
                },
                tuning,
                transfers,
                policy: policy.unwrap_or_default(),
            }),
            _ => Err(problems),
        }
    }
}

fn parse<T: std::str::FromStr>(key: &str, text: &str, problems: &mut Vec<String>) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| problems.push(format!("{key}: {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_sample_parses() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/client.toml");
        let text = std::fs::read_to_string(sample).unwrap();
        toml::from_str::<ConfigFile>(&text).unwrap();
    }

    #[test]
    fn all_problems_are_told_with_their_keys() {
        let file = ConfigFile {
            coordinator: "nowhere".into(),
            link: "pigeon".into(),
            tcp_port: Some(0),
            proxy: Some(ProxySetting::new("ftp://user:secret@proxy")),
            identity: "id".into(),
            state: "state".into(),
            data: vec!["absent".into()],
            layout: "shoebox".into(),
            device: "abacus".into(),
            checkpointing: false,
            cache_gib: 0,
            cache_precision: CachePrecision::F32,
            congestion: "reno".into(),
            idle_timeout_secs: 1,
            transfers: TransfersFile { most_mbit_per_s: Some(-1.0), hours: None },
            policy: Some("absent.toml".into()),
        };
        let problems = file.check(Path::new("/nonexistent")).unwrap_err().join("\n");
        for key in [
            "coordinator",
            "link",
            "tcp_port",
            "proxy",
            "data",
            "layout",
            "device",
            "cache_gib",
            "congestion",
            "idle_timeout_secs",
            "transfers.most_mbit_per_s",
            "policy",
        ] {
            assert!(problems.contains(&format!("{key}: ")), "{key} is missing from {problems}");
        }
        assert!(!problems.contains("secret"), "{problems}");
    }

    #[test]
    fn a_broken_file_does_not_repeat_its_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.toml");
        std::fs::write(&path, "coordinator = \"c:1\"\nproxy = \"http://user:secret@proxy\nstate = 1\n")
            .unwrap();
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
