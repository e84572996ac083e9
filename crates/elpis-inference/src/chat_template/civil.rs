//! A civil date and time, and Python's `strftime` on it.

use jiff::civil::DateTime;
use jiff::fmt::strtime;

/// A local date and time without a time zone, in the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CivilDateTime(DateTime);

impl CivilDateTime {
    /// Creates a date and time. Year 1 to 9999, month 1 to 12, day 1 to the month's last, hour 0
    /// to 23, minute and second 0 to 59. Returns `None` for anything else.
    pub fn new(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Option<Self> {
        let small = |number: u8| i8::try_from(number).ok();
        let year = i16::try_from(year).ok().filter(|year| *year > 0)?;
        let (month, day) = (small(month)?, small(day)?);
        let (hour, minute, second) = (small(hour)?, small(minute)?, small(second)?);
        let time = DateTime::new(year, month, day, hour, minute, second, 0);
        time.ok().map(Self)
    }

    /// Formats as Python's `datetime.strftime` does in the C locale for a time without a zone.
    /// Unknown directives are left unchanged.
    pub(super) fn strftime(self, format: &str) -> String {
        let mut out = String::with_capacity(format.len() + 16);
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('-') => {
                    let field = chars
                        .next()
                        .map_or_else(|| "%-".to_owned(), |directive| self.directive(directive));
                    let short = field.trim_start_matches(['0', ' ']);
                    out.push_str(if short.is_empty() && !field.is_empty() {
                        "0"
                    } else {
                        short
                    });
                }
                Some(directive) => out.push_str(&self.directive(directive)),
                None => out.push('%'),
            }
        }
        out
    }

    fn directive(self, directive: char) -> String {
        let format = match directive {
            'a' | 'A' | 'b' | 'B' | 'C' | 'd' | 'D' | 'e' | 'h' | 'H' | 'I' | 'j' | 'm' | 'M'
            | 'n' | 'p' | 'R' | 'S' | 't' | 'T' | 'u' | 'w' | 'y' | '%' => &format!("%{directive}"),
            'c' => "%a %b %e %H:%M:%S %-Y",
            'f' => "000000",
            'F' => "%-Y-%m-%d",
            'x' => "%D",
            'X' => "%T",
            'Y' => "%-Y",
            'z' | 'Z' => "",
            unknown => return format!("%{unknown}"),
        };
        // No directive here needs a time zone.
        strtime::format(format, self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Python's `datetime.strftime` has it.
    #[test]
    fn every_directive_is_pythons() {
        const ALL: &str = "%a %A %b %B %c|%C %d %D %e %f %F %h %H %I %j %m %M %p %R %S %T %u %w %x %X %y %Y%n%t%%|%z%Z";
        for ((year, month, day, hour, minute, second), text) in [
            (
                (2024, 2, 29, 0, 5, 9),
                "Thu Thursday Feb February Thu Feb 29 00:05:09 2024|20 29 02/29/24 29 000000 2024-02-29 Feb 00 12 060 02 05 AM 00:05 09 00:05:09 4 4 02/29/24 00:05:09 24 2024\n\t%|",
            ),
            (
                (1999, 12, 31, 12, 0, 59),
                "Fri Friday Dec December Fri Dec 31 12:00:59 1999|19 31 12/31/99 31 000000 1999-12-31 Dec 12 12 365 12 00 PM 12:00 59 12:00:59 5 5 12/31/99 12:00:59 99 1999\n\t%|",
            ),
            (
                (2025, 3, 2, 23, 59, 1),
                "Sun Sunday Mar March Sun Mar  2 23:59:01 2025|20 02 03/02/25  2 000000 2025-03-02 Mar 23 11 061 03 59 PM 23:59 01 23:59:01 7 0 03/02/25 23:59:01 25 2025\n\t%|",
            ),
        ] {
            let time = CivilDateTime::new(year, month, day, hour, minute, second).unwrap();
            assert_eq!(time.strftime(ALL), text);
        }
        let time = CivilDateTime::new(2005, 1, 2, 0, 3, 4).unwrap();
        assert_eq!(
            time.strftime("%-d.%-m.%-y %-I:%-M %-H %q %-"),
            "2.1.5 12:3 0 %q %-"
        );
    }
}
