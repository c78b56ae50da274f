//! PyTorch checkpoints, read without Python: the files MedicalNet was released as.
//!
//! ```text
//! file ─ legacy | zipped(archive) ─ unpickler(opcode, calls, value) ─ contents ─ verify ─ import
//! ```
//!
//! A checkpoint is a pickle, a program for a machine that can call any Python function. The machine here
//! (`unpickler`) knows only what saved weights need; everything else is refused by name, nothing is ever run, and
//! no size that a file states is believed before it was compared with the file (`limits`). Writes no checkpoints.

mod archive;
mod callable;
mod calls;
mod contents;
mod cursor;
mod element;
mod error;
mod import;
mod legacy;
mod limits;
mod opcode;
mod release;
mod tensor;
mod unpickler;
mod value;
mod verify;
mod zipped;

use std::borrow::Cow;
use std::fmt;

pub use element::Element;
pub use error::CheckpointError;
pub use import::{ImportError, Imported, MEDICALNET_WIDTH, import};
pub use limits::MAX_FILE_BYTES;
pub use release::{MEDICALNET_LICENCE, Release, Sha256};
pub use tensor::{SavedTensor, StorageSpec};
pub use verify::{KeyMismatch, WrongTensor};

use contents::Contents;
use cursor::Cursor;
use limits::MAX_FILE_BYTES as MAX_BYTES;
use zipped::Zipped;

/// How a checkpoint is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Pickles and storages one after the other, as PyTorch wrote before 1.6.
    Legacy,
    /// A zip archive, as PyTorch writes since 1.6.
    Zip,
}

impl Container {
    /// The container that `file` begins as.
    fn of(file: &[u8]) -> Result<Self, CheckpointError> {
        const DOWNLOAD: &str = "fetch it again; what came may be a page about the file";
        const OTHER: &str = "name the .pth file of the release";
        let (found, hint) = match file {
            [b'P', b'K', 3, 4, ..] => return Ok(Self::Zip),
            _ if file.starts_with(&legacy::MAGIC_BYTES) => return Ok(Self::Legacy),
            [] => ("an empty file", DOWNLOAD),
            [0x1f, 0x8b, ..] => ("compressed with gzip", "unpack it with gunzip"),
            [b'<', ..] => ("a page of HTML or XML", DOWNLOAD),
            [_, _, _, _, _, _, _, _, b'{', ..] => {
                ("a safetensors file", "it needs no import; pass it to --weights")
            }
            [0x80, ..] => ("a pickle of something else", OTHER),
            _ if file.get(257..262) == Some(b"ustar") => ("a tar archive", "unpack it with tar"),
            _ => ("something else", OTHER),
        };
        Err(CheckpointError::NotACheckpoint { found, hint })
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Zip => "zip",
        })
    }
}

/// The named tensors of a file, whose values are read when they are asked for.
pub struct Checkpoint<'f> {
    container: Container,
    contents: Contents,
    storages: Vec<StorageSpec>,
    bytes: StorageBytes<'f>,
}

enum StorageBytes<'f> {
    Legacy(Vec<&'f [u8]>),
    Zip(Zipped<'f>),
}

impl<'f> Checkpoint<'f> {
    /// Reads names, shapes and types of the checkpoint `file`, and checks that every tensor's values are there.
    ///
    /// Takes memory in proportion to the pickle, not to the tensors.
    ///
    /// # Errors
    /// When the file is no checkpoint, is damaged, or holds anything but weights.
    pub fn read(file: &'f [u8]) -> Result<Self, CheckpointError> {
        let container = Container::of(file)?;
        if file.len() as u64 > MAX_BYTES {
            return Err(CheckpointError::Limit { what: "bytes in a file", limit: MAX_BYTES as usize, at: 0 });
        }
        match container {
            Container::Legacy => {
                let (object, bytes) = legacy::read(file)?;
                let contents = Contents::of(&object)?;
                let bytes = StorageBytes::Legacy(bytes);
                Ok(Self { container, contents, storages: object.heap.storages, bytes })
            }
            Container::Zip => {
                let zipped = Zipped::open(file)?;
                let pickle = zipped.pickle()?;
                let mut cursor = Cursor::new(&pickle);
                let object = unpickler::unpickle(&mut cursor)?;
                if cursor.left() > 0 {
                    let what = "something follows the saved object";
                    return Err(CheckpointError::Malformed { what, at: cursor.at() });
                }
                let contents = Contents::of(&object)?;
                zipped.check_storages(&object.heap)?;
                let bytes = StorageBytes::Zip(zipped);
                Ok(Self { container, contents, storages: object.heap.storages, bytes })
            }
        }
    }

    /// How the file is wrapped.
    pub const fn container(&self) -> Container {
        self.container
    }

    /// Whether every name began with `module.`, which is left out of the names here.
    pub const fn has_prefix(&self) -> bool {
        self.contents.has_prefix
    }

    /// Names of what the file holds beside weights, for instance `optimizer`.
    pub fn beside(&self) -> &[String] {
        &self.contents.beside
    }

    /// Every tensor by name, sorted.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &SavedTensor)> {
        self.contents.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&SavedTensor> {
        self.contents.tensors.get(name)
    }

    /// What `tensor`, one of this file, is a view of.
    pub fn storage(&self, tensor: &SavedTensor) -> &StorageSpec {
        &self.storages[tensor.storage]
    }

    /// The values of the tensor called `name`. `None` where there is none or it is not float32.
    ///
    /// # Errors
    /// When its storage is damaged.
    pub fn floats(&self, name: &str) -> Option<Result<Vec<f32>, CheckpointError>> {
        let tensor = self.tensor(name)?;
        let spec = self.storage(tensor);
        (spec.element == Element::Float32).then(|| {
            let bytes = self.storage_bytes(tensor.storage, MAX_BYTES)?;
            // No more than those of the storage, which is there: no two places share a value.
            let mut values = vec![0.0; tensor.values() as usize];
            tensor.gather(&bytes, &mut values);
            Ok(values)
        })
    }

    /// The bytes of storage number `storage`, at most `limit`. In a legacy file they are there already.
    fn storage_bytes(&self, storage: usize, limit: u64) -> Result<Cow<'f, [u8]>, CheckpointError> {
        match &self.bytes {
            StorageBytes::Legacy(bytes) => Ok(Cow::Borrowed(bytes[storage])),
            StorageBytes::Zip(zipped) => zipped.storage(&self.storages[storage].key, limit),
        }
    }
}
