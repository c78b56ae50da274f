//! Why bytes are no block. The sender's fault, or a damaged disk's.

/// Why a block cannot be decoded. Nothing of it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It ends too early.
    #[error("it ends in the middle: {missing} more bytes were expected; send it whole")]
    Truncated {
        /// How many bytes more.
        missing: usize,
    },
    /// It goes on after its end.
    #[error("{0} bytes follow its end: both sides must run compatible versions")]
    Trailing(usize),
    /// A plane is stored in a way nobody knows.
    #[error("a plane has the unknown form {0}: both sides must run compatible versions")]
    Form(u8),
    /// A compressed plane that saves nothing: the encoder would have stored it as it is.
    #[error("a plane of {plane} bytes is said to be compressed to {compressed}: it must shrink")]
    NotSmaller {
        /// Bytes of the plane.
        plane: usize,
        /// Bytes it is said to be compressed to.
        compressed: usize,
    },
    /// A compressed plane is broken, or longer or shorter than it must be.
    #[error("a compressed plane does not open to its {0} bytes: the block is damaged")]
    Compressed(usize),
    /// A number that no encoder writes: not an integer, beyond the limit, a scale of zero, or minus zero.
    #[error(
        "value {index} is none that this codec has within the limit: both sides must use the study's grid"
    )]
    Value {
        /// Its place in the block.
        index: usize,
    },
}
