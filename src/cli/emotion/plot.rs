//! `elpis emotion plot`

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::path::{self, MoodPath};
use super::{NO_SESSIONS, is_store};
use crate::cli::fault::Fault;
use crate::cli::{Failure, terminal};

/// Sessions that a picture can tell apart.
const MOST_PATHS: usize = 8;

/// Events that are named; of more, the places alone are shown.
const MOST_NAMES: usize = 24;

const SIZE: (u32, u32) = (1120, 560);
const INK: RGBColor = RGBColor(60, 64, 72);
const FAINT: RGBColor = RGBColor(214, 218, 224);
/// Colours that most people can tell apart (Okabe and Ito, 2008), without the
/// yellow, which is hard to see on white.
const COLOURS: [RGBColor; MOST_PATHS] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(120, 120, 120),
];

/// Draws the path of states over the valence–arousal plane and over time, as
/// SVG.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// A log, as `replay` reads it, or a store; `-` is a log on standard
    /// input.
    file: PathBuf,
    /// The picture.
    #[arg(short, long, value_name = "FILE", default_value = "mood.svg")]
    output: PathBuf,
    /// The sessions of a store; without any, all. At most 8 fit.
    #[arg(long = "session", value_name = "ID")]
    sessions: Vec<String>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Options {
        file,
        output,
        sessions,
    } = options;
    let paths = if is_store(file) {
        path::of_store(file, sessions)?
    } else if sessions.is_empty() {
        path::of_log(file)?
    } else {
        return Err(NO_SESSIONS.into());
    };
    let name = file.display();
    match paths.len() {
        0 => return Err(format!("{name} has nothing to draw: no session and no step").into()),
        1..=MOST_PATHS => {}
        many => {
            return Err(format!(
                "{name} has {many} sessions, and {MOST_PATHS} fit into a picture; choose some \
                 with --session, or lines of the log"
            )
            .into());
        }
    }
    let mut picture = String::new();
    draw(&paths, &mut picture).map_err(|error| format!("cannot draw: {error}"))?;
    std::fs::write(output, picture).map_err(Fault::unwritable(output))?;
    writeln!(terminal::out(), "{}", output.display())?;
    Ok(())
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(paths: &[MoodPath], picture: &mut String) -> Drawn {
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (plane, times) = area.split_horizontally(SIZE.1);
    draw_plane(paths, &plane)?;
    draw_times(paths, &times)?;
    area.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn text(size: u32, colour: &RGBColor, horizontal: HPos) -> TextStyle<'_> {
    ("sans-serif", size)
        .into_font()
        .color(colour)
        .pos(Pos::new(horizontal, VPos::Center))
}

/// The plane, with room for marks on its edge.
const EDGE: std::ops::Range<f64> = -1.05..1.05;

/// A step away from a mark, so that its name does not lie on it.
const ASIDE: f64 = 0.025;

fn draw_plane(paths: &[MoodPath], area: &Area<'_>) -> Drawn {
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
    let corners = [
        ("excited", 0.96, 0.93, HPos::Right),
        ("frustrated", -0.96, 0.93, HPos::Left),
        ("calm", 0.96, -0.93, HPos::Right),
        ("depleted", -0.96, -0.93, HPos::Left),
    ];
    for (name, x, y, side) in corners {
        let mark = Text::new(name, (x, y), text(15, &INK, side));
        chart.plotting_area().draw(&mark)?;
    }
    for (path, colour) in paths.iter().zip(&COLOURS) {
        let line = path.points.iter().map(|p| (p.valence, p.arousal));
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        for (point, _) in &path.events {
            let mark = Circle::new((point.valence, point.arousal), 3, colour.filled());
            chart.plotting_area().draw(&mark)?;
        }
        if let (Some(first), Some(last)) = (path.points.first(), path.points.last()) {
            for (point, filled, name) in [(first, false, "start"), (last, true, &*path.name)] {
                let style = ShapeStyle {
                    filled,
                    ..colour.stroke_width(2)
                };
                let place = (point.valence, point.arousal);
                chart.plotting_area().draw(&Circle::new(place, 6, style))?;
                let place = (point.valence + ASIDE, point.arousal - ASIDE);
                let name = Text::new(name, place, text(13, colour, HPos::Left));
                chart.plotting_area().draw(&name)?;
            }
        }
    }
    Ok(())
}

/// The unit that suits so many seconds.
fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s < 180.0 => (1.0, "seconds"),
        s if s < 3.0 * 3600.0 => (60.0, "minutes"),
        s if s < 72.0 * 3600.0 => (3600.0, "hours"),
        _ => (86_400.0, "days"),
    }
}

fn draw_times(paths: &[MoodPath], area: &Area<'_>) -> Drawn {
    let ends = paths.iter().filter_map(|path| path.points.last());
    let longest = ends.map(|point| point.at).fold(0.0, f64::max);
    let (scale, unit) = unit(longest);
    let end = if longest > 0.0 { longest / scale } else { 1.0 };
    let named = paths.iter().map(|path| path.events.len()).sum::<usize>() <= MOST_NAMES;
    let (above, below) = area.split_vertically(SIZE.1 / 2);
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
            let value = |point: &path::Point| match index {
                0 => point.valence,
                _ => point.arousal,
            };
            let line = path.points.iter().map(|p| (p.at / scale, value(p)));
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
            for (number, (point, name)) in path.events.iter().enumerate() {
                let place = (point.at / scale, value(point));
                let mark = Circle::new(place, 3, colour.filled());
                chart.plotting_area().draw(&mark)?;
                if named && index == 0 {
                    // Every other name lies below, so that they stand clear of each other.
                    let side = if number % 2 == 0 { 0.12 } else { -0.12 };
                    let beyond = place.0 > end * 0.85;
                    let anchor = if beyond { HPos::Right } else { HPos::Left };
                    let place = (place.0, (place.1 + side).clamp(-0.95, 0.95));
                    let name = Text::new(name.as_str(), place, text(12, &INK, anchor));
                    chart.plotting_area().draw(&name)?;
                }
            }
        }
    }
    Ok(())
}
