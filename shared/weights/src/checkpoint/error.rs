//! Why a file cannot be read as a checkpoint.
//!
//! Says nothing about networks: whether the tensors are those of a depth is asked afterwards
//! ([`ImportError`](super::ImportError)).

/// How a usable file is made; most refusals end with it.
const SAVE_ANEW: &str =
    "save the weights alone in PyTorch with torch.save({'state_dict': model.state_dict()}, FILE)";
/// What to do about bytes that are not those that were written.
const FETCH_ANEW: &str =
    "the file is damaged or cut short: fetch it again and compare its SHA-256 with the publisher's";

/// Why a file cannot be read as a checkpoint. Offsets are bytes of the file, for zip archives of `data.pkl`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Neither container.
    #[error(
        "this is {found}, not a PyTorch checkpoint (a zip archive or the pickle that PyTorch wrote before 1.6): {hint}"
    )]
    NotACheckpoint {
        /// What it looks like.
        found: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// The end comes too early.
    #[error("{what} at byte {at} ends after the last byte: {FETCH_ANEW}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        at: usize,
    },
    /// Bytes after the last tensor.
    #[error("{bytes} bytes follow the last tensor: {FETCH_ANEW}")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// A number above its cap.
    #[error("byte {at}: more than {limit} {what}, which no checkpoint of these networks needs: {SAVE_ANEW}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The cap.
        limit: usize,
        /// Where.
        at: usize,
    },
    /// Another version of pickle.
    #[error(
        "pickle protocol {found}: only 2, PyTorch's own choice, is read: {SAVE_ANEW} and no pickle_protocol"
    )]
    Protocol {
        /// The version.
        found: u8,
    },
    /// An instruction that these files do not use.
    #[error(
        "byte {at}: the pickle instruction {name} ({code:#04x}) is not used by saved weights and is not carried out: {SAVE_ANEW}"
    )]
    Opcode {
        /// Its name in Python's `pickletools`.
        name: &'static str,
        /// Its byte.
        code: u8,
        /// Where.
        at: usize,
    },
    /// A class or function that these files do not use.
    #[error(
        "byte {at}: the file asks for `{module}.{name}`, which saved weights do not use; nothing was run. Unless you trust its source, delete the file; else {SAVE_ANEW}"
    )]
    Global {
        /// Its module.
        module: String,
        /// Its name.
        name: String,
        /// Where.
        at: usize,
    },
    /// An instruction that makes no sense where it stands.
    #[error("byte {at}: {what}: the pickle is not one that PyTorch writes: {FETCH_ANEW}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// A value that was never remembered.
    #[error("byte {at}: the pickle asks for its remembered value {index}, and there is none: {FETCH_ANEW}")]
    Memo {
        /// Which.
        index: u32,
        /// Where.
        at: usize,
    },
    /// A known function with arguments that PyTorch does not give it.
    #[error("byte {at}: `{callable}` {what}: {SAVE_ANEW}")]
    Call {
        /// The function.
        callable: &'static str,
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// A reference to a storage that is not understood.
    #[error("byte {at}: a reference to tensor memory {what}: {SAVE_ANEW}")]
    StorageReference {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// The same storage with two sizes or types.
    #[error("tensor memory `{key}` is described in two ways that contradict each other: {FETCH_ANEW}")]
    StorageContradiction {
        /// Its key.
        key: String,
    },
    /// A storage without bytes.
    #[error("tensor memory `{key}` is named and not in the file: {FETCH_ANEW}")]
    StorageMissing {
        /// Its key.
        key: String,
    },
    /// A storage that no tensor uses.
    #[error("tensor memory `{key}` is in the file and belongs to no tensor: {FETCH_ANEW}")]
    StorageUnused {
        /// Its key.
        key: String,
    },
    /// Bytes that do not add up to the values.
    #[error("tensor memory `{key}` should have {expected} bytes and has {found}: {FETCH_ANEW}")]
    StorageSize {
        /// Its key.
        key: String,
        /// As the pickle says.
        expected: u64,
        /// As the container says.
        found: u64,
    },
    /// Values beyond the storage's end.
    #[error(
        "byte {at}: a tensor of shape {shape:?}, strides {strides:?} from value {offset} reaches beyond its memory of {values} values: {FETCH_ANEW}"
    )]
    OutsideStorage {
        /// Its shape.
        shape: Vec<u64>,
        /// Its strides.
        strides: Vec<u64>,
        /// Its first value.
        offset: u64,
        /// Values there are.
        values: u64,
        /// Where.
        at: usize,
    },
    /// Two places of a tensor share one value.
    #[error(
        "byte {at}: a tensor of shape {shape:?} and strides {strides:?} has places that share a value: {SAVE_ANEW}, after .contiguous()"
    )]
    OverlapsItself {
        /// Its shape.
        shape: Vec<u64>,
        /// Its strides.
        strides: Vec<u64>,
        /// Where.
        at: usize,
    },
    /// Written on another kind of machine.
    #[error(
        "the file was written with {found} byte order, and only little-endian files are read: {SAVE_ANEW} on a little-endian machine"
    )]
    ByteOrder {
        /// As the file says.
        found: String,
    },
    /// A version of the container that is not known.
    #[error("the container has version {found}, and {expected} is read: {SAVE_ANEW}")]
    Version {
        /// As the file says.
        found: String,
        /// What is known.
        expected: &'static str,
    },
    /// A damaged zip archive.
    #[error("the zip archive cannot be read ({0}): {FETCH_ANEW}")]
    Archive(String),
    /// A zip archive of something else.
    #[error("the zip archive {0}")]
    OtherArchive(&'static str),
    /// A name that points elsewhere.
    #[error(
        "the zip archive holds a file called `{0}`, and names must be plain paths below one folder: do not unpack it; fetch the original"
    )]
    EntryName(String),
    /// The same name twice.
    #[error(
        "the zip archive holds `{0}` twice, so that readers disagree about its contents: fetch the original"
    )]
    EntryTwice(String),
    /// Two files in the same bytes.
    #[error("the files `{0}` and `{1}` of the zip archive share bytes, as zip bombs do: fetch the original")]
    EntriesOverlap(String, String),
    /// A compression that PyTorch does not write.
    #[error(
        "`{name}` in the zip archive is {method}: only stored and deflated files are read: unpack and pack it anew, or {SAVE_ANEW}"
    )]
    EntryMethod {
        /// The file.
        name: String,
        /// How it is packed.
        method: String,
    },
    /// A size that is not what the archive says.
    #[error("`{name}` in the zip archive should have {expected} bytes and has {found}: {FETCH_ANEW}")]
    EntrySize {
        /// The file.
        name: String,
        /// As declared.
        expected: u64,
        /// As unpacked; one more than declared where unpacking was stopped.
        found: u64,
    },
    /// A size above what is needed.
    #[error("`{name}` in the zip archive has {bytes} bytes, and at most {limit} are read: {SAVE_ANEW}")]
    EntryTooLarge {
        /// The file.
        name: String,
        /// As declared.
        bytes: u64,
        /// The cap.
        limit: u64,
    },
    /// A wrong checksum or damaged compression.
    #[error("`{name}` in the zip archive is damaged ({what}): {FETCH_ANEW}")]
    EntryDamaged {
        /// The file.
        name: String,
        /// How.
        what: &'static str,
    },
    /// A missing member.
    #[error("the zip archive has no `{0}`: {SAVE_ANEW}")]
    EntryMissing(&'static str),
    /// Nothing with names.
    #[error("the file holds {0}, and no dictionary of named tensors: {SAVE_ANEW}")]
    NoStateDict(&'static str),
    /// A name without a tensor.
    #[error("`{key}` is {found}, not a tensor: {SAVE_ANEW}")]
    NotATensor {
        /// The name.
        key: String,
        /// What it is.
        found: &'static str,
    },
    /// The same name twice.
    #[error("the file names `{0}` twice: {FETCH_ANEW}")]
    KeyTwice(String),
    /// A prefix on some names.
    #[error(
        "`{with}` has the prefix `module.` and `{without}` has not: the file mixes two models; {SAVE_ANEW}"
    )]
    MixedPrefix {
        /// A name with it.
        with: String,
        /// A name without it.
        without: String,
    },
}
