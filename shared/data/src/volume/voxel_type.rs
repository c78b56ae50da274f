//! The kinds of number a NIfTI file may hold, and which of them are read.

use std::fmt;

use nifti::NiftiType;

/// The kind of number that a file stores for one voxel. In memory every voxel is an `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VoxelType {
    /// 8 bits, unsigned.
    Uint8,
    /// 8 bits, signed.
    Int8,
    /// 16 bits, unsigned.
    Uint16,
    /// 16 bits, signed.
    Int16,
    /// 32 bits, unsigned.
    Uint32,
    /// 32 bits, signed.
    Int32,
    /// 64 bits, unsigned.
    Uint64,
    /// 64 bits, signed.
    Int64,
    /// 32-bit floating point.
    Float32,
    /// 64-bit floating point.
    Float64,
}

impl VoxelType {
    /// From the header's `datatype`; none for complex numbers, colours, long doubles and unknown codes.
    pub(super) const fn of_code(datatype: i16) -> Option<Self> {
        Some(match datatype {
            2 => Self::Uint8,
            256 => Self::Int8,
            512 => Self::Uint16,
            4 => Self::Int16,
            768 => Self::Uint32,
            8 => Self::Int32,
            1280 => Self::Uint64,
            1024 => Self::Int64,
            16 => Self::Float32,
            64 => Self::Float64,
            _ => return None,
        })
    }

    /// What the decoder calls it.
    pub(super) const fn nifti(self) -> NiftiType {
        match self {
            Self::Uint8 => NiftiType::Uint8,
            Self::Int8 => NiftiType::Int8,
            Self::Uint16 => NiftiType::Uint16,
            Self::Int16 => NiftiType::Int16,
            Self::Uint32 => NiftiType::Uint32,
            Self::Int32 => NiftiType::Int32,
            Self::Uint64 => NiftiType::Uint64,
            Self::Int64 => NiftiType::Int64,
            Self::Float32 => NiftiType::Float32,
            Self::Float64 => NiftiType::Float64,
        }
    }

    /// Bytes a voxel.
    pub fn bytes(self) -> usize {
        self.nifti().size_of()
    }
}

impl fmt::Display for VoxelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Uint16 => "uint16",
            Self::Int16 => "int16",
            Self::Uint32 => "uint32",
            Self::Int32 => "int32",
            Self::Uint64 => "uint64",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        })
    }
}

/// What a `datatype` that is not read stands for, for error texts.
pub(super) const fn refused_name(datatype: i16) -> &'static str {
    match datatype {
        0 => "unknown",
        1 => "one bit a voxel",
        32 => "complex64",
        1792 => "complex128",
        2048 => "complex256",
        128 => "RGB colour",
        2304 => "RGBA colour",
        1536 => "float128",
        _ => "no code of the NIfTI standard",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_agree_with_the_decoder() {
        let read: Vec<VoxelType> = (i16::MIN..=i16::MAX).filter_map(VoxelType::of_code).collect();
        assert_eq!(read.len(), 10);
        for code in i16::MIN..=i16::MAX {
            if let Some(voxel) = VoxelType::of_code(code) {
                assert_eq!(voxel.nifti() as u16, code as u16);
                let bits: String = voxel.to_string().chars().filter(char::is_ascii_digit).collect();
                assert_eq!(bits.parse(), Ok(voxel.bytes() * 8));
            }
        }
    }
}
