//! GGUF models that are split into several files.

/// One shard of a split model, by its name: `stem-00001-of-00003.gguf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard<'a> {
    /// The path that all shards share before their numbers.
    pub stem: &'a str,
    /// Its number, from 1.
    pub number: u32,
    /// The number of shards, as five digits.
    pub count: &'a str,
}

impl<'a> Shard<'a> {
    /// Reads a file's name or path; `None` for the name of a whole model.
    pub fn of(file: &'a str) -> Option<Self> {
        let (rest, count) = file.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let all_digits =
            |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        (all_digits(number) && all_digits(count)).then_some(())?;
        Some(Self {
            stem,
            number: number.parse().ok()?,
            count,
        })
    }

    /// The names of all shards.
    pub fn all(self) -> impl Iterator<Item = String> + 'a {
        let Self { stem, count, .. } = self;
        (1..=count.parse().unwrap_or(0)).map(move |n: u32| format!("{stem}-{n:05}-of-{count}.gguf"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_known_by_their_names() {
        let shard = Shard::of("x/m-00002-of-00003.gguf").unwrap();
        assert_eq!((shard.stem, shard.number, shard.count), ("x/m", 2, "00003"));
        for name in [
            "m.gguf",
            "state-of-the-art.gguf",
            "m-1-of-3.gguf",
            "-of-.gguf",
            "m-00001-of-00003.gguf.txt",
        ] {
            assert_eq!(Shard::of(name), None, "{name}");
        }
    }
}
