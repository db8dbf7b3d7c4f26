//! Methods of texts and lists of Python beside those that `pycompat` has.

use minijinja::value::{Kwargs, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use super::filters::charge;

/// Calls a method of a value that has none of that name.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let found = match (value.as_str(), value.kind()) {
        (Some(text), _) => of_text(state, text, method, arguments)?,
        (None, ValueKind::Seq) => of_list(value, method, arguments)?,
        (None, _) => None,
    };
    match found {
        Some(value) => Ok(value),
        None => pycompat::unknown_method_callback(state, value, method, arguments),
    }
}

fn of_list(list: &Value, method: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    if method != "index" {
        return Ok(None);
    }
    let (what,): (&Value,) = from_args(arguments)?;
    let at = list.try_iter()?.position(|item| item == *what);
    at.map(|at| Some(at.into()))
        .ok_or_else(|| wrong("the value is not in the list"))
}

fn of_text(
    state: &State<'_, '_>,
    text: &str,
    method: &str,
    arguments: &[Value],
) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "center" | "ljust" | "rjust" | "zfill" => justified(state, text, method, arguments)?.into(),
        "swapcase" => text.chars().map(swapped).collect::<String>().into(),
        "casefold" => text.to_lowercase().replace('ß', "ss").into(),
        "expandtabs" => expanded(state, text, arguments)?.into(),
        "index" | "rindex" => {
            let (what,): (&str,) = from_args(arguments)?;
            let at = match method {
                "index" => text.find(what),
                _ => text.rfind(what),
            };
            let at = at.ok_or_else(|| wrong("substring not found"))?;
            text[..at].chars().count().into()
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            let (before, found, after) = match method {
                "partition" => match text.split_once(separator) {
                    Some((before, after)) => (before, separator, after),
                    None => (text, "", ""),
                },
                _ => match text.rsplit_once(separator) {
                    Some((before, after)) => (before, separator, after),
                    None => ("", "", text),
                },
            };
            Tuple::from([before, found, after].map(Value::from)).into()
        }
        "rsplit" => {
            let (separator, most, named): (Option<&str>, Option<i64>, Kwargs) =
                from_args(arguments)?;
            let named_separator = named.get::<Option<&str>>("sep")?;
            let most = most.or(named.get("maxsplit")?).unwrap_or(-1);
            named.assert_all_used()?;
            if separator.or(named_separator) == Some("") {
                return Err(wrong("empty separator"));
            }
            split_from_right(text, separator.or(named_separator), most).into()
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(arguments)?;
            text.strip_prefix(prefix).unwrap_or(text).into()
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(arguments)?;
            text.strip_suffix(suffix).unwrap_or(text).into()
        }
        _ => return Ok(None),
    }))
}

/// Fills a text up to a width, in the manner that a method is named for.
fn justified(
    state: &State<'_, '_>,
    text: &str,
    method: &str,
    arguments: &[Value],
) -> Result<String, Error> {
    let (width, fill): (usize, Option<char>) = from_args(arguments)?;
    charge(state, width)?;
    let fill = fill.unwrap_or(if method == "zfill" { '0' } else { ' ' });
    let length = text.chars().count();
    let missing = width.saturating_sub(length);
    let left = match method {
        "ljust" => 0,
        "center" => centered(width, missing),
        _ => missing,
    };
    let fill = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    Ok(match text.strip_prefix(['+', '-']) {
        // Zeros stand behind the sign.
        Some(digits) if method == "zfill" => format!("{}{}{digits}", &text[..1], fill(left)),
        _ => format!("{}{text}{}", fill(left), fill(missing - left)),
    })
}

/// Returns how much of what is missing stands on the left; an odd one does where the width is odd too.
pub(super) fn centered(width: usize, missing: usize) -> usize {
    missing / 2 + (missing & width & 1)
}

fn swapped(letter: char) -> String {
    match letter.is_uppercase() {
        true => letter.to_lowercase().collect(),
        false => letter.to_uppercase().collect(),
    }
}

fn expanded(state: &State<'_, '_>, text: &str, arguments: &[Value]) -> Result<String, Error> {
    let (size,): (Option<usize>,) = from_args(arguments)?;
    let size = size.unwrap_or(8);
    charge(state, text.matches('\t').count().saturating_mul(size))?;
    let (mut expanded, mut column) = (String::with_capacity(text.len()), 0);
    for letter in text.chars() {
        match letter {
            '\t' if size == 0 => {}
            '\t' => {
                let missing = size - column % size;
                expanded.extend(std::iter::repeat_n(' ', missing));
                column += missing;
            }
            '\n' | '\r' => {
                expanded.push(letter);
                column = 0;
            }
            _ => {
                expanded.push(letter);
                column += 1;
            }
        }
    }
    Ok(expanded)
}

/// Splits at white space or a separator, at most so often, from the right; a negative number is no bound.
fn split_from_right(text: &str, separator: Option<&str>, most: i64) -> Vec<String> {
    let mut most = usize::try_from(most).unwrap_or(usize::MAX);
    let (mut parts, mut rest) = (Vec::new(), text);
    if separator.is_none() {
        rest = rest.trim_end();
    }
    while most > 0 {
        let cut = match separator {
            Some(separator) => rest.rsplit_once(separator),
            None => rest.rsplit_once(char::is_whitespace),
        };
        let Some((before, after)) = cut else { break };
        parts.push(after.to_owned());
        rest = if separator.is_none() {
            before.trim_end()
        } else {
            before
        };
        most -= 1;
    }
    if separator.is_some() || !rest.is_empty() {
        parts.push(rest.to_owned());
    }
    parts.reverse();
    parts
}

fn wrong(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}
