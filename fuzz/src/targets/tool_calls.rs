use elpis::inference::{TextStream, ToolEvent, ToolFormat, ToolParseError, ToolParser};

/// The first byte chooses the format, the second where the reply is cut. However it is cut, the
/// result is the same.
pub fn run(bytes: &[u8]) {
    let [format, cut, reply @ ..] = bytes else {
        return;
    };
    let format = ToolFormat::ALL[usize::from(*format) % ToolFormat::ALL.len()];
    let cut = usize::from(*cut).min(reply.len());
    let (first, second) = reply.split_at(cut);
    let whole = read(format, [reply]);
    assert_eq!(read(format, [first, second]), whole);
    assert_eq!(read(format, reply.chunks(1)), whole);
}

fn read<'a>(
    format: ToolFormat,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<ToolEvent>, ToolParseError> {
    let mut text = TextStream::new(&[]).expect("no stops");
    let mut parser = ToolParser::new(format, 7, false);
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(parser.push(text.push(piece).text)?);
    }
    events.extend(parser.push(text.finish().text)?);
    events.extend(parser.finish()?);
    Ok(joined(events))
}

/// Merges neighbouring pieces of one text or of one call's arguments.
fn joined(events: Vec<ToolEvent>) -> Vec<ToolEvent> {
    let mut out: Vec<ToolEvent> = Vec::new();
    for event in events {
        match (out.last_mut(), event) {
            (Some(ToolEvent::Text(before)), ToolEvent::Text(text)) => before.push_str(&text),
            (
                Some(ToolEvent::Arguments {
                    index,
                    json: before,
                }),
                ToolEvent::Arguments { index: next, json },
            ) if *index == next => before.push_str(&json),
            (_, event) => out.push(event),
        }
    }
    out
}
