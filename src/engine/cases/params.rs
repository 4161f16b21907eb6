//! The parameters of a case, each read as what it must be.

use serde_json::{Map, Value};

use super::CaseError;

/// The parameters of a case, and what is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Params<'a> {
    pub(super) family: &'static str,
    pub(super) quantity: &'a str,
    /// The family's quantities, in words.
    pub(super) known: &'static str,
    pub(super) values: &'a Map<String, Value>,
}

impl<'a> Params<'a> {
    /// What to say where the quantity is none of the family's.
    pub(super) fn unknown_quantity<T>(&self) -> Result<T, CaseError> {
        let (family, quantity, known) = (self.family, self.quantity.to_owned(), self.known);
        Err(CaseError::Quantity { family, quantity, known })
    }

    /// What to say where a parameter is not what it must be.
    pub(super) fn refuse<T>(&self, name: &'static str, wanted: &'static str) -> Result<T, CaseError> {
        let found = self.values.get(name).map_or_else(|| "missing".to_owned(), ToString::to_string);
        Err(CaseError::Parameter { name, found, wanted })
    }

    /// A parameter that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// A finite number.
    pub(super) fn number(&self, name: &'static str) -> Result<f64, CaseError> {
        let value = self.get(name).ok_or(CaseError::Missing(name))?;
        match value.as_f64().filter(|x| x.is_finite()) {
            Some(x) => Ok(x),
            None => self.refuse(name, "a number"),
        }
    }

    /// A finite number, or this where it is not given.
    pub(super) fn number_or(&self, name: &'static str, otherwise: f64) -> Result<f64, CaseError> {
        if self.get(name).is_none() { Ok(otherwise) } else { self.number(name) }
    }

    /// A number above 0.
    pub(super) fn positive(&self, name: &'static str) -> Result<f64, CaseError> {
        match self.number(name)? {
            x if x > 0.0 => Ok(x),
            _ => self.refuse(name, "above 0"),
        }
    }

    /// A number of at least 0, or 0 where it is not given.
    pub(super) fn head_start(&self, limit: f64) -> Result<f64, CaseError> {
        match self.number_or("headstart", 0.0)? {
            x if (0.0..=limit).contains(&x) => Ok(x),
            _ => self.refuse("headstart", "between 0 and the limit"),
        }
    }

    /// A share strictly between 0 and 1.
    pub(super) fn share(&self, name: &'static str) -> Result<f64, CaseError> {
        match self.number(name)? {
            x if x > 0.0 && x < 1.0 => Ok(x),
            _ => self.refuse(name, "above 0 and below 1"),
        }
    }

    /// A probability that things happen with: above 0 and at most 1.
    pub(super) fn chance(&self, name: &'static str) -> Result<f64, CaseError> {
        match self.number(name)? {
            x if x > 0.0 && x <= 1.0 => Ok(x),
            _ => self.refuse(name, "above 0 and at most 1"),
        }
    }

    /// A whole number, also one written as 5.0.
    pub(super) fn whole(&self, name: &'static str) -> Result<u64, CaseError> {
        let x = self.number(name)?;
        if (0.0..=9e15).contains(&x) && x.fract() == 0.0 {
            Ok(x as u64)
        } else {
            self.refuse(name, "a whole number, 0 and above")
        }
    }

    /// A whole number, or this where it is not given.
    pub(super) fn whole_or(&self, name: &'static str, otherwise: u64) -> Result<u64, CaseError> {
        if self.get(name).is_none() { Ok(otherwise) } else { self.whole(name) }
    }

    /// A text, or nothing where it is not given.
    pub(super) fn word(&self, name: &'static str) -> Result<Option<&'a str>, CaseError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => self.refuse(name, "a text"),
        }
    }

    /// A list of numbers.
    pub(super) fn numbers(&self, name: &'static str) -> Result<Vec<f64>, CaseError> {
        let value = self.get(name).ok_or(CaseError::Missing(name))?;
        let numbers = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        numbers.map_or_else(|| self.refuse(name, "a list of numbers"), Ok)
    }

    /// A list of counts.
    pub(super) fn counts(&self, name: &'static str) -> Result<Vec<u64>, CaseError> {
        let whole = |x: &f64| (0.0..=9e15).contains(x) && x.fract() == 0.0;
        let numbers = self.numbers(name)?;
        if numbers.iter().all(whole) {
            Ok(numbers.into_iter().map(|x| x as u64).collect())
        } else {
            self.refuse(name, "a list of whole numbers, 0 and above")
        }
    }

    /// Numbers of rules up to `last`: a list, or their digits as a text.
    pub(super) fn rules(&self, last: u8, wanted: &'static str) -> Result<Vec<u8>, CaseError> {
        let rules: Vec<u64> = match self.get("rules").ok_or(CaseError::Missing("rules"))? {
            // Numbers as they are written in tables: `1234`, `1,2,5`, `1 2 5`; a letter becomes a number that is no rule.
            Value::String(text) => {
                let digits = text.chars().filter(|c| !matches!(c, ',' | ' '));
                digits.map(|c| c.to_digit(10).map_or(0, u64::from)).collect()
            }
            Value::Array(_) => self.counts("rules")?,
            _ => return self.refuse("rules", wanted),
        };
        let known = |rule: u64| u8::try_from(rule).ok().filter(|rule| (1..=last).contains(rule));
        let rules: Option<Vec<u8>> = rules.into_iter().map(known).collect();
        match rules.filter(|rules| !rules.is_empty()) {
            Some(rules) => Ok(rules),
            None => self.refuse("rules", wanted),
        }
    }

    /// The numbers that a text has where the pattern has `#`; the pattern's own where the text is not given.
    pub(super) fn scanned<const N: usize>(
        &self,
        name: &'static str,
        pattern: &'static str,
        otherwise: [f64; N],
    ) -> Result<[f64; N], CaseError> {
        let Some(text) = self.word(name)? else { return Ok(otherwise) };
        match scan(text, pattern) {
            Some(found) => Ok(found),
            None => self.refuse(name, pattern),
        }
    }
}

/// The numbers in the first part of a text that reads like the pattern, whose `#` are numbers. Blanks do not count.
fn scan<const N: usize>(text: &str, pattern: &str) -> Option<[f64; N]> {
    let text: String = text.split_whitespace().collect();
    let pattern: String = pattern.split_whitespace().collect();
    let mut starts = text.char_indices().map(|(at, _)| at);
    starts.find_map(|at| scan_here(text.get(at..)?, &pattern))
}

fn scan_here<const N: usize>(mut text: &str, pattern: &str) -> Option<[f64; N]> {
    let mut found = [0.0; N];
    let mut slots = found.iter_mut();
    let mut parts = pattern.split('#');
    text = text.strip_prefix(parts.next()?)?;
    for part in parts {
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        // A range such as 1..500 is no number with two points.
        *slots.next()? = number.parse().ok()?;
        text = rest.strip_prefix(part)?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_their_numbers() {
        let text = "two draws: n=800+(x>>16)%400, then count=floor(n*(0.06+0.05*x/2^31)); 24 subgroups";
        assert_eq!(scan(text, "n=#+(x>>#)%#"), Some([800.0, 16.0, 400.0]));
        assert_eq!(scan(text, "floor(n*(#+#*x/2^31))"), Some([0.06, 0.05]));
        assert_eq!(scan(text, "# subgroups"), Some([24.0]));
        assert_eq!(scan::<1>(text, "# batches"), None);
        assert_eq!(scan("mod 1000 < 80 else 0", "mod # < #"), Some([1_000.0, 80.0]));
    }
}
