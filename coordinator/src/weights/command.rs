//! `consilium-coordinator weights import|list|show|export`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Subcommand;
use consilium_domain::network::{Depth, NetworkSpec};
use consilium_weights::checkpoint::{Imported, MAX_FILE_BYTES, MEDICALNET_WIDTH, import};

use super::given::DEFAULT_STORE;
use super::store::{Chosen, Entry, WeightsStore, write_plain};
use super::{Record, Source};

/// Weights: import, list, show, export.
#[derive(Debug, Clone, Subcommand)]
pub enum WeightsCommand {
    /// Read a MedicalNet checkpoint (.pth), verify every tensor, and keep the backbone as safetensors.
    Import {
        /// The checkpoint, as published.
        file: PathBuf,
        /// Its number of layers: 10, 18, 34, 50, 101, 152 or 200.
        #[arg(long, value_parser = depth)]
        depth: Depth,
        /// What to call the weights. [default: the published file's name, else from the digest]
        #[arg(long)]
        name: Option<String>,
        /// Their licence, where the file is not one of the published ones that are recognised.
        #[arg(long)]
        licence: Option<String>,
        /// Folder of imported weights, created where absent.
        #[arg(long, default_value = DEFAULT_STORE)]
        store: PathBuf,
        /// Write NAME.safetensors and NAME.json to this folder instead of the store.
        #[arg(long, conflicts_with = "store")]
        out: Option<PathBuf>,
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// List the imported weights.
    List {
        /// Folder of imported weights.
        #[arg(long, default_value = DEFAULT_STORE)]
        store: PathBuf,
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Compare weights with their digest, and tell where they came from.
    Show {
        /// Their name or digest, or its first eight digits.
        name: String,
        /// Folder of imported weights.
        #[arg(long, default_value = DEFAULT_STORE)]
        store: PathBuf,
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Copy weights and what is known of them to a folder.
    Export {
        /// Their name or digest, or its first eight digits.
        name: String,
        /// The folder, created where absent.
        #[arg(long)]
        out: PathBuf,
        /// Folder of imported weights.
        #[arg(long, default_value = DEFAULT_STORE)]
        store: PathBuf,
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}

fn depth(text: &str) -> Result<Depth, String> {
    let depth = text.parse().ok().and_then(Depth::from_layers);
    depth.ok_or_else(|| "it is none of 10, 18, 34, 50, 101, 152, 200".to_owned())
}

impl WeightsCommand {
    /// Carries the command out and prints what came of it.
    ///
    /// # Errors
    /// When a file, a name or the store is not as it must be. Nothing half-done is left behind.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Import { file, depth, name, licence, store, out, json } => {
                import_file(&file, depth, (name, licence), &Target { store, out }, json)?;
            }
            Self::List { store, json } => list(&WeightsStore::new(&store), json)?,
            Self::Show { name, store, json } => {
                let entry = WeightsStore::new(&store).find(&name)?;
                entry.read()?;
                print_record(&entry.record, json)?;
                if !json {
                    println!("file      {} (it has this digest)", entry.path.display());
                }
            }
            Self::Export { name, out, store, json } => {
                let entry = WeightsStore::new(&store).find(&name)?;
                let paths = write_plain(&out, &entry.record, &entry.read()?)?;
                report_paths(&paths, json)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Where an import goes.
struct Target {
    store: PathBuf,
    out: Option<PathBuf>,
}

fn import_file(
    path: &Path,
    depth: Depth,
    (name, licence): (Option<String>, Option<String>),
    target: &Target,
    json: bool,
) -> anyhow::Result<()> {
    let network = NetworkSpec { depth, width: MEDICALNET_WIDTH };
    let (imported, bytes) = read_checkpoint(path, network)?;
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let source = Source::new(file_name, bytes, &imported, now);
    let weights = imported.weights.to_safetensors();
    let chosen = Chosen { name: name.is_some(), licence: licence.is_some() };
    let record = Record::new((name, licence), (&imported, network), &weights, source);
    drop(imported);
    if let Some(folder) = &target.out {
        let paths = write_plain(folder, &record, &weights)?;
        print_record(&record, json)?;
        return if json { Ok(()) } else { report_paths(&paths, json) };
    }
    let Entry { record, path } = WeightsStore::new(&target.store).add(record, chosen, &weights)?;
    print_record(&record, json)?;
    if !json {
        println!("file      {}", path.display());
        println!("\nuse it with `consilium-coordinator run --weights {}`", record.name);
    }
    Ok(())
}

/// The weights in `path` and its size. Its bytes are gone when the caller makes others.
fn read_checkpoint(path: &Path, network: NetworkSpec) -> anyhow::Result<(Imported, u64)> {
    let about = || path.display().to_string();
    let found = std::fs::metadata(path).with_context(about)?;
    if !found.is_file() {
        bail!("{} is not a file: name the .pth file itself", path.display());
    }
    if found.len() > MAX_FILE_BYTES {
        bail!(
            "{} has {} bytes, and checkpoints of these networks have at most {MAX_FILE_BYTES}",
            path.display(),
            found.len()
        );
    }
    let file = std::fs::read(path).with_context(about)?;
    let imported = import(&file, network).with_context(about)?;
    Ok((imported, file.len() as u64))
}

fn list(store: &WeightsStore, json: bool) -> anyhow::Result<()> {
    let records: Vec<Record> = store.entries()?.into_iter().map(|entry| entry.record).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&records)?);
        return Ok(());
    }
    if records.is_empty() {
        println!(
            "no weights in {}: add some with `consilium-coordinator weights import`",
            store.folder().display()
        );
        return Ok(());
    }
    let width = records.iter().map(|record| record.name.len()).max().unwrap_or(0).max("name".len());
    println!("{:width$}  depth  digest    tensors      bytes  recognised as", "name");
    for record in records {
        let recognised = record.sources.iter().find_map(|source| source.recognised.as_deref());
        println!(
            "{:width$}  {:>5}  {}  {:>7}  {:>9}  {}",
            record.name,
            record.network.depth.layers(),
            record.digest.short(),
            record.tensors,
            record.bytes,
            recognised.unwrap_or("-")
        );
    }
    Ok(())
}

fn print_record(record: &Record, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(record)?);
    } else {
        println!("{record}");
    }
    Ok(())
}

fn report_paths(paths: &[PathBuf], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&paths)?);
    } else {
        paths.iter().for_each(|path| println!("written   {}", path.display()));
    }
    Ok(())
}
