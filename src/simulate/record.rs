//! JSON by hand: the generator's speed is the benchmarks' speed, and every field is known in advance.

use crate::engine::units::Timestamp;

/// Writes the records of a run; keeps the text of the current day, which nearly every record shares.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    day: i64,
    text: String,
}

const DAY_MS: i64 = 86_400_000;

impl Calendar {
    /// A calendar that has looked nothing up yet.
    pub(super) fn new() -> Self {
        Self { day: i64::MIN, text: String::new() }
    }

    /// Appends RFC 3339 in UTC with milliseconds, always 24 characters.
    pub(super) fn push(&mut self, out: &mut String, time: Timestamp) {
        let millis = time.as_millis();
        let day = millis.div_euclid(DAY_MS);
        if day != self.day {
            self.day = day;
            let date = jiff::Timestamp::from_millisecond(day * DAY_MS).unwrap_or_default();
            self.text = date.to_string().chars().take_while(|c| *c != 'T').collect();
        }
        let rest = millis.rem_euclid(DAY_MS) as u64;
        out.push_str(&self.text);
        for (mark, number, width) in [
            ('T', rest / 3_600_000, 2),
            (':', rest / 60_000 % 60, 2),
            (':', rest / 1_000 % 60, 2),
            ('.', rest % 1_000, 3),
        ] {
            out.push(mark);
            push_padded(out, number, width);
        }
        out.push('Z');
    }
}

/// Appends a number in decimal, with zeros before it up to `width` digits.
pub(super) fn push_padded(out: &mut String, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        if number == 0 && used >= width.max(1) {
            break;
        }
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
    }
    for digit in digits.iter().skip(20 - used) {
        out.push(char::from(*digit));
    }
}

/// Appends `number / 10^places` in decimal, with all places written.
pub(super) fn push_fixed(out: &mut String, number: u64, places: u32) {
    let scale = 10_u64.pow(places);
    push_padded(out, number / scale, 1);
    out.push('.');
    push_padded(out, number % scale, places as usize);
}

/// A text as a JSON string with its quotes.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_jiff_writes_them() {
        let mut calendar = Calendar::new();
        for millis in [0, 1, 951_782_399_999, 951_782_400_000, 1_767_571_200_123, 7_258_118_400_000] {
            let mut out = String::new();
            calendar.push(&mut out, Timestamp::from_millis(millis));
            let back: jiff::Timestamp = out.parse().unwrap();
            assert_eq!((back.as_millisecond(), out.len()), (millis, 24), "{out}");
        }
    }

    #[test]
    fn numbers_are_padded_and_scaled() {
        let mut out = String::new();
        push_padded(&mut out, 0, 1);
        out.push(' ');
        push_padded(&mut out, u64::MAX, 3);
        out.push(' ');
        push_padded(&mut out, 7, 3);
        out.push(' ');
        push_fixed(&mut out, 9_205, 4);
        out.push(' ');
        push_fixed(&mut out, 12_000_034, 6);
        assert_eq!(out, "0 18446744073709551615 007 0.9205 12.000034");
    }
}
