//! JSON of others, read a piece at a time, with a bound on all that is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::{clip, text};
use crate::scanner::ScanError;

/// Reads the one value of a file, and sees to it that nothing comes after it.
///
/// # Errors
/// [`ScanError::Unreadable`] with the reason and where. Columns count what is kept of long strings.
pub fn parse<T>(path: &Path, seed: impl for<'de> DeserializeSeed<'de, Value = T>) -> Result<T, ScanError> {
    let reader = clip::open(path).map_err(ScanError::Unreadable)?;
    let mut json = serde_json::Deserializer::from_reader(reader);
    let value = seed.deserialize(&mut json).map_err(|error| unreadable(&error))?;
    json.end().map_err(|error| unreadable(&error))?;
    Ok(value)
}

/// The parser's words without the values that it quotes: what a report says may be a secret.
fn unreadable(error: &serde_json::Error) -> ScanError {
    let mut said = String::new();
    for (at, part) in error.to_string().split('"').enumerate() {
        // Every other part stands between quotes.
        if at % 2 == 0 {
            said.push_str(part);
        }
    }
    let said = text::line(&said, 300);
    ScanError::Unreadable(match error.classify() {
        Category::Io => "the report can't be read from the disk".to_owned(),
        Category::Eof => format!("the report ends in the middle: {said}"),
        Category::Syntax => format!("the report is no JSON: {said}"),
        Category::Data => format!("the report is not of its format: {said}"),
    })
}

/// A list of which each element is taken as it is read, and none is kept. `null` is an empty one. Gives how many.
pub struct Each<'a, T> {
    take: &'a mut dyn FnMut(T) -> Result<(), String>,
    of: PhantomData<T>,
}

impl<'a, T> Each<'a, T> {
    /// What is done with an element; an error in words ends the reading.
    pub fn new(take: &'a mut dyn FnMut(T) -> Result<(), String>) -> Self {
        Self { take, of: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Each<'_, T> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<'_, T> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<u64, A::Error> {
        let mut count = 0;
        while let Some(element) = list.next_element()? {
            (self.take)(element).map_err(A::Error::custom)?;
            count += 1;
        }
        Ok(count)
    }
}

/// The first elements of a list; the others are passed over. `null` is an empty one.
#[derive(Debug, Clone)]
pub struct Few<T, const N: usize>(pub Vec<T>);

impl<T, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Few<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut few = Vec::new();
        struct Visit<'a, T, const N: usize>(&'a mut Vec<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Visit<'_, T, N> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<(), E> {
                Ok(())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
                while self.0.len() < N {
                    match list.next_element()? {
                        Some(element) => self.0.push(element),
                        None => return Ok(()),
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(())
            }
        }
        deserializer.deserialize_any(Visit::<T, N>(&mut few))?;
        Ok(Self(few))
    }
}

/// How many elements a list has. None of them is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count(pub u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Each::<IgnoredAny>::new(&mut |_| Ok(())).deserialize(deserializer).map(Self)
    }
}

/// The first entries of an object by name; the others are passed over.
#[derive(Debug, Clone)]
pub struct Named<T, const N: usize>(pub BTreeMap<String, T>);

impl<T, const N: usize> Default for Named<T, N> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Named<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<T, const N: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Visit<T, N> {
            type Value = BTreeMap<String, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(BTreeMap::new())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                let mut named = BTreeMap::new();
                while let Some(name) = object.next_key::<String>()? {
                    if named.len() < N {
                        named.insert(name, object.next_value()?);
                    } else {
                        object.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(named)
            }
        }
        deserializer.deserialize_any(Visit::<T, N>(PhantomData)).map(Self)
    }
}

/// A property that every tool spells in its own way: a text, a number, or a list of them. Whatever else it is, it is
/// taken for nothing.
#[derive(Debug, Clone, Default)]
pub struct Loose(pub Vec<String>);

impl Loose {
    /// The first.
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Loose;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
                Ok(Loose::default())
            }

            fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
                Ok(Loose(vec![number.to_string()]))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Loose, E> {
                Ok(Loose(vec![number.to_string()]))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Loose, E> {
                Ok(Loose(vec![number.to_string()]))
            }

            fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose(vec![text::cut(text, 1024).to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Loose, A::Error> {
                let mut all = Vec::new();
                while let Some(Loose(some)) = list.next_element()? {
                    let room = 64_usize.saturating_sub(all.len());
                    all.extend(some.into_iter().take(room));
                }
                Ok(Loose(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Loose, A::Error> {
                while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose::default())
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

/// Takes lists that stand in the objects of a list, and keeps none of them.
pub trait Items {
    /// Takes the value of a key of the object at a place of the outer list, or leaves it and answers false.
    ///
    /// # Errors
    /// The parser's, or one that ends the reading.
    fn take<'de, A: MapAccess<'de>>(&mut self, at: usize, key: &str, object: &mut A) -> Result<bool, A::Error>;
}

/// A document whose one list of a name has objects with the lists that are wanted: runs with results, and the like.
pub struct Nested<'a, I> {
    /// The name of the outer list.
    pub list: &'static str,
    /// What takes the inner ones.
    pub items: &'a mut I,
}

impl<'de, I: Items> DeserializeSeed<'de> for Nested<'_, I> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, I: Items> Visitor<'de> for Nested<'_, I> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut document: A) -> Result<(), A::Error> {
        while let Some(key) = document.next_key::<String>()? {
            if key == self.list {
                document.next_value_seed(Outer { items: &mut *self.items })?;
            } else {
                document.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Outer<'a, I> {
    items: &'a mut I,
}

impl<'de, I: Items> DeserializeSeed<'de> for Outer<'_, I> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, I: Items> Visitor<'de> for Outer<'_, I> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut at = 0;
        while list.next_element_seed(Object { items: &mut *self.items, at })?.is_some() {
            at += 1;
        }
        Ok(())
    }
}

struct Object<'a, I> {
    items: &'a mut I,
    at: usize,
}

impl<'de, I: Items> DeserializeSeed<'de> for Object<'_, I> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, I: Items> Visitor<'de> for Object<'_, I> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<String>()? {
            if !self.items.take(self.at, &key, &mut object)? {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}
