//! Charts: series over an axis, with one or two scales for their values, as SVG and
//! PNG. Pure: both are drawn from one scene, so they show the same.
//!
//! | file | does |
//! |---|---|
//! | `scale.rs` | values to places, and round numbers to label them with |
//! | `layout.rs` | a chart to a scene |
//! | `scene.rs` | lines, dots and texts at their places |
//! | `svg.rs` | a scene as SVG |
//! | `raster.rs` | a scene as pixels |
//! | `png.rs` | pixels as PNG |
//! | `page.rs` | an HTML page around pictures |

mod layout;
mod page;
mod png;
mod raster;
mod scale;
mod scene;
mod svg;
#[cfg(test)]
mod tests;

pub(crate) use page::{page, table};
pub(crate) use scale::{Scale, thousands};
pub(crate) use scene::Color;
pub(crate) use svg::escape;

/// The colour of what belongs to the left scale.
pub(crate) const LEFT: Color = Color(0x0b, 0x5c, 0xa8);
/// The colour of what belongs to the right scale: told apart by those who do not see
/// red or green too.
pub(crate) const RIGHT: Color = Color(0xc4, 0x4e, 0x06);

/// A picture of series.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// What the picture says.
    pub(crate) title: String,
    /// Of what it is.
    pub(crate) subtitle: String,
    /// What the horizontal axis is, with its unit.
    pub(crate) x_label: String,
    /// How it is spaced.
    pub(crate) x_scale: Scale,
    /// Values to label; round numbers if empty.
    pub(crate) x_ticks: Vec<f64>,
    /// The scale on the left.
    pub(crate) left: Side,
    /// The scale on the right.
    pub(crate) right: Option<Side>,
    /// Values of the horizontal axis with a meaning.
    pub(crate) markers: Vec<Marker>,
}

/// A vertical axis and what is measured by it, from 0 up.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// What it is, with its unit.
    pub(crate) label: String,
    /// Of the axis and its series.
    pub(crate) color: Color,
    /// What is drawn.
    pub(crate) series: Vec<Series>,
    /// A value that must not be passed, with its name. It is drawn if the series come
    /// near it.
    pub(crate) limit: Option<(f64, String)>,
}

/// Values over the horizontal axis, in its order.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// What it is; without one it is not in the legend.
    pub(crate) name: String,
    /// Another colour than that of its scale.
    pub(crate) color: Option<Color>,
    /// Both values of each point.
    pub(crate) points: Vec<(f64, f64)>,
    /// Its form.
    pub(crate) form: Form,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A line with a dot at each point.
    Line,
    /// A fine line.
    Fine,
    /// A dashed line, for what was not measured.
    Dashed,
    /// Dots.
    Dots,
}

/// A value of the horizontal axis with its meaning.
#[derive(Debug, Clone)]
pub(crate) struct Marker {
    /// Where.
    pub(crate) x: f64,
    /// What.
    pub(crate) label: String,
}

impl Chart {
    /// The picture as SVG, which scales and has texts that can be searched.
    pub(crate) fn svg(&self) -> String {
        svg::write(&layout::scene(self))
    }

    /// The picture as PNG, for where SVG is not shown.
    pub(crate) fn png(&self) -> Vec<u8> {
        png::encode(&raster::draw(&layout::scene(self)))
    }
}
