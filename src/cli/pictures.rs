//! How pictures become what a network takes: the options, over what its file says.

use clap::{Args, ValueEnum};
use wizen::base::{Colour, Preprocess, Resize};
use wizen::{Error, Network, Result};

use super::context::Context;

/// Ways to resize, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResizeName {
    /// The shorter side becomes --size, the longer keeps the proportion
    Shorter,
    /// Both sides become --size; proportions change
    Stretch,
    /// Not at all
    None,
}

/// Where a preprocessing comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The file, or the user.
    Said,
    /// The size of the input alone.
    Guessed,
}

impl Known {
    /// Says what is done to pictures, if there are any.
    pub fn say(self, context: &Context, network: &Network, pictures: bool) {
        if let Some(preprocess) = network.preprocess.as_ref().filter(|_| pictures) {
            let guess = match self {
                Self::Said => "",
                Self::Guessed => {
                    " (a guess: the model's file does not say; --preset and its like do)"
                }
            };
            context.say(&format!("pictures: {preprocess}{guess}"));
        }
    }
}

/// Preprocessing; what is not given is as the model's file says, or as its input suggests.
#[derive(Clone, Debug, Default, Args)]
#[command(
    next_help_heading = "Pictures (default: what the model's file says, else what its input suggests)"
)]
pub struct PictureArgs {
    /// Resizing, mean and deviation of a known data set: imagenet, cifar10, mnist, unit (0 to 1)
    #[arg(long)]
    pub preset: Option<String>,
    /// Pixels that a picture is resized to before the middle is cut out: N or HEIGHTxWIDTH
    #[arg(long, value_name = "N|HxW")]
    pub size: Option<String>,
    /// How pictures are resized; those that have the network's size already are not
    #[arg(long, value_enum)]
    pub resize: Option<ResizeName>,
    /// Pixels that the network takes, cut out of the middle: N or HEIGHTxWIDTH; the network is built anew for
    /// another size, where it can be
    #[arg(long, value_name = "N|HxW")]
    pub crop: Option<String>,
    /// Mean of each channel in 0 to 1, as the network orders them: 0.5 or 0.485,0.456,0.406
    #[arg(long, value_name = "M,…", allow_hyphen_values = true)]
    pub mean: Option<String>,
    /// Deviation of each channel, likewise
    #[arg(long, value_name = "S,…")]
    pub std: Option<String>,
    /// The network takes blue, green, red, as OpenCV reads them
    #[arg(long)]
    pub bgr: bool,
}

impl PictureArgs {
    /// True if nothing is asked for.
    pub fn is_empty(&self) -> bool {
        let texts = [&self.preset, &self.size, &self.crop, &self.mean, &self.std];
        texts.iter().all(|text| text.is_none()) && self.resize.is_none() && !self.bgr
    }

    /// Writes the preprocessing into a network that takes pictures, and gives it the size of `--crop`.
    pub fn prepare(&self, network: &mut Network) -> Result<Known> {
        if let (Some(crop), Some(_)) = (&self.crop, network.image_shape()) {
            let [height, width] = sides("--crop", crop)?;
            network.graph = network.graph.with_image(height, width).map_err(|e| {
                let problem = format!("the model cannot take {height} x {width} pixels: {e}");
                Error::invalid("--crop", problem)
            })?;
        }
        let shape = network.image_shape();
        let Some(input @ [_, _, 1 | 3]) = shape else {
            return match self.is_empty() {
                true => Ok(Known::Said),
                false => Err(Error::invalid(
                    "model",
                    "it takes no pictures, so there is nothing that --preset, --size, --resize, --crop, --mean, \
                     --std and --bgr could change",
                )),
            };
        };
        let known = match (&network.preprocess, self.is_empty()) {
            (None, true) => Known::Guessed,
            _ => Known::Said,
        };
        network.preprocess = Some(self.over(network.preprocess.as_ref(), input)?);
        Ok(known)
    }

    fn over(&self, own: Option<&Preprocess>, input: [usize; 3]) -> Result<Preprocess> {
        let mut made = match (&self.preset, own) {
            (Some(name), _) => Preprocess::preset(name, input)?,
            (None, Some(own)) if own.shape() == input => own.clone(),
            (None, Some(own)) => {
                // Another crop: what is resized grows or shrinks with it.
                let new = Preprocess::preset("imagenet", input)?;
                let resize = match own.resize {
                    Resize::Shorter(_) => new.resize,
                    Resize::Stretch(_) => Resize::Stretch(new.size),
                    Resize::None => Resize::None,
                };
                Preprocess {
                    size: new.size,
                    resize,
                    ..own.clone()
                }
            }
            (None, None) => Preprocess::for_input(input)?,
        };
        let size = self
            .size
            .as_deref()
            .map(|text| sides("--size", text))
            .transpose()?;
        let longest = made.size[0].max(made.size[1]);
        made.resize = match (self.resize, size, made.resize) {
            (None, None, resize) => resize,
            (Some(ResizeName::None), None, _) => Resize::None,
            (Some(ResizeName::Shorter), None, resize @ Resize::Shorter(_)) => resize,
            (Some(ResizeName::Shorter), None, _) => Resize::Shorter(longest),
            (Some(ResizeName::Stretch), None, _) => Resize::Stretch(made.size),
            (Some(ResizeName::None), Some(_), _) => {
                let problem =
                    "--resize none leaves pictures as large as they are; leave one of the two out";
                return Err(Error::invalid("--size", problem));
            }
            (Some(ResizeName::Stretch), Some(size), _) | (None, Some(size), Resize::Stretch(_)) => {
                Resize::Stretch(size)
            }
            (_, Some([height, width]), _) if height == width => Resize::Shorter(height),
            (Some(ResizeName::Shorter), Some(_), _) => {
                let problem = "the shorter side is one number; two go with --resize stretch";
                return Err(Error::invalid("--size", problem));
            }
            (None, Some(size), _) => Resize::Stretch(size),
        };
        if self.bgr {
            if made.colour == Colour::Gray {
                return Err(Error::invalid("--bgr", "the model takes gray pictures"));
            }
            if made.colour == Colour::Rgb {
                made.mean.reverse();
                made.std.reverse();
            }
            made.colour = Colour::Bgr;
        }
        let channels = made.colour.channels();
        if let Some(text) = &self.mean {
            made.mean = numbers("--mean", text, channels)?;
        }
        if let Some(text) = &self.std {
            made.std = numbers("--std", text, channels)?;
        }
        made.check()?;
        Ok(made)
    }
}

/// `N` or `HEIGHTxWIDTH`.
fn sides(option: &str, text: &str) -> Result<[usize; 2]> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    let most = Preprocess::MAX_SIDE;
    match (height.parse(), width.parse()) {
        (Ok(height), Ok(width)) if (1..=most).contains(&height) && (1..=most).contains(&width) => {
            Ok([height, width])
        }
        _ => {
            let problem = format!(
                "`{text}` is not N or HEIGHTxWIDTH in pixels, 1 to {most}, as 224 or 240x320"
            );
            Err(Error::invalid(option, problem))
        }
    }
}

/// A number for every channel, or one for all.
fn numbers(option: &str, text: &str, channels: usize) -> Result<Vec<f32>> {
    let parsed: Result<Vec<f32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    match parsed {
        Ok(one) if one.len() == 1 => Ok(vec![one[0]; channels]),
        Ok(all) if all.len() == channels => Ok(all),
        _ => {
            let problem = format!("`{text}` is not one number, nor {channels} divided by commas");
            Err(Error::invalid(option, problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &str) -> PictureArgs {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            pictures: PictureArgs,
        }
        let words = std::iter::once("x").chain(words.split_whitespace());
        <Line as clap::Parser>::parse_from(words).pictures
    }

    #[test]
    fn options_go_over_what_the_file_says() {
        let own = Preprocess::preset("imagenet", [224, 224, 3]).expect("a preset");
        let over = |words: &str| args(words).over(Some(&own), [224, 224, 3]);
        let made = |words: &str| over(words).expect(words);
        assert_eq!(made(""), own);
        assert_eq!(made("--size 232").resize, Resize::Shorter(232));
        assert_eq!(made("--size 240x320").resize, Resize::Stretch([240, 320]));
        assert_eq!(made("--resize stretch").resize, Resize::Stretch([224, 224]));
        assert_eq!(
            made("--resize stretch --size 256").resize,
            Resize::Stretch([256, 256])
        );
        assert_eq!(made("--resize none").resize, Resize::None);
        assert_eq!(made("--preset unit").mean, [0.0; 3]);
        assert_eq!(
            made("--preset unit --resize shorter").resize,
            Resize::Shorter(224)
        );
        assert_eq!(made("--mean 0.5 --std 0.5,0.25,1").std, [0.5, 0.25, 1.0]);
        let bgr = made("--bgr");
        assert_eq!((bgr.colour, bgr.mean[0]), (Colour::Bgr, 0.406));
        let again = args("--bgr")
            .over(Some(&bgr), [224, 224, 3])
            .expect("the same");
        assert_eq!(again, bgr);
        let small = args("")
            .over(Some(&own), [96, 96, 3])
            .expect("another crop");
        assert_eq!((small.size, small.resize), ([96, 96], Resize::Shorter(110)));
        for (words, says) in [
            ("--size 0", "`0` is not N"),
            ("--size 5x", "`5x` is not N"),
            ("--size 10", "larger than the resized picture"),
            ("--resize shorter --size 240x320", "one number"),
            ("--resize none --size 256", "leave one of the two out"),
            ("--mean 1,2", "nor 3 divided by commas"),
            ("--std 0", "cannot normalise"),
            ("--mean x", "`x` is not one number"),
            ("--preset vgg", "no preset `vgg`"),
        ] {
            let error = over(words).expect_err(words).to_string();
            assert!(error.contains(says), "{words}: {error}");
        }
    }
}
