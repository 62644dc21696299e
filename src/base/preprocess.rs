//! From the pixels of a picture to the numbers that a network takes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// ImageNet's mean and deviation of red, green, blue: what most published networks were trained with.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
/// The same of gray pictures: means over the three.
const IMAGENET_GRAY: (f32, f32) = (0.449, 0.226);
const CIFAR10: ([f32; 3], [f32; 3]) = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]);
const MNIST: (f32, f32) = (0.1307, 0.3081);

/// What is done to a picture before a network sees it: it is resized, the middle is cut out, and every pixel
/// `x` (0 ..= 255) becomes `y = (x / divisor − mean) / std`, per channel, f32, `[height, width, channels]`.
///
/// A picture that already has `size` is not resized, whatever `resize` says.
///
/// ```
/// use wizen::base::Preprocess;
/// let preprocess = Preprocess::preset("imagenet", [1, 1, 3])?;
/// let mut y = [0.0; 3];
/// preprocess.normalise(&[255, 0, 0], &mut y);
/// assert_eq!(y[0], (1.0 - 0.485) / 0.229);
/// # Ok::<(), wizen::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Height and width of what the network takes, cut out of the middle of the resized picture.
    pub size: [usize; 2],
    /// How pictures of another size are resized.
    pub resize: Resize,
    /// Which channels there are, and their order.
    pub colour: Colour,
    /// 255 for networks that take 0 ..= 1, 1 for those that take pixels as they are.
    pub divisor: f32,
    /// Mean per channel, in the order of `colour`.
    pub mean: Vec<f32>,
    /// Deviation per channel, in the order of `colour`.
    pub std: Vec<f32>,
}

/// How pictures are resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The shorter side becomes this many pixels, the longer keeps the proportion.
    Shorter(usize),
    /// To exactly this height and width; proportions change.
    Stretch([usize; 2]),
    /// Not at all: pictures are at least as large as what is cut out.
    None,
}

/// Channels of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// One: the luma of Rec. 709.
    Gray,
    /// Three: red, green, blue.
    Rgb,
    /// Three: blue, green, red, as OpenCV reads them.
    Bgr,
}

impl Colour {
    /// Number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb | Self::Bgr => 3,
        }
    }
}

impl Preprocess {
    /// Largest side of a picture, in pixels, before and after resizing.
    pub const MAX_SIDE: usize = 16_384;
    /// The names that [`Preprocess::preset`] knows.
    pub const PRESETS: [&str; 4] = ["imagenet", "cifar10", "mnist", "unit"];

    /// A known preprocessing for a network that takes `input = [height, width, channels]`.
    ///
    /// | name | resizing | mean and deviation |
    /// |---|---|---|
    /// | `imagenet` | shorter side 256 for an input of 224, in proportion for others | ImageNet's |
    /// | `cifar10` | shorter side | CIFAR-10's, three channels |
    /// | `mnist` | stretched | MNIST's, one channel |
    /// | `unit` | stretched | none: 0 ..= 1 |
    ///
    /// # Errors
    /// [`Error::Invalid`] for another name, another number of channels, or sides that no picture has.
    pub fn preset(name: &str, input: [usize; 3]) -> Result<Self> {
        let [height, width, channels] = input;
        let size = [height, width];
        let longest = height.max(width);
        let (resize, mean, std) = match (name, channels) {
            ("imagenet", 1 | 3) => {
                let side = longest.saturating_mul(256).saturating_add(112) / 224;
                let (mean, std) = if channels == 3 {
                    (IMAGENET.0.to_vec(), IMAGENET.1.to_vec())
                } else {
                    (vec![IMAGENET_GRAY.0], vec![IMAGENET_GRAY.1])
                };
                (Resize::Shorter(side), mean, std)
            }
            ("cifar10", 3) => {
                let (mean, std) = CIFAR10;
                (Resize::Shorter(longest), mean.to_vec(), std.to_vec())
            }
            ("mnist", 1) => (Resize::Stretch(size), vec![MNIST.0], vec![MNIST.1]),
            ("unit", 1 | 3) => (
                Resize::Stretch(size),
                vec![0.0; channels],
                vec![1.0; channels],
            ),
            (known, _) if Self::PRESETS.contains(&known) => {
                let problem = format!(
                    "the network takes {channels} channels; pictures have 1 (gray: imagenet, mnist, unit) or 3 \
                     (colour: imagenet, cifar10, unit)"
                );
                return Err(Error::invalid(format!("preset {known}"), problem));
            }
            (other, _) => {
                let known = Self::PRESETS.join(", ");
                let problem = format!("there is no preset `{other}`; there are {known}");
                return Err(Error::invalid("preset", problem));
            }
        };
        let preprocess = Self {
            size,
            resize,
            colour: if channels == 1 {
                Colour::Gray
            } else {
                Colour::Rgb
            },
            divisor: 255.0,
            mean,
            std,
        };
        preprocess.check()?;
        Ok(preprocess)
    }

    /// What is assumed of a network of which only `[height, width, channels]` are known: `imagenet` for three
    /// channels, `unit` for one, resized as `imagenet` if a side has more than 64 pixels.
    ///
    /// # Errors
    /// As [`Preprocess::preset`].
    pub fn for_input(input: [usize; 3]) -> Result<Self> {
        let imagenet = Self::preset("imagenet", input)?;
        if input[2] != 1 {
            return Ok(imagenet);
        }
        let unit = Self::preset("unit", input)?;
        let small = input[0].max(input[1]) <= 64;
        let resize = if small { unit.resize } else { imagenet.resize };
        Ok(Self { resize, ..unit })
    }

    /// `[height, width, channels]` of every result.
    pub fn shape(&self) -> [usize; 3] {
        [self.size[0], self.size[1], self.colour.channels()]
    }

    /// Checks the numbers against each other.
    ///
    /// # Errors
    /// [`Error::Invalid`] for sides of 0 or above [`Preprocess::MAX_SIDE`], a size larger than what it is cut
    /// out of, other than one mean and deviation per channel, and numbers that cannot normalise: a mean that
    /// is not finite, a deviation or divisor that is not positive and normal.
    pub fn check(&self) -> Result<()> {
        let wrong = |problem: String| Err(Error::invalid("preprocess", problem));
        let [height, width] = self.size;
        let whole = match self.resize {
            Resize::Shorter(side) => [side; 2],
            Resize::Stretch(whole) => whole,
            Resize::None => self.size,
        };
        let mut sides = self.size.iter().chain(&whole);
        if let Some(bad) = sides.find(|s| !(1..=Self::MAX_SIDE).contains(*s)) {
            let most = Self::MAX_SIDE;
            return wrong(format!("a side is {bad}, expected 1 to {most} pixels"));
        }
        if whole[0] < height || whole[1] < width {
            return wrong(format!(
                "{height} x {width} pixels are larger than the resized picture, {} x {}",
                whole[0], whole[1]
            ));
        }
        let channels = self.colour.channels();
        if [self.mean.len(), self.std.len()] != [channels; 2] {
            return wrong(format!(
                "mean has {} and std {} numbers, expected one for each of {channels} channels",
                self.mean.len(),
                self.std.len()
            ));
        }
        let divides = |x: &f32| *x > 0.0 && x.is_normal();
        if !self.mean.iter().all(|x| x.is_finite())
            || !self.std.iter().chain([&self.divisor]).all(divides)
        {
            return wrong(format!(
                "mean {:?}, std {:?} and divisor {} cannot normalise",
                self.mean, self.std, self.divisor
            ));
        }
        Ok(())
    }

    /// Pixels in red, green, blue (or gray), one byte per channel, to what the network takes.
    pub fn normalise(&self, pixels: &[u8], out: &mut [f32]) {
        let channels = self.colour.channels();
        for (pixel, y) in pixels
            .chunks_exact(channels)
            .zip(out.chunks_exact_mut(channels))
        {
            for (c, y) in y.iter_mut().enumerate() {
                let x = match self.colour {
                    Colour::Gray | Colour::Rgb => pixel[c],
                    Colour::Bgr => pixel[channels - 1 - c],
                };
                *y = (f32::from(x) / self.divisor - self.mean[c]) / self.std[c];
            }
        }
    }
}

impl fmt::Display for Preprocess {
    /// As `224 x 224 RGB, the middle of shorter side 256; mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.size;
        let colour = match self.colour {
            Colour::Gray => "gray",
            Colour::Rgb => "RGB",
            Colour::Bgr => "BGR",
        };
        write!(f, "{height} x {width} {colour}")?;
        match self.resize {
            Resize::Shorter(side) => {
                write!(f, ", the middle after the shorter side became {side}")?
            }
            Resize::Stretch(whole) if whole == self.size => write!(f, ", stretched to it")?,
            Resize::Stretch([height, width]) => {
                write!(f, ", the middle after stretching to {height} x {width}")?;
            }
            Resize::None => write!(f, ", the middle, not resized")?,
        }
        let list = |numbers: &[f32]| {
            let words: Vec<String> = numbers.iter().map(f32::to_string).collect();
            words.join(" ")
        };
        let pixels = if self.divisor == 255.0 {
            "0 to 1"
        } else {
            "pixels"
        };
        if self.divisor != 255.0 {
            write!(f, "; pixels / {}", self.divisor)?;
        }
        if self.mean.iter().all(|m| *m == 0.0) && self.std.iter().all(|s| *s == 1.0) {
            return write!(f, "; {pixels}");
        }
        let (mean, std) = (list(&self.mean), list(&self.std));
        write!(f, "; mean {mean}, deviation {std}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_fit_the_network() {
        let preset = |name: &str, input| Preprocess::preset(name, input).expect(name);
        let sides = [224, 28, 32, 299, 1].map(|n| preset("imagenet", [n, n, 3]).resize);
        assert_eq!(sides, [256, 32, 37, 342, 1].map(Resize::Shorter));
        assert_eq!(preset("imagenet", [8, 8, 1]).mean, [0.449]);
        assert_eq!(preset("cifar10", [32, 32, 3]).std[2], 0.2616);
        assert_eq!(preset("mnist", [28, 28, 1]).std, [0.3081]);
        let unit = preset("unit", [4, 6, 3]);
        assert_eq!(
            (unit.shape(), unit.resize),
            ([4, 6, 3], Resize::Stretch([4, 6]))
        );
        let of = |input| Preprocess::for_input(input).expect("1 or 3 channels");
        assert_eq!(of([8, 8, 1]), preset("unit", [8, 8, 1]));
        assert_eq!(of([224, 224, 1]).resize, Resize::Shorter(256));
        assert_eq!(of([8, 8, 3]), preset("imagenet", [8, 8, 3]));
        for (name, input, words) in [
            ("unit", [8, 8, 4], "4 channels"),
            ("mnist", [28, 28, 3], "3 channels"),
            ("cifar10", [32, 32, 1], "1 channels"),
            ("imagenet", [usize::MAX, 8, 3], "a side is"),
            (
                "vgg",
                [8, 8, 3],
                "no preset `vgg`; there are imagenet, cifar10",
            ),
        ] {
            let error = Preprocess::preset(name, input)
                .expect_err(words)
                .to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let good = || Preprocess::preset("imagenet", [224, 224, 3]).expect("a preset");
        let says = |change: fn(&mut Preprocess), words: &str| {
            let mut bad = good();
            change(&mut bad);
            let error = bad.check().expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        says(|p| p.size[0] = 0, "a side is 0");
        says(|p| p.resize = Resize::Shorter(1 << 20), "a side is 1048576");
        says(
            |p| p.resize = Resize::Shorter(223),
            "resized picture, 223 x 223",
        );
        says(
            |p| p.resize = Resize::Stretch([224, 9]),
            "resized picture, 224 x 9",
        );
        says(|p| p.mean = vec![0.0], "mean has 1 and std 3");
        says(|p| p.colour = Colour::Gray, "each of 1 channels");
        says(|p| p.mean[2] = f32::NAN, "cannot normalise");
        for bad in [0.0, -1.0, f32::INFINITY, f32::NAN, 1e-40] {
            let mut wrong = [good(), good()];
            wrong[0].std[1] = bad;
            wrong[1].divisor = bad;
            assert!(wrong.iter().all(|p| p.check().is_err()), "{bad}");
        }
    }

    #[test]
    fn it_is_written_and_read_and_turns_colours_around() {
        let mut bgr = Preprocess::preset("unit", [1, 2, 3]).expect("a preset");
        (bgr.colour, bgr.divisor) = (Colour::Bgr, 1.0);
        (bgr.mean, bgr.std) = (vec![1.0, 2.0, 3.0], vec![1.0, 2.0, 4.0]);
        let json = serde_json::to_string(&bgr).expect("plain data");
        assert_eq!(
            json,
            r#"{"size":[1,2],"resize":{"stretch":[1,2]},"colour":"bgr","divisor":1.0,"mean":[1.0,2.0,3.0],"std":[1.0,2.0,4.0]}"#
        );
        assert_eq!(
            serde_json::from_str::<Preprocess>(&json).ok(),
            Some(bgr.clone())
        );
        let mut y = [0.0; 6];
        bgr.normalise(&[7, 4, 2, 0, 0, 0], &mut y);
        assert_eq!(y, [1.0, 1.0, 1.0, -1.0, -1.0, -0.75]);
    }
}
