//! A scene as pixels, smooth at the edges.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::scene::{Anchor, Color, PAPER, Place, Scene, Shape, TextSize, dashes};

/// Pixels for a point: sharp on screens of today.
const SCALE: f64 = 2.0;
/// How much of a glyph's height is above its base line.
const ASCENT: f64 = 0.78;

/// Rows of pixels from the top, each three bytes.
#[derive(Debug)]
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn draw(scene: &Scene) -> Pixels {
    let (width, height) = (pixel(scene.width * SCALE), pixel(scene.height * SCALE));
    let Color(red, green, blue) = PAPER;
    let count = width as usize * height as usize;
    let mut pixels = Pixels {
        width,
        height,
        bytes: [red, green, blue].repeat(count),
    };
    for shape in &scene.shapes {
        pixels.shape(shape);
    }
    pixels
}

impl Pixels {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Line {
                points,
                width,
                color,
                dashed,
            } => {
                let pieces = if *dashed {
                    dashes(points, 5.0, 4.0)
                } else {
                    points.windows(2).map(|pair| [pair[0], pair[1]]).collect()
                };
                for [from, to] in pieces {
                    self.stroke(scaled(from), scaled(to), width * SCALE / 2.0, *color);
                }
            }
            Shape::Dot {
                center,
                radius,
                color,
            } => self.stroke(scaled(*center), scaled(*center), radius * SCALE, *color),
            Shape::Text {
                at,
                size,
                anchor,
                color,
                text,
            } => self.text(scaled(*at), *size, *anchor, *color, text),
        }
    }

    /// Everything that is no farther than `reach` from the line.
    fn stroke(&mut self, from: Place, to: Place, reach: f64, color: Color) {
        let margin = reach + 1.0;
        let columns = pixel(from.0.min(to.0) - margin)..=pixel(from.0.max(to.0) + margin);
        for y in pixel(from.1.min(to.1) - margin)..=pixel(from.1.max(to.1) + margin) {
            for x in columns.clone() {
                let center = (f64::from(x) + 0.5, f64::from(y) + 0.5);
                let coverage = reach + 0.5 - distance(center, from, to);
                self.blend(x, y, color, coverage.clamp(0.0, 1.0));
            }
        }
    }

    fn text(&mut self, at: Place, size: TextSize, anchor: Anchor, color: Color, text: &str) {
        let (height, weight) = match size {
            TextSize::Small => (RasterHeight::Size24, FontWeight::Regular),
            TextSize::Title => (RasterHeight::Size32, FontWeight::Bold),
        };
        let advance = u32::try_from(get_raster_width(weight, height)).unwrap_or(0);
        let count = u32::try_from(text.chars().count()).unwrap_or(0);
        let whole = f64::from(advance * count);
        let start = match anchor {
            Anchor::Start => at.0,
            Anchor::Middle => at.0 - whole / 2.0,
            Anchor::End => at.0 - whole,
        };
        let top = pixel(at.1 - size.points() * SCALE * ASCENT);
        let mut left = pixel(start);
        for character in text.chars() {
            let known = get_raster(character, weight, height);
            if let Some(glyph) = known.or_else(|| get_raster('?', weight, height)) {
                for (y, row) in (top..).zip(glyph.raster()) {
                    for (x, intensity) in (left..).zip(row.iter()) {
                        self.blend(x, y, color, f64::from(*intensity) / 255.0);
                    }
                }
            }
            left += advance;
        }
    }

    /// Covers a pixel by a share of a colour. Outside of the picture is nothing.
    fn blend(&mut self, x: u32, y: u32, Color(red, green, blue): Color, share: f64) {
        if share <= 0.0 || x >= self.width || y >= self.height {
            return;
        }
        let index = 3 * (y as usize * self.width as usize + x as usize);
        for (byte, color) in self.bytes[index..index + 3]
            .iter_mut()
            .zip([red, green, blue])
        {
            let mixed = f64::from(*byte) * (1.0 - share) + f64::from(color) * share;
            *byte = u8::try_from(pixel(mixed.round())).unwrap_or(u8::MAX);
        }
    }
}

fn scaled((x, y): Place) -> Place {
    (x * SCALE, y * SCALE)
}

/// The distance of a point from the nearest point of a line.
fn distance(point: Place, from: Place, to: Place) -> f64 {
    let along = (to.0 - from.0, to.1 - from.1);
    let length = along.0 * along.0 + along.1 * along.1;
    let share = if length > 0.0 {
        ((point.0 - from.0) * along.0 + (point.1 - from.1) * along.1) / length
    } else {
        0.0
    }
    .clamp(0.0, 1.0);
    (point.0 - from.0 - share * along.0).hypot(point.1 - from.1 - share * along.1)
}

/// The pixel of a place; the first one for what is before it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and pictures have a few thousand pixels"
)]
fn pixel(place: f64) -> u32 {
    place.max(0.0) as u32
}
