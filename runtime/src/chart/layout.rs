//! A chart to a scene: where everything is.

use super::scale::{Axis, Scale, label, ticks};
use super::scene::{ALARM, Anchor, Color, GREY, GRID, INK, Place, Scene, Shape, TextSize};
use super::{Chart, Form, Side};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
/// Between neighbouring texts.
const GAP: f64 = 8.0;
/// From one line of text to the next.
const LINE: f64 = 16.0;

/// The area of the series.
#[derive(Debug, Clone, Copy)]
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

pub(super) fn scene(chart: &Chart) -> Scene {
    let mut shapes = vec![];
    text(
        &mut shapes,
        (20.0, 28.0),
        TextSize::Title,
        Anchor::Start,
        INK,
        &fitted(&chart.title, TextSize::Title),
    );
    text(
        &mut shapes,
        (20.0, 47.0),
        TextSize::Small,
        Anchor::Start,
        GREY,
        &fitted(&chart.subtitle, TextSize::Small),
    );
    let frame_left = 20.0 + widest_label(&chart.left);
    let right_labels = chart.right.as_ref().map_or(0.0, widest_label);
    let frame_right = WIDTH - 24.0 - right_labels;
    let x = Axis::new(
        chart.x_scale,
        x_range(chart),
        (frame_left + 14.0, frame_right - 14.0),
    );
    let marker_rows = rows_of_markers(chart, &x, frame_right);
    let rows = marker_rows.iter().map(|row| row + 1).max().unwrap_or(0);
    let frame = Frame {
        left: frame_left,
        right: frame_right,
        top: 86.0 + LINE * f64::from(rows),
        bottom: HEIGHT - 70.0,
    };
    side(&mut shapes, &chart.left, frame, true);
    if let Some(right) = &chart.right {
        side(&mut shapes, right, frame, false);
    }
    horizontal_axis(&mut shapes, chart, &x, frame);
    for (marker, row) in chart.markers.iter().zip(&marker_rows) {
        let place = x.place(marker.x);
        let y = 86.0 + LINE * f64::from(*row) + 6.0;
        line(
            &mut shapes,
            vec![(place, y + 4.0), (place, frame.bottom)],
            1.0,
            GREY,
            true,
        );
        let (at, anchor) = beside(place, &marker.label, frame.right);
        text(
            &mut shapes,
            (at, y),
            TextSize::Small,
            anchor,
            INK,
            &marker.label,
        );
    }
    let sides = std::iter::once(&chart.left).chain(&chart.right);
    for side in sides.clone() {
        let y = value_axis(side, frame);
        for series in &side.series {
            let points: Vec<_> = series
                .points
                .iter()
                .map(|point| (x.place(point.0), y.place(point.1)))
                .collect();
            let color = series.color.unwrap_or(side.color);
            draw_series(&mut shapes, points, series.form, color);
        }
    }
    legend(&mut shapes, sides);
    Scene {
        width: WIDTH,
        height: HEIGHT,
        description: format!("{}. {}", chart.title, chart.subtitle),
        shapes,
    }
}

/// As much of a text as there is room for.
fn fitted(text: &str, size: TextSize) -> String {
    let room = WIDTH - 40.0;
    if size.width(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    for character in text.chars() {
        if size.width(&short) + size.width("....") > room {
            break;
        }
        short.push(character);
    }
    short + "..."
}

/// The values of the horizontal axis.
fn x_range(chart: &Chart) -> (f64, f64) {
    let sides = std::iter::once(&chart.left).chain(&chart.right);
    let points = sides
        .flat_map(|side| &side.series)
        .flat_map(|series| &series.points);
    let values = points
        .map(|point| point.0)
        .chain(chart.x_ticks.iter().copied());
    let range = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if range.0.is_finite() {
        range
    } else {
        (1.0, 1.0)
    }
}

/// The highest value that a scale must show.
fn highest(side: &Side) -> f64 {
    let points = side.series.iter().flat_map(|series| &series.points);
    let value = points.map(|point| point.1).fold(0.0, f64::max);
    match &side.limit {
        // One that is far away would press the series to the ground.
        Some((limit, _)) if *limit <= value * 2.5 => limit.max(value) * 1.02,
        _ => value * 1.02,
    }
}

fn value_axis(side: &Side, frame: Frame) -> Axis {
    let top = ticks(highest(side)).last().copied().unwrap_or(1.0);
    Axis::new(Scale::Linear, (0.0, top), (frame.bottom, frame.top))
}

fn labels(side: &Side) -> Vec<(f64, String)> {
    let ticks = ticks(highest(side));
    let step = ticks.get(1).copied().unwrap_or(1.0);
    ticks
        .iter()
        .map(|tick| (*tick, label(*tick, step)))
        .collect()
}

fn widest_label(side: &Side) -> f64 {
    let widths = labels(side).into_iter();
    widths
        .map(|(_, label)| TextSize::Small.width(&label))
        .fold(0.0, f64::max)
}

fn side(shapes: &mut Vec<Shape>, side: &Side, frame: Frame, is_left: bool) {
    let axis = value_axis(side, frame);
    for (value, label) in labels(side) {
        let y = axis.place(value);
        if is_left {
            line(
                shapes,
                vec![(frame.left, y), (frame.right, y)],
                1.0,
                GRID,
                false,
            );
        }
        let (at, anchor) = if is_left {
            (frame.left - GAP, Anchor::End)
        } else {
            (frame.right + GAP, Anchor::Start)
        };
        text(
            shapes,
            (at, y + 4.0),
            TextSize::Small,
            anchor,
            side.color,
            &label,
        );
    }
    let (at, anchor, edge) = if is_left {
        (20.0, Anchor::Start, frame.left)
    } else {
        (WIDTH - 20.0, Anchor::End, frame.right)
    };
    line(
        shapes,
        vec![(edge, frame.top), (edge, frame.bottom)],
        1.5,
        side.color,
        false,
    );
    text(
        shapes,
        (at, 72.0),
        TextSize::Small,
        anchor,
        side.color,
        &side.label,
    );
    if let Some((limit, name)) = &side.limit
        && *limit <= highest(side)
    {
        let y = axis.place(*limit);
        line(
            shapes,
            vec![(frame.left, y), (frame.right, y)],
            1.5,
            ALARM,
            true,
        );
        text(
            shapes,
            (frame.left + GAP, y - 5.0),
            TextSize::Small,
            Anchor::Start,
            ALARM,
            name,
        );
    }
}

fn horizontal_axis(shapes: &mut Vec<Shape>, chart: &Chart, x: &Axis, frame: Frame) {
    line(
        shapes,
        vec![(frame.left, frame.bottom), (frame.right, frame.bottom)],
        1.5,
        GREY,
        false,
    );
    let (low, high) = x_range(chart);
    let values = if chart.x_ticks.is_empty() {
        ticks(high)
            .into_iter()
            .filter(|tick| (low..=high).contains(tick))
            .collect()
    } else {
        chart.x_ticks.clone()
    };
    let mut free_from = f64::NEG_INFINITY;
    for value in values {
        let place = x.place(value);
        let tick = [(place, frame.bottom), (place, frame.bottom + 5.0)];
        line(shapes, tick.to_vec(), 1.0, GREY, false);
        let label = label(value, 1.0);
        let half = TextSize::Small.width(&label) / 2.0;
        // A label that would touch its neighbour is left out; its tick stays.
        if place - half > free_from {
            let at = (place, frame.bottom + 18.0);
            text(shapes, at, TextSize::Small, Anchor::Middle, GREY, &label);
            free_from = place + half + GAP;
        }
    }
    let at = (f64::midpoint(frame.left, frame.right), frame.bottom + 36.0);
    text(
        shapes,
        at,
        TextSize::Small,
        Anchor::Middle,
        GREY,
        &chart.x_label,
    );
}

/// The row of each marker's label, so that none lies over another.
fn rows_of_markers(chart: &Chart, x: &Axis, right: f64) -> Vec<u32> {
    let mut taken: Vec<(u32, f64, f64)> = vec![];
    let mut rows = vec![];
    for marker in &chart.markers {
        let width = TextSize::Small.width(&marker.label);
        let (start, end) = match beside(x.place(marker.x), &marker.label, right) {
            (at, Anchor::End) => (at - width, at),
            (at, _) => (at, at + width),
        };
        let meets = |row: u32| {
            taken
                .iter()
                .any(|(other, from, to)| *other == row && start - GAP < *to && end + GAP > *from)
        };
        // Each label takes part of one row.
        let rows_at_most = u32::try_from(chart.markers.len()).unwrap_or(u32::MAX);
        let row = (0..rows_at_most).find(|row| !meets(*row)).unwrap_or(0);
        taken.push((row, start, end));
        rows.push(row);
    }
    rows
}

/// A label goes to the right of its line, or to the left where there is no room.
fn beside(place: f64, label: &str, right: f64) -> (f64, Anchor) {
    if place - 3.0 + TextSize::Small.width(label) <= right + 30.0 {
        (place - 3.0, Anchor::Start)
    } else {
        (place + 3.0, Anchor::End)
    }
}

fn draw_series(shapes: &mut Vec<Shape>, points: Vec<Place>, form: Form, color: Color) {
    if matches!(form, Form::Line | Form::Dots) {
        let radius = if form == Form::Line { 3.5 } else { 1.8 };
        for center in &points {
            shapes.push(Shape::Dot {
                center: *center,
                radius,
                color,
            });
        }
    }
    let width = if form == Form::Line { 2.5 } else { 1.2 };
    if form != Form::Dots {
        line(shapes, points, width, color, form == Form::Dashed);
    }
}

/// What is which, below the chart; in several lines if it must be.
fn legend<'a>(shapes: &mut Vec<Shape>, sides: impl Iterator<Item = &'a Side>) {
    let (mut left, mut y) = (20.0, HEIGHT - 18.0);
    for side in sides {
        for series in side.series.iter().filter(|series| !series.name.is_empty()) {
            let width = 34.0 + TextSize::Small.width(&series.name);
            if left + width > WIDTH - 10.0 && left > 20.0 {
                left = 20.0;
                y += 13.0;
            }
            let sample = vec![(left, y - 4.0), (left + 26.0, y - 4.0)];
            let color = series.color.unwrap_or(side.color);
            draw_series(shapes, sample, series.form, color);
            text(
                shapes,
                (left + 34.0, y),
                TextSize::Small,
                Anchor::Start,
                INK,
                &series.name,
            );
            left += width + 20.0;
        }
    }
}

fn line(shapes: &mut Vec<Shape>, points: Vec<Place>, width: f64, color: Color, dashed: bool) {
    shapes.push(Shape::Line {
        points,
        width,
        color,
        dashed,
    });
}

fn text(
    shapes: &mut Vec<Shape>,
    at: Place,
    size: TextSize,
    anchor: Anchor,
    color: Color,
    text: &str,
) {
    shapes.push(Shape::Text {
        at,
        size,
        anchor,
        color,
        text: text.to_owned(),
    });
}
