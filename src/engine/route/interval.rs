//! Time intervals, as Alertmanager has them: when a route is mute, or only then active.
//!
//! An interval names times of the day, days of the week and of the month, months and years; what it does not name is
//! always right, and all that it names must be. A named interval is a list of such, of which one is enough. Times of the
//! day end exclusively, everything else inclusively.

use std::ops::RangeInclusive;

use jiff::Timestamp as Instant;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::super::units::Timestamp;

/// One interval as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawInterval {
    /// Times of the day.
    #[serde(default)]
    pub times: Vec<RawTimes>,
    /// `monday`, `monday:friday`.
    #[serde(default)]
    pub weekdays: Vec<String>,
    /// `1`, `1:7`, `-3:-1`; negative ones count from the end of the month.
    #[serde(default)]
    pub days_of_month: Vec<String>,
    /// `january`, `1:3`.
    #[serde(default)]
    pub months: Vec<String>,
    /// `2026`, `2026:2028`.
    #[serde(default)]
    pub years: Vec<String>,
    /// `Europe/Berlin`; UTC where not given.
    #[serde(default)]
    pub location: Option<String>,
}

/// From `09:00` until `17:00`, or `24:00` for the end of the day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTimes {
    /// The first minute.
    pub start_time: String,
    /// The minute after the last.
    pub end_time: String,
}

/// One interval that is known to be right.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// Minutes of the day, [start, end).
    times: Vec<(u16, u16)>,
    /// 0 is Sunday.
    weekdays: Vec<RangeInclusive<i16>>,
    days_of_month: Vec<RangeInclusive<i16>>,
    months: Vec<RangeInclusive<i16>>,
    years: Vec<RangeInclusive<i16>>,
    zone: TimeZone,
}

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Interval {
    /// Reads an interval.
    ///
    /// # Errors
    /// What cannot be read, and what would be right.
    pub fn new(raw: &RawInterval) -> Result<Self, String> {
        let zone = match raw.location.as_deref() {
            None | Some("UTC") => TimeZone::UTC,
            Some(name) => TimeZone::get(name)
                .ok()
                .ok_or_else(|| format!("location `{name}` is not known; write one like Europe/Berlin"))?,
        };
        let weekday = |word: &str| position(&WEEKDAYS, word, 0);
        let month = |word: &str| position(&MONTHS, word, 1).or_else(|| number(word, 1, 12));
        let day = |word: &str| number(word, -31, 31).filter(|day| *day != 0);
        let year = |word: &str| number(word, 1970, 9_999);
        Ok(Self {
            times: raw.times.iter().map(times).collect::<Result<_, _>>()?,
            weekdays: ranges(&raw.weekdays, "weekdays", "monday:friday", weekday)?,
            days_of_month: ranges(&raw.days_of_month, "days_of_month", "1:7 or -3:-1", day)?,
            months: ranges(&raw.months, "months", "january:march", month)?,
            years: ranges(&raw.years, "years", "2026:2027", year)?,
            zone,
        })
    }

    /// Whether a moment lies in the interval.
    pub fn contains(&self, at: Timestamp) -> bool {
        let instant = Instant::from_millisecond(at.as_millis()).unwrap_or(Instant::UNIX_EPOCH);
        let there = self.zone.to_datetime(instant);
        let minute = u16::from(there.hour().unsigned_abs()) * 60 + u16::from(there.minute().unsigned_abs());
        let within =
            |ranges: &[RangeInclusive<i16>], value: i16| ranges.is_empty() || ranges.iter().any(|r| r.contains(&value));
        (self.times.is_empty() || self.times.iter().any(|(start, end)| (*start..*end).contains(&minute)))
            && within(&self.weekdays, i16::from(there.weekday().to_sunday_zero_offset()))
            && (self.days_of_month.is_empty() || self.days_of_month.iter().any(|r| day_within(r, there.date())))
            && within(&self.months, i16::from(there.month()))
            && within(&self.years, there.year())
    }
}

/// Days that count from the end are days of this month; what lies beyond it is cut off.
fn day_within(range: &RangeInclusive<i16>, date: Date) -> bool {
    let days = i16::from(date.days_in_month());
    let from_start = |day: i16| if day < 0 { days + 1 + day } else { day };
    (from_start(*range.start()).max(1)..=from_start(*range.end()).min(days)).contains(&i16::from(date.day()))
}

fn position(words: &[&str], word: &str, first: i16) -> Option<i16> {
    let at = words.iter().position(|known| known.eq_ignore_ascii_case(word))?;
    Some(at as i16 + first)
}

fn number(word: &str, low: i16, high: i16) -> Option<i16> {
    word.parse().ok().filter(|n| (low..=high).contains(n))
}

fn ranges(
    texts: &[String],
    key: &str,
    example: &str,
    read: impl Fn(&str) -> Option<i16>,
) -> Result<Vec<RangeInclusive<i16>>, String> {
    let range = |text: &String| {
        let (start, end) = text.split_once(':').unwrap_or((text, text));
        let both = read(start.trim()).zip(read(end.trim()));
        // A start counted from the other end of the month cannot be compared with an end that is not.
        let (start, end) = both.filter(|(start, end)| start <= end || (*start > 0 && *end < 0))?;
        Some(start..=end)
    };
    texts
        .iter()
        .map(|text| range(text).ok_or_else(|| format!("{key}: `{text}` is not a range; write it like {example}")))
        .collect()
}

fn times(raw: &RawTimes) -> Result<(u16, u16), String> {
    let minute = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let digits = text.trim().len() == 5;
        (digits && hour * 60 + minute <= 1_440 && minute < 60).then_some(hour * 60 + minute)
    };
    match (minute(&raw.start_time), minute(&raw.end_time)) {
        (Some(start), Some(end)) if start < end => Ok((start, end)),
        (Some(_), Some(_)) => Err(format!(
            "times: {} to {} ends before it begins; write two, one until 24:00 and one from 00:00",
            raw.start_time, raw.end_time
        )),
        _ => Err(format!("times: `{}` to `{}` are not times; write 09:00 and 17:00", raw.start_time, raw.end_time)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<Instant>().unwrap().as_millisecond())
    }

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn office_hours_follow_the_clock_of_the_place() {
        let office = Interval::new(&RawInterval {
            times: vec![RawTimes { start_time: "09:00".to_owned(), end_time: "17:00".to_owned() }],
            weekdays: words(&["monday:friday"]),
            location: Some("Europe/Berlin".to_owned()),
            ..RawInterval::default()
        })
        .unwrap();
        // 2026-07-01 is a Wednesday; Berlin is two hours ahead in summer, one in winter.
        for (time, expected) in [
            ("2026-07-01T06:59:59Z", false),
            ("2026-07-01T07:00:00Z", true),
            ("2026-07-01T14:59:59Z", true),
            ("2026-07-01T15:00:00Z", false),
            ("2026-12-02T07:30:00Z", false),
            ("2026-12-02T08:00:00Z", true),
            ("2026-07-04T10:00:00Z", false),
        ] {
            assert_eq!(office.contains(at(time)), expected, "{time}");
        }
    }

    #[test]
    fn days_count_from_either_end_of_the_month() {
        let last = |range: &str| {
            let days_of_month = words(&[range]);
            Interval::new(&RawInterval { days_of_month, ..RawInterval::default() }).unwrap()
        };
        assert!(
            last("-3:-1").contains(at("2028-02-29T00:00:00Z")) && last("-3:-1").contains(at("2028-02-27T00:00:00Z"))
        );
        assert!(!last("-3:-1").contains(at("2028-02-26T12:00:00Z")));
        assert!(
            last("29:31").contains(at("2028-02-29T00:00:00Z")) && !last("30:31").contains(at("2028-02-29T00:00:00Z"))
        );
        assert!(
            last("15:-1").contains(at("2026-04-30T00:00:00Z")) && !last("15:-1").contains(at("2026-04-14T00:00:00Z"))
        );
    }

    #[test]
    fn months_and_years_are_inclusive() {
        let interval = Interval::new(&RawInterval {
            months: words(&["december", "1:2"]),
            years: words(&["2026:2027"]),
            ..RawInterval::default()
        })
        .unwrap();
        assert!(interval.contains(at("2026-12-31T23:59:59Z")) && interval.contains(at("2027-02-01T00:00:00Z")));
        assert!(!interval.contains(at("2026-11-30T23:59:59Z")) && !interval.contains(at("2028-01-01T00:00:00Z")));
    }

    #[test]
    fn faults_say_what_would_be_right() {
        let fault = |raw: RawInterval| Interval::new(&raw).unwrap_err();
        let times = |start: &str, end: &str| RawInterval {
            times: vec![RawTimes { start_time: start.to_owned(), end_time: end.to_owned() }],
            ..RawInterval::default()
        };
        assert!(fault(times("22:00", "06:00")).contains("write two"));
        assert!(fault(times("9", "25:00")).contains("09:00"));
        assert!(
            fault(RawInterval { weekdays: words(&["mon:fri"]), ..RawInterval::default() }).contains("monday:friday")
        );
        assert!(fault(RawInterval { days_of_month: words(&["0"]), ..RawInterval::default() }).contains("-3:-1"));
        assert!(
            fault(RawInterval { location: Some("Mars".to_owned()), ..RawInterval::default() })
                .contains("Europe/Berlin")
        );
    }
}
