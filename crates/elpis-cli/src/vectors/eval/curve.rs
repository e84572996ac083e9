//! Draws dose and response.

use plotters::prelude::*;

use super::summary::CORNERS;
use super::{Failure, Row};

const SIZE: (u32, u32) = (960, 420);
const INK: RGBColor = RGBColor(60, 64, 72);
const FAINT: RGBColor = RGBColor(214, 218, 224);

/// Colours of the corners, which most people can distinguish (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 4] = [
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
];

/// Valence and arousal of each corner over its strength, side by side, as SVG.
pub(super) fn draw(rows: &[Row]) -> Result<String, Failure> {
    let neutral = rows.iter().find(|row| row.influence == "neutral");
    let start = neutral
        .and_then(Row::judged)
        .ok_or("there is no judge: give --norms, or vectors with axes to read by")?;
    let curves: Vec<Vec<(f64, (f64, f64))>> = CORNERS
        .iter()
        .map(|(name, ..)| {
            let own = rows
                .iter()
                .filter(|row| row.emotion.as_deref() == Some(*name));
            let points = own.filter_map(|row| Some((row.strength?, row.judged()?)));
            std::iter::once((0.0, start)).chain(points).collect()
        })
        .collect();
    let mut picture = String::new();
    {
        let root = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(SIZE.0 / 2);
        for (index, (half, name)) in [(left, "valence"), (right, "arousal")]
            .into_iter()
            .enumerate()
        {
            let value = |point: &(f64, (f64, f64))| match index {
                0 => point.1.0,
                _ => point.1.1,
            };
            let all = || curves.iter().flatten().map(value);
            let (low, high) = (
                all().fold(f64::MAX, f64::min),
                all().fold(f64::MIN, f64::max),
            );
            let room = 0.1 * (high - low).max(0.1);
            let end = curves
                .iter()
                .flatten()
                .map(|point| point.0)
                .fold(0.1, f64::max);
            let mut chart = ChartBuilder::on(&half)
                .margin(18)
                .x_label_area_size(34)
                .y_label_area_size(46)
                .build_cartesian_2d(0.0..end, low - room..high + room)?;
            chart
                .configure_mesh()
                .max_light_lines(0)
                .bold_line_style(FAINT)
                .axis_style(INK)
                .label_style(("sans-serif", 13, &INK))
                .x_desc("strength")
                .y_desc(name)
                .draw()?;
            for ((curve, colour), (corner, ..)) in curves.iter().zip(COLOURS).zip(CORNERS) {
                let points = curve.iter().map(|point| (point.0, value(point)));
                chart
                    .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
                    .label(corner)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
            }
            if index == 0 {
                chart
                    .configure_series_labels()
                    .position(SeriesLabelPosition::LowerLeft)
                    .label_font(("sans-serif", 13, &INK))
                    .border_style(FAINT)
                    .draw()?;
            }
        }
        root.present()?;
    }
    Ok(picture)
}
