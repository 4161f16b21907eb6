//! Values that most streams never have: they take memory once they are anything but empty. They are written down as the values
//! themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A type with one empty value that all can look at.
pub trait Empty: Default + PartialEq + 'static {
    /// It.
    fn empty() -> &'static Self;
}

impl<K: Ord + 'static, V: PartialEq + 'static> Empty for BTreeMap<K, V> {
    fn empty() -> &'static Self {
        const { &Self::new() }
    }
}

/// A value, kept nowhere while it is empty. To change it makes room for it.
#[derive(Clone)]
pub struct Sparse<T>(Option<Box<T>>);

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Empty> Deref for Sparse<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => T::empty(),
        }
    }
}

impl<T: Empty> DerefMut for Sparse<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Empty> PartialEq for Sparse<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Empty + Eq> Eq for Sparse<T> {}

impl<T: Empty + fmt::Debug> fmt::Debug for Sparse<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Empty> From<T> for Sparse<T> {
    fn from(value: T) -> Self {
        Self((value != *T::empty()).then(|| Box::new(value)))
    }
}

impl<T: Empty + Serialize> Serialize for Sparse<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de, T: Empty + Deserialize<'de>> Deserialize<'de> for Sparse<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::blob::{decode, encode};
    use crate::engine::pace::Pace;
    use crate::engine::units::Span;

    #[test]
    fn what_is_empty_takes_no_memory_and_is_written_down_as_it_is() {
        let mut pace = Sparse::<Pace>::default();
        assert_eq!(encode(&pace), encode(&Pace::default()));
        assert!(pace.0.is_none() && *pace == Pace::default());
        pace.add(Span::HOUR, true);
        assert!(pace.0.is_some() && pace != Sparse::default());
        for value in [Sparse::default(), pace] {
            let back: Sparse<Pace> = decode(&encode(&*value)).unwrap();
            assert_eq!((&back, back.0.is_some()), (&value, value.0.is_some()));
        }
    }
}
