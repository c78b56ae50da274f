//! The pickle instructions that saved weights use, and the names of the others for refusals.
//!
//! The names are those of Python's `pickletools`; the meaning of each is in [`super::unpickler`].

use super::CheckpointError;

/// An instruction that is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::missing_docs_in_private_items, reason = "the names are the format's")]
pub(super) enum Opcode {
    Proto,
    Stop,
    Mark,
    Pop,
    None,
    NewTrue,
    NewFalse,
    BinInt,
    BinInt1,
    BinInt2,
    Long1,
    BinFloat,
    BinUnicode,
    BinString,
    ShortBinString,
    EmptyTuple,
    Tuple,
    Tuple1,
    Tuple2,
    Tuple3,
    EmptyList,
    Append,
    Appends,
    EmptyDict,
    SetItem,
    SetItems,
    BinPut,
    LongBinPut,
    BinGet,
    LongBinGet,
    Global,
    Reduce,
    Build,
    BinPersId,
}

impl Opcode {
    /// The instruction of `code`, which stands at `at`.
    pub(super) fn of(code: u8, at: usize) -> Result<Self, CheckpointError> {
        Ok(match code {
            0x80 => Self::Proto,
            b'.' => Self::Stop,
            b'(' => Self::Mark,
            b'0' => Self::Pop,
            b'N' => Self::None,
            0x88 => Self::NewTrue,
            0x89 => Self::NewFalse,
            b'J' => Self::BinInt,
            b'K' => Self::BinInt1,
            b'M' => Self::BinInt2,
            0x8a => Self::Long1,
            b'G' => Self::BinFloat,
            b'X' => Self::BinUnicode,
            b'T' => Self::BinString,
            b'U' => Self::ShortBinString,
            b')' => Self::EmptyTuple,
            b't' => Self::Tuple,
            0x85 => Self::Tuple1,
            0x86 => Self::Tuple2,
            0x87 => Self::Tuple3,
            b']' => Self::EmptyList,
            b'a' => Self::Append,
            b'e' => Self::Appends,
            b'}' => Self::EmptyDict,
            b's' => Self::SetItem,
            b'u' => Self::SetItems,
            b'q' => Self::BinPut,
            b'r' => Self::LongBinPut,
            b'h' => Self::BinGet,
            b'j' => Self::LongBinGet,
            b'c' => Self::Global,
            b'R' => Self::Reduce,
            b'b' => Self::Build,
            b'Q' => Self::BinPersId,
            _ => return Err(CheckpointError::Opcode { name: other(code), code, at }),
        })
    }
}

/// The name of an instruction that is refused.
const fn other(code: u8) -> &'static str {
    match code {
        b'I' => "INT",
        b'L' => "LONG",
        0x8b => "LONG4",
        b'S' => "STRING",
        b'B' => "BINBYTES",
        b'C' => "SHORT_BINBYTES",
        0x8e => "BINBYTES8",
        0x96 => "BYTEARRAY8",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        b'V' => "UNICODE",
        0x8c => "SHORT_BINUNICODE",
        0x8d => "BINUNICODE8",
        b'F' => "FLOAT",
        b'l' => "LIST",
        b'd' => "DICT",
        0x8f => "EMPTY_SET",
        0x90 => "ADDITEMS",
        0x91 => "FROZENSET",
        b'2' => "DUP",
        b'1' => "POP_MARK",
        b'g' => "GET",
        b'p' => "PUT",
        0x94 => "MEMOIZE",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        0x93 => "STACK_GLOBAL",
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        0x95 => "FRAME",
        b'P' => "PERSID",
        _ => "that no version of Python knows",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_an_instruction_or_a_refusal_with_its_name() {
        let known = (0..=255).filter(|code| Opcode::of(*code, 0).is_ok()).count();
        assert_eq!(known, 34);
        let refused = Opcode::of(0x93, 7).unwrap_err();
        assert_eq!(refused, CheckpointError::Opcode { name: "STACK_GLOBAL", code: 0x93, at: 7 });
        assert!(refused.to_string().contains("STACK_GLOBAL (0x93)"));
    }
}
