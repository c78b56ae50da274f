//! Builds pickles instruction by instruction, sound ones and others.

/// The number that begins every file of PyTorch before 1.6.
pub(crate) const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// An unfinished pickle. Classes and functions are remembered and recalled, as Python does it.
#[derive(Debug, Clone)]
pub(crate) struct Pickle {
    bytes: Vec<u8>,
    globals: Vec<String>,
}

impl Pickle {
    /// Of protocol 2.
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0x80, 2], globals: Vec::new() }
    }

    pub(crate) fn op(mut self, code: u8) -> Self {
        self.bytes.push(code);
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        self.op(b'X').raw(&length).raw(text.as_bytes())
    }

    pub(crate) fn int(self, number: u64) -> Self {
        if let Ok(number) = u8::try_from(number) {
            self.op(b'K').op(number)
        } else if let Ok(number) = u16::try_from(number) {
            self.op(b'M').raw(&number.to_le_bytes())
        } else if let Ok(number) = i32::try_from(number) {
            self.op(b'J').raw(&number.to_le_bytes())
        } else {
            // The ninth byte keeps the highest bit from being a sign.
            self.op(0x8a).op(9).raw(&number.to_le_bytes()).op(0)
        }
    }

    /// A number of as many bytes as it has, two's complement.
    pub(crate) fn big_int(self, bytes: &[u8]) -> Self {
        self.op(0x8a).op(u8::try_from(bytes.len()).unwrap()).raw(bytes)
    }

    /// A tuple of numbers.
    pub(crate) fn sizes(self, sizes: &[u64]) -> Self {
        if sizes.is_empty() {
            return self.op(b')');
        }
        sizes.iter().fold(self.op(b'('), |pickle, size| pickle.int(*size)).op(b't')
    }

    /// A class or function.
    pub(crate) fn global(mut self, module: &str, name: &str) -> Self {
        let line = format!("{module}\n{name}\n");
        if let Some(place) = self.globals.iter().position(|known| *known == line) {
            return self.op(b'h').op(u8::try_from(place).unwrap());
        }
        self.globals.push(line.clone());
        let place = u8::try_from(self.globals.len() - 1).unwrap();
        self.op(b'c').raw(line.as_bytes()).op(b'q').op(place)
    }

    /// The finished pickle.
    pub(crate) fn stop(self) -> Vec<u8> {
        self.op(b'.').bytes
    }
}
