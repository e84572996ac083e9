//! Draws the path over the plane.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Area, COLOURS, Drawn, FAINT, INK, draw_mark, short, text};
use crate::emotion::path::{MoodPath, Point};

/// The plane, with room for marks on its edge.
const EDGE: std::ops::Range<f64> = -1.05..1.05;

/// Distance of a name from its mark, so that they do not overlap.
const ASIDE: f64 = 0.045;

/// Number of parts in which a path is drawn, the old ones fainter.
const PARTS: usize = 24;

/// Opacity of the oldest part.
const OLDEST: f64 = 0.12;

/// Number of latest events whose marks are drawn.
const MARKED: usize = 40;

pub(super) fn draw(paths: &[MoodPath], area: &Area<'_>, root: &Area<'_>) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .margin(18)
        .x_label_area_size(34)
        .y_label_area_size(42)
        .build_cartesian_2d(EDGE, EDGE)?;
    chart
        .configure_mesh()
        .x_labels(5)
        .y_labels(5)
        .max_light_lines(0)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style(("sans-serif", 13, &INK))
        .x_desc("valence")
        .y_desc("arousal")
        .draw()?;
    for (middle, radius) in paths.iter().filter_map(|path| path.neutral).take(1) {
        let ring = (0..=60).map(|step| {
            let (sin, cos) = circle(f64::from(step) / 60.0);
            (middle.valence + radius * cos, middle.arousal + radius * sin)
        });
        chart.draw_series(std::iter::once(PathElement::new(
            ring.collect::<Vec<_>>(),
            FAINT.stroke_width(2),
        )))?;
        let below = (middle.valence, middle.arousal - radius - ASIDE);
        let name = Text::new("neutral", below, text(12, &INK, HPos::Center));
        chart.plotting_area().draw(&name)?;
    }
    for (path, colour) in paths.iter().zip(&COLOURS) {
        for (part, seen) in parts(&path.points) {
            let line = part.iter().map(|p| (p.valence, p.arousal));
            chart.draw_series(LineSeries::new(line, colour.mix(seen).stroke_width(2)))?;
        }
        let skipped = path.events.len().saturating_sub(MARKED);
        for felt in &path.events[skipped..] {
            let place = (felt.point.valence, felt.point.arousal);
            draw_mark(root, chart.backend_coord(&place), felt.source, *colour)?;
        }
    }
    let corners = [
        ("excited", 0.98, 0.97, HPos::Right),
        ("frustrated", -0.98, 0.97, HPos::Left),
        ("calm", 0.98, -0.97, HPos::Right),
        ("depleted", -0.98, -0.97, HPos::Left),
    ];
    for (name, x, y, side) in corners {
        let mark = Text::new(name, (x, y), text(15, &INK, side));
        chart.plotting_area().draw(&mark)?;
    }
    for (path, colour) in paths.iter().zip(&COLOURS) {
        let ends = path.points.first().zip(path.points.last());
        let Some((first, last)) = ends else { continue };
        for (point, filled) in [(first, false), (last, true)] {
            let style = ShapeStyle {
                filled,
                ..colour.stroke_width(2)
            };
            let place = (point.valence, point.arousal);
            chart.plotting_area().draw(&Circle::new(place, 6, style))?;
        }
        // On the side that has room.
        let left = last.valence > 0.5;
        let (step, side) = if left {
            (-ASIDE, HPos::Right)
        } else {
            (ASIDE, HPos::Left)
        };
        let place = (last.valence + step, last.arousal + ASIDE);
        let name = Text::new(short(&path.name), place, text(13, colour, side));
        chart.plotting_area().draw(&name)?;
    }
    Ok(())
}

/// The points of a path in parts, each with its opacity.
fn parts(points: &[Point]) -> impl Iterator<Item = (&[Point], f64)> {
    let long = points.len().div_ceil(PARTS).max(2);
    let count = points.len().div_ceil(long).max(1);
    (0..count).map(move |index| {
        let start = index * long;
        // One more point, so that the parts are connected.
        let end = (start + long + 1).min(points.len());
        let age = (index + 1) as f64 / count as f64;
        (&points[start..end], OLDEST + (1.0 - OLDEST) * age)
    })
}

#[allow(clippy::disallowed_methods, reason = "a picture, not a state")]
fn circle(part: f64) -> (f64, f64) {
    (part * std::f64::consts::TAU).sin_cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hang_together_and_fade_with_age() {
        for count in [1_usize, 2, 3, 50, 1000, 4001] {
            let points: Vec<_> = (0..count)
                .map(|at| Point {
                    at: at as f64,
                    valence: 0.0,
                    arousal: 0.0,
                })
                .collect();
            let parts: Vec<_> = parts(&points).collect();
            assert!(parts.len() <= PARTS);
            assert_eq!(parts[0].0[0], points[0]);
            assert_eq!(parts.last().unwrap().0.last(), points.last());
            for pair in parts.windows(2) {
                assert_eq!(pair[0].0.last(), pair[1].0.first());
                assert!(pair[0].1 < pair[1].1);
            }
            assert!((parts.last().unwrap().1 - 1.0).abs() < 1e-12);
        }
    }
}
