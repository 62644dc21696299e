//! The page around the plots.

use super::plots::{self, PALETTE};
use super::{Report, StageRow, layers};
use crate::error::Result;

const COLORS: &str = include_str!("colors.css");
const STYLE: &str = include_str!("style.css");
/// Not measured.
pub(super) const NONE: &str = "–";

pub(super) fn page(report: &Report) -> Result<String> {
    let mut body = format!("<h1>{}</h1>\n", escape(&report.title));
    if !report.subtitle.is_empty() {
        body += &format!("<p class=\"subtitle\">{}</p>\n", escape(&report.subtitle));
    }
    for note in &report.notes {
        body += &format!("<p class=\"note\">{}</p>\n", escape(note));
    }
    if !report.stages.is_empty() {
        body += "<h2>Stages</h2>\n";
        body += &stages(&report.stages);
        body += &explanation(&report.explanation);
        let plot = plots::accuracy_over_size(&report.stages)?;
        body += &figure("Accuracy over file size: high and left is good", &plot);
    }
    if !report.histograms.is_empty() {
        body += "<h2>Values before and after</h2>\n";
        for histogram in &report.histograms {
            body += &figure(&histogram.title, &plots::histogram(histogram)?);
        }
    }
    if !report.layers.is_empty() {
        body += "<h2>Error of each layer</h2>\n";
        body += &layers::section(&report.layers)?;
    }
    if !report.device.is_empty() {
        body += &format!("<h2>Device</h2>\n<p>{}</p>\n", escape(&report.device));
    }
    if !report.command.is_empty() {
        let command = escape(&report.command);
        body += &format!("<h2>Command</h2>\n<pre><code>{command}</code></pre>\n");
    }
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{COLORS}{STYLE}{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(&report.title),
        recolor(),
    ))
}

/// A plot as a file of its own, which paints its ground and knows the colours of the page.
pub(super) fn standalone(plot: &str) -> String {
    let ground = format!(
        "\n<style>\n{COLORS}{}text {{ font-family: system-ui, sans-serif; }}\n</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{}\"/>",
        recolor(),
        hex(plots::PANEL)
    );
    plot.replacen('>', &format!(">{ground}"), 1)
}

/// A paragraph each, the words before a colon emphasised.
fn explanation(paragraphs: &[String]) -> String {
    if paragraphs.is_empty() {
        return String::new();
    }
    let paragraphs = paragraphs.iter().map(|text| match text.split_once(": ") {
        Some((head, rest)) => format!("<p><b>{}:</b> {}</p>\n", escape(head), escape(rest)),
        None => format!("<p>{}</p>\n", escape(text)),
    });
    format!(
        "<div class=\"explanation\">\n{}</div>\n",
        paragraphs.collect::<String>()
    )
}

/// Rules that put the variables of the style sheet in place of the plots' fixed colours.
fn recolor() -> String {
    PALETTE.iter().fold(String::new(), |rules, (color, name)| {
        let color = hex(*color);
        rules
            + &format!("svg [fill=\"{color}\"] {{ fill: var({name}); }}\n")
            + &format!("svg [stroke=\"{color}\"] {{ stroke: var({name}); }}\n")
    })
}

fn hex(color: plotters::style::RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}

fn stages(stages: &[StageRow]) -> String {
    let first = stages.first().map_or(0, |stage| stage.bytes);
    let base = stages.first().map_or(f64::NAN, |s| s.images_per_second);
    let rows = stages.iter().map(|stage| {
        let smaller = if stage.bytes > 0 && first > 0 {
            format!("{:.1}", first as f64 / stage.bytes as f64)
        } else {
            NONE.to_string()
        };
        let rate = Some(stage.images_per_second).filter(|&rate| rate > 0.0);
        vec![
            stage.name.clone(),
            known(stage.accuracy, |x| format!("{:.2} %", 100.0 * x)),
            bytes(stage.bytes),
            smaller,
            known(stage.sparsity.unwrap_or(f64::NAN), |x| {
                format!("{:.1} %", 100.0 * x)
            }),
            known(rate.unwrap_or(f64::NAN), thousands),
            known(rate.unwrap_or(f64::NAN) / base, |x| format!("{x:.2}")),
            known(stage.seconds, |x| format!("{x:.1} s")),
        ]
    });
    let name = stages.first().map_or("", |stage| &stage.name);
    let head = [
        "stage",
        "accuracy",
        "file size",
        "times smaller",
        "zeros among weights",
        "images per second",
        &format!("times as fast as {name}"),
        "time to make",
    ];
    table(&head, rows)
}

pub(super) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = String>| {
        let cells = cells.map(|cell| format!("<{tag}>{}</{tag}>", escape(&cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let head = cells("th", &mut head.iter().map(ToString::to_string));
    let rows: String = rows.map(|row| cells("td", &mut row.into_iter())).collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead>{head}</thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

pub(super) fn figure(caption: &str, svg: &str) -> String {
    let caption = escape(caption);
    format!("<figure>\n<figcaption>{caption}</figcaption>\n{svg}</figure>\n")
}

pub(super) fn known(x: f64, format: impl FnOnce(f64) -> String) -> String {
    if x.is_finite() {
        format(x)
    } else {
        NONE.to_string()
    }
}

/// `1234567.8` as `1 234 568`.
pub(super) fn thousands(x: f64) -> String {
    let digits = format!("{x:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A size for people: `512 B`, `64 KiB`, `1.7 MiB`.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut size = n as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let text = format!("{size:.1}");
    format!(
        "{} {}",
        text.strip_suffix(".0").unwrap_or(&text),
        UNITS[unit]
    )
}

/// `38.2 dB`, `exact`, or a dash.
pub(super) fn decibels(x: f64) -> String {
    if x == f64::INFINITY {
        return "exact".to_string();
    }
    known(x, |x| format!("{x:.1} dB").replace('-', "−"))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{HistogramPlot, LayerError};
    use super::*;
    use crate::base::Rng;

    fn sample() -> Report {
        let stage = |name: &str, accuracy, bytes, sparsity, images_per_second| StageRow {
            name: name.to_string(),
            accuracy,
            bytes,
            sparsity,
            images_per_second,
            seconds: 12.3,
        };
        let mut rng = Rng::new(1);
        let weights: Vec<f32> = (0..20_000).map(|_| 0.05 * rng.normal()).collect();
        let int4 = weights
            .iter()
            .map(|w| (w / 0.025).round().clamp(-7.0, 7.0) * 0.025);
        let pruned = weights
            .iter()
            .map(|&w| if w.abs() < 0.08 { 0.0 } else { w });
        let plot = |title: &str, after: Vec<f32>| HistogramPlot {
            title: title.to_string(),
            before: weights.clone(),
            after,
        };
        let layer = |i: usize, bits, sqnr_db| LayerError {
            name: format!("layer{}.{}.downsample.conv{}", i / 4, i % 4, i % 2 + 1),
            bits,
            sqnr_db,
            cosine: 0.9998,
            range: (!i.is_multiple_of(3)).then_some([-0.25 * i as f64, 24.5]),
            clipped: Some(0.001),
            alone_sqnr_db: (i != 3).then_some(sqnr_db + 2.0),
            weight_sqnr_db: Some(40.0),
            weight_range: Some([-0.031 * i as f64, 0.42]),
            weight_clipped: Some(0.0),
        };
        Report {
            title: "LeNet-5 <compressed> & measured".to_string(),
            subtitle: "lenet5 on \"synthetic digits\"".to_string(),
            notes: vec!["The data is synthetic: accuracies say nothing about MNIST.".to_string()],
            stages: vec![
                stage("fp32", 0.9912, 178_000, None, 120_345.0),
                stage("fp16", 0.9912, 89_400, None, 130_000.0),
                stage("int8", 0.9908, 46_800, None, 210_000.0),
                stage("int8-onnx", 0.9909, 46_900, None, 0.0),
                stage(
                    "pruned 90% + fine-tuned",
                    0.9895,
                    28_000,
                    Some(0.9),
                    118_000.0,
                ),
                stage("w4a8 QAT", 0.9893, 25_300, None, f64::NAN),
                stage("pruned + <w4>", 0.9871, 9_800, Some(0.9), 200_000.0),
            ],
            histograms: vec![
                plot("conv2.weight, quantized to 4 bits", int4.collect()),
                plot("fc1.weight, pruned to 90 %", pruned.collect()),
            ],
            layers: (0..9)
                .map(|i| layer(i, if i == 4 { 4 } else { 8 }, 41.0 - 2.5 * i as f64))
                .chain([
                    layer(9, 8, f64::INFINITY),
                    layer(10, 2, -3.2),
                    layer(11, 8, f64::NAN),
                ])
                .collect(),
            explanation: vec!["Size: <smaller>".to_string(), "No heading".to_string()],
            device: "llvmpipe (Vulkan)".to_string(),
            command: "wizen demo --data 'a&b' --quick".to_string(),
        }
    }

    #[test]
    fn the_page_is_self_contained_escaped_and_repeatable() {
        let html = sample().to_html().expect("drawable");
        assert_eq!(html, sample().to_html().expect("drawable"));
        assert_eq!(html.matches("<svg ").count(), 7);
        assert_eq!(html.matches("</svg>").count(), 7);
        for forbidden in [
            "<script", "<link", "src=", "href", "url(", "@import", "NaN", ">inf",
        ] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        let outside = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(!outside.contains("http:") && !outside.contains("https:"));
        assert!(html.contains("LeNet-5 &lt;compressed&gt; &amp; measured"));
        assert!(!html.contains("<w4>") && !html.contains("<compressed>"));
        assert!(html.contains("&#39;a&amp;b&#39;"));
        assert!(html.contains("<p><b>Size:</b> &lt;smaller&gt;</p>\n<p>No heading</p>"));
        // Every colour of the plots is one that the style sheet replaces.
        let known: Vec<String> = recolor()
            .split('"')
            .skip(1)
            .step_by(2)
            .map(String::from)
            .collect();
        for part in html.split("=\"#").skip(1) {
            let color = format!("#{}", &part[..6]);
            assert!(known.contains(&color), "{color}");
        }
    }

    #[test]
    fn the_figure_is_one_small_file() {
        let svg = sample().stages_svg().expect("drawable");
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("xmlns=") && svg.contains("prefers-color-scheme: dark"));
        assert!(svg.contains("pruned + &lt;w4&gt;") && svg.len() < 30_000);
    }

    #[test]
    fn odd_reports_are_drawn_too() {
        let empty = Report::default().to_html().expect("an empty page");
        assert!(!empty.contains("<svg "));
        let mut odd = sample();
        odd.stages.truncate(1);
        odd.stages[0].accuracy = f64::NAN;
        odd.layers.truncate(1);
        odd.histograms = vec![
            HistogramPlot::default(),
            HistogramPlot {
                title: String::new(),
                before: vec![1.0; 5],
                after: vec![f32::NAN, f32::INFINITY],
            },
        ];
        // Stages, two histograms, and of the layer: error, cost alone, weights; its result is float.
        assert_eq!(odd.to_html().expect("drawable").matches("<svg ").count(), 6);
        odd.stages[0].accuracy = 1.0;
        assert!(odd.to_html().is_ok());
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(65_536), "64 KiB");
        assert_eq!(bytes(1_782_580), "1.7 MiB");
        assert_eq!(thousands(1_234_567.8), "1\u{202f}234\u{202f}568");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(decibels(f64::INFINITY), "exact");
    }
}
