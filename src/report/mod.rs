//! The report: one HTML file that needs nothing else, neither network nor scripts.
//!
//! [`Report`] is plain data; [`Report::to_html`] turns it into a page that follows the reader's light or
//! dark setting, with its plots as inline SVG.

mod axis;
mod html;
mod labels;
mod layers;
mod plots;

use crate::error::Result;

/// One state of the network on its way: trained, quantized, pruned, ….
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageRow {
    /// Short name, also the label in the plot.
    pub name: String,
    /// Share of images classified correctly, 0 ..= 1; NaN if it was not measured.
    pub accuracy: f64,
    /// Size of the model file in bytes.
    pub bytes: u64,
    /// Share of weights that are zero, 0 ..= 1, where that is of interest.
    pub sparsity: Option<f64>,
    /// Throughput of inference, images in a second; NaN or 0 if it was not measured.
    pub images_per_second: f64,
    /// Wall-clock time that the stage took to make.
    pub seconds: f64,
}

/// Values of one tensor before and after a step, to be shown as two histograms over one axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramPlot {
    /// What is shown, for example `conv2.weight, int4`.
    pub title: String,
    /// The samples before; values that are not finite are left out.
    pub before: Vec<f32>,
    /// The samples after.
    pub after: Vec<f32>,
}

/// How far a quantized layer is from its original.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerError {
    /// Name of the layer.
    pub name: String,
    /// Bits of its weights.
    pub bits: u32,
    /// Signal to quantization noise of its result in decibels, with all layers before it quantized too;
    /// infinite if the layer is exact.
    pub sqnr_db: f64,
    /// Cosine of the angle between the two outputs, −1 ..= 1.
    pub cosine: f64,
    /// Smallest and largest real value that the integers of its result stand for, if it has integers.
    pub range: Option<[f64; 2]>,
    /// Share of the results at the ends of the integer range, 0 ..= 1.
    pub clipped: Option<f64>,
    /// Signal to quantization noise of the network's results, in decibels, if only this layer is
    /// quantized; where it was measured.
    pub alone_sqnr_db: Option<f64>,
    /// Signal to quantization noise of its weights in decibels; infinite if they are exact.
    pub weight_sqnr_db: Option<f64>,
    /// Smallest and largest weight before quantization.
    pub weight_range: Option<[f64; 2]>,
    /// Share of the weights beyond the integer range, 0 ..= 1.
    pub weight_clipped: Option<f64>,
}

/// Everything the page shows. Empty lists leave their section out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Heading.
    pub title: String,
    /// One line under it: network and data.
    pub subtitle: String,
    /// Remarks, one paragraph each, for example that the data is synthetic.
    pub notes: Vec<String>,
    /// Stages in order; sizes and speeds are compared with the first.
    pub stages: Vec<StageRow>,
    /// What the stages show, a paragraph each; words before a colon are its heading.
    pub explanation: Vec<String>,
    /// Histograms in order.
    pub histograms: Vec<HistogramPlot>,
    /// Layers in the order of the network.
    pub layers: Vec<LayerError>,
    /// Where it ran.
    pub device: String,
    /// The command line that makes this report again.
    pub command: String,
}

impl Report {
    /// The page. All text is escaped; the same report gives the same bytes.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if a plot cannot be drawn.
    pub fn to_html(&self) -> Result<String> {
        html::page(self)
    }

    /// Accuracy over file size, a labelled point per stage that has both, as an SVG file: 720 x 400 pixels on a
    /// ground of its own, light or dark as the reader likes it.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if the plot cannot be drawn.
    pub fn stages_svg(&self) -> Result<String> {
        let plot = plots::accuracy_over_size(&self.stages)?;
        Ok(html::standalone(&plot))
    }
}
