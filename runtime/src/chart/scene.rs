//! What is drawn: lines, dots and texts, in points from the upper left corner.

/// A colour: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Color(pub(crate) u8, pub(crate) u8, pub(crate) u8);

/// Texts.
pub(super) const INK: Color = Color(0x1f, 0x23, 0x28);
/// Less important texts, and axes.
pub(super) const GREY: Color = Color(0x57, 0x60, 0x6a);
/// Lines to read values by.
pub(super) const GRID: Color = Color(0xe2, 0xe6, 0xea);
/// What must not be passed.
pub(super) const ALARM: Color = Color(0xb4, 0x1a, 0x2b);
/// Behind everything.
pub(super) const PAPER: Color = Color(0xff, 0xff, 0xff);

/// A place.
pub(super) type Place = (f64, f64);

/// A picture, from the back to the front.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    /// What it shows, for those who do not see it.
    pub(super) description: String,
    pub(super) shapes: Vec<Shape>,
}

#[derive(Debug)]
pub(super) enum Shape {
    Line {
        points: Vec<Place>,
        width: f64,
        color: Color,
        dashed: bool,
    },
    Dot {
        center: Place,
        radius: f64,
        color: Color,
    },
    Text {
        /// The end of the text that `anchor` says, on its base line.
        at: Place,
        size: TextSize,
        anchor: Anchor,
        color: Color,
        text: String,
    },
}

/// The sizes of texts: those that glyphs are there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextSize {
    Small,
    Title,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl TextSize {
    /// The height of a line, in points.
    pub(super) fn points(self) -> f64 {
        match self {
            Self::Small => 12.0,
            Self::Title => 16.0,
        }
    }

    /// The width of a text at most, in points: every glyph of the PNG's font is as
    /// wide, and those of other fonts are narrower on average.
    pub(super) fn width(self, text: &str) -> f64 {
        text.chars().map(|_| self.points() * 0.6).sum()
    }
}

/// The pieces of a dashed line, in order.
pub(super) fn dashes(points: &[Place], on: f64, off: f64) -> Vec<[Place; 2]> {
    let mut pieces = vec![];
    // How much of the current dash, or gap, is left.
    let (mut drawing, mut left) = (true, on);
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let along = |distance: f64| {
            let share = distance / length;
            (
                from.0 + share * (to.0 - from.0),
                from.1 + share * (to.1 - from.1),
            )
        };
        let mut done = 0.0;
        while done < length {
            let end = (done + left).min(length);
            if drawing {
                pieces.push([along(done), along(end)]);
            }
            left -= end - done;
            done = end;
            if left <= 1e-9 {
                drawing = !drawing;
                left = if drawing { on } else { off };
            }
        }
    }
    pieces
}
