//! The plots, as SVG text.
//!
//! Colours are fixed names here ([`PALETTE`]); the page's style sheet replaces them with those of the
//! reader's light or dark setting.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::{Axis, decimals, ticks};
use super::labels::{Rect, place};
use super::{HistogramPlot, StageRow};
use crate::error::{Error, Result};

/// Behind a plot that is a file of its own.
pub(super) const PANEL: RGBColor = RGBColor(0xF5, 0xF6, 0xF8);
pub(super) const INK: RGBColor = RGBColor(0x30, 0x34, 0x3A);
pub(super) const GRID: RGBColor = RGBColor(0xD8, 0xDC, 0xE2);
pub(super) const FIRST: RGBColor = RGBColor(0x2F, 0x6F, 0xDE);
pub(super) const SECOND: RGBColor = RGBColor(0xD9, 0x77, 0x2B);

/// Each colour in the plots with the name of the style sheet's variable that replaces it.
pub(super) const PALETTE: [(RGBColor, &str); 5] = [
    (PANEL, "--panel"),
    (INK, "--ink"),
    (GRID, "--grid"),
    (FIRST, "--first"),
    (SECOND, "--second"),
];

pub(super) const WIDTH: u32 = 720;
const BINS: usize = 64;
/// Font size of all text, in plotters' unit (1.24 of it is a CSS pixel).
const FONT: u32 = 16;
/// Pixels that a character takes on average at that size.
pub(super) const CHARACTER: f64 = 7.6;

pub(super) type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(super) fn svg(what: &str, height: u32, draw: impl FnOnce(&Area) -> Drawn) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        let drawn = draw(&area).and_then(|()| Ok(area.present()?));
        drawn.map_err(|error| Error::invalid(format!("report, {what}"), error.to_string()))?;
    }
    Ok(text.replacen(
        "<svg ",
        &format!("<svg role=\"img\" aria-label=\"{what}\" "),
        1,
    ))
}

pub(super) fn text(h: HPos, v: VPos) -> TextStyle<'static> {
    let style = TextStyle::from(("sans-serif", FONT).into_font());
    style.color(&INK).pos(Pos::new(h, v))
}

/// Accuracy over size, one labelled point per stage that has both; the size axis is logarithmic.
pub(super) fn accuracy_over_size(stages: &[StageRow]) -> Result<String> {
    let mut stages: Vec<&StageRow> = stages
        .iter()
        .filter(|stage| stage.bytes > 0 && stage.accuracy.is_finite())
        .collect();
    // Of two points on nearly one spot, the right one has its label at the right.
    stages.sort_by_key(|stage| std::cmp::Reverse(stage.bytes));
    let at = |stage: &StageRow| ((stage.bytes as f64).log2(), 100.0 * stage.accuracy);
    let (left, right) = extent(stages.iter().map(|stage| at(stage).0));
    let (low, high) = extent(stages.iter().map(|stage| at(stage).1));
    let (x_pad, y_pad) = (
        (0.12 * (right - left)).max(0.6),
        (0.12 * (high - low)).max(0.2),
    );
    let x_range = left - x_pad..right + x_pad;
    let y_range = low - y_pad..high + y_pad;
    let step = (((x_range.end - x_range.start) / 8.0).ceil() as usize).max(1);
    let x_ticks = (x_range.start.ceil() as i32..=x_range.end.floor() as i32).step_by(step);
    let x_ticks: Vec<f64> = x_ticks.map(f64::from).collect();
    let mut y_ticks = ticks(y_range.start, y_range.end, 6);
    y_ticks.retain(|&y| (0.0..=100.0).contains(&y));
    let y_format = decimals(&y_ticks, "%");

    svg("accuracy over size", 400, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(24)
            .x_label_area_size(46)
            .y_label_area_size(70)
            .build_cartesian_2d(Axis::new(x_range, &x_ticks), Axis::new(y_range, &y_ticks))?;
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(text(HPos::Center, VPos::Center))
            .x_desc("size of the model file (logarithmic)")
            .y_desc("accuracy")
            .x_label_formatter(&|x| super::html::bytes(x.exp2().round() as u64))
            .y_label_formatter(&y_format)
            .draw()?;
        let pixels: Vec<[f64; 2]> = stages
            .iter()
            .map(|stage| {
                let (x, y) = chart.backend_coord(&at(stage));
                [f64::from(x), f64::from(y)]
            })
            .collect();
        let names: Vec<String> = stages.iter().map(|s| shorten(&s.name, 28)).collect();
        let sizes: Vec<[f64; 2]> = names
            .iter()
            .map(|name| [CHARACTER * name.chars().count() as f64, 15.0])
            .collect();
        let (xs, ys) = chart.plotting_area().get_pixel_range();
        let frame = Rect {
            x: f64::from(xs.start) + 4.0,
            y: f64::from(ys.start) + 2.0,
            width: f64::from(xs.end - xs.start) - 8.0,
            height: f64::from(ys.end - ys.start) - 4.0,
        };
        for ((name, pixel), label) in names.iter().zip(&pixels).zip(place(&pixels, &sizes, frame)) {
            let point = (pixel[0] as i32, pixel[1] as i32);
            let middle = label.y + 0.5 * label.height;
            let near = (
                pixel[0].clamp(label.x - 2.0, label.x + label.width + 2.0) as i32,
                pixel[1].clamp(label.y, label.y + label.height) as i32,
            );
            if (near.0 - point.0).abs().max((near.1 - point.1).abs()) > 12 {
                area.draw(&PathElement::new(vec![point, near], INK.mix(0.5)))?;
            }
            area.draw(&Circle::new(point, 5, FIRST.filled()))?;
            // Aligned to the side of the point, where the estimated width does no harm.
            let (h, x) = if label.x > pixel[0] {
                (HPos::Left, label.x)
            } else if label.x + label.width < pixel[0] {
                (HPos::Right, label.x + label.width)
            } else {
                (HPos::Center, label.x + 0.5 * label.width)
            };
            let (at, style) = ((x as i32, middle as i32), text(h, VPos::Center));
            area.draw(&Text::new(name.as_str(), at, style))?;
        }
        Ok(())
    })
}

/// Two histograms, before above after, over one axis. The height is the share of values per bin; a bin
/// that dwarfs all others (the zeros after pruning) is cut and labelled with its share.
pub(super) fn histogram(plot: &HistogramPlot) -> Result<String> {
    let finite = |samples: &[f32]| -> Vec<f64> {
        let finite = samples.iter().filter(|x| x.is_finite());
        finite.map(|&x| f64::from(x)).collect()
    };
    let (before, after) = (finite(&plot.before), finite(&plot.after));
    let (mut low, mut high) = extent(before.iter().chain(&after).copied());
    if low == high {
        (low, high) = (low - 0.5, high + 0.5);
    }
    let width = (high - low) / BINS as f64;
    let x_range = low - width..high + width;
    let x_ticks = ticks(x_range.start, x_range.end, 8);
    let x_format = decimals(&x_ticks, "");

    svg("histograms before and after", 380, |area| {
        let panels = area.split_evenly((2, 1));
        let rows = [("before", &before, FIRST), ("after", &after, SECOND)];
        for (panel, (name, samples, color)) in panels.iter().zip(rows) {
            let shares = shares(samples, low, width);
            let top = cut(&shares);
            let y_ticks = ticks(0.0, top, 4);
            let y_format = decimals(&y_ticks, "%");
            let mut chart = ChartBuilder::on(panel)
                .margin(8)
                .margin_right(16)
                .x_label_area_size(26)
                .y_label_area_size(60)
                .build_cartesian_2d(
                    Axis::new(x_range.clone(), &x_ticks),
                    Axis::new(0.0..1.12 * top, &y_ticks),
                )?;
            chart
                .configure_mesh()
                .axis_style(INK)
                .bold_line_style(GRID)
                .light_line_style(TRANSPARENT)
                .disable_x_mesh()
                .label_style(text(HPos::Center, VPos::Center))
                .x_label_formatter(&x_format)
                .y_label_formatter(&y_format)
                .draw()?;
            let edge = |bin: usize| low + width * bin as f64;
            chart.draw_series(shares.iter().enumerate().filter(|(_, s)| **s > 0.0).map(
                |(bin, &share)| {
                    let corners = [(edge(bin), 0.0), (edge(bin + 1), share.min(1.12 * top))];
                    Rectangle::new(corners, color.filled())
                },
            ))?;
            for (bin, share) in shares.iter().enumerate().filter(|(_, s)| **s > 1.12 * top) {
                let (x, y) = chart.backend_coord(&(edge(bin + 1), 1.12 * top));
                let note = format!("← {share:.1} %");
                // Coordinates of the chart count from the whole picture, those of the panel do not.
                let style = text(HPos::Left, VPos::Top);
                area.draw(&Text::new(note, (x + 4, y + 3), style))?;
            }
            let (xs, ys) = chart.plotting_area().get_pixel_range();
            let style = text(HPos::Right, VPos::Top).color(&color);
            let caption = format!(
                "{name}, {} values",
                super::html::thousands(samples.len() as f64)
            );
            area.draw(&Text::new(caption, (xs.end - 6, ys.start + 3), style))?;
        }
        Ok(())
    })
}

/// Smallest and largest; (0, 0) of nothing.
pub(super) fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
        (low.min(x), high.max(x))
    });
    if low > high { (0.0, 0.0) } else { (low, high) }
}

/// Percent of the samples in each bin.
fn shares(samples: &[f64], low: f64, width: f64) -> Vec<f64> {
    let mut shares = vec![0.0; BINS];
    for x in samples {
        let bin = (((x - low) / width) as usize).min(BINS - 1);
        shares[bin] += 100.0 / samples.len() as f64;
    }
    shares
}

/// Where the share axis ends: at the largest bin, or at the second one if the first dwarfs it.
fn cut(shares: &[f64]) -> f64 {
    let mut sorted = shares.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    match sorted[..] {
        [first, second, ..] if second > 0.0 && first > 4.0 * second => second,
        [first, ..] if first > 0.0 => first,
        _ => 1.0,
    }
}

/// At most `limit` characters; the end of a long name tells more than its beginning.
pub(super) fn shorten(name: &str, limit: usize) -> String {
    let count = name.chars().count();
    if count <= limit {
        return name.to_string();
    }
    let tail: String = name.chars().skip(count + 1 - limit).collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dominant_bin_is_cut() {
        assert_eq!(cut(&[1.0, 90.0, 5.0]), 5.0);
        assert_eq!(cut(&[1.0, 6.0, 5.0]), 6.0);
        assert_eq!(cut(&[0.0, 100.0, 0.0]), 100.0);
        assert_eq!(cut(&[0.0; 4]), 1.0);
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shorten("abcdef", 4), "…def");
        assert_eq!(shorten("abcd", 4), "abcd");
    }
}
