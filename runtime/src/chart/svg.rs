//! A scene as SVG.

use std::fmt::Write;

use super::scene::{Anchor, Color, PAPER, Scene, Shape, TextSize};

/// Fonts that are about as wide as the layout assumes, or narrower.
const FONTS: &str = "system-ui, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', Arial, sans-serif";

pub(super) fn write(scene: &Scene) -> String {
    let (width, height) = (scene.width, scene.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\" font-family=\"{FONTS}\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n",
        escape(&scene.description),
        hex(PAPER)
    );
    for shape in &scene.shapes {
        svg.push_str(&element(shape));
        svg.push('\n');
    }
    svg.push_str("</svg>\n");
    svg
}

fn element(shape: &Shape) -> String {
    match shape {
        Shape::Line {
            points,
            width,
            color,
            dashed,
        } => {
            let mut places = String::new();
            for (x, y) in points {
                // A string takes all that is written to it.
                let _ = write!(places, "{x:.1},{y:.1} ");
            }
            format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"{}/>",
                places.trim_end(),
                hex(*color),
                if *dashed {
                    " stroke-dasharray=\"5 4\""
                } else {
                    ""
                }
            )
        }
        Shape::Dot {
            center: (x, y),
            radius,
            color,
        } => format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{}\"/>",
            hex(*color)
        ),
        Shape::Text {
            at: (x, y),
            size,
            anchor,
            color,
            text,
        } => format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{}\" text-anchor=\"{}\"{} fill=\"{}\">{}\
             </text>",
            size.points(),
            match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            },
            if *size == TextSize::Title {
                " font-weight=\"600\""
            } else {
                ""
            },
            hex(*color),
            escape(text)
        ),
    }
}

fn hex(Color(red, green, blue): Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Texts may come from images: nothing of them is markup, and what XML does not
/// allow is left out.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            character if character.is_control() => {}
            character => escaped.push(character),
        }
    }
    escaped
}
