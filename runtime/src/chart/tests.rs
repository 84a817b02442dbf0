//! Charts in general, and that both of their forms can be read.

use proptest::prelude::*;

use super::scale::{Axis, label, ticks};
use super::scene::{Anchor, Scene, Shape, dashes};
use super::*;

fn chart(points: Vec<(f64, f64)>, markers: Vec<f64>) -> Chart {
    Chart {
        title: "Cheapest: 512 MB <&>".to_owned(),
        subtitle: "an image".to_owned(),
        x_label: "memory, MB".to_owned(),
        x_scale: Scale::Logarithmic,
        x_ticks: points.iter().map(|point| point.0).collect(),
        left: Side {
            label: "duration, ms".to_owned(),
            color: LEFT,
            series: vec![Series {
                name: "p50".to_owned(),
                color: None,
                points: points.clone(),
                form: Form::Line,
            }],
            limit: None,
        },
        right: Some(Side {
            label: "cost, USD".to_owned(),
            color: RIGHT,
            series: vec![Series {
                name: "cost".to_owned(),
                color: None,
                points,
                form: Form::Dashed,
            }],
            limit: None,
        }),
        markers: markers
            .into_iter()
            .map(|x| Marker {
                x,
                label: format!("marker at {x} MB"),
            })
            .collect(),
    }
}

fn sweep() -> Chart {
    let sizes = [128.0, 256.0, 512.0, 1_024.0, 1_769.0, 3_008.0];
    chart(
        sizes.map(|size| (size, 100_000.0 / size)).to_vec(),
        vec![128.0, 512.0, 1_769.0, 3_008.0],
    )
}

/// The rectangles of all texts.
fn boxes(scene: &Scene) -> Vec<(f64, f64, f64, f64, &str)> {
    let rectangle = |shape| match shape {
        &Shape::Text {
            at: (x, y),
            size,
            anchor,
            ref text,
            ..
        } => {
            let width = size.width(text);
            let left = match anchor {
                Anchor::Start => x,
                Anchor::Middle => x - width / 2.0,
                Anchor::End => x - width,
            };
            let height = size.points();
            Some((left, left + width, y - 0.7 * height, y, text.as_str()))
        }
        _ => None,
    };
    scene.shapes.iter().filter_map(rectangle).collect()
}

proptest! {
    #[test]
    fn no_text_lies_over_another_or_leaves_the_picture(
        values in proptest::collection::vec(0.001_f64..1e7, 1..9),
        marked in proptest::collection::vec(0..9_usize, 0..5),
        title_length in 0..10_usize,
    ) {
        let points: Vec<_> = [128.0, 256.0, 300.0, 512.0, 1_024.0, 1_769.0, 3_008.0, 5_307.0, 10_240.0]
            .into_iter()
            .zip(values)
            .collect();
        let markers = marked.iter().filter_map(|index| points.get(*index)).map(|point| point.0);
        let mut chart = chart(points.clone(), markers.collect());
        chart.subtitle = "an image with a long name".repeat(title_length);
        let scene = layout::scene(&chart);
        let boxes = boxes(&scene);
        for (index, one) in boxes.iter().enumerate() {
            prop_assert!(one.0 >= 0.0 && one.1 <= scene.width && one.3 <= scene.height, "{one:?}");
            for other in &boxes[..index] {
                let meet = one.0 < other.1 && other.0 < one.1 && one.2 < other.3 && other.2 < one.3;
                prop_assert!(!meet, "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn ticks_are_round_and_reach_the_highest_value(highest in 1e-6_f64..1e12) {
        let ticks = ticks(highest);
        prop_assert!((2..=12).contains(&ticks.len()), "{ticks:?}");
        prop_assert!(ticks.last().is_some_and(|last| *last >= highest * (1.0 - 1e-9)));
        prop_assert!(ticks[ticks.len() - 2] < highest);
    }

    #[test]
    fn dashes_are_on_the_line_and_as_long_as_said(length in 0.1_f64..100.0) {
        let pieces = dashes(&[(0.0, 0.0), (length / 2.0, 0.0), (length, 0.0)], 5.0, 4.0);
        let drawn: f64 = pieces.iter().map(|[from, to]| to.0 - from.0).sum();
        let periods = (length / 9.0).floor();
        let expected = periods * 5.0 + (length - periods * 9.0).min(5.0);
        prop_assert!((drawn - expected).abs() < 1e-6, "{drawn} {expected}");
    }
}

#[test]
fn labels_have_the_digits_of_their_step() {
    for (value, step, text) in [
        (0.0, 500.0, "0"),
        (12_500.0, 500.0, "12,500"),
        (0.3, 0.1, "0.3"),
        (1_234.5, 0.5, "1,234.5"),
        (0.04, 0.02, "0.04"),
    ] {
        assert_eq!(label(value, step), text);
    }
    assert_eq!(thousands("-1234567.25"), "-1,234,567.25");
}

#[test]
fn equal_ratios_are_equal_distances() {
    let axis = Axis::new(Scale::Logarithmic, (128.0, 2_048.0), (0.0, 400.0));
    for (value, place) in [(128.0, 0.0), (256.0, 100.0), (1_024.0, 300.0)] {
        assert!((axis.place(value) - place).abs() < 1e-9, "{value}");
    }
    let one = Axis::new(Scale::Linear, (5.0, 5.0), (0.0, 400.0));
    assert!((one.place(5.0) - 200.0).abs() < 1e-9);
}

#[test]
fn svg_is_xml_with_every_text() {
    let svg = sweep().svg();
    assert!(svg.contains("Cheapest: 512 MB &lt;&amp;&gt;"), "{svg}");
    for text in ["duration, ms", "cost, USD", "1,769", "memory, MB", "p50"] {
        assert!(svg.contains(text), "{text}: {svg}");
    }
}

#[test]
fn png_shows_both_colours() {
    let bytes = sweep().png();
    let decoder = ::png::Decoder::new(std::io::Cursor::new(&bytes));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (1_720, 960));
    for Color(red, green, blue) in [LEFT, RIGHT] {
        let count = pixels
            .chunks(3)
            .filter(|pixel| *pixel == [red, green, blue])
            .count();
        assert!(count > 500, "{count} pixels");
    }
    assert!(bytes.len() < 200_000, "{} bytes", bytes.len());
}
