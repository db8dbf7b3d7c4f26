//! Values as JSON in the manner of Python: members in order of their names, ASCII only, and safe in HTML.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::filters::charge;
use super::instants::{Moment, Span};

/// How deep a value may be nested.
const MAX_DEPTH: usize = 128;

/// The filter of that name.
pub(super) fn tojson(
    state: &State<'_, '_>,
    value: &Value,
    indent: Option<Value>,
    named: Kwargs,
) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => named.get::<Option<Value>>("indent")?,
    };
    named.assert_all_used()?;
    let indent = match indent {
        None => None,
        Some(indent) if indent.is_none() => None,
        Some(indent) => Some(usize::try_from(indent)?),
    };
    let mut writer = Writer {
        state,
        indent,
        text: String::new(),
    };
    // By itself it is what it is printed as.
    match value.downcast_object_ref::<Moment>() {
        Some(instant) => writer.text(&instant.to_string())?,
        None => writer.value(value, 0)?,
    }
    Ok(Value::from_safe_string(writer.text))
}

struct Writer<'a, 'template, 'env> {
    state: &'a State<'template, 'env>,
    indent: Option<usize>,
    text: String,
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            let text = "the value is nested too deep";
            return Err(Error::new(ErrorKind::InvalidOperation, text));
        }
        charge(self.state, 64)?;
        if let Some(Moment(at)) = value.downcast_object_ref::<Moment>() {
            let format = match at.timestamp_subsec_micros() {
                0 => "%Y-%m-%dT%H:%M:%SZ",
                _ => "%Y-%m-%dT%H:%M:%S%.6fZ",
            };
            return self.text(&at.format(format).to_string());
        }
        if let Some(span) = value.downcast_object_ref::<Span>() {
            self.text.push_str(&Value::from(span.seconds()).to_string());
            return Ok(());
        }
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool if value.is_true() => self.text.push_str("true"),
            ValueKind::Bool => self.text.push_str("false"),
            ValueKind::Number => self.text.push_str(&value.to_string()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            _ => self.text(&value.to_string())?,
        }
        Ok(())
    }

    fn list(&mut self, list: &Value, depth: usize) -> Result<(), Error> {
        let mut is_empty = true;
        self.text.push('[');
        for item in list.try_iter()? {
            self.part(is_empty, depth + 1)?;
            self.value(&item, depth + 1)?;
            is_empty = false;
        }
        self.end(']', is_empty, depth)
    }

    fn map(&mut self, map: &Value, depth: usize) -> Result<(), Error> {
        let mut names: Vec<Value> = map.try_iter()?.collect();
        names.sort();
        let is_empty = names.is_empty();
        self.text.push('{');
        for (n, name) in names.iter().enumerate() {
            self.part(n == 0, depth + 1)?;
            match name.kind() {
                ValueKind::None => self.text("null")?,
                ValueKind::Bool => self.text(&name.to_string().to_lowercase())?,
                _ => self.text(&name.to_string())?,
            }
            self.text.push_str(": ");
            self.value(&map.get_item(name)?, depth + 1)?;
        }
        self.end('}', is_empty, depth)
    }

    /// Separates a part from the one before.
    fn part(&mut self, is_first: bool, depth: usize) -> Result<(), Error> {
        if !is_first {
            self.text.push(',');
        }
        match self.indent {
            Some(_) => self.line(depth),
            None if is_first => Ok(()),
            None => {
                self.text.push(' ');
                Ok(())
            }
        }
    }

    fn end(&mut self, bracket: char, is_empty: bool, depth: usize) -> Result<(), Error> {
        if !is_empty && self.indent.is_some() {
            self.line(depth)?;
        }
        self.text.push(bracket);
        Ok(())
    }

    fn line(&mut self, depth: usize) -> Result<(), Error> {
        let spaces = self.indent.unwrap_or(0).saturating_mul(depth);
        charge(self.state, spaces)?;
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', spaces));
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        charge(self.state, text.len())?;
        self.text.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                '<' | '>' | '&' | '\'' | '\u{7f}'.. | '\0'..='\u{1f}' => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        self.text.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                letter => self.text.push(letter),
            }
        }
        self.text.push('"');
        Ok(())
    }
}
