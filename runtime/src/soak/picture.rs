//! A picture for each resource.

use super::Report;
use super::finding::{Course, points};
use super::resource::Resource;
use crate::chart::{Chart, Form, LEFT, RIGHT, Scale, Series, Side, thousands};

impl Report {
    /// A picture for each resource, with its name: also for what was not there, so that a
    /// run has the pictures of any other.
    pub(crate) fn charts(&self) -> Vec<(String, Chart)> {
        let courses = self.courses.iter();
        courses
            .map(|course| (course.resource.id().to_owned(), self.chart(course)))
            .collect()
    }

    fn is_absent(&self, resource: Resource) -> bool {
        let mut samples = self.samples.iter();
        samples.all(|sample| resource.value(sample) <= 0.0)
    }

    fn chart(&self, course: &Course) -> Chart {
        let resource = course.resource;
        let environments = self.environments();
        let several = environments.len() > 1;
        let mut series = vec![];
        for (number, samples) in environments.iter().enumerate() {
            series.push(Series {
                name: if several {
                    format!("environment {}", number + 1)
                } else {
                    "measured".to_owned()
                },
                color: None,
                points: points(resource, samples),
                form: Form::Dots,
            });
        }
        // More names than these do not fit below the picture.
        if several {
            for one in series.iter_mut().skip(1) {
                one.name.clear();
            }
            series[0].name = format!("{} environments", environments.len());
        }
        let label = match resource.unit() {
            "" => resource.title().to_owned(),
            unit => format!("{}, {unit}", resource.title()),
        };
        let limit = course.limit.map(|limit| {
            (
                limit,
                format!(
                    "limit, {} {}",
                    thousands(&format!("{limit:.0}")),
                    resource.unit()
                ),
            )
        });
        let fitted = course.growth.map(|growth| {
            let last = series
                .iter()
                .filter_map(|one| one.points.last())
                .map(|point| point.0);
            let last = last.fold(0.0, f64::max);
            let span = if growth.per_invocation.abs() > 0.0 {
                growth.total / growth.per_invocation
            } else {
                0.0
            };
            Series {
                name: "fitted line".to_owned(),
                color: Some(RIGHT),
                points: vec![
                    (last - span, (growth.level - growth.total).max(0.0)),
                    (last, growth.level.max(0.0)),
                ],
                form: Form::Fine,
            }
        });
        series.extend(fitted.filter(|_| course.finding.is_some()));
        Chart {
            title: if self.is_absent(resource) {
                format!("{}: none, from begin to end", resource.title())
            } else {
                title(course)
            },
            subtitle: format!(
                "{}: {} invocations in {} {}",
                self.subject.image,
                thousands(&self.subject.done.to_string()),
                environments.len(),
                if several {
                    "environments"
                } else {
                    "environment"
                }
            ),
            x_label: "invocation".to_owned(),
            x_scale: Scale::Linear,
            x_ticks: vec![],
            left: Side {
                label,
                color: LEFT,
                series,
                limit,
            },
            right: None,
            markers: vec![],
        }
    }
}

fn title(course: &Course) -> String {
    let name = course.resource.title();
    match &course.finding {
        Some(finding) => match finding.runs_out_at {
            Some(at) => {
                let at = thousands(&format!("{at:.0}"));
                format!("{name}: growing, runs out at invocation {at}")
            }
            None => format!("{name}: growing"),
        },
        None => format!("{name}: no growth found"),
    }
}
