//! Serde's mistakes as values. Whoever derives `Deserialize` reports a mistake through [`serde::de::Error`], which most
//! readers turn into English at once. This layer around a reader keeps what was reported, so that nothing is read out of a
//! message.
//!
//! The error of the layer is made inside the reader (a visitor calls it) and must pass through the reader's own error
//! type. On that way it waits in a [`Slot`].

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};

/// What was reported.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// A key that the map does not have.
    UnknownKey { key: String, known: Vec<String> },
    /// A word that is none of the choices.
    UnknownChoice { word: String, known: Vec<String> },
    /// A key that must be there.
    MissingKey(String),
    /// A key that is there twice.
    RepeatedKey(String),
    /// A value of the wrong shape. What was found is known only where a visitor saw it.
    WrongShape {
        found: Option<Found>,
        wanted: Wanted,
    },
    /// A sentence of the type that is read.
    Own(String),
}

/// What was found instead.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    Nothing,
    /// A number with a fraction or an exponent, and how it is written.
    Float(f64, String),
    /// Another value that is no text, as it is written.
    Plain(String),
    Text(String),
    /// A single word where a map was needed.
    Word,
    List,
    Map,
    Other,
}

impl Found {
    fn of(unexpected: &Unexpected<'_>) -> Self {
        match unexpected {
            Unexpected::Unit | Unexpected::Option => Self::Nothing,
            Unexpected::Bool(value) => Self::Plain(value.to_string()),
            Unexpected::Unsigned(value) => Self::Plain(value.to_string()),
            Unexpected::Signed(value) => Self::Plain(value.to_string()),
            Unexpected::Float(value) => Self::Float(*value, format!("{value:?}")),
            Unexpected::Char(value) => Self::Text(value.to_string()),
            Unexpected::Str(value) => Self::Text((*value).to_owned()),
            Unexpected::UnitVariant => Self::Word,
            Unexpected::Seq | Unexpected::TupleVariant => Self::List,
            Unexpected::Map | Unexpected::StructVariant => Self::Map,
            _ => Self::Other,
        }
    }
}

/// What was requested of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// From 0 (or below, where the type has a sign) to this.
    Whole(u64),
    Number,
    Bool,
    Text,
    List,
    Map,
    /// A word, or a map with one key.
    Choice,
    /// A map with one key, whose value is a map.
    NamedMap,
    /// A map with one key only.
    OneKey,
    /// A word of a choice, alone.
    Word,
    Anything,
}

/// Where a mistake waits while it passes through the reader.
#[derive(Debug, Default)]
pub(super) struct Slot {
    told: RefCell<Option<Told>>,
    wanted: Cell<Option<Wanted>>,
}

impl Slot {
    /// On the way in: keeps what was reported, and gives the reader an error of its own.
    fn keep<E>(&self, error: Error<E>) -> E {
        let told = error.told.map(|told| match told {
            Told::WrongShape {
                found,
                wanted: Wanted::Anything,
            } => Told::WrongShape {
                found,
                wanted: self.wanted.get().unwrap_or(Wanted::Anything),
            },
            told => told,
        });
        self.told.replace(told);
        error.inner
    }

    /// On the way out: the reader's error, with what was reported.
    fn with<E>(&self, inner: E) -> Error<E> {
        Error {
            inner,
            told: self.told.take(),
        }
    }
}

/// The reader's error, and what it is about. Without `told`, the reader itself found the mistake.
#[derive(Debug)]
pub(super) struct Error<E> {
    pub inner: E,
    pub told: Option<Told>,
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<E: std::error::Error> std::error::Error for Error<E> {}

impl<E> Error<E> {
    fn new(inner: E, told: Told) -> Self {
        Self {
            inner,
            told: Some(told),
        }
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl<E: serde::de::Error> serde::de::Error for Error<E> {
    fn custom<T: fmt::Display>(text: T) -> Self {
        let text = text.to_string();
        Self::new(E::custom(&text), Told::Own(text))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        let found = Found::of(&unexpected);
        let wanted = match found {
            // A word stands for a variant that has fields.
            Found::Word => Wanted::NamedMap,
            Found::Map => Wanted::Word,
            _ => Wanted::Anything,
        };
        let told = Told::WrongShape {
            found: Some(found),
            wanted,
        };
        Self::new(E::invalid_type(unexpected, expected), told)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        let found = Found::of(&unexpected);
        let wanted = match found {
            // More variants than one, or none.
            Found::Map => Wanted::OneKey,
            _ => Wanted::Anything,
        };
        let told = Told::WrongShape {
            found: Some(found),
            wanted,
        };
        Self::new(E::invalid_value(unexpected, expected), told)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        let told = Told::UnknownChoice {
            word: word.to_owned(),
            known: owned(known),
        };
        Self::new(E::unknown_variant(word, known), told)
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        let told = Told::UnknownKey {
            key: key.to_owned(),
            known: owned(known),
        };
        Self::new(E::unknown_field(key, known), told)
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(E::missing_field(key), Told::MissingKey(key.to_owned()))
    }

    fn duplicate_field(key: &'static str) -> Self {
        Self::new(E::duplicate_field(key), Told::RepeatedKey(key.to_owned()))
    }
}

/// A part of the reader, with the slot: a deserializer, a visitor, a seed, or what a visitor is given.
pub(super) struct Typed<'s, T> {
    inner: T,
    slot: &'s Slot,
}

impl<'s, T> Typed<'s, T> {
    pub(super) fn new(inner: T, slot: &'s Slot) -> Self {
        Self { inner, slot }
    }
}

/// Hands a request on, after it was noted what is wanted.
macro_rules! requests {
    ($($method:ident($($name:ident: $type:ty),*) wants $wanted:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, Self::Error> {
            self.request($wanted, |inner, visitor| inner.$method($($name,)* visitor), visitor)
        }
    )*};
}

impl<'s, D> Typed<'s, D> {
    fn request<'de, V, E>(
        self,
        wanted: Option<Wanted>,
        read: impl FnOnce(D, Typed<'s, V>) -> Result<V::Value, E>,
        visitor: V,
    ) -> Result<V::Value, Error<E>>
    where
        V: Visitor<'de>,
    {
        let slot = self.slot;
        slot.wanted.set(wanted);
        read(self.inner, Typed::new(visitor, slot)).map_err(|error| {
            let mut error = slot.with(error);
            // The reader itself found another shape: it does not say which.
            if let (None, Some(wanted)) = (&error.told, wanted) {
                error.told = Some(Told::WrongShape {
                    found: None,
                    wanted,
                });
            }
            error
        })
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Typed<'_, D> {
    type Error = Error<D::Error>;

    requests! {
        deserialize_any() wants Some(Wanted::Choice);
        deserialize_bool() wants Some(Wanted::Bool);
        deserialize_i8() wants Some(Wanted::Whole(i8::MAX as u64));
        deserialize_i16() wants Some(Wanted::Whole(i16::MAX as u64));
        deserialize_i32() wants Some(Wanted::Whole(i32::MAX as u64));
        deserialize_i64() wants Some(Wanted::Whole(i64::MAX as u64));
        deserialize_i128() wants Some(Wanted::Whole(u64::MAX));
        deserialize_u8() wants Some(Wanted::Whole(u8::MAX.into()));
        deserialize_u16() wants Some(Wanted::Whole(u16::MAX.into()));
        deserialize_u32() wants Some(Wanted::Whole(u32::MAX.into()));
        deserialize_u64() wants Some(Wanted::Whole(u64::MAX));
        deserialize_u128() wants Some(Wanted::Whole(u64::MAX));
        deserialize_f32() wants Some(Wanted::Number);
        deserialize_f64() wants Some(Wanted::Number);
        deserialize_char() wants Some(Wanted::Text);
        deserialize_str() wants Some(Wanted::Text);
        deserialize_string() wants Some(Wanted::Text);
        deserialize_bytes() wants None;
        deserialize_byte_buf() wants None;
        deserialize_option() wants None;
        deserialize_unit() wants None;
        deserialize_unit_struct(name: &'static str) wants None;
        deserialize_newtype_struct(name: &'static str) wants None;
        deserialize_seq() wants Some(Wanted::List);
        deserialize_tuple(len: usize) wants Some(Wanted::List);
        deserialize_tuple_struct(name: &'static str, len: usize) wants Some(Wanted::List);
        deserialize_map() wants Some(Wanted::Map);
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) wants Some(Wanted::Map);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) wants Some(Wanted::Choice);
        deserialize_identifier() wants Some(Wanted::Text);
        deserialize_ignored_any() wants None;
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Hands on what the reader found, and keeps what is reported of it.
macro_rules! visits {
    ($($method:ident($($name:ident: $type:ty)?);)*) => {$(
        fn $method<E: serde::de::Error>(self, $($name: $type)?) -> Result<V::Value, E> {
            self.inner.$method::<Error<E>>($($name)?).map_err(|error| self.slot.keep(error))
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Typed<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visits! {
        visit_bool(value: bool);
        visit_i64(value: i64);
        visit_i128(value: i128);
        visit_u64(value: u64);
        visit_u128(value: u128);
        visit_f64(value: f64);
        visit_str(value: &str);
        visit_borrowed_str(value: &'de str);
        visit_string(value: String);
        visit_none();
        visit_unit();
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.inner
            .visit_some(Typed::new(value, self.slot))
            .map_err(|error| self.slot.keep(error))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.inner
            .visit_newtype_struct(Typed::new(value, self.slot))
            .map_err(|error| self.slot.keep(error))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.inner
            .visit_seq(Typed::new(items, self.slot))
            .map_err(|error| self.slot.keep(error))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.inner
            .visit_map(Typed::new(entries, self.slot))
            .map_err(|error| self.slot.keep(error))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, choice: A) -> Result<V::Value, A::Error> {
        self.inner
            .visit_enum(Typed::new(choice, self.slot))
            .map_err(|error| self.slot.keep(error))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Typed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<S::Value, D::Error> {
        self.inner
            .deserialize(Typed::new(reader, self.slot))
            .map_err(|error| self.slot.keep(error))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Typed<'_, A> {
    type Error = Error<A::Error>;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Self::Error> {
        self.inner
            .next_element_seed(Typed::new(seed, self.slot))
            .map_err(|error| self.slot.with(error))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Typed<'_, A> {
    type Error = Error<A::Error>;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Self::Error> {
        self.inner
            .next_key_seed(Typed::new(seed, self.slot))
            .map_err(|error| self.slot.with(error))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        self.inner
            .next_value_seed(Typed::new(seed, self.slot))
            .map_err(|error| self.slot.with(error))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 's, A: EnumAccess<'de>> EnumAccess<'de> for Typed<'s, A> {
    type Error = Error<A::Error>;
    type Variant = Typed<'s, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), Self::Error> {
        let slot = self.slot;
        match self.inner.variant_seed(Typed::new(seed, slot)) {
            Ok((value, variant)) => Ok((value, Typed::new(variant, slot))),
            Err(error) => Err(slot.with(error)),
        }
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Typed<'_, A> {
    type Error = Error<A::Error>;

    fn unit_variant(self) -> Result<(), Self::Error> {
        self.inner
            .unit_variant()
            .map_err(|error| self.slot.with(error))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        self.inner
            .newtype_variant_seed(Typed::new(seed, self.slot))
            .map_err(|error| self.slot.with(error))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.inner
            .tuple_variant(len, Typed::new(visitor, self.slot))
            .map_err(|error| self.slot.with(error))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.inner
            .struct_variant(fields, Typed::new(visitor, self.slot))
            .map_err(|error| self.slot.with(error))
    }
}
