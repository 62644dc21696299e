//! Results of networks as files: arrays and pictures.

use std::io::{Cursor, Write};
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use npyz::WriterBuilder;

use super::container::write_safetensors;
use super::stored::{StoredTensor, StoredType};
use super::write_atomic;
use crate::base::{Colour, Preprocess};
use crate::error::{Error, Result};

/// Writes named arrays of f32 (name, shape, elements) as `.npz`, `.safetensors` or, a single one, `.npy`. Atomic.
///
/// # Errors
/// [`Error::Io`] for the file; [`Error::Invalid`] for several arrays in a `.npy`.
pub fn save_arrays(
    path: impl AsRef<Path>,
    arrays: &[(String, Vec<usize>, Vec<f32>)],
) -> Result<()> {
    let path = path.as_ref();
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    if ending == "safetensors" {
        let stored = arrays.iter().map(|(name, shape, values)| {
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            Ok((
                name.clone(),
                StoredTensor::new(StoredType::F32, shape, bytes)?,
            ))
        });
        let stored: Vec<(String, StoredTensor)> = stored.collect::<Result<_>>()?;
        return write_safetensors(path, std::collections::BTreeMap::new(), &stored);
    }
    if ending == "npy" {
        let [(_, shape, values)] = arrays else {
            let problem = format!("{} results do not fit a .npy; use .npz", arrays.len());
            return Err(Error::invalid("--out", problem));
        };
        return write_atomic(path, |out| npy(out, shape, values).map_err(Error::io(path)));
    }
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let damaged = |e: zip::result::ZipError| Error::format(path, e.to_string());
    for (name, shape, values) in arrays {
        // A folder in an archive is no part of a name.
        let entry = format!("{}.npy", name.replace(['/', '\\'], "_"));
        archive.start_file(entry, stored).map_err(damaged)?;
        npy(&mut archive, shape, values).map_err(Error::io(path))?;
    }
    let bytes = archive.finish().map_err(damaged)?.into_inner();
    write_atomic(path, |out| out.write_all(&bytes).map_err(Error::io(path)))
}

fn npy(out: &mut dyn Write, shape: &[usize], values: &[f32]) -> std::io::Result<()> {
    let shape: Vec<u64> = shape.iter().map(|&size| size as u64).collect();
    let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
    let mut writer = options.writer(out).begin_nd()?;
    writer.extend(values.iter())?;
    writer.finish()
}

/// Writes one picture `[1, channels, h, w]` as the ending of the file says. Elements are what a network makes:
/// `preprocess` is undone, or without it 0 to 1 is black to white. Atomic.
///
/// # Errors
/// [`Error::Invalid`] for an ending that stands for no picture or elements that are none; [`Error::Io`].
pub fn save_image(
    path: impl AsRef<Path>,
    shape: &[usize],
    values: &[f32],
    preprocess: Option<&Preprocess>,
) -> Result<()> {
    let path = path.as_ref();
    let wrong = |problem: &str| Error::invalid("--out", format!("{}: {problem}", path.display()));
    let &[1, channels, h, w] = shape else {
        return Err(wrong("it is not one picture"));
    };
    let format = ImageFormat::from_path(path).map_err(|e| wrong(&e.to_string()))?;
    let undone = |c: usize, x: f32| match preprocess.filter(|p| p.mean.len() == channels) {
        Some(p) => (x * p.std[c] + p.mean[c]) * p.divisor,
        None => x * 255.0,
    };
    let blue_first = preprocess.is_some_and(|p| p.colour == Colour::Bgr);
    let mut pixels = Vec::with_capacity(values.len());
    for at in 0..h * w {
        for c in 0..channels {
            let c = if blue_first { channels - 1 - c } else { c };
            pixels.push(undone(c, values[c * h * w + at]).round().clamp(0.0, 255.0) as u8);
        }
    }
    let (width, height) = (w as u32, h as u32);
    let picture = match channels {
        1 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        3 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => None,
    };
    let picture = picture.ok_or_else(|| wrong("it has neither one channel nor three"))?;
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, format)
        .map_err(|e| wrong(&e.to_string()))?;
    write_atomic(path, |out| {
        out.write_all(bytes.get_ref()).map_err(Error::io(path))
    })
}
