//! Duration and cost over memory.

use super::report::mb;
use super::summary::Figures;
use super::{Report, Summary};
use crate::chart::{Chart, Form, LEFT, Marker, RIGHT, Scale, Series, Side};

/// A figure, with its name and form.
type Drawn<'a> = (&'a str, Form, fn(&Figures) -> f64);

impl Report {
    /// The picture of the sweep.
    pub(crate) fn chart(&self) -> Chart {
        let drawn = self.sizes.iter().filter(|size| size.figures.is_some());
        let x_ticks = drawn.map(|size| f64::from(size.memory_size_mb)).collect();
        Chart {
            title: self.title(),
            subtitle: format!(
                "{}: warm invocations, prices of {} on {}",
                self.subject.image, self.price.region, self.price.architecture
            ),
            x_label: "memory size, MB".to_owned(),
            x_scale: Scale::Logarithmic,
            x_ticks,
            left: Side {
                label: "duration, ms".to_owned(),
                color: LEFT,
                series: self.series(&[
                    ("duration, median", Form::Line, |figures| {
                        figures.duration_p50_ms
                    }),
                    ("duration, 95th percentile", Form::Fine, |figures| {
                        figures.duration_p95_ms
                    }),
                ]),
                limit: None,
            },
            right: Some(Side {
                label: "cost, USD per million".to_owned(),
                color: RIGHT,
                series: self.series(&[("cost", Form::Line, |figures| figures.cost_per_million)]),
                limit: None,
            }),
            markers: self.markers(),
        }
    }

    fn title(&self) -> String {
        self.verdict.as_ref().map_or_else(
            || "No memory size was enough".to_owned(),
            |verdict| {
                format!(
                    "Cheapest {} MB, fastest {} MB, balanced {} MB",
                    mb(verdict.cheapest_mb),
                    mb(verdict.fastest_mb),
                    mb(verdict.balanced_mb)
                )
            },
        )
    }

    /// Each figure, measured, and beyond the host (joined to the last measured one).
    fn series(&self, figures: &[Drawn<'_>]) -> Vec<Series> {
        let mut series = vec![];
        for (name, form, figure) in figures {
            let point = |size: &Summary| {
                let figures = size.figures.as_ref()?;
                Some((f64::from(size.memory_size_mb), figure(figures)))
            };
            let (beyond, measured): (Vec<_>, Vec<_>) =
                self.sizes.iter().partition(|size| size.extrapolated);
            let measured: Vec<_> = measured.into_iter().filter_map(point).collect();
            let beyond = beyond.into_iter().filter_map(point);
            let beyond: Vec<_> = measured.last().copied().into_iter().chain(beyond).collect();
            series.push(Series {
                name: (*name).to_owned(),
                color: None,
                points: measured,
                form: *form,
            });
            if beyond.len() > 1 && *form == Form::Line {
                series.push(Series {
                    name: format!("{name}, extrapolated"),
                    color: None,
                    points: beyond,
                    form: Form::Dashed,
                });
            }
        }
        series
    }

    /// The sizes of the verdict, one label for each size.
    fn markers(&self) -> Vec<Marker> {
        let Some(verdict) = &self.verdict else {
            return vec![];
        };
        let mut markers: Vec<Marker> = vec![];
        let no_faster = (!verdict.helps_to_the_end).then_some(verdict.stops_helping_mb);
        for (size, word) in [
            (Some(verdict.cheapest_mb), "cheapest"),
            (Some(verdict.balanced_mb), "balanced"),
            (Some(verdict.fastest_mb), "fastest"),
            (no_faster, "no faster beyond"),
        ] {
            let Some(size) = size.map(f64::from) else {
                continue;
            };
            match markers
                .iter_mut()
                .find(|marker| (marker.x - size).abs() < 0.5)
            {
                Some(marker) => marker.label = format!("{}, {word}", marker.label),
                None => markers.push(Marker {
                    x: size,
                    label: word.to_owned(),
                }),
            }
        }
        markers
    }
}
