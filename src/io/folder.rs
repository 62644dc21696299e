//! Folders of photographs with labels.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::augment::Augment;
use super::dataset::{Dataset, Splits};
use super::table::{read_text, rows};
use super::{cifar, mnist};
use crate::base::Preprocess;
use crate::error::{Error, Result};

/// Endings of image files, in any case.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Loads a folder of images, whose labels are
/// * in a table beside it, called like the folder and `.csv`, with the columns `filename` (in the folder) and
///   `class_index` in its header, in any order, others ignored; images that it does not name are not used, and
///   there are as many classes as the largest index asks for; or
/// * the subfolders that the images are in, one per class, numbered in the order of their names.
///
/// Hidden files and files that are not `.jpg`, `.jpeg` or `.png` are ignored. Images are decoded when they are
/// asked for.
///
/// # Errors
/// [`Error::Io`] for what cannot be read; [`Error::Format`] if there are no images or no labels, for a
/// damaged or empty table (with the line), and for a file that the table names and the folder lacks;
/// [`Error::Invalid`] as [`Preprocess::check`].
pub fn load_image_folder(folder: impl AsRef<Path>, preprocess: &Preprocess) -> Result<Dataset> {
    let folder = folder.as_ref();
    let content = list(folder)?;
    let (paths, labels, classes) = match table_beside(folder)? {
        Some(table) => from_table(folder, &table)?,
        None => from_subfolders(folder, content)?,
    };
    let name = format!("images ({})", folder.display());
    let data = Dataset::from_files(name, paths, labels, preprocess.clone(), classes)?;
    Ok(data.with_augment(Augment::LITTLE))
}

/// Loads what a folder holds, as a network takes it: MNIST's files or CIFAR-10's binary batches
/// ([`load_splits`]), else images ([`load_image_folder`]). A folder of images holds one set: it is both
/// `train` and `test`, and [`Splits::held_out`] is false.
///
/// # Errors
/// As those two, and as [`Dataset::with_preprocess`].
pub fn load_data(folder: impl AsRef<Path>, preprocess: &Preprocess) -> Result<Splits> {
    let folder = folder.as_ref();
    if mnist::any_file(folder) || cifar::is_cifar10(folder) {
        return load_splits(folder)?.with_preprocess(preprocess);
    }
    let images = load_image_folder(folder, preprocess)?;
    Ok(Splits {
        train: images.clone(),
        test: images,
        held_out: false,
    })
}

/// Loads a folder with the four files of MNIST ([`load_mnist`](super::load_mnist)) or with CIFAR-10's binary
/// batches ([`load_cifar10`](super::load_cifar10)); pixels are `x / 255`.
///
/// # Errors
/// As those two.
pub fn load_splits(folder: impl AsRef<Path>) -> Result<Splits> {
    let folder = folder.as_ref();
    if cifar::is_cifar10(folder) {
        return cifar::load_cifar10(folder);
    }
    mnist::load_mnist(folder)
}

type Labelled = (Vec<PathBuf>, Vec<u32>, usize);

/// Images and subfolders of a folder, each in the order of their names.
#[derive(Default)]
struct Content {
    images: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

fn list(folder: &Path) -> Result<Content> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut names: BTreeSet<OsString> = BTreeSet::new();
    for entry in entries {
        names.insert(entry.map_err(Error::io(folder))?.file_name());
    }
    let mut content = Content::default();
    for name in names {
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = folder.join(&name);
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        if path.is_dir() {
            content.folders.push(path);
        } else if ENDINGS.iter().any(|known| ending == *known) {
            content.images.push(path);
        }
    }
    Ok(content)
}

/// `DIR.csv` beside `DIR`, if it is there.
fn table_beside(folder: &Path) -> Result<Option<PathBuf>> {
    // `.` and `..` have no name of their own.
    let whole = match folder.file_name() {
        Some(_) => folder.to_owned(),
        None => folder.canonicalize().map_err(Error::io(folder))?,
    };
    let Some(name) = whole.file_name() else {
        return Ok(None);
    };
    let mut name = name.to_owned();
    name.push(".csv");
    let table = whole.with_file_name(name);
    Ok(table.is_file().then_some(table))
}

fn from_table(folder: &Path, table: &Path) -> Result<Labelled> {
    let wrong = |problem: String| Error::format(table, problem);
    let text = read_text(table)?;
    let (mut paths, mut labels) = (Vec::new(), Vec::new());
    for row in rows(&text, [&["filename"], &["class_index"]]).map_err(wrong)? {
        let (line, [file, class]) = (row.line, row.fields);
        let label: u32 = class.parse().map_err(|_| {
            wrong(format!(
                "line {line}: the class index is `{class}`, expected a whole number from 0"
            ))
        })?;
        let path = folder.join(&file);
        if !path.is_file() {
            return Err(wrong(format!(
                "line {line}: there is no file `{file}` in {}",
                folder.display()
            )));
        }
        paths.push(path);
        labels.push(label);
    }
    let Some(largest) = labels.iter().max() else {
        return Err(wrong(
            "it names no images; expected a line for each after the header".to_owned(),
        ));
    };
    let classes = *largest as usize + 1;
    Ok((paths, labels, classes))
}

fn from_subfolders(folder: &Path, content: Content) -> Result<Labelled> {
    let wrong = |problem: String| Err(Error::format(folder, problem));
    let folders = content.folders;
    let (mut paths, mut labels) = (Vec::new(), Vec::new());
    let mut empty = None;
    for (label, class) in folders.iter().enumerate() {
        let images = list(class)?.images;
        if images.is_empty() {
            empty = Some(class);
        }
        labels.extend(std::iter::repeat_n(label as u32, images.len()));
        paths.extend(images);
    }
    match (paths.is_empty(), content.images.is_empty(), empty) {
        (true, true, _) => wrong(
            "there are no images (.jpg, .jpeg, .png) in this folder, nor in folders in it; expected images, \
             the four MNIST files or CIFAR-10's binary batches"
                .to_owned(),
        ),
        (true, false, _) => wrong(format!(
            "its images have no labels; put a table `{}.csv` with the columns filename,class_index beside \
             the folder, or the images of each class into a folder of their own",
            folder.display()
        )),
        (false, false, _) => wrong(format!(
            "it has folders of images, one per class, and {} images beside them, whose class is unknown; \
             move them",
            content.images.len()
        )),
        (false, true, Some(class)) => wrong(format!(
            "its folder `{}` has no images (.jpg, .jpeg, .png), so it cannot be a class",
            class.display()
        )),
        (false, true, None) => Ok((paths, labels, folders.len())),
    }
}
