//! The files of this repository, as text.

use std::path::{Path, PathBuf};

/// Folders that are made, not written.
const MADE: [&str; 4] = ["target", "consilium-out", "kits", "node_modules"];

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// A file with its path relative to the workspace.
pub(crate) struct TextFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl TextFile {
    /// A made-up file.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }
}

/// All files of the workspace that end in `.extension`, hidden and made folders left out, sorted by path.
pub(crate) fn files(extension: &str) -> Vec<TextFile> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("folders of the workspace can be read") {
            let entry = entry.expect("entries of the workspace can be read");
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type().expect("entries have a type").is_dir() {
                if !name.starts_with('.') && !MADE.contains(&name.as_ref()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = std::fs::read_to_string(&path).expect("sources and documents are UTF-8");
                let path = path.strip_prefix(root()).expect("it lies in the workspace").to_owned();
                found.push(TextFile { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no .{extension} file under {}", root().display());
    found
}
