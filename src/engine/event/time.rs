//! Times in text: RFC 3339.

/// Milliseconds since 1970 of a time in RFC 3339, cut to the millisecond; nothing where it is none.
pub(super) fn millis(text: &str) -> Option<i64> {
    usual(text).or_else(|| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond))
}

/// The same of a time that is laid out as `2026-01-05T12:00:00.123Z`, with up to nine decimals or none, from 1970 on; nothing
/// where it is not laid out so, or is none.
pub(super) fn usual(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2], rest) =
        bytes.split_first_chunk()?
    else {
        return None;
    };
    let year = i64::from(pair(y1, y2)?) * 100 + i64::from(pair(y3, y4)?);
    let (month, day) = (pair(m1, m2)?, pair(d1, d2)?);
    let (hour, minute, second) = (pair(h1, h2)?, pair(n1, n2)?, pair(s1, s2)?);
    // A leap second is left to the library.
    let is_time = year >= 1_970 && hour < 24 && minute < 60 && second < 60;
    let is_date = (1..=12).contains(&month) && day >= 1 && day <= days_of(year, month);
    (is_time && is_date).then_some(())?;
    let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    Some((days_before(year, month, day) * 86_400 + seconds) * 1_000 + thousandths(rest)?)
}

/// Two digits.
fn pair(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

/// What stands behind the seconds: decimals or none, and the `Z`.
fn thousandths(rest: &[u8]) -> Option<i64> {
    match rest {
        [b'Z'] => Some(0),
        [b'.', decimals @ .., b'Z'] if (1..=9).contains(&decimals.len()) && decimals.iter().all(u8::is_ascii_digit) => {
            let digit = |at: usize| i64::from(decimals.get(at).map_or(0, |digit| digit - b'0'));
            Some(digit(0) * 100 + digit(1) * 10 + digit(2))
        }
        _ => None,
    }
}

fn days_of(year: i64, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms", 2013:
/// `days_from_civil`).
fn days_before(year: i64, month: u32, day: u32) -> i64 {
    // Years begin in March, so that the leap day is a year's last.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_day_of_the_years_that_count_is_the_librarys() {
        let first = jiff::civil::date(1_970, 1, 1);
        for date in first.series(jiff::Span::new().days(1)).take_while(|date| date.year() < 2_201) {
            let text = format!("{date}T23:59:58.999999999Z");
            let library = text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            assert_eq!(usual(&text), Some(library), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_the_library_reads(text in r"[12][09][0-9]{2}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,10})?(Z|z|\+01:00)?") {
            let library = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
            prop_assert!(usual(&text).is_none_or(|found| Some(found) == library), "{}", text);
            prop_assert_eq!(millis(&text), library);
        }
    }
}
