//! Writes checkpoints as PyTorch does, in both containers, for tests: the released files cannot be fetched by them.
//!
//! Also used by tests of other crates through `#[path]`.

pub(crate) mod formula;
pub(crate) mod pickle;
pub(crate) mod zip;

use pickle::Pickle;
use zip::{Entry, zip};

/// A block of values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Storage {
    pub(crate) key: String,
    /// PyTorch's class without its module, for instance `FloatStorage`.
    pub(crate) class: &'static str,
    pub(crate) values: u64,
    pub(crate) bytes: Vec<u8>,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) storage: usize,
    pub(crate) offset: u64,
    pub(crate) shape: Vec<u64>,
    pub(crate) strides: Vec<u64>,
    /// Wrapped as `torch.nn.Parameter`.
    pub(crate) parameter: bool,
}

/// What `torch.save` is given.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Model {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) storages: Vec<Storage>,
    /// Under `state_dict`, with an epoch beside it.
    pub(crate) wrapped: bool,
    /// Every name begins with `module.`.
    pub(crate) prefixed: bool,
}

impl Model {
    /// Adds a contiguous float32 tensor with a storage of its own.
    pub(crate) fn push_floats(&mut self, name: &str, shape: &[u64], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.push(name, shape, "FloatStorage", values.len() as u64, bytes);
    }

    /// Adds a counter, an int64 without extents.
    pub(crate) fn push_counter(&mut self, name: &str) {
        self.push(name, &[], "LongStorage", 1, vec![0; 8]);
    }

    /// Adds a contiguous tensor with a storage of its own.
    pub(crate) fn push(
        &mut self,
        name: &str,
        shape: &[u64],
        class: &'static str,
        values: u64,
        bytes: Vec<u8>,
    ) {
        let storage = self.storages.len();
        // As PyTorch before 1.6: addresses, whose order is not that of the tensors.
        let key = (94_110_132_000_000 + (storage as u64 * 7919) % 100_003 * 64).to_string();
        self.storages.push(Storage { key, class, values, bytes });
        let (shape, strides) = (shape.to_vec(), contiguous(shape));
        let (name, parameter) = (name.to_owned(), false);
        self.tensors.push(Tensor { name, storage, offset: 0, shape, strides, parameter });
    }

    /// The file of PyTorch before 1.6.
    pub(crate) fn legacy(&self) -> Vec<u8> {
        let mut file = Pickle::new().big_int(&pickle::MAGIC).stop();
        file.extend(Pickle::new().int(1001).stop());
        let machine = Pickle::new().op(b'}').op(b'(').text("protocol_version").int(1001);
        file.extend(machine.text("little_endian").op(0x88).op(b'u').stop());
        file.extend(self.object(true));
        let mut order: Vec<&Storage> = self.storages.iter().collect();
        order.sort_by(|a, b| a.key.cmp(&b.key));
        let keys =
            order.iter().fold(Pickle::new().op(b']').op(b'('), |keys, storage| keys.text(&storage.key));
        file.extend(keys.op(b'e').stop());
        for storage in order {
            file.extend(storage.values.to_le_bytes());
            file.extend(&storage.bytes);
        }
        file
    }

    /// The file of PyTorch since 1.6; `deflated` as re-packed by other tools.
    pub(crate) fn zipped(&self, deflated: bool) -> Vec<u8> {
        zip(&self.entries(deflated))
    }

    /// The entries of [`zipped`](Self::zipped), for tests that change them.
    pub(crate) fn entries(&self, deflated: bool) -> Vec<Entry> {
        let entry = |name: String, bytes: Vec<u8>| Entry::new(&format!("model/{name}"), bytes, deflated);
        let mut entries = vec![entry("data.pkl".into(), self.object(false))];
        entries.push(entry("byteorder".into(), b"little".to_vec()));
        entries.extend(self.storages.iter().map(|s| entry(format!("data/{}", s.key), s.bytes.clone())));
        entries.push(entry("version".into(), b"3\n".to_vec()));
        entries
    }

    /// The pickle of the object.
    pub(crate) fn object(&self, legacy: bool) -> Vec<u8> {
        let mut pickle = Pickle::new();
        if self.wrapped {
            pickle = pickle.op(b'}').op(b'(').text("epoch").int(70_000).text("state_dict");
        }
        pickle = pickle.global("collections", "OrderedDict").op(b')').op(b'R').op(b'(');
        for tensor in &self.tensors {
            let prefix = if self.prefixed { "module." } else { "" };
            pickle = self.tensor(pickle.text(&format!("{prefix}{}", tensor.name)), tensor, legacy);
        }
        pickle = pickle.op(b'u');
        // The version numbers that PyTorch hangs on its dictionaries.
        pickle = pickle.op(b'}').text("_metadata").op(b'}').op(b's').op(b'b');
        if self.wrapped {
            pickle = pickle.op(b'u');
        }
        pickle.stop()
    }

    fn tensor(&self, mut pickle: Pickle, tensor: &Tensor, legacy: bool) -> Pickle {
        let storage = &self.storages[tensor.storage];
        if tensor.parameter {
            pickle = pickle.global("torch._utils", "_rebuild_parameter").op(b'(');
        }
        pickle = pickle.global("torch._utils", "_rebuild_tensor_v2").op(b'(');
        pickle =
            pickle.op(b'(').text("storage").global("torch", storage.class).text(&storage.key).text("cpu");
        pickle = pickle.int(storage.values);
        pickle = if legacy { pickle.op(b'N') } else { pickle };
        pickle = pickle.op(b't').op(b'Q').int(tensor.offset).sizes(&tensor.shape).sizes(&tensor.strides);
        pickle = pickle.op(0x89).global("collections", "OrderedDict").op(b')').op(b'R').op(b't').op(b'R');
        if tensor.parameter {
            pickle = pickle.op(0x88).global("collections", "OrderedDict").op(b')').op(b'R').op(b't').op(b'R');
        }
        pickle
    }
}

/// The strides of a tensor whose values lie one after the other.
pub(crate) fn contiguous(shape: &[u64]) -> Vec<u64> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}
