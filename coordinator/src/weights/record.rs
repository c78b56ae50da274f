//! What is known of imported weights, kept beside them as `manifest.json`.

use std::fmt;

use consilium_domain::Digest;
use consilium_domain::network::{NetworkSpec, TensorSpec};
use consilium_weights::checkpoint::{Imported, MEDICALNET_LICENCE};
use serde::{Deserialize, Serialize};

/// Version of the manifest's layout.
const FORMAT: u32 = 1;

/// Imported weights in words. The digest is of the weights alone, so the same values imported from two files, or
/// by two people, have the same digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of this layout, 1.
    pub format: u32,
    /// What people call the weights.
    pub name: String,
    /// BLAKE3 digest of the safetensors file.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// The network.
    pub network: NetworkSpec,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of values.
    pub values: u64,
    /// Under what terms the weights may be used, where that is known.
    pub licence: Option<String>,
    /// The files they were read from; the first is that of the first import.
    pub sources: Vec<Source>,
}

/// A file that weights were read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name, without folders.
    pub file_name: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// `legacy` or `zip`.
    pub container: String,
    /// Its name in the MedicalNet release, if it is one of those whose SHA-256 is known.
    pub recognised: Option<String>,
    /// Tensors of a segmentation head that were left out.
    pub head_left_out: Vec<String>,
    /// Batch counters that were left out.
    pub counters_left_out: usize,
    /// Other entries of the file, which were not looked at.
    pub ignored: Vec<String>,
    /// The program that read it.
    pub imported_by: String,
    /// When, in seconds since 1970 (UTC).
    pub imported_unix_secs: u64,
}

impl Source {
    /// The file called `file_name` of `bytes` bytes, that became `imported` at `now`.
    pub(super) fn new(file_name: String, bytes: u64, imported: &Imported, now: u64) -> Self {
        Self {
            file_name,
            sha256: imported.sha256.to_string(),
            bytes,
            container: imported.container.to_string(),
            recognised: imported.release.map(|release| release.file_name.to_owned()),
            head_left_out: imported.head.clone(),
            counters_left_out: imported.counters,
            ignored: imported.beside.clone(),
            imported_by: concat!("consilium-coordinator ", env!("CARGO_PKG_VERSION")).to_owned(),
            imported_unix_secs: now,
        }
    }
}

impl Record {
    /// What is known of `imported`, whose safetensors file is `file`. `name` and `licence` come from the file where
    /// they are not given.
    pub(super) fn new(
        (name, licence): (Option<String>, Option<String>),
        (imported, network): (&Imported, NetworkSpec),
        file: &[u8],
        source: Source,
    ) -> Self {
        let digest = Digest::of(file);
        let manifest = imported.weights.manifest();
        let from_release =
            imported.release.map(|release| release.file_name.trim_end_matches(".pth").to_owned());
        let from_digest = || format!("resnet_{}-{}", network.depth.layers(), digest.short());
        let known_licence = imported.release.map(|_| MEDICALNET_LICENCE.to_owned());
        Self {
            format: FORMAT,
            name: name.or(from_release).unwrap_or_else(from_digest),
            digest,
            bytes: file.len() as u64,
            network,
            tensors: manifest.len(),
            values: manifest.iter().map(|tensor: &TensorSpec| tensor.values() as u64).sum(),
            licence: licence.or(known_licence),
            sources: vec![source],
        }
    }

    /// A record for tests: of `file`, which need not be a safetensors file.
    #[cfg(test)]
    pub(super) fn example(name: &str, network: NetworkSpec, file: &[u8]) -> Self {
        let source = Source {
            file_name: "a.pth".into(),
            sha256: Digest::of(name.as_bytes()).to_string(),
            bytes: 1,
            container: "zip".into(),
            recognised: None,
            head_left_out: vec![],
            counters_left_out: 0,
            ignored: vec![],
            imported_by: "a test".into(),
            imported_unix_secs: 0,
        };
        Self {
            format: FORMAT,
            name: name.into(),
            digest: Digest::of(file),
            bytes: file.len() as u64,
            network,
            tensors: 0,
            values: 0,
            licence: None,
            sources: vec![source],
        }
    }

    /// The record in `json`, if this release knows its layout.
    pub(super) fn parse(json: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        match record.format {
            FORMAT => Ok(record),
            other => Err(format!("its format is {other}, and this release reads {FORMAT}")),
        }
    }

    pub(super) fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a record has nothing that JSON cannot say");
        json + "\n"
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.network;
        writeln!(f, "name      {}", self.name)?;
        writeln!(f, "digest    {}", self.digest)?;
        writeln!(f, "network   ResNet-{}, width {}", network.depth.layers(), network.width)?;
        writeln!(f, "tensors   {} of {} values, {} bytes", self.tensors, self.values, self.bytes)?;
        let unknown = "unknown: the file is not recognised; ask its source, and say so with --licence";
        write!(f, "licence   {}", self.licence.as_deref().unwrap_or(unknown))?;
        self.sources.iter().try_for_each(|source| write!(f, "\n{source}"))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "source    {} ({} container, {} bytes)", self.file_name, self.container, self.bytes)?;
        writeln!(f, "          SHA-256 {}", self.sha256)?;
        match &self.recognised {
            Some(name) => write!(f, "          MedicalNet's {name}")?,
            None => write!(f, "          not one of the published files whose SHA-256 is known")?,
        }
        if !self.head_left_out.is_empty() {
            write!(f, "\n          left out: the segmentation head ({} tensors)", self.head_left_out.len())?;
        }
        if self.counters_left_out > 0 {
            write!(f, "\n          left out: {} batch counters", self.counters_left_out)?;
        }
        if !self.ignored.is_empty() {
            write!(f, "\n          not looked at: {}", self.ignored.join(", "))?;
        }
        Ok(())
    }
}
