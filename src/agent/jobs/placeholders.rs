//! Placeholders in a job's template: `{{ name }}`, `{{ $VARIABLE }}`, `{{ image.tags[0] }}`.

use serde_json::Value;

/// What a placeholder stands for.
pub(super) enum Found {
    Value(Value),
    /// Nothing that is known.
    Nothing,
    /// What is asked for later.
    Later,
}

/// Replaces placeholders; nothing, if the whole of it is one that stands for nothing.
pub(super) fn fill(template: &Value, lookup: &dyn Fn(&str) -> Found) -> Option<Value> {
    match template {
        Value::String(text) => fill_text(text, lookup),
        Value::Array(items) => Some(items.iter().filter_map(|item| fill(item, lookup)).collect()),
        Value::Object(members) => {
            let filled = members
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), fill(value, lookup)?)));
            Some(Value::Object(filled.collect()))
        }
        other => Some(other.clone()),
    }
}

fn fill_text(text: &str, lookup: &dyn Fn(&str) -> Found) -> Option<Value> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, placeholder, after)) = next_placeholder(rest) {
        let found = lookup(placeholder.trim());
        let is_whole = rest.len() == text.len() && before.is_empty() && after.is_empty();
        match found {
            Found::Value(value) if is_whole => return Some(value),
            Found::Nothing if is_whole => return None,
            Found::Value(value) => {
                filled.push_str(before);
                filled.push_str(&written(&value));
            }
            Found::Nothing => filled.push_str(before),
            Found::Later => filled.push_str(&rest[..rest.len() - after.len()]),
        }
        rest = after;
    }
    filled.push_str(rest);
    Some(Value::String(filled))
}

/// Returns what is before the next placeholder, what stands in it, and what is behind it.
pub(super) fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || "_.-[]$".contains(c);
    let mut from = 0;
    loop {
        let open = from + text[from..].find("{{")?;
        let close = open + text[open..].find("}}")?;
        let inside = &text[open + 2..close];
        if !inside.trim().is_empty() && inside.trim().chars().all(is_part) {
            return Some((&text[..open], inside, &text[close + 2..]));
        }
        from = open + 2;
    }
}

/// Returns what a path such as `target.hosts[0].name` means in a value.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, part| {
        let (name, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        let value = if name.is_empty() {
            value
        } else {
            value.get(name)?
        };
        let mut indices = indices.split(['[', ']']).filter(|index| !index.is_empty());
        indices.try_fold(value, |value, index| {
            value.get(index.parse::<usize>().ok()?)
        })
    })
}

/// Returns text as it is, truth as Python writes it, and everything else as JSON.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}
