//! `elpis emotion plot`

mod plane;
mod times;

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::path::{self, MoodPath};
use super::{NO_SESSIONS, is_store};
use crate::error::CliError;
use crate::{Failure, terminal};
use elpis::emotion::EventSource;

/// Maximum number of sessions of a picture.
const MAX_PATHS: usize = 8;

const SIZE: (u32, u32) = (1120, 620);

/// Height of title and legend, in pixels.
const HEAD: u32 = 60;

const INK: RGBColor = RGBColor(60, 64, 72);
const FAINT: RGBColor = RGBColor(214, 218, 224);

/// Colours that most people can distinguish (Okabe and Ito, 2008), without yellow, which is hard to
/// see on white.
const COLOURS: [RGBColor; MAX_PATHS] = [
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
///
/// Marks show the source of events: a disc for the program, a triangle for the model's reply, a
/// ring for the user's message, a square for the session's behaviour. Old parts of a path fade on
/// the plane. For a store, time continues to the present.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A log in the format of `replay`, or a store; `-` is a log on standard input.
    file: PathBuf,
    /// The picture.
    #[arg(short, long, value_name = "FILE", default_value = "mood.svg")]
    output: PathBuf,
    /// The sessions of a store, at most 8; all by default.
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
        1..=MAX_PATHS => {}
        many => {
            return Err(format!(
                "{name} has {many} sessions, and {MAX_PATHS} fit into a picture; choose some \
                 with --session, or lines of the log"
            )
            .into());
        }
    }
    let mut picture = String::new();
    draw(&paths, &mut picture).map_err(|error| format!("cannot draw: {error}"))?;
    std::fs::write(output, picture).map_err(CliError::unwritable(output))?;
    writeln!(terminal::out(), "{}", output.display())?;
    Ok(())
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(paths: &[MoodPath], picture: &mut String) -> Drawn {
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (head, charts) = area.split_vertically(HEAD);
    let (plane, times) = charts.split_horizontally(SIZE.1 - HEAD);
    draw_head(paths, &head)?;
    plane::draw(paths, &plane, &area)?;
    times::draw(paths, &times, &area)?;
    area.present()?;
    Ok(())
}

fn text(size: u32, colour: &RGBColor, horizontal: HPos) -> TextStyle<'_> {
    ("sans-serif", size)
        .into_font()
        .color(colour)
        .pos(Pos::new(horizontal, VPos::Center))
}

/// Approximate width of a character, relative to the font size.
const LETTER: f64 = 0.56;

/// Draws the title and the legend of colours and marks.
fn draw_head(paths: &[MoodPath], area: &Area<'_>) -> Drawn {
    let events: usize = paths.iter().map(|path| path.events.len()).sum();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let title = format!(
        "Mood of {} session{}, {events} event{}",
        paths.len(),
        plural(paths.len()),
        plural(events),
    );
    area.draw(&Text::new(title, (18, 20), text(18, &INK, HPos::Left)))?;
    let mut x = 24;
    let step = |name: &str| 26 + (name.chars().count() as f64 * 13.0 * LETTER) as i32;
    for (path, colour) in paths.iter().zip(&COLOURS) {
        area.draw(&Rectangle::new([(x - 6, 40), (x + 6, 50)], colour.filled()))?;
        let name = short(&path.name);
        area.draw(&Text::new(
            name.clone(),
            (x + 12, 45),
            text(13, &INK, HPos::Left),
        ))?;
        x += step(&name);
    }
    let is_there = |source| {
        let mut events = paths.iter().flat_map(|path| &path.events);
        events.any(|felt| felt.source == Some(source))
    };
    let marks = [
        (EventSource::Caller, "from the program"),
        (EventSource::Reply, "from a reply"),
        (EventSource::Message, "from a message"),
        (EventSource::Behavior, "from behaviour"),
    ];
    x += 20;
    for (source, name) in marks {
        if is_there(source) {
            draw_mark(area, (x, 45), Some(source), INK)?;
            area.draw(&Text::new(name, (x + 12, 45), text(13, &INK, HPos::Left)))?;
            x += step(name);
        }
    }
    Ok(())
}

/// A name, shortened to leave room for others.
fn short(name: &str) -> String {
    if name.chars().count() <= 24 {
        return name.to_owned();
    }
    let begin: String = name.chars().take(23).collect();
    format!("{begin}…")
}

/// Draws the mark of an event at a place in pixels, according to the event's source.
fn draw_mark(
    root: &Area<'_>,
    (x, y): (i32, i32),
    source: Option<EventSource>,
    colour: RGBColor,
) -> Drawn {
    match source {
        Some(EventSource::Reply) => {
            root.draw(&TriangleMarker::new((x, y), 5, colour.filled()))?;
        }
        Some(EventSource::Message) => root.draw(&Circle::new((x, y), 4, colour.stroke_width(2)))?,
        Some(EventSource::Behavior) => {
            let corners = [(x - 3, y - 3), (x + 3, y + 3)];
            root.draw(&Rectangle::new(corners, colour.filled()))?;
        }
        _ => root.draw(&Circle::new((x, y), 3, colour.filled()))?,
    }
    Ok(())
}
