//! Files that must be refused, each with the error that says why.

use crate::writer::pickle::{MAGIC, Pickle};
use crate::writer::zip::{Entry, zip};
use crate::writer::{Model, Tensor};

/// A name, the file, and how the error's `Debug` text begins.
pub(crate) type Broken = (&'static str, Vec<u8>, &'static str);

/// One float32 tensor of six values, two by three.
pub(crate) fn tiny() -> Model {
    let mut model = Model { wrapped: true, prefixed: true, ..Model::default() };
    model.push_floats("conv1.weight", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    model
}

/// A legacy file with the pickle `object` and no storage.
pub(crate) fn legacy_with(object: Vec<u8>) -> Vec<u8> {
    let mut file = Pickle::new().big_int(&MAGIC).stop();
    file.extend(Pickle::new().int(1001).stop());
    file.extend(Pickle::new().op(b'}').text("little_endian").op(0x88).op(b's').stop());
    file.extend(object);
    file.extend(Pickle::new().op(b']').stop());
    file
}

fn start() -> Pickle {
    Pickle::new()
}

pub(crate) fn broken_files() -> Vec<Broken> {
    let mut files = other_files();
    files.extend(containers());
    files.extend(programs().into_iter().map(|(name, object, error)| (name, legacy_with(object), error)));
    files.extend(limits().into_iter().map(|(name, object, error)| (name, legacy_with(object), error)));
    files.extend(calls().into_iter().map(|(name, object, error)| (name, legacy_with(object), error)));
    files.extend(tensors());
    files.extend(archives());
    files.extend(dictionaries());
    files
}

fn other_files() -> Vec<Broken> {
    let mut tar = vec![b'0'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let safetensors = [&8u64.to_le_bytes()[..], b"{      }"].concat();
    vec![
        ("empty", vec![], "Checkpoint(NotACheckpoint { found: \"an empty file\""),
        ("html", b"<!DOCTYPE html>".to_vec(), "Checkpoint(NotACheckpoint { found: \"a page of HTML"),
        ("gzip", vec![0x1f, 0x8b, 8], "Checkpoint(NotACheckpoint { found: \"compressed with gzip"),
        ("safetensors", safetensors, "Checkpoint(NotACheckpoint { found: \"a safetensors file"),
        (
            "plain pickle",
            start().int(3).stop(),
            "Checkpoint(NotACheckpoint { found: \"a pickle of something else",
        ),
        ("tar", tar, "Checkpoint(NotACheckpoint { found: \"a tar archive"),
        ("text", b"weights".to_vec(), "Checkpoint(NotACheckpoint { found: \"something else"),
    ]
}

fn containers() -> Vec<Broken> {
    let sound = tiny().legacy();
    let with =
        |version: Vec<u8>, machine: Vec<u8>| [start().big_int(&MAGIC).stop(), version, machine].concat();
    let big = start().op(b'}').text("little_endian").op(0x89).op(b's').stop();
    let silent = start().op(b'}').stop();
    let version = start().int(1001).stop();
    let mut other_size = tiny();
    other_size.storages[0].bytes.truncate(20);
    let mut unused = tiny();
    unused.tensors.clear();
    unused.push_floats("a", &[1], &[1.0]);
    let mut missing = legacy_with(tiny().object(true));
    missing.extend([0; 32]);
    let longer_magic = start().big_int(&MAGIC).op(b'0').int(1).stop();
    vec![
        ("magic and more", longer_magic, "Checkpoint(Malformed { what: \"the mark of the format"),
        ("version 1002", with(start().int(1002).stop(), vec![]), "Checkpoint(Version { found: \"1002\""),
        (
            "version is a text",
            with(start().text("a").stop(), vec![]),
            "Checkpoint(Version { found: \"a text\"",
        ),
        ("big endian", with(version.clone(), big), "Checkpoint(ByteOrder { found: \"big-endian\""),
        ("silent about order", with(version.clone(), silent), "Checkpoint(ByteOrder { found: \"an unknown\""),
        (
            "machine is a number",
            with(version.clone(), version),
            "Checkpoint(Malformed { what: \"the writer's",
        ),
        ("trailing byte", [&sound[..], &[0]].concat(), "Checkpoint(TrailingBytes { bytes: 1 }"),
        (
            "one byte short",
            sound[..sound.len() - 1].to_vec(),
            "Checkpoint(Truncated { what: \"tensor memory\"",
        ),
        ("storage cut", other_size.legacy(), "Checkpoint(Truncated { what: \"tensor memory\""),
        ("storage missing", missing, "Checkpoint(StorageMissing"),
        ("storage unused", unused.legacy(), "Checkpoint(StorageUnused"),
        ("storage of another size", resized_storage(), "Checkpoint(StorageSize"),
    ]
}

/// The header of the last storage claims seven values where the pickle says six.
fn resized_storage() -> Vec<u8> {
    let mut file = tiny().legacy();
    let header = file.len() - 32;
    file[header] = 7;
    file
}

fn programs() -> Vec<Broken> {
    let system = start().global("os", "system").text("touch /tmp/owned").op(0x85).op(b'R').stop();
    let posix = start().global("posix", "system").text("id").op(0x85).op(b'R').stop();
    let eval = start().global("__builtin__", "eval").text("1").op(0x85).op(b'R').stop();
    let function = start().global("torch._utils", "_rebuild_tensor_v3").stop();
    let escape = start().global("a\u{1b}[2J", "b").stop();
    let stack = start().text("os").text("system").op(0x93).text("id").op(0x85).op(b'R').stop();
    let object = start().global("collections", "OrderedDict").op(b')').op(0x81).stop();
    vec![
        ("os.system", system, "Checkpoint(Global { module: \"os\", name: \"system\""),
        ("posix.system", posix, "Checkpoint(Global { module: \"posix\", name: \"system\""),
        ("eval", eval, "Checkpoint(Global { module: \"__builtin__\", name: \"eval\""),
        (
            "newer tensor",
            function,
            "Checkpoint(Global { module: \"torch._utils\", name: \"_rebuild_tensor_v3\"",
        ),
        ("terminal escape", escape, "Checkpoint(Global { module: \"a\\\\u{1b}[2J\""),
        ("stack global", stack, "Checkpoint(Opcode { name: \"STACK_GLOBAL\", code: 147"),
        ("newobj", object, "Checkpoint(Opcode { name: \"NEWOBJ\""),
        ("inst", start().op(b'(').raw(b"ios\nsystem\n").stop(), "Checkpoint(Opcode { name: \"INST\""),
        ("extension", start().op(0x82).op(1).stop(), "Checkpoint(Opcode { name: \"EXT1\""),
        ("unknown", start().op(0xff).stop(), "Checkpoint(Opcode { name: \"that no version"),
        ("protocol 4", [&[0x80, 4][..], b"N."].concat(), "Checkpoint(Protocol { found: 4 }"),
        ("no protocol", b"N.".to_vec(), "Checkpoint(Malformed { what: \"it does not begin"),
        ("protocol twice", start().op(0x80).op(2).stop(), "Checkpoint(Malformed { what: \"it begins twice"),
        ("underflow", start().op(b'0').stop(), "Checkpoint(Malformed { what: \"a value is missing"),
        (
            "pop across a mark",
            start().op(b'N').op(b'(').op(b'0').op(b't').stop(),
            "Checkpoint(Malformed { what: \"a value is",
        ),
        ("no mark", start().op(b'N').op(b't').stop(), "Checkpoint(Malformed { what: \"a mark is missing"),
        (
            "left over",
            start().op(b'N').op(b'N').stop(),
            "Checkpoint(Malformed { what: \"values are left over",
        ),
        (
            "append to none",
            start().op(b'N').op(b'N').op(b'a').stop(),
            "Checkpoint(Malformed { what: \"something is app",
        ),
        (
            "odd items",
            start().op(b'}').op(b'(').op(b'N').op(b'u').stop(),
            "Checkpoint(Malformed { what: \"a key has",
        ),
        (
            "pair into none",
            start().op(b'N').op(b'(').op(b'u').stop(),
            "Checkpoint(Malformed { what: \"a pair is put",
        ),
        (
            "call of a text",
            start().text("a").op(b')').op(b'R').stop(),
            "Checkpoint(Malformed { what: \"something is called",
        ),
        (
            "state of a text",
            start().text("a").op(b'}').op(b'b').stop(),
            "Checkpoint(Malformed { what: \"attributes",
        ),
        ("text not utf-8", start().raw(b"U\x01\xff").stop(), "Checkpoint(Malformed { what: \"a text is not"),
        ("memo never put", start().op(b'h').op(9).stop(), "Checkpoint(Memo { index: 9"),
        ("memo far away", start().op(b'j').raw(&[255; 4]).stop(), "Checkpoint(Memo { index: 4294967295"),
    ]
}

fn limits() -> Vec<Broken> {
    let claims = |bytes: &[u8]| start().raw(bytes).stop();
    let marks = (0..100_000).fold(start(), |pickle, _| pickle.op(b'(')).stop();
    let stack = (0..100_000).fold(start(), |pickle, _| pickle.op(b'N')).stop();
    let values = (0..300_000).fold(start(), |pickle, _| pickle.op(b'N').op(b'0')).stop();
    let steps = (0..600_000).fold(start().op(b'N').op(b'q').op(0), |pickle, _| pickle.raw(b"h\x000")).stop();
    let nested = (0..100_000).fold(start().op(b'N'), |pickle, _| pickle.op(0x85)).stop();
    let itself = start().raw(b"}q\0").text("state_dict").raw(b"h\0s").stop();
    // A list of 2,000 pairs, copied a thousand times.
    let pairs = (0..2000).fold(start().raw(b"]q\0("), |pickle, _| pickle.raw(b"NN\x86")).raw(b"e0");
    let copies =
        (0..1000).fold(pairs, |pickle, _| pickle.raw(b"ccollections\nOrderedDict\nh\0\x85R0")).stop();
    let line = start().op(b'c').raw(&[b'a'; 500]).stop();
    vec![
        ("text of 4 GB", claims(b"X\xff\xff\xff\xff"), "Checkpoint(Limit { what: \"bytes in a text\""),
        ("signed text", claims(b"T\xff\xff\xff\xff"), "Checkpoint(Limit { what: \"bytes in a text\""),
        ("long of 255 bytes", claims(b"\x8a\xff"), "Checkpoint(Limit { what: \"bytes in a number\""),
        ("text beyond the end", claims(b"X\x00\x20\x00\x00"), "Checkpoint(Truncated { what: \"a text\""),
        ("long line", line, "Checkpoint(Limit { what: \"bytes in a line\""),
        ("marks", marks, "Checkpoint(Limit { what: \"containers in one another\""),
        ("stack", stack, "Checkpoint(Limit { what: \"values on the stack\""),
        ("values", values, "Checkpoint(Limit { what: \"values in the pickle\""),
        ("steps", steps, "Checkpoint(Limit { what: \"pickle instructions\""),
        ("copies", copies, "Checkpoint(Limit { what: \"pickle instructions\""),
        ("nested tuples", nested, "Checkpoint(NoStateDict(\"a tuple\")"),
        ("contains itself", itself, "Checkpoint(NotATensor { key: \"state_dict\", found: \"a dictionary\""),
    ]
}

fn storage_id(pickle: Pickle, class: &str, values: u64) -> Pickle {
    let id = pickle.op(b'(').text("storage").global("torch", class).text("0").text("cpu");
    id.int(values).op(b'N').op(b't').op(b'Q')
}

fn calls() -> Vec<Broken> {
    let rebuild = || start().global("torch._utils", "_rebuild_tensor_v2").op(b'(');
    let ended = |pickle: Pickle| pickle.op(0x89).op(b'N').op(b't').op(b'R').stop();
    let seven = storage_id(rebuild(), "FloatStorage", 1).int(0).op(b')').op(b')').op(0x89).op(b'N').op(b'}');
    let module =
        start().op(b'(').text("module").op(b'N').text("a").text("b").op(b'N').op(b't').op(b'Q').stop();
    let view = start().op(b'(').text("storage").global("torch", "FloatStorage").text("0").text("cpu").int(1);
    let view = view.op(b')').op(b't').op(b'Q').stop();
    let negative = storage_id(rebuild(), "FloatStorage", 1).raw(b"J\xff\xff\xff\xff").op(b')').op(b')');
    let twice = storage_id(storage_id(start(), "FloatStorage", 1), "FloatStorage", 2).stop();
    let huge = storage_id(start(), "DoubleStorage", u64::MAX).stop();
    let many = storage_id(rebuild(), "FloatStorage", 1).int(0).sizes(&[1; 9]).sizes(&[1; 9]);
    let uneven = storage_id(rebuild(), "FloatStorage", 1).int(0).sizes(&[1; 2]).sizes(&[1; 1]);
    let no_tensor = start().global("torch._utils", "_rebuild_parameter").op(b'(').op(b'N').op(b'N').op(b'N');
    let dict = start().global("collections", "OrderedDict").raw(b"]N\x61\x85R").stop();
    let class = start().global("torch", "FloatStorage").raw(b")R").stop();
    vec![
        (
            "two arguments",
            rebuild().raw(b"NNtR").stop(),
            "Checkpoint(Call { callable: \"torch._utils._rebuild_tensor_v2",
        ),
        (
            "seven arguments",
            seven.raw(b"tR").stop(),
            "Checkpoint(Call { callable: \"torch._utils._rebuild_tensor_v2\", what: \"is given a seventh",
        ),
        (
            "no storage",
            ended(rebuild().op(b'N').int(0).op(b')').op(b')')),
            "Checkpoint(Call { callable: \"torch._utils._rebuild_tensor_v2\", what: \"is not given tensor memory",
        ),
        (
            "negative offset",
            ended(negative),
            "Checkpoint(Call { callable: \"torch._utils._rebuild_tensor_v2\", what: \"is given an offset",
        ),
        (
            "uneven",
            ended(uneven),
            "Checkpoint(Call { callable: \"torch._utils._rebuild_tensor_v2\", what: \"is given more extents",
        ),
        ("nine extents", ended(many), "Checkpoint(Limit { what: \"extents of a tensor\""),
        (
            "parameter of nothing",
            no_tensor.raw(b"tR").stop(),
            "Checkpoint(Call { callable: \"torch._utils._rebuild_parameter\"",
        ),
        ("dictionary of nothing", dict, "Checkpoint(Call { callable: \"collections.OrderedDict\""),
        ("storage is called", class, "Checkpoint(Call { callable: \"a storage class"),
        ("whole module", module, "Checkpoint(StorageReference { what: \"is the source code"),
        ("view of a storage", view, "Checkpoint(StorageReference { what: \"is a view"),
        ("two sizes", twice, "Checkpoint(StorageContradiction"),
        ("beyond 64 bits", huge, "Checkpoint(StorageReference { what: \"has a size beyond"),
        (
            "id is a number",
            start().int(1).op(b'Q').stop(),
            "Checkpoint(StorageReference { what: \"has not five",
        ),
        (
            "quantised",
            storage_id(start(), "QInt8Storage", 1).stop(),
            "Checkpoint(Global { module: \"torch\", name: \"QInt8Storage\"",
        ),
    ]
}

fn tensors() -> Vec<Broken> {
    let with = |change: fn(&mut Tensor)| {
        let mut model = tiny();
        change(&mut model.tensors[0]);
        model.legacy()
    };
    vec![
        ("offset too far", with(|tensor| tensor.offset = 1), "Checkpoint(OutsideStorage"),
        ("offset overflows", with(|tensor| tensor.offset = u64::MAX), "Checkpoint(OutsideStorage"),
        ("stride too far", with(|tensor| tensor.strides = vec![4, 1]), "Checkpoint(OutsideStorage"),
        ("stride overflows", with(|tensor| tensor.strides = vec![u64::MAX, 1]), "Checkpoint(OutsideStorage"),
        (
            "shape too large",
            with(|tensor| tensor.shape = vec![1 << 40, 1 << 40]),
            "Checkpoint(OutsideStorage",
        ),
        ("expanded", with(|tensor| tensor.strides = vec![0, 1]), "Checkpoint(OverlapsItself"),
        ("folded", with(|tensor| tensor.strides = vec![1, 1]), "Checkpoint(OverlapsItself"),
        ("claims a terabyte", claims_a_terabyte(), "Checkpoint(Truncated { what: \"tensor memory\""),
    ]
}

fn claims_a_terabyte() -> Vec<u8> {
    let mut model = tiny();
    model.storages[0].values = 1 << 38;
    model.tensors[0].shape = vec![1 << 19, 1 << 19];
    model.tensors[0].strides = vec![1 << 19, 1];
    model.legacy()
}

fn archives() -> Vec<Broken> {
    let with = |change: fn(&mut Vec<Entry>)| {
        let mut entries = tiny().entries(true);
        change(&mut entries);
        zip(&entries)
    };
    let sound = tiny().zipped(true);
    let bomb = |entries: &mut Vec<Entry>| {
        let mut entry = Entry::new("model/data.pkl", vec![0; 4 << 20], true);
        // Declared as a thousandth of what comes out.
        entry.unpacked_bytes = 4 << 10;
        entries[0] = entry;
    };
    vec![
        ("half an archive", sound[..sound.len() / 2].to_vec(), "Checkpoint(Archive("),
        ("without directory", sound[..sound.len() - 22].to_vec(), "Checkpoint(Archive("),
        (
            "absolute name",
            with(|e| e[1].name = b"/etc/cron.d/a".to_vec()),
            "Checkpoint(EntryName(\"/etc/cron.d/a\")",
        ),
        (
            "parent name",
            with(|e| e[1].name = b"model/../../a".to_vec()),
            "Checkpoint(EntryName(\"model/../../a\")",
        ),
        ("drive name", with(|e| e[1].name = b"C:\\a".to_vec()), "Checkpoint(EntryName("),
        ("second folder", with(|e| e[1].name = b"other/a".to_vec()), "Checkpoint(EntryName(\"other/a\")"),
        ("same name", with(|e| e.push(e[0].clone())), "Checkpoint(EntryTwice(\"model/data.pkl\")"),
        ("same place", with(|e| e[1].place = Some(0)), "Checkpoint(EntriesOverlap("),
        ("encrypted", with(|e| e[2].flags = 1), "Checkpoint(EntryMethod { name: \"model/data/"),
        ("bzip2", with(|e| e[2].method = 12), "Checkpoint(EntryMethod { name: \"model/data/"),
        ("stored and shorter", with(|e| (e[0].method, e[0].unpacked_bytes) = (0, 9)), "Checkpoint(EntrySize"),
        (
            "bomb",
            with(bomb),
            "Checkpoint(EntrySize { name: \"model/data.pkl\", expected: 4096, found: 4097 }",
        ),
        ("declared bomb", with(|e| e[0].unpacked_bytes = u32::MAX - 1), "Checkpoint(EntryTooLarge"),
        ("shorter than declared", with(|e| e[0].unpacked_bytes += 1), "Checkpoint(EntrySize"),
        ("wrong checksum", with(|e| e[0].checksum ^= 1), "Checkpoint(EntryDamaged"),
        ("damaged", with(|e| e[0].packed[0] |= 6), "Checkpoint(EntryDamaged"),
        ("no pickle", with(|e| drop(e.remove(0))), "Checkpoint(EntryMissing(\"data.pkl\")"),
        ("no storage", with(|e| drop(e.remove(2))), "Checkpoint(StorageMissing"),
        ("storage of other size", with(|e| e[2].unpacked_bytes = 25), "Checkpoint(StorageSize"),
        ("no version", with(|e| drop(e.pop())), "Checkpoint(EntryMissing(\"version\")"),
        (
            "version 99",
            with(|e| e[3] = Entry::new("model/version", b"99".to_vec(), false)),
            "Checkpoint(Version { found: \"99\"",
        ),
        (
            "big endian archive",
            with(|e| e[1] = Entry::new("model/byteorder", b"big".to_vec(), false)),
            "Checkpoint(ByteOrder { found: \"big\"",
        ),
        (
            "torchscript",
            with(|e| e.push(Entry::new("model/code/a.py", vec![], false))),
            "Checkpoint(OtherArchive(\"is a TorchScript",
        ),
        (
            "two models",
            with(|e| e.push(Entry::new("b/data.pkl", vec![], false))),
            "Checkpoint(OtherArchive(\"holds several",
        ),
        (
            "release archive",
            zip(&[Entry::new("pretrain/resnet_10.pth", vec![], false)]),
            "Checkpoint(OtherArchive(\"holds checkpoints",
        ),
        (
            "bytes after the pickle",
            with(|e| e[0] = Entry::new("model/data.pkl", b"\x80\x02N.N".to_vec(), false)),
            "Checkpoint(Malformed { what: \"something follows",
        ),
    ]
}

fn dictionaries() -> Vec<Broken> {
    let object = |pickle: Pickle| legacy_with(pickle.stop());
    let mut twice = tiny();
    twice.tensors.push(twice.tensors[0].clone());
    let mut mixed = tiny();
    mixed.prefixed = false;
    let second = Tensor { name: "module.conv1.weight".into(), ..mixed.tensors[0].clone() };
    mixed.tensors.push(second);
    vec![
        ("a number", object(start().int(1)), "Checkpoint(NoStateDict(\"a whole number\")"),
        ("an empty dictionary", object(start().op(b'}')), "Checkpoint(NoStateDict(\"an empty dictionary\")"),
        (
            "numbered",
            object(start().op(b'}').int(1).int(1).op(b's')),
            "Checkpoint(NoStateDict(\"a dictionary with keys",
        ),
        (
            "names of numbers",
            object(start().op(b'}').text("a").int(1).op(b's')),
            "Checkpoint(NotATensor { key: \"a\", found: \"a whole number\"",
        ),
        ("name twice", twice.legacy(), "Checkpoint(KeyTwice(\"module.conv1.weight\")"),
        (
            "mixed prefix",
            mixed.legacy(),
            "Checkpoint(MixedPrefix { with: \"module.conv1.weight\", without: \"conv1.weight\"",
        ),
        ("too few tensors", tiny().legacy(), "Keys(KeyMismatch"),
        ("too few tensors zipped", tiny().zipped(false), "Keys(KeyMismatch"),
    ]
}
