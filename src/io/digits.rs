//! Synthetic handwritten digits, so that everything can be tried without a download.
//!
//! A digit is a few pen strokes ([`super::strokes`]). Each image draws a style, moves its control points,
//! bends the plane by a smooth random field, slants, stretches and rotates it, fits the result into a box
//! of 20 pixels, puts its centre of mass near the middle of 28 x 28 (as MNIST does), and inks every pixel
//! by its distance to the pen's path. Then the picture is spoilt: ink may be faint, some pictures have a
//! scratch or a gap, and all have noise. That keeps a good network a few percent short of perfect, so that
//! what compression costs can be seen.

use crate::base::parallel::*;

use super::augment::Augment;
use super::dataset::{Dataset, Splits};
use super::strokes::{STYLES, Stroke};
use crate::base::Rng;
use crate::error::Result;

/// Pixels on a side.
const SIDE: usize = 28;
/// Pixels on the longer side of the box that holds the ink.
const BOX: f32 = 20.0;
const CLASSES: usize = STYLES.len();
/// Share of the images with a scratch across them.
const SCRATCHED: f32 = 0.4;
/// Share of the images with a gap in the ink.
const GAPPED: f32 = 0.25;
/// Standard deviation of the noise of every pixel, where ink is 1.
const NOISE: f32 = 0.06;

type Point = [f32; 2];

/// Training and test images of handwritten-looking digits: 28 x 28 x 1, ten classes in equal shares.
///
/// Image `i` of a split depends on `seed` and `i` alone, so a larger split begins with a smaller one.
/// The result is marked synthetic: an accuracy on it says nothing about MNIST.
///
/// # Errors
/// [`crate::Error::Invalid`] if `n_train` or `n_test` is 0.
///
/// ```
/// # fn main() -> wizen::Result<()> {
/// let splits = wizen::io::synthetic_splits(7, 20, 10)?;
/// assert_eq!((splits.train.len(), splits.test.image_shape()), (20, [28, 28, 1]));
/// # Ok(())
/// # }
/// ```
pub fn synthetic_splits(seed: u64, n_train: usize, n_test: usize) -> Result<Splits> {
    let rng = Rng::new(seed);
    Ok(Splits {
        train: split(&rng.fork(1), n_train)?,
        test: split(&rng.fork(2), n_test)?,
        held_out: true,
    })
}

fn split(rng: &Rng, n: usize) -> Result<Dataset> {
    let labels: Vec<u32> = (0..n).map(|i| label(rng, i)).collect();
    let mut images = vec![0u8; n * SIDE * SIDE];
    images
        .par_chunks_exact_mut(SIDE * SIDE)
        .zip(&labels)
        .enumerate()
        .for_each(|(i, (image, &label))| {
            draw(&mut rng.fork(2 * i as u64), label as usize, image);
        });
    let data = Dataset::new("synthetic digits", images, labels, [SIDE, SIDE, 1], CLASSES)?;
    Ok(data.with_augment(Augment::LITTLE).into_synthetic())
}

/// Every run of ten images holds each digit once, in random order.
fn label(rng: &Rng, index: usize) -> u32 {
    let mut order: [u32; CLASSES] = std::array::from_fn(|digit| digit as u32);
    rng.fork(2 * (index / CLASSES) as u64 + 1)
        .shuffle(&mut order);
    order[index % CLASSES]
}

fn draw(rng: &mut Rng, digit: usize, image: &mut [u8]) {
    let style = STYLES[digit][rng.below(STYLES[digit].len())];
    let mut paths: Vec<Vec<Point>> = style.iter().map(|stroke| trace(rng, stroke)).collect();
    let warp = Warp::new(rng);
    let tilt = Affine::new(rng);
    for point in paths.iter_mut().flatten() {
        *point = tilt.apply(warp.apply(*point));
    }
    let radius = rng.range(0.7, 2.0);
    place(rng, &mut paths, radius);
    let mut picture = ink(rng, &paths, radius);
    spoil(rng, &mut picture);
    for (pixel, ink) in image.iter_mut().zip(picture) {
        *pixel = (255.0 * ink).round().clamp(0.0, 255.0) as u8;
    }
}

/// The path of a stroke, its control points a little displaced.
fn trace(rng: &mut Rng, stroke: &Stroke) -> Vec<Point> {
    const STEPS: usize = 6;
    let (Stroke::Curve(points) | Stroke::Lines(points)) = stroke;
    let points: Vec<Point> = points
        .iter()
        .map(|p| p.map(|x| x + 0.022 * rng.normal()))
        .collect();
    let last = points.len() - 1;
    let mut path = vec![points[0]];
    for i in 0..last {
        let (a, b) = (points[i], points[i + 1]);
        let (before, after) = (points[i.saturating_sub(1)], points[(i + 2).min(last)]);
        for step in 1..=STEPS {
            let t = step as f32 / STEPS as f32;
            path.push(std::array::from_fn(|axis| match stroke {
                Stroke::Lines(_) => a[axis] + t * (b[axis] - a[axis]),
                Stroke::Curve(_) => catmull_rom(before[axis], a[axis], b[axis], after[axis], t),
            }));
        }
    }
    path
}

/// The cubic from `p1` (t = 0) to `p2` (t = 1) with slopes `(p2 − p0) / 2` and `(p3 − p1) / 2`.
fn catmull_rom(p0: f32, p1: f32, p2: f32, p3: f32, t: f32) -> f32 {
    let linear = p2 - p0;
    let square = 2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3;
    let cubic = 3.0 * p1 - p0 - 3.0 * p2 + p3;
    p1 + 0.5 * t * (linear + t * (square + t * cubic))
}

/// A smooth random displacement of the unit box: random vectors on a coarse grid, blended between.
struct Warp {
    grid: [[Point; Self::NODES]; Self::NODES],
}

impl Warp {
    const NODES: usize = 4;

    fn new(rng: &mut Rng) -> Self {
        let mut vector = || [0.045 * rng.normal(), 0.045 * rng.normal()];
        Self {
            grid: std::array::from_fn(|_| std::array::from_fn(|_| vector())),
        }
    }

    fn apply(&self, [x, y]: Point) -> Point {
        let cell = |u: f32| {
            let u = u.clamp(0.0, 1.0) * (Self::NODES - 1) as f32;
            let i = (u as usize).min(Self::NODES - 2);
            let t = u - i as f32;
            (i, t * t * (3.0 - 2.0 * t))
        };
        let ((ix, tx), (iy, ty)) = (cell(x), cell(y));
        let blend = |axis: usize| {
            let row =
                |j: usize| (1.0 - tx) * self.grid[j][ix][axis] + tx * self.grid[j][ix + 1][axis];
            (1.0 - ty) * row(iy) + ty * row(iy + 1)
        };
        [x + blend(0), y + blend(1)]
    }
}

/// Stretch, slant, then rotate.
struct Affine {
    rows: [[f32; 2]; 2],
}

impl Affine {
    fn new(rng: &mut Rng) -> Self {
        let (sin, cos) = rng.range(-20.0, 20.0).to_radians().sin_cos();
        let stretch = rng.range(0.72, 1.12);
        // y points down, so a slant to the right (as most hands have) is negative.
        let slant = rng.range(-0.35, 0.15);
        Self {
            rows: [
                [cos * stretch, cos * slant - sin],
                [sin * stretch, sin * slant + cos],
            ],
        }
    }

    fn apply(&self, [x, y]: Point) -> Point {
        self.rows.map(|[a, b]| a * x + b * y)
    }
}

/// From any plane to pixels: fitted into the box, centre of mass near the middle.
fn place(rng: &mut Rng, paths: &mut [Vec<Point>], radius: f32) {
    let mut low = [f32::INFINITY; 2];
    let mut high = [f32::NEG_INFINITY; 2];
    for point in paths.iter().flatten() {
        for axis in 0..2 {
            low[axis] = low[axis].min(point[axis]);
            high[axis] = high[axis].max(point[axis]);
        }
    }
    let extent = (high[0] - low[0]).max(high[1] - low[1]);
    let scale = (BOX - 2.0 * radius) * rng.range(0.88, 1.0) / extent;
    let (mut mass, mut moment) = (0.0, [0.0; 2]);
    for (a, b) in segments(paths) {
        let length = (b[0] - a[0]).hypot(b[1] - a[1]);
        mass += length;
        for axis in 0..2 {
            moment[axis] += length * 0.5 * (a[axis] + b[axis]);
        }
    }
    let shift: Point = std::array::from_fn(|axis| {
        let wanted = 0.5 * SIDE as f32 - scale * moment[axis] / mass + rng.range(-1.5, 1.5);
        // Half the softest edge, the widest drift, and the pixel's own half.
        let margin = 1.125 * radius + 1.25;
        // All ink stays inside the image.
        wanted.clamp(
            margin - scale * low[axis],
            SIDE as f32 - margin - scale * high[axis],
        )
    });
    for point in paths.iter_mut().flatten() {
        *point = std::array::from_fn(|axis| scale * point[axis] + shift[axis]);
    }
}

fn segments(paths: &[Vec<Point>]) -> impl Iterator<Item = (Point, Point)> + '_ {
    paths
        .iter()
        .flat_map(|path| path.windows(2).map(|pair| (pair[0], pair[1])))
}

/// Each pixel is as dark, 0 ..= 1, as the nearest piece of the path is close; the pen's pressure drifts.
fn ink(rng: &mut Rng, paths: &[Vec<Point>], radius: f32) -> [f32; SIDE * SIDE] {
    let softness = rng.range(0.9, 1.5);
    let contrast = rng.range(0.5, 1.0);
    let drift = rng.range(-0.25, 0.25) * radius;
    let count = segments(paths).count().max(1);
    let mut coverage = [0f32; SIDE * SIDE];
    for (i, (a, b)) in segments(paths).enumerate() {
        let radius = radius + drift * (i as f32 / count as f32 - 0.5);
        let reach = radius + softness;
        let span = |axis: usize| {
            let first = (a[axis].min(b[axis]) - reach).max(0.0) as usize;
            let end = (a[axis].max(b[axis]) + reach).max(0.0) as usize + 1;
            first..end.min(SIDE)
        };
        for row in span(1) {
            for col in span(0) {
                let center = [col as f32 + 0.5, row as f32 + 0.5];
                let ink = 0.5 + (radius - distance(center, a, b)) / softness;
                let pixel = &mut coverage[row * SIDE + col];
                *pixel = pixel.max(ink.clamp(0.0, 1.0));
            }
        }
    }
    coverage.map(|ink| contrast * ink)
}

/// A scratch or a gap on some pictures, noise on all.
fn spoil(rng: &mut Rng, picture: &mut [f32; SIDE * SIDE]) {
    if rng.uniform() < SCRATCHED {
        let dark = rng.range(0.3, 1.0);
        let radius = rng.range(0.5, 1.2);
        along_a_line(rng, radius, picture, |ink, touch| ink.max(dark * touch));
    }
    if rng.uniform() < GAPPED {
        let radius = rng.range(0.8, 1.8);
        along_a_line(rng, radius, picture, |ink, touch| ink * (1.0 - touch));
    }
    for ink in picture {
        *ink += NOISE * rng.normal();
    }
}

/// Changes the pixels near a short random line: `change` is given the ink and how far the line covers the
/// pixel, both 0 ..= 1.
fn along_a_line(
    rng: &mut Rng,
    radius: f32,
    picture: &mut [f32; SIDE * SIDE],
    change: impl Fn(f32, f32) -> f32,
) {
    let middle = [rng.range(4.0, 24.0), rng.range(4.0, 24.0)];
    let (sin, cos) = rng.range(0.0, std::f32::consts::PI).sin_cos();
    let half = 0.5 * rng.range(4.0, 9.0);
    let end = |side: f32| [middle[0] + side * half * cos, middle[1] + side * half * sin];
    let (a, b) = (end(-1.0), end(1.0));
    for (i, ink) in picture.iter_mut().enumerate() {
        let center = [(i % SIDE) as f32 + 0.5, (i / SIDE) as f32 + 0.5];
        let touch = (0.5 + radius - distance(center, a, b)).clamp(0.0, 1.0);
        *ink = change(*ink, touch);
    }
}

/// From `p` to the segment `a`–`b`.
fn distance(p: Point, a: Point, b: Point) -> f32 {
    let (along, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let square = along[0] * along[0] + along[1] * along[1];
    let t = if square > 0.0 {
        ((to[0] * along[0] + to[1] * along[1]) / square).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (to[0] - t * along[0]).hypot(to[1] - t * along[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_replayable_balanced_and_prefix_stable() {
        let splits = synthetic_splits(3, 200, 100).expect("not empty");
        assert!(splits.train.is_synthetic() && splits.test.is_synthetic());
        assert_eq!(splits, synthetic_splits(3, 200, 100).expect("not empty"));
        assert_ne!(splits, synthetic_splits(4, 200, 100).expect("not empty"));
        let longer = synthetic_splits(3, 250, 100).expect("not empty");
        assert_eq!(longer.train.take(200), splits.train);
        for digit in 0..10 {
            let count = splits.train.labels().iter().filter(|&&l| l == digit);
            assert_eq!(count.count(), 20);
        }
        assert_ne!(splits.train.labels()[..100], *splits.test.labels());
        assert!(synthetic_splits(3, 0, 1).is_err());
    }

    #[test]
    fn ink_is_centred_and_as_much_as_in_mnist() {
        let data = synthetic_splits(5, 1000, 1).expect("not empty").train;
        let (mut mean, mut off_centre) = (0.0, 0);
        for image in pixels(&data).chunks_exact(SIDE * SIDE) {
            let (mut mass, mut row_moment) = (0.0, 0.0);
            for (i, &ink) in image.iter().enumerate() {
                mass += f64::from(ink);
                row_moment += f64::from(ink) * ((i / SIDE) as f64 + 0.5);
            }
            off_centre += usize::from((row_moment / mass - 14.0).abs() > 3.5);
            mean += mass / (255.0 * (SIDE * SIDE * data.len()) as f64);
        }
        assert_eq!(off_centre, 0);
        // MNIST's mean is 0.1307.
        assert!((0.09..0.17).contains(&mean), "{mean}");
    }

    #[test]
    fn pictures_are_faint_and_noisy_but_their_paper_is_light() {
        let data = synthetic_splits(6, 1000, 1).expect("not empty").train;
        let images = pixels(&data).chunks_exact(SIDE * SIDE);
        let darkest = images.clone().filter_map(|image| image.iter().max());
        let faint = darkest.filter(|&&ink| ink < 200).count();
        assert!((100..700).contains(&faint), "{faint}");
        // The first row has no ink of the digit.
        let paper: Vec<u8> = images.flat_map(|image| &image[..SIDE]).copied().collect();
        let speckled = paper.iter().filter(|&&ink| ink > 0).count();
        let dark = paper.iter().filter(|&&ink| ink > 80).count();
        assert!((paper.len() / 3..paper.len() * 2 / 3).contains(&speckled));
        assert!((1..paper.len() / 50).contains(&dark), "{dark}");
    }

    fn pixels(data: &Dataset) -> &[u8] {
        data.pixels().expect("in memory")
    }
}
