//! A value inside a JSON document that knows its path, and the complaints about what is not there.

use serde_json::Value;

/// Where in the document, and what is there.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    path: String,
    value: &'a Value,
}

/// Everything that is wrong with a document, each with its JSON path.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Vec<String>);

impl Complaints {
    /// Notes that `what` is wrong at `place`.
    pub(crate) fn add(&mut self, place: &Place<'_>, what: &str) {
        self.0.push(format!("{}: {what}", place.path));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Place<'a> {
    /// The whole document.
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { path: "$".to_owned(), value }
    }

    /// The field `key`; `None` when it is absent or null.
    pub(crate) fn optional(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Self { path: format!("{}.{key}", self.path), value })
    }

    /// The field `key`; its absence is a complaint.
    pub(crate) fn field(&self, key: &str, complaints: &mut Complaints) -> Option<Self> {
        let found = self.optional(key);
        if found.is_none() {
            complaints.0.push(format!("{}.{key}: missing", self.path));
        }
        found
    }

    /// The elements of an array or the values of an object; empty for anything else.
    pub(crate) fn children(&self) -> Vec<Self> {
        match self.value {
            Value::Array(items) => {
                let place = |(index, value)| Self { path: format!("{}[{index}]", self.path), value };
                items.iter().enumerate().map(place).collect()
            }
            Value::Object(fields) => {
                let place = |(key, value)| Self { path: format!("{}.{key}", self.path), value };
                fields.iter().map(place).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The children of the field `key`; having none is a complaint.
    pub(crate) fn some_children(&self, key: &str, complaints: &mut Complaints) -> Vec<Self> {
        let Some(field) = self.field(key, complaints) else { return Vec::new() };
        let children = field.children();
        if children.is_empty() {
            complaints.add(&field, "empty");
        }
        children
    }

    /// The keys of the object in the field `key`; its absence is a complaint, emptiness is not.
    pub(crate) fn keys(&self, key: &str, complaints: &mut Complaints) -> Vec<&'a str> {
        let Some(field) = self.field(key, complaints) else { return Vec::new() };
        let Value::Object(fields) = field.value else {
            complaints.add(&field, "not an object");
            return Vec::new();
        };
        fields.keys().map(String::as_str).collect()
    }

    /// The text in the field `key`.
    pub(crate) fn text(&self, key: &str, complaints: &mut Complaints) -> Option<&'a str> {
        let field = self.field(key, complaints)?;
        let text = field.value.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            complaints.add(&field, "not a text");
        }
        text
    }

    /// The number in the field `key`, which must be finite and not negative.
    pub(crate) fn number(&self, key: &str, complaints: &mut Complaints) -> Option<f64> {
        let field = self.field(key, complaints)?;
        let number = field.value.as_f64().filter(|number| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            complaints.add(&field, "not a number of at least 0");
        }
        number
    }

    /// The number in the field `key`, 0 when there is none. For sums over optional counts.
    pub(crate) fn count(&self, key: &str) -> u64 {
        self.value.get(key).and_then(Value::as_u64).unwrap_or(0)
    }

    /// The BLAKE3 digest in the field `key`: 64 hexadecimal digits.
    pub(crate) fn digest(&self, key: &str, complaints: &mut Complaints) -> Option<&'a str> {
        let field = self.field(key, complaints)?;
        let is_digest = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digest = field.value.as_str().filter(is_digest);
        if digest.is_none() {
            complaints.add(&field, "not a digest of 64 hexadecimal digits");
        }
        digest
    }

    /// The value as a text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }
}
