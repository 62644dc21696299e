//! The section about layers: what quantization cost each of them, drawn and in numbers.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::LayerError;
use super::axis::{Axis, decimals, ticks};
use super::html::{NONE, decibels, figure, known, table};
use super::plots::{CHARACTER, FIRST, GRID, INK, SECOND, extent, shorten, svg, text};
use crate::error::Result;

/// Longer names lose their beginning.
const LONGEST_NAME: usize = 26;

const LEGEND: &str = "SQNR, signal to quantization noise, is how far the error that rounding made lies below the values \
                      themselves: at 20 dB it is a tenth of them, at 40 dB a hundredth. All layers before are \
                      quantized too, so errors add up along the network. Cosine is that of the angle between the \
                      result and the exact one, 1 for no difference. Clipped is the share of values at or beyond the \
                      ends of the range.";

/// Plots and tables of layers; what was not measured is left out.
pub(super) fn section(layers: &[LayerError]) -> Result<String> {
    let sqnr = layers.iter().map(|layer| {
        let note = format!("{}, {} bit", decibels(layer.sqnr_db), layer.bits);
        Bar::from_zero(&layer.name, layer.sqnr_db, note)
    });
    let mut out = format!("<p>{LEGEND}</p>\n");
    out += &figure(
        "Signal to quantization noise",
        &bars(
            "SQNR per layer",
            "SQNR of the result in dB (more is better)",
            FIRST,
            sqnr.collect(),
        )?,
    );
    let alone: Vec<Bar> = layers
        .iter()
        .filter_map(|layer| Some((layer, layer.alone_sqnr_db?)))
        .map(|(layer, x)| Bar::from_zero(&layer.name, x, decibels(x)))
        .collect();
    if !alone.is_empty() {
        let unit = "SQNR of the network's output in dB (more is better)";
        let plot = bars("SQNR of the network per layer", unit, FIRST, alone)?;
        out += &figure("If nothing but this layer were quantized", &plot);
    }
    let ranges = |of: fn(&LayerError) -> Option<[f64; 2]>| -> Vec<Bar> {
        let known = layers.iter().filter_map(|layer| {
            let range = of(layer)?;
            let all = range.iter().all(|x| x.is_finite());
            all.then(|| Bar {
                name: layer.name.clone(),
                ends: range,
                note: interval(Some(range)),
            })
        });
        known.collect()
    };
    for (caption, unit, bar_list) in [
        (
            "Range of the weights",
            "smallest and largest weight",
            ranges(|layer| layer.weight_range),
        ),
        (
            "Range of the results",
            "smallest and largest value that the integers stand for",
            ranges(|layer| layer.range),
        ),
    ] {
        if !bar_list.is_empty() {
            out += &figure(caption, &bars(caption, unit, SECOND, bar_list)?);
        }
    }
    out += "<h3>Results</h3>\n";
    let head = [
        "layer", "bits", "SQNR", "cosine", "range", "clipped", "alone",
    ];
    let rows = layers.iter().map(|layer| {
        vec![
            layer.name.clone(),
            layer.bits.to_string(),
            decibels(layer.sqnr_db),
            known(layer.cosine, |x| format!("{x:.6}")),
            interval(layer.range),
            share(layer.clipped),
            layer.alone_sqnr_db.map_or(NONE.to_owned(), decibels),
        ]
    });
    out += &table(&head, rows);
    if layers.iter().any(|layer| layer.weight_range.is_some()) {
        out += "<h3>Weights</h3>\n";
        let rows = layers.iter().map(|layer| {
            vec![
                layer.name.clone(),
                layer.bits.to_string(),
                layer.weight_sqnr_db.map_or(NONE.to_owned(), decibels),
                interval(layer.weight_range),
                share(layer.weight_clipped),
            ]
        });
        out += &table(&["layer", "bits", "SQNR", "range", "clipped"], rows);
    }
    Ok(out)
}

/// A horizontal bar.
struct Bar {
    name: String,
    /// Where it begins and ends.
    ends: [f64; 2],
    note: String,
}

impl Bar {
    /// A bar from 0 to `x`.
    fn from_zero(name: &str, x: f64, note: String) -> Self {
        Self {
            name: name.to_owned(),
            ends: [0.0, x],
            note,
        }
    }
}

/// One horizontal bar per layer, its name at the left and its note at the right. Infinite bars end where
/// the longest does; NaN is no bar.
fn bars(what: &str, unit: &str, color: RGBColor, bars: Vec<Bar>) -> Result<String> {
    let finite = bars.iter().flat_map(|bar| bar.ends);
    let (low, high) = extent(finite.filter(|x| x.is_finite()).chain([0.0]));
    let span = if high > low { high - low } else { 1.0 };
    let longest = |of: fn(&Bar) -> &str| bars.iter().map(|bar| of(bar).chars().count()).max();
    let name_area = longest(|bar| &bar.name).unwrap_or(0).min(LONGEST_NAME) as f64;
    let name_area = 16.0 + CHARACTER * name_area;
    let note_area = 12.0 + CHARACTER * longest(|bar| &bar.note).unwrap_or(0) as f64;
    // The notes of the longest bars still fit between bar and edge.
    let free =
        note_area / (f64::from(super::plots::WIDTH) - 16.0 - name_area - note_area).max(200.0);
    let x_range = low - 0.02 * span..low + (1.0 + free) * span;
    let x_ticks = ticks(low, low + span, 8);
    let x_format = decimals(&x_ticks, "");
    let count = bars.len() as f64;

    svg(what, 66 + 22 * bars.len() as u32, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(46)
            .y_label_area_size(name_area as u32)
            .build_cartesian_2d(Axis::new(x_range, &x_ticks), 0.0..count)?;
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .disable_y_mesh()
            .y_labels(0)
            .label_style(text(HPos::Center, VPos::Center))
            .x_desc(unit)
            .x_label_formatter(&x_format)
            .draw()?;
        if low < 0.0 {
            let zero = PathElement::new(vec![(0.0, 0.0), (0.0, count)], INK.mix(0.5));
            chart.draw_series([zero])?;
        }
        let left = chart.plotting_area().get_pixel_range().0.start;
        for (i, bar) in bars.iter().enumerate() {
            let y = count - i as f64 - 0.5;
            let end = |x: f64| match x {
                x if x.is_finite() => x,
                x if x == f64::INFINITY => low + span,
                _ => 0.0,
            };
            let [a, b] = bar.ends.map(end);
            let corners = [(a.min(b), y - 0.36), (a.max(b), y + 0.36)];
            chart.draw_series([Rectangle::new(corners, color.filled())])?;
            let (x, y) = chart.backend_coord(&(a.max(b), y));
            let note = Text::new(bar.note.clone(), (x + 5, y), text(HPos::Left, VPos::Center));
            area.draw(&note)?;
            let style = text(HPos::Right, VPos::Center);
            let name = shorten(&bar.name, LONGEST_NAME);
            area.draw(&Text::new(name, (left - 7, y), style))?;
        }
        Ok(())
    })
}

/// `−0.31 to 12.4`, or a dash.
fn interval(range: Option<[f64; 2]>) -> String {
    range.map_or(NONE.to_owned(), |[low, high]| {
        format!("{} to {}", significant(low), significant(high))
    })
}

/// Three digits that count, but no more than six decimals.
fn significant(x: f64) -> String {
    known(x, |x| {
        if x == 0.0 {
            return "0".to_owned();
        }
        let places = (2.0 - x.abs().log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{x:.places$}").replace('-', "−")
    })
}

fn share(x: Option<f64>) -> String {
    known(x.unwrap_or(f64::NAN), |x| format!("{:.2} %", 100.0 * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(significant(-0.012_345), "−0.0123");
        assert_eq!(significant(1234.5), "1234");
        assert_eq!(significant(9.876), "9.88");
        assert_eq!(significant(0.0), "0");
        assert_eq!(significant(f64::NAN), NONE);
        assert_eq!(interval(Some([-0.5, 24.0])), "−0.500 to 24.0");
        assert_eq!(interval(None), NONE);
        assert_eq!(share(Some(0.0123)), "1.23 %");
        assert_eq!(share(None), NONE);
    }

    #[test]
    fn only_what_is_known_is_drawn() {
        let mut layer = LayerError {
            name: "layer2.0.downsample.0".into(),
            bits: 8,
            sqnr_db: 30.0,
            cosine: 1.0,
            ..LayerError::default()
        };
        let draw = |layer: &LayerError| section(std::slice::from_ref(layer)).expect("drawable");
        let page = draw(&layer);
        assert_eq!(page.matches("<svg ").count(), 1);
        assert_eq!(page.matches("<table>").count(), 1);
        layer.alone_sqnr_db = Some(f64::INFINITY);
        layer.range = Some([0.0, 0.0]);
        layer.weight_range = Some([-0.25, 0.5]);
        layer.weight_sqnr_db = Some(40.0);
        let page = draw(&layer);
        assert_eq!(page.matches("<svg ").count(), 4);
        assert_eq!(page.matches("<table>").count(), 2);
        // Once in every plot and table.
        assert_eq!(page.matches("layer2.0.downsample.0").count(), 6);
        layer.range = Some([f64::NAN, 1.0]);
        assert_eq!(draw(&layer).matches("<svg ").count(), 3);
    }
}
