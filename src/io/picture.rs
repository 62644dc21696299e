//! Photographs (JPEG, PNG) as the input of a network.

use std::io::Cursor;
use std::path::Path;

use super::resample::resize;
use crate::base::{Colour, Preprocess, Resize, Tensor};
use crate::error::{Error, Result};
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageError, ImageReader, Limits,
    RgbImage,
};
use libjpeg_turbo_rs::PixelFormat;

const MAX_SIDE: u32 = Preprocess::MAX_SIDE as u32;
/// Largest file, and largest decoded image, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// Endings of picture files, in any case.
pub(super) const ENDINGS: [&str; 9] = [
    "jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "jfif",
];
/// The same, for people.
pub(super) const KINDS: &str = "JPEG, PNG, WebP, BMP, GIF or TIFF";

/// Reads a JPEG, PNG, WebP, BMP, GIF (its first picture) or TIFF file as a network takes it: `f32 [height, width, channels]`. What the file is, its
/// content tells.
///
/// The steps are those of torchvision's `Resize`, `CenterCrop`, `ToTensor`, `Normalize` (where the crop would
/// start between two pixels, it starts at the even one). Resizing is bilinear with antialiasing (a triangle as
/// wide as the reduction), on 8 bits per channel, pixel for pixel that of Pillow. A JPEG's orientation tag is obeyed; an alpha channel and
/// colour profiles are ignored.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::Format`], with the path, for one that is not
/// of these, damaged or cut short, larger than 16384 pixels a side or 256 MiB decoded, too narrow
/// to be resized, or too small not to be; [`Error::Invalid`] as [`Preprocess::check`].
pub fn load_image(path: impl AsRef<Path>, preprocess: &Preprocess) -> Result<Tensor> {
    preprocess.check()?;
    let shape = preprocess.shape();
    let mut out = vec![0f32; shape.iter().product()];
    load_into(path.as_ref(), preprocess, &mut out)?;
    Tensor::from_f32(&shape, &out)
}

/// As [`load_image`], into a slice of exactly the product of [`Preprocess::shape`].
pub(super) fn load_into(path: &Path, preprocess: &Preprocess, out: &mut [f32]) -> Result<()> {
    let wrong = |problem: String| Error::format(path, problem);
    let image = decode(&read(path)?).map_err(wrong)?;
    apply(image, preprocess, out).map_err(wrong)
}

/// `Err` is the rest of a sentence about the image.
fn apply(
    image: DynamicImage,
    preprocess: &Preprocess,
    out: &mut [f32],
) -> std::result::Result<(), String> {
    let [height, width] = preprocess.size.map(|side| side as u32);
    let have = (image.height(), image.width());
    let (new_height, new_width) = match preprocess.resize {
        _ if have == (height, width) => have,
        Resize::Shorter(side) => resized(have.0, have.1, side as u32)?,
        Resize::Stretch([height, width]) => (height as u32, width as u32),
        Resize::None if have.0 < height || have.1 < width => {
            return Err(format!(
                "it is {} x {} pixels, less than the {width} x {height} that the model takes, and is not to be \
                 resized",
                have.1, have.0
            ));
        }
        Resize::None => have,
    };
    let top = centre_start(new_height, height);
    let left = centre_start(new_width, width);
    let (pixels, channels) = match preprocess.colour {
        Colour::Gray => (image.into_luma8().into_raw(), 1),
        Colour::Rgb | Colour::Bgr => (image.into_rgb8().into_raw(), 3),
    };
    let from = [have.0 as usize, have.1 as usize, channels];
    let pixels = resize(&pixels, from, [new_height as usize, new_width as usize]);
    // The middle, row by row.
    let row = width as usize * channels;
    let rows = pixels
        .chunks_exact(new_width as usize * channels)
        .skip(top as usize);
    for (pixels, y) in rows.zip(out.chunks_exact_mut(row)) {
        preprocess.normalise(&pixels[left as usize * channels..][..row], y);
    }
    Ok(())
}

/// Height and width with the shorter side `side`; the longer is rounded down, as torchvision does.
fn resized(height: u32, width: u32, side: u32) -> std::result::Result<(u32, u32), String> {
    let (short, long) = (height.min(width), height.max(width));
    let new_long = u64::from(side) * u64::from(long) / u64::from(short);
    if new_long > u64::from(MAX_SIDE) {
        return Err(format!(
            "it is {width} x {height} pixels, too narrow: with the shorter side at {side} the longer has \
             {new_long}, at most {MAX_SIDE} are possible"
        ));
    }
    let new_long = new_long as u32;
    Ok(if height <= width {
        (side, new_long)
    } else {
        (new_long, side)
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let about = std::fs::metadata(path).map_err(Error::io(path))?;
    if !about.is_file() {
        return Err(Error::format(path, "it is not a file; expected an image"));
    }
    if about.len() > MAX_BYTES {
        let problem = format!("it has {} bytes, expected at most {MAX_BYTES}", about.len());
        return Err(Error::format(path, problem));
    }
    std::fs::read(path).map_err(Error::io(path))
}

/// `Err` is the rest of a sentence about the file.
fn decode(bytes: &[u8]) -> std::result::Result<DynamicImage, String> {
    let words = |error: ImageError| match error {
        ImageError::Unsupported(e) => {
            format!("it cannot be read: {e}; expected {KINDS}")
        }
        ImageError::Limits(_) => format!(
            "the image is too large; expected at most {MAX_SIDE} pixels a side and {MAX_BYTES} bytes decoded"
        ),
        other => format!("the image is damaged or cut short: {other}"),
    };
    if bytes.is_empty() {
        return Err(format!("the file is empty; expected {KINDS}"));
    }
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| words(ImageError::IoError(e)))?;
    let is_jpeg = reader.format() == Some(image::ImageFormat::Jpeg);
    if is_jpeg && !jpeg_has_end(bytes) {
        return Err("the image is cut short: its end is missing".to_owned());
    }
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    let mut reader = reader;
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(words)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(format!("the image is empty: {width} x {height} pixels"));
    }
    limits.reserve(decoder.total_bytes()).map_err(words)?;
    let orientation = decoder.orientation().map_err(words)?;
    let mut image = match jpeg_pixels(bytes, is_jpeg, decoder.original_color_type())? {
        Some(image) => image,
        None => DynamicImage::from_decoder(decoder).map_err(words)?,
    };
    image.apply_orientation(orientation);
    Ok(image)
}

/// The pixels of a gray or coloured JPEG exactly as libjpeg-turbo decodes them, which is what PyTorch and
/// Pillow see: other decoders round colours differently by a step or two, and a network's results move by a
/// percent. `None` for other files.
fn jpeg_pixels(
    bytes: &[u8],
    is_jpeg: bool,
    kind: ExtendedColorType,
) -> std::result::Result<Option<DynamicImage>, String> {
    let format = match kind {
        ExtendedColorType::L8 => PixelFormat::Grayscale,
        ExtendedColorType::Rgb8 => PixelFormat::Rgb,
        _ => return Ok(None),
    };
    if !is_jpeg {
        return Ok(None);
    }
    let image = libjpeg_turbo_rs::decompress_to(bytes, format)
        .map_err(|e| format!("the image is damaged or cut short: {e}"))?;
    let (width, height) = (image.width as u32, image.height as u32);
    let pixels = match format {
        PixelFormat::Grayscale => {
            GrayImage::from_raw(width, height, image.data).map(DynamicImage::from)
        }
        _ => RgbImage::from_raw(width, height, image.data).map(DynamicImage::from),
    };
    pixels
        .map(Some)
        .ok_or_else(|| format!("the image is damaged: its pixels are not {width} x {height}"))
}

/// Whether a JPEG's segments lead to an end-of-image marker. The decoder would fill in what is missing.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    // Neither coded data (ff 00, restarts) nor padding nor the start of the image.
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 1 | 0xd0..=0xd8 | 0xff);
    let mut at = 0;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| rest.windows(2).position(is_marker))
    {
        let marker = at + found;
        if bytes[marker + 1] == 0xd9 {
            return true;
        }
        let Some(&[high, low]) = bytes.get(marker + 2..marker + 4) else {
            return false;
        };
        at = marker + 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
    }
    false
}

/// Where a centre crop starts, as torchvision's `CenterCrop`: half of what is cut off, rounded half to even.
fn centre_start(size: u32, crop: u32) -> u32 {
    let cut = size - crop;
    let half = cut / 2;
    half + (cut % 2) * (half % 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_torchvision() {
        assert_eq!(resized(500, 375, 256), Ok((341, 256))); // 341.33
        assert_eq!(resized(375, 500, 256), Ok((256, 341)));
        assert_eq!(resized(256, 257, 256), Ok((256, 257)));
        assert_eq!(resized(1, 1, 256), Ok((256, 256)));
        assert_eq!(resized(64, 1, 256), Ok((16_384, 256)));
        assert!(resized(65, 1, 256).is_err_and(|e| e.contains("too narrow")));
    }

    #[test]
    fn crops_start_where_those_of_torchvision_do() {
        // int(round((size - crop) / 2.0)) in Python.
        let starts = [224, 225, 226, 227, 228, 229, 230, 231].map(|size| centre_start(size, 224));
        assert_eq!(starts, [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn the_end_of_a_jpeg_is_found() {
        // Start, a segment of 4 bytes that holds an end marker, a scan with coded ff and a restart, end.
        let whole = [
            0xff, 0xd8, 0xff, 0xe1, 0, 4, 0xff, 0xd9, 0xff, 0xda, 0, 2, 1, 0xff, 0, 7, 0xff, 0xd3,
            9, 0xff, 0xff, 0xd9,
        ];
        assert!(jpeg_has_end(&whole));
        for cut in 0..whole.len() {
            assert!(!jpeg_has_end(&whole[..cut]), "{cut} bytes");
        }
        assert!(jpeg_has_end(&[&whole[..], &[0xff, 0xda, 0xff]].concat()));
    }
}
