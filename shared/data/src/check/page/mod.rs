//! The report as one web page with pictures, for the site's own eyes.
//!
//! One file without scripts that asks the network for nothing: pictures are part of it, and its policy
//! forbids the browser everything else. It names patients, so only its owner may read the file and its first
//! line says that it must not be sent.

mod html;
mod picture;
mod slice;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use consilium_domain::Modality;
use rayon::prelude::*;

use self::html::{Drawn, Picture};
use self::slice::Plane;
use super::progress::{Counter, Pass, PassTiming, Progress};
use super::report::{CheckedCase, Report};
use crate::Volume;

/// Cases with pictures, problems first: three pictures of at most 37 kB before compression each keep such a
/// page below 150 MB, which browsers open.
const MOST_PICTURED: usize = 1000;

/// Cases drawn before they are written: bounds memory, and keeps every processor busy.
const DRAWN_AT_ONCE: usize = 32;

/// The modality that shows a glioblastoma best.
const PREFERRED: Modality = Modality::T1gd;

/// Why a page could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: the page cannot be written ({cause}): check the folder, its permissions and the free space",
    path.display()
)]
pub struct PageError {
    /// The page.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

/// Writes the page to `path`, which its owner alone may read. Appears whole or not at all.
///
/// Shows one modality a case, contrast-enhanced T1 where there is one. Reads two files a case.
///
/// # Errors
/// [`PageError`] where the file cannot be written.
pub fn write_page(
    report: &Report,
    path: &Path,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<PassTiming, PageError> {
    let unfinished = unfinished(path);
    let written = write_unfinished(report, &unfinished, progress)
        .and_then(|timing| fs::rename(&unfinished, path).map(|()| timing));
    written.map_err(|cause| {
        // Nothing is lost if this fails too: the file is marked as unfinished by its name.
        let _ = fs::remove_file(&unfinished);
        PageError { path: path.to_owned(), cause }
    })
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    path.with_file_name(name)
}

fn write_unfinished(
    report: &Report,
    path: &Path,
    progress: &(dyn Fn(Progress) + Sync),
) -> io::Result<PassTiming> {
    let order = html::order(report);
    let counter = Counter::start(Pass::Page, order.len().min(MOST_PICTURED), progress);
    let mut page = BufWriter::new(create_private(path)?);
    page.write_all(html::opening(report).as_bytes())?;
    let (pictured, plain) = order.split_at(order.len().min(MOST_PICTURED));
    for chunk in pictured.chunks(DRAWN_AT_ONCE) {
        let articles: Vec<String> = chunk
            .par_iter()
            .map(|&case| {
                let drawn = draw(&report.cases[case]);
                counter.add(1);
                html::article(report, case, &drawn)
            })
            .collect();
        for article in articles {
            page.write_all(article.as_bytes())?;
        }
    }
    for &case in plain {
        let reason = format!("only the first {MOST_PICTURED} cases are drawn");
        page.write_all(html::article(report, case, &Drawn::Nothing(reason)).as_bytes())?;
    }
    page.write_all(html::CLOSING.as_bytes())?;
    page.into_inner()?.sync_all()?;
    Ok(counter.finish())
}

/// A new file that nobody else may read. One left by an earlier attempt is removed: it could be readable, or
/// a link.
fn create_private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The three sections of a case's preferred image.
fn draw(case: &CheckedCase) -> Drawn {
    let images = &case.case.images;
    let chosen = images.get_key_value(&PREFERRED).or_else(|| images.first_key_value());
    let Some((&modality, path)) = chosen else { return Drawn::Nothing("there is no image".to_owned()) };
    let image = match Volume::read(path) {
        Ok(image) => slice::upright(image),
        Err(_) => return Drawn::Nothing(format!("the {modality} image cannot be read")),
    };
    let mask = Volume::read(&case.case.mask).ok().map(slice::upright);
    let shown = mask.as_ref().filter(|mask| mask.shape() == image.shape());
    let middle = shown.map_or_else(|| image.shape().map(|size| size / 2), slice::middle);
    let picture = |plane: Plane| {
        let cut = slice::cut(&image, shown, middle, plane);
        let data_url = picture::data_url(&cut).ok()?;
        Some(Picture { plane: plane.name(), size_mm: cut.size_mm, data_url })
    };
    match Plane::ALL.into_iter().map(picture).collect() {
        Some(pictures) => Drawn::Pictures { modality, outlined: shown.is_some(), pictures },
        None => Drawn::Nothing(format!("the {modality} image cannot be drawn")),
    }
}
