//! CIFAR-10 in its binary form: records of a label and 3 × 1024 bytes, the planes red, green, blue of 32 × 32
//! pixels.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::augment::Augment;
use super::dataset::{Dataset, Splits};
use crate::error::{Error, Result};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;
const CLASSES: usize = 10;
/// Bytes of a file, at most: ten times what all of CIFAR-10 has in one.
const MAX_BYTES: u64 = 600_000 * RECORD as u64;
const TEST: &str = "test_batch.bin";

/// Loads CIFAR-10's binary batches as 32 × 32 images in colour of 10 classes: a folder, whose
/// `data_batch_*.bin` are to learn from and whose `test_batch.bin` to judge by, or one such file. Where one
/// set is missing the other is both, and [`Splits::held_out`] is false. Pixels are `x / 255`.
///
/// # Errors
/// [`Error::Io`] for what cannot be read; [`Error::Format`] if there are no batches, or a file is not a whole
/// number of records or has a label above 9.
pub fn load_cifar10(path: impl AsRef<Path>) -> Result<Splits> {
    let path = path.as_ref();
    let (train, test) = if path.is_dir() {
        batches(path)?
    } else {
        (vec![path.to_owned()], None)
    };
    let name = format!("cifar10 ({})", path.display());
    let load = |files: &[PathBuf]| -> Result<Option<Dataset>> {
        if files.is_empty() {
            return Ok(None);
        }
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for file in files {
            read_batch(file, &mut pixels, &mut labels)?;
        }
        let data = Dataset::new(&name, pixels, labels, [SIDE, SIDE, 3], CLASSES)?;
        // As in He et al. (2015): padded by 4 and cut at random, mirrored.
        let augment = Augment {
            shift: 4,
            flip: true,
        };
        Ok(Some(data.with_augment(augment)))
    };
    let (train, test) = match (load(&train)?, load(test.as_slice())?) {
        (Some(train), Some(test)) => {
            return Ok(Splits {
                train,
                test,
                held_out: true,
            });
        }
        (Some(one), None) | (None, Some(one)) => (one.clone(), one),
        (None, None) => {
            let problem = "it has none of CIFAR-10's binary batches, data_batch_1.bin and so on";
            return Err(Error::format(path, problem));
        }
    };
    Ok(Splits {
        train,
        test,
        held_out: false,
    })
}

/// Whether this is a folder with CIFAR-10's binary batches, or one of these.
#[cfg(feature = "data")]
pub(super) fn is_cifar10(path: &Path) -> bool {
    if path.is_dir() {
        return batches(path).is_ok_and(|(train, test)| !train.is_empty() || test.is_some());
    }
    path.is_file()
        && path
            .file_name()
            .is_some_and(|name| name == TEST || is_data_batch(name))
}

fn is_data_batch(name: &std::ffi::OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"data_batch_") && name.ends_with(b".bin")
}

/// The files to learn from, in the order of their names, and the one to judge by.
fn batches(folder: &Path) -> Result<(Vec<PathBuf>, Option<PathBuf>)> {
    let mut train = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name();
        if is_data_batch(&name) {
            train.push(folder.join(name));
        }
    }
    train.sort();
    let test = folder.join(TEST);
    Ok((train, test.is_file().then_some(test)))
}

/// Appends the images of a file, turned from planes to pixels, and their labels.
fn read_batch(path: &Path, pixels: &mut Vec<u8>, labels: &mut Vec<u32>) -> Result<()> {
    let wrong = |problem: String| Err(Error::format(path, problem));
    let file = File::open(path).map_err(Error::io(path))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(Error::io(path))?;
    if bytes.is_empty() || bytes.len() % RECORD != 0 || bytes.len() as u64 > MAX_BYTES {
        return wrong(format!(
            "it has {} bytes, expected one or more records of {RECORD} (CIFAR-10's binary form); is it cut short, \
             or the form for Python?",
            bytes.len()
        ));
    }
    pixels.reserve(bytes.len() / RECORD * 3 * PLANE);
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        let (label, planes) = (record[0], &record[1..]);
        if usize::from(label) >= CLASSES {
            return wrong(format!(
                "the label of image {i} is {label}, expected 0 to 9; is it CIFAR-10's binary form?"
            ));
        }
        labels.push(label.into());
        for at in 0..PLANE {
            pixels.extend([0, 1, 2].map(|colour| planes[colour * PLANE + at]));
        }
    }
    Ok(())
}
