//! Folders of photographs with labels.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::augment::Augment;
use super::dataset::{Dataset, Splits};
use super::picture::{ENDINGS, KINDS};
use super::table::{read_text, rows};
use super::{cifar, mnist};
use crate::base::Preprocess;
use crate::error::{Error, Result};

/// Names of folders that divide a data set: to learn from, and to judge by (the first that is there).
const TRAIN: [&str; 2] = ["train", "training"];
const JUDGE: [&str; 5] = ["val", "valid", "validation", "test", "eval"];
/// Columns of a table that name a file, and its class.
const FILE_COLUMNS: [&str; 5] = ["filename", "file", "image", "path", "name"];
const CLASS_COLUMNS: [&str; 6] = [
    "class_index",
    "label",
    "class",
    "class_name",
    "target",
    "category",
];
/// Folders in folders, at most: links may go round in circles.
const DEPTH: usize = 16;

/// Loads a folder of images ([`load_image`](super::load_image) has their kinds), whose labels are
/// * in a table beside it, called like the folder and `.csv`, with the columns `filename` (in the folder) and
///   `class_index` in its header, in any order, others ignored; images that it does not name are not used, and
///   there are as many classes as the largest index asks for. The columns may have other names (`file`, `image`,
///   `path`; `label`, `class`, `class_name`, `target`), and classes may be names, then numbered in their order; or
/// * the subfolders that the images are in, at any depth, one per class, numbered in the order of their names
///   as torchvision's `ImageFolder` does; or
/// * not known, if the images lie in the folder itself.
///
/// Hidden files are ignored, others that are no images are counted in [`Dataset::notes`]. Images are decoded when
/// they are asked for.
///
/// # Errors
/// [`Error::Io`] for what cannot be read; [`Error::Format`] if there are no images, if it holds `train` and
/// `val` instead of classes, for a damaged or empty table (with the line), and for a file that the table names
/// and the folder lacks; [`Error::Invalid`] as [`Preprocess::check`].
pub fn load_image_folder(folder: impl AsRef<Path>, preprocess: &Preprocess) -> Result<Dataset> {
    let folder = folder.as_ref();
    let content = list(folder)?;
    let found = match table_beside(folder)? {
        Some(table) => from_table(folder, &table, &content)?,
        None => from_subfolders(folder, content)?,
    };
    let name = format!("images ({})", folder.display());
    let classes = found.classes.max(1);
    let data = Dataset::from_files(name, found.paths, found.labels, preprocess.clone(), classes)?;
    let mut data = data.with_augment(Augment::LITTLE);
    (data.class_names, data.sorted, data.notes) = (found.names, found.sorted, found.notes);
    Ok(data)
}

/// Loads what a folder holds, as a network takes it: MNIST's files or CIFAR-10's binary batches
/// ([`load_splits`]), folders `train` and `val` (or `valid`, `validation`, `test`, `eval`) of images, else images
/// ([`load_image_folder`]). A folder of images holds one set: it is both `train` and `test`, and
/// [`Splits::held_out`] is false.
///
/// # Errors
/// As those two, and as [`Dataset::with_preprocess`]; [`Error::Invalid`] if `val` has a class
/// that `train` lacks.
pub fn load_data(folder: impl AsRef<Path>, preprocess: &Preprocess) -> Result<Splits> {
    let folder = folder.as_ref();
    if mnist::any_file(folder) || cifar::is_cifar10(folder) {
        return load_splits(folder)?.with_preprocess(preprocess);
    }
    let content = list(folder)?;
    if table_beside(folder)?.is_none()
        && let Some([train, test]) = divided(&content)?
    {
        let all = [content.images, content.others, content.folders].concat();
        let unused = all
            .into_iter()
            .filter(|path| ![&train, &test].contains(&path));
        let unused: Vec<PathBuf> = unused.collect();
        let why = format!("for the sets are `{}` and `{}`", name(&train), name(&test));
        let mut train = load_image_folder(&train, preprocess)?;
        let test = load_image_folder(&test, preprocess)?.sorted_as(&train)?;
        train.notes.extend(skipped(&unused, &why));
        return Ok(Splits {
            train,
            test,
            held_out: true,
        });
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

/// Images, and what is known of their classes.
#[derive(Default)]
struct Found {
    paths: Vec<PathBuf>,
    labels: Vec<u32>,
    classes: usize,
    names: Vec<String>,
    sorted: bool,
    notes: Vec<String>,
}

/// Images, subfolders and other files of a folder, each in the order of their names.
#[derive(Default)]
struct Content {
    images: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    /// Neither hidden nor images.
    others: Vec<PathBuf>,
}

fn list(folder: &Path) -> Result<Content> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut names: BTreeSet<OsString> = BTreeSet::new();
    for entry in entries {
        names.insert(entry.map_err(Error::io(folder))?.file_name());
    }
    let mut content = Content::default();
    for name in names {
        // Hidden, or macOS' archives beside the pictures.
        if name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX" {
            continue;
        }
        let path = folder.join(&name);
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        if path.is_dir() {
            content.folders.push(path);
        } else if ENDINGS.iter().any(|known| ending == *known) {
            content.images.push(path);
        } else {
            content.others.push(path);
        }
    }
    Ok(content)
}

/// All images below a folder, and the files that are none.
fn below(folder: &Path, depth: usize, others: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    if depth == 0 {
        let problem =
            format!("folders lie in it more than {DEPTH} deep; is there a link in a circle?");
        return Err(Error::format(folder, problem));
    }
    let content = list(folder)?;
    let mut images = content.images;
    others.extend(content.others);
    for folder in content.folders {
        images.extend(below(&folder, depth - 1, others)?);
    }
    Ok(images)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The folders to learn from and to judge by, if that is what a folder holds: neither has images of its own
/// unless a table says what they show, for then they would be classes.
fn divided(content: &Content) -> Result<Option<[PathBuf; 2]>> {
    let find = |names: &[&str]| {
        let named = |wanted: &&str| {
            let same = |path: &&PathBuf| name(path).eq_ignore_ascii_case(wanted);
            content.folders.iter().find(same).cloned()
        };
        names.iter().find_map(named)
    };
    let (Some(train), Some(judge)) = (find(&TRAIN), find(&JUDGE)) else {
        return Ok(None);
    };
    for set in [&train, &judge] {
        let inside = list(set)?;
        if !inside.images.is_empty() && table_beside(set)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some([train, judge]))
}

/// A remark about files and folders that are not used, if there are any.
fn skipped(others: &[PathBuf], why: &str) -> Option<String> {
    let first = others.first()?.display();
    Some(match others.len() {
        1 => format!("not used, {why}: {first}"),
        n => format!("{n} files or folders are not used, {why}; the first is {first}"),
    })
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

fn from_table(folder: &Path, table: &Path, content: &Content) -> Result<Found> {
    let wrong = |problem: String| Error::format(table, problem);
    let text = read_text(table)?;
    let rows = rows(&text, [&FILE_COLUMNS, &CLASS_COLUMNS]).map_err(wrong)?;
    if rows.is_empty() {
        return Err(wrong(
            "it names no images; expected a line for each after the header".to_owned(),
        ));
    }
    let mut found = Found::default();
    for row in &rows {
        let (line, [file, _]) = (row.line, &row.fields);
        let path = folder.join(file);
        if !path.is_file() {
            return Err(wrong(format!(
                "line {line}: there is no file `{file}` in {}",
                folder.display()
            )));
        }
        found.paths.push(path);
    }
    let class = |row: &super::table::Row<2>| row.fields[1].clone();
    let is_number = |text: &String| text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    if rows.iter().map(class).any(|class| is_number(&class)) {
        for row in &rows {
            let label: u32 = row.fields[1].parse().map_err(|_| {
                wrong(format!(
                    "line {}: the class index is `{}`, expected a whole number from 0",
                    row.line, row.fields[1]
                ))
            })?;
            found.labels.push(label);
            found.classes = found.classes.max(label as usize + 1);
        }
    } else {
        let names: BTreeSet<String> = rows.iter().map(class).collect();
        found.names = names.into_iter().collect();
        (found.classes, found.sorted) = (found.names.len(), true);
        let numbers: BTreeMap<&String, u32> = found.names.iter().zip(0..).collect();
        found.labels = rows.iter().map(|row| numbers[&row.fields[1]]).collect();
    }
    let named: BTreeSet<&PathBuf> = found.paths.iter().collect();
    let unnamed = content.images.iter().filter(|path| !named.contains(path));
    let unnamed: Vec<PathBuf> = unnamed.cloned().collect();
    let why = format!("for {} does not name them", table.display());
    found.notes.extend(skipped(&unnamed, &why));
    found
        .notes
        .extend(skipped(&content.others, "being no pictures"));
    Ok(found)
}

fn from_subfolders(folder: &Path, content: Content) -> Result<Found> {
    let wrong = |problem: String| Err(Error::format(folder, problem));
    if let Some([train, judge]) = divided(&content)? {
        return wrong(format!(
            "it holds `{}` and `{}`, two sets of images and no classes; take one of them",
            name(&train),
            name(&judge)
        ));
    }
    let mut found = Found::default();
    let (mut others, mut empty) = (content.others, None);
    for class in &content.folders {
        let images = below(class, DEPTH, &mut others)?;
        if images.is_empty() {
            empty = Some(class);
        }
        let label = found.names.len() as u32;
        found
            .labels
            .extend(std::iter::repeat_n(label, images.len()));
        found.paths.extend(images);
        found.names.push(name(class));
    }
    found.notes.extend(skipped(&others, "being no pictures"));
    match (found.paths.is_empty(), content.images.is_empty(), empty) {
        (true, true, _) => wrong(format!(
            "there are no images ({KINDS}) in this folder, nor in folders in it; expected images, the four MNIST \
             files or CIFAR-10's binary batches"
        )),
        (true, false, _) => Ok(Found {
            paths: content.images,
            notes: found.notes,
            ..Found::default()
        }),
        (false, false, _) => wrong(format!(
            "it has folders of images, one per class, and {} images beside them, whose class is unknown; \
             move them",
            content.images.len()
        )),
        (false, true, Some(class)) => wrong(format!(
            "its folder `{}` has no images ({KINDS}), so it cannot be a class",
            class.display()
        )),
        (false, true, None) => Ok(Found {
            classes: found.names.len(),
            sorted: true,
            ..found
        }),
    }
}
