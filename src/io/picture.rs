//! Photographs (JPEG, PNG) as the input of a network.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{FilterType, crop_imm, resize};
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageError, ImageReader, Limits,
    RgbImage,
};
use libjpeg_turbo_rs::PixelFormat;
use serde::{Deserialize, Serialize};

use crate::base::Tensor;
use crate::error::{Error, Result};

/// Largest side of an image, in pixels, before and after resizing.
const MAX_SIDE: u32 = 16_384;
/// Largest file, and largest decoded image, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// ImageNet's mean and deviation of red, green, blue in 0 ..= 1: what published networks were trained with.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// How an image file becomes numbers, as torchvision's `Resize`, `CenterCrop`, `ToTensor`, `Normalize`
/// (where the crop would start between two pixels, it starts at the even one):
/// `y = (x / 255 − mean) / std`, f32, `[height, width, channels]`.
///
/// Resizing is bilinear with antialiasing (a triangle as wide as the reduction), on 8 bits per channel.
/// A JPEG's orientation tag is obeyed; an alpha channel and colour profiles are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageTransform {
    /// The shorter side, in pixels, to which images are resized, the longer in proportion; `None` = images
    /// are stretched to exactly `crop`.
    pub resize: Option<usize>,
    /// Height and width of what is cut out of the middle.
    pub crop: [usize; 2],
    /// Mean per channel: three numbers for RGB, one for gray (Rec. 709 luma of coloured images).
    pub mean: Vec<f32>,
    /// Deviation per channel.
    pub std: Vec<f32>,
}

impl Default for ImageTransform {
    /// ImageNet's: shorter side 256, crop 224.
    fn default() -> Self {
        Self::imagenet([224, 224])
    }
}

impl ImageTransform {
    /// ImageNet's mean and deviation, for images of `crop = [height, width]`; the shorter side is resized to
    /// 256 for a crop of 224, in proportion for others.
    pub fn imagenet(crop: [usize; 2]) -> Self {
        let side = crop[0].max(crop[1]);
        Self {
            resize: Some((side * 256 + 112) / 224),
            crop,
            mean: IMAGENET_MEAN.to_vec(),
            std: IMAGENET_STD.to_vec(),
        }
    }

    /// Gray images stretched to `size = [height, width]`, `y = x / 255`, as MNIST's files are read.
    pub fn gray(size: [usize; 2]) -> Self {
        Self {
            resize: None,
            crop: size,
            mean: vec![0.0],
            std: vec![1.0],
        }
    }

    /// The transform for a network that takes `[height, width, channels]`: [`ImageTransform::imagenet`] for
    /// three channels, [`ImageTransform::gray`] for one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another number of channels, or sides that no image has.
    pub fn for_input(shape: [usize; 3]) -> Result<Self> {
        let [height, width, channels] = shape;
        let transform = match channels {
            1 => Self::gray([height, width]),
            3 => Self::imagenet([height, width]),
            _ => {
                let problem = format!(
                    "the model takes {channels} channels; image files give 1 (gray) or 3 (RGB)"
                );
                return Err(Error::invalid("images", problem));
            }
        };
        transform.check()?;
        Ok(transform)
    }

    /// `[height, width, channels]` of every image.
    pub fn shape(&self) -> [usize; 3] {
        [self.crop[0], self.crop[1], self.mean.len()]
    }

    /// Checks the numbers against each other.
    ///
    /// # Errors
    /// [`Error::Invalid`] for sides of 0 or above 16384, a crop larger than `resize`, other than one or
    /// three channels, or a deviation that cannot divide.
    pub fn check(&self) -> Result<()> {
        let wrong = |problem: String| Err(Error::invalid("image transform", problem));
        let sides = self.crop.iter().chain(&self.resize);
        if let Some(bad) = sides
            .into_iter()
            .find(|s| !(1..=MAX_SIDE as usize).contains(s))
        {
            return wrong(format!("a side is {bad}, expected 1 to {MAX_SIDE} pixels"));
        }
        if let Some(side) = self
            .resize
            .filter(|&side| side < self.crop[0].max(self.crop[1]))
        {
            let [height, width] = self.crop;
            return wrong(format!(
                "the crop of {height} x {width} is larger than the shorter side, {side}"
            ));
        }
        if ![1, 3].contains(&self.mean.len()) || self.mean.len() != self.std.len() {
            return wrong(format!(
                "mean has {} and std {} numbers, expected one each (gray) or three each (RGB)",
                self.mean.len(),
                self.std.len()
            ));
        }
        let usable = |(mean, std): (&f32, &f32)| mean.is_finite() && std.is_normal();
        if !self.mean.iter().zip(&self.std).all(usable) {
            return wrong(format!(
                "mean {:?} and std {:?} cannot normalise",
                self.mean, self.std
            ));
        }
        Ok(())
    }

    /// Reads a JPEG or PNG file: `f32 [height, width, channels]`. What the file is, its content tells.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read; [`Error::Format`], with the path, for one that is not
    /// JPEG or PNG, damaged or cut short, larger than 16384 pixels a side or 256 MiB decoded, or too narrow
    /// to be resized; [`Error::Invalid`] as [`ImageTransform::check`].
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Tensor> {
        self.check()?;
        let shape = self.shape();
        let mut out = vec![0f32; shape.iter().product()];
        self.load_into(path.as_ref(), &mut out)?;
        Tensor::from_f32(&shape, &out)
    }

    /// As [`ImageTransform::load`], into a slice of exactly the product of [`ImageTransform::shape`].
    pub(super) fn load_into(&self, path: &Path, out: &mut [f32]) -> Result<()> {
        let wrong = |problem: String| Error::format(path, problem);
        let image = decode(&read(path)?).map_err(wrong)?;
        self.apply(image, out).map_err(wrong)
    }

    /// `Err` is the rest of a sentence about the image.
    fn apply(&self, image: DynamicImage, out: &mut [f32]) -> std::result::Result<(), String> {
        let [height, width] = self.crop.map(|side| side as u32);
        let (new_height, new_width) = match self.resize {
            Some(side) => resized(image.height(), image.width(), side as u32)?,
            None => (height, width),
        };
        let top = centre_start(new_height, height);
        let left = centre_start(new_width, width);
        // `resize` returns images that have the size already as they are.
        if self.mean.len() == 1 {
            let image = resize(
                &image.into_luma8(),
                new_width,
                new_height,
                FilterType::Triangle,
            );
            self.normalise(&crop_imm(&image, left, top, width, height).to_image(), out);
        } else {
            let image = resize(
                &image.into_rgb8(),
                new_width,
                new_height,
                FilterType::Triangle,
            );
            self.normalise(&crop_imm(&image, left, top, width, height).to_image(), out);
        }
        Ok(())
    }

    fn normalise(&self, pixels: &[u8], out: &mut [f32]) {
        let channels = self.mean.len();
        for (pixel, y) in pixels.chunks(channels).zip(out.chunks_mut(channels)) {
            for (c, (&x, y)) in pixel.iter().zip(y).enumerate() {
                *y = (f32::from(x) / 255.0 - self.mean[c]) / self.std[c];
            }
        }
    }
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
            format!("it cannot be read: {e}; expected JPEG or PNG")
        }
        ImageError::Limits(_) => format!(
            "the image is too large; expected at most {MAX_SIDE} pixels a side and {MAX_BYTES} bytes decoded"
        ),
        other => format!("the image is damaged or cut short: {other}"),
    };
    if bytes.is_empty() {
        return Err("the file is empty; expected a JPEG or PNG image".to_owned());
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
        let sides = [224, 28, 32, 299, 1].map(|side| ImageTransform::imagenet([side; 2]).resize);
        assert_eq!(sides, [256, 32, 37, 342, 1].map(Some));
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let good = ImageTransform::default();
        assert_eq!((good.resize, good.shape()), (Some(256), [224, 224, 3]));
        good.check().expect("the default is good");
        let says = |change: fn(&mut ImageTransform), words: &str| {
            let mut bad = ImageTransform::default();
            change(&mut bad);
            let error = bad.check().expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        says(|t| t.crop[0] = 0, "a side is 0");
        says(|t| t.resize = Some(1 << 20), "a side is 1048576");
        says(
            |t| t.resize = Some(223),
            "larger than the shorter side, 223",
        );
        says(|t| t.mean = vec![0.0], "mean has 1 and std 3");
        says(|t| t.std[1] = 0.0, "cannot normalise");
        says(|t| t.mean[2] = f32::NAN, "cannot normalise");
        let error = ImageTransform::for_input([8, 8, 4]).expect_err("four channels");
        assert!(error.to_string().contains("4 channels"), "{error}");
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
