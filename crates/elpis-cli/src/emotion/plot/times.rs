//! Draws valence and arousal over time.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Area, COLOURS, Drawn, FAINT, HEAD, INK, SIZE, draw_mark, text};
use crate::emotion::path::{MoodPath, Point};

/// Maximum number of events that are named; if there are more, only their places are shown.
const MAX_NAMES: usize = 24;

const EDGE: std::ops::Range<f64> = -1.05..1.05;

pub(super) fn draw(paths: &[MoodPath], area: &Area<'_>, root: &Area<'_>) -> Drawn {
    let ends = paths.iter().filter_map(|path| path.points.last());
    let longest = ends.map(|point| point.at).fold(0.0, f64::max);
    let (scale, unit) = unit(longest);
    let end = if longest > 0.0 { longest / scale } else { 1.0 };
    let named = paths.iter().map(|path| path.events.len()).sum::<usize>() <= MAX_NAMES;
    let (above, below) = area.split_vertically((SIZE.1 - HEAD) / 2);
    let halves = [(above, "valence", ""), (below, "arousal", unit)];
    for (index, (half, name, unit)) in halves.into_iter().enumerate() {
        let mut chart = ChartBuilder::on(&half)
            .margin(18)
            .x_label_area_size(34)
            .y_label_area_size(42)
            .build_cartesian_2d(0.0..end, EDGE)?;
        chart
            .configure_mesh()
            .y_labels(5)
            .max_light_lines(0)
            .bold_line_style(FAINT)
            .axis_style(INK)
            .label_style(("sans-serif", 13, &INK))
            .x_desc(unit)
            .y_desc(name)
            .draw()?;
        for (path, colour) in paths.iter().zip(&COLOURS) {
            let value = |point: &Point| match index {
                0 => point.valence,
                _ => point.arousal,
            };
            let line = path.points.iter().map(|p| (p.at / scale, value(p)));
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
            for (number, felt) in path.events.iter().enumerate() {
                let place = (felt.point.at / scale, value(&felt.point));
                draw_mark(root, chart.backend_coord(&place), felt.source, *colour)?;
                if named && index == 0 {
                    // Every other name is below, so that names do not overlap.
                    let side = if number % 2 == 0 { 0.12 } else { -0.12 };
                    let beyond = place.0 > end * 0.7;
                    let anchor = if beyond { HPos::Right } else { HPos::Left };
                    let place = (place.0, (place.1 + side).clamp(-0.95, 0.95));
                    let name = Text::new(felt.name.as_str(), place, text(12, &INK, anchor));
                    chart.plotting_area().draw(&name)?;
                }
            }
        }
    }
    Ok(())
}

/// The unit that suits this many seconds.
fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s < 180.0 => (1.0, "seconds"),
        s if s < 3.0 * 3600.0 => (60.0, "minutes"),
        s if s < 72.0 * 3600.0 => (3600.0, "hours"),
        _ => (86_400.0, "days"),
    }
}
