//! A civil date and time, and Python's `strftime` on it.

use std::fmt::Write;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A date and time of day as a person reads it from a clock on the wall, without a time zone, in
/// the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CivilDateTime {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

impl CivilDateTime {
    /// Creates a date and time. Year 1 to 9999, month 1 to 12, day 1 to the month's last, hour 0
    /// to 23, minute and second 0 to 59. Returns `None` for anything else.
    pub fn new(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Option<Self> {
        let valid = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        valid.then_some(Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        })
    }

    /// Formats as Python's `datetime.strftime` does in the C locale for a time without a zone.
    /// Directives that are not known stand as they are.
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
                    let mut field = String::new();
                    match chars.next() {
                        Some(directive) => self.directive(directive, &mut field),
                        None => field.push_str("%-"),
                    }
                    let short = field.trim_start_matches(['0', ' ']);
                    out.push_str(if short.is_empty() && !field.is_empty() {
                        "0"
                    } else {
                        short
                    });
                }
                Some(directive) => self.directive(directive, &mut out),
                None => out.push('%'),
            }
        }
        out
    }

    fn directive(self, directive: char, out: &mut String) {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
        let month_name = MONTHS[usize::from(month) - 1];
        let weekday = self.weekday();
        let weekday_name = WEEKDAYS[usize::from(weekday)];
        let result = match directive {
            '%' => write!(out, "%"),
            'a' => write!(out, "{}", &weekday_name[..3]),
            'A' => write!(out, "{weekday_name}"),
            'b' | 'h' => write!(out, "{}", &month_name[..3]),
            'B' => write!(out, "{month_name}"),
            'c' => write!(
                out,
                "{} {} {day:2} {hour:02}:{minute:02}:{second:02} {year}",
                &weekday_name[..3],
                &month_name[..3]
            ),
            'C' => write!(out, "{:02}", year / 100),
            'd' => write!(out, "{day:02}"),
            'D' | 'x' => write!(out, "{month:02}/{day:02}/{:02}", year % 100),
            'e' => write!(out, "{day:2}"),
            'f' => write!(out, "000000"),
            'F' => write!(out, "{year}-{month:02}-{day:02}"),
            'H' => write!(out, "{hour:02}"),
            'I' => write!(out, "{hour12:02}"),
            'j' => write!(out, "{:03}", self.day_of_year()),
            'm' => write!(out, "{month:02}"),
            'M' => write!(out, "{minute:02}"),
            'n' => writeln!(out),
            'p' => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
            'R' => write!(out, "{hour:02}:{minute:02}"),
            'S' => write!(out, "{second:02}"),
            't' => write!(out, "\t"),
            'T' | 'X' => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            'u' => write!(out, "{}", if weekday == 0 { 7 } else { weekday }),
            'w' => write!(out, "{weekday}"),
            'y' => write!(out, "{:02}", year % 100),
            'Y' => write!(out, "{year}"),
            'z' | 'Z' => Ok(()),
            other => write!(out, "%{other}"),
        };
        debug_assert!(result.is_ok(), "writing to a string does not fail");
    }

    fn day_of_year(self) -> u16 {
        (1..self.month)
            .map(|month| u16::from(days_in_month(self.year, month)))
            .sum::<u16>()
            + u16::from(self.day)
    }

    /// 0 is Sunday. Sakamoto's method.
    fn weekday(self) -> u8 {
        const SHIFT: [u16; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = self.year - u16::from(self.month < 3);
        let month = SHIFT[usize::from(self.month) - 1];
        ((year + year / 4 - year / 100 + year / 400 + month + u16::from(self.day)) % 7) as u8
    }
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
