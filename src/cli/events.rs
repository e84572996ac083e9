//! Events as they are typed.

use crate::emotion::{EmotionEvent, KNOWN_EVENTS};

/// An event with its intensity.
#[derive(Debug, Clone)]
pub(super) struct Felt(pub(super) EmotionEvent);

/// Reads `EVENT` or `EVENT=INTENSITY`.
pub(super) fn parse(text: &str) -> Result<Felt, String> {
    let (name, intensity) = match text.split_once('=') {
        None => (text, None),
        Some((name, intensity)) => {
            let number = intensity.trim().parse::<f64>();
            let number = number.map_err(|_| format!("the intensity `{intensity}` is no number"))?;
            (name, Some(number))
        }
    };
    let name = name.trim();
    if KNOWN_EVENTS.iter().all(|known| known.name != name) {
        return Err(unknown(name));
    }
    let event = EmotionEvent::named(name).and_then(|event| match intensity {
        None => Ok(event),
        Some(intensity) => event.with_intensity(intensity),
    });
    event.map(Felt).map_err(|error| error.to_string())
}

/// Names the event that was probably meant, or all of them.
fn unknown(name: &str) -> String {
    let nearest = KNOWN_EVENTS
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known.name), known.name))
        .min()
        .filter(|(distance, meant)| *distance <= meant.len() / 3);
    if let Some((_, meant)) = nearest {
        return format!("no event `{name}`; did you mean `{meant}`?");
    }
    let names: Vec<_> = KNOWN_EVENTS.iter().map(|known| known.name).collect();
    format!("no event `{name}`; there are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_with_their_intensity() {
        assert!((parse("success").unwrap().0.intensity() - 1.0).abs() < 1e-12);
        let event = parse("failure = 1.5").unwrap().0;
        assert_eq!(event.name(), "failure");
        assert!((event.intensity() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_felt_is_refused_with_what_can() {
        assert!(
            parse("sucess")
                .unwrap_err()
                .contains("did you mean `success`")
        );
        let all = parse("weather").unwrap_err();
        assert!(all.contains("test_passed"), "{all}");
        assert!(parse("success=much").unwrap_err().contains("`much`"));
        assert!(parse("success=-1").unwrap_err().contains("intensity"));
    }
}
