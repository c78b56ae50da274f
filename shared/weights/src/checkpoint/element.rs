//! What one value of a tensor is, and its size in a file.

use std::fmt;

/// The type of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are PyTorch's")]
pub enum Element {
    Float16,
    BFloat16,
    Float32,
    Float64,
    Int8,
    UInt8,
    Bool,
    Int16,
    Int32,
    Int64,
}

impl Element {
    /// The type of a storage class of PyTorch's.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "HalfStorage" => Self::Float16,
            "BFloat16Storage" => Self::BFloat16,
            "FloatStorage" => Self::Float32,
            "DoubleStorage" => Self::Float64,
            "CharStorage" => Self::Int8,
            "ByteStorage" => Self::UInt8,
            "BoolStorage" => Self::Bool,
            "ShortStorage" => Self::Int16,
            "IntStorage" => Self::Int32,
            "LongStorage" => Self::Int64,
            _ => return None,
        })
    }

    /// Bytes of one value.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Int8 | Self::UInt8 | Self::Bool => 1,
            Self::Float16 | Self::BFloat16 | Self::Int16 => 2,
            Self::Float32 | Self::Int32 => 4,
            Self::Float64 | Self::Int64 => 8,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Int8 => "int8",
            Self::UInt8 => "uint8",
            Self::Bool => "bool",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
        })
    }
}
