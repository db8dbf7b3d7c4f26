//! Filters of Jinja that the engine has not, or has in another manner than genuine servers.

use minijinja::value::{ArgType, Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::{filters, globals};

use super::json;
use super::methods::centered;

/// The bytes that one step of a template may write.
const BYTES_PER_STEP: usize = 64;

/// Adds the filters and functions to an environment.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("center", center);
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("filesizeformat", filesizeformat);
    environment.add_filter("float", float);
    environment.add_filter("flow_run_id", flow_run_id);
    environment.add_filter("forceescape", |value: &Value| {
        Value::from_safe_string(escaped(&value.to_string()))
    });
    environment.add_filter("int", int);
    environment.add_filter("random", filters::random);
    environment.add_filter("striptags", filters::striptags);
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("truncate", truncate);
    environment.add_filter("urlize", urlize);
    environment.add_filter("wordcount", wordcount);
    environment.add_filter("wordwrap", wordwrap);
    environment.add_filter("xmlattr", xmlattr);
    environment.add_function("cycler", |items: Rest<Value>| globals::cycler(items.0));
    environment.add_function("joiner", globals::joiner);
}

/// Takes the steps that a text of so many bytes costs, before it is made.
pub(super) fn charge(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / BYTES_PER_STEP) as u64)
}

/// Returns an argument that is given by its place or by its name.
fn option<'a, T>(given: Option<T>, named: &'a Kwargs, name: &'a str) -> Result<Option<T>, Error>
where
    Option<T>: ArgType<'a, Output = Option<T>>,
{
    match given {
        Some(given) => Ok(Some(given)),
        None => named.get::<Option<T>>(name),
    }
}

fn center(
    state: &State<'_, '_>,
    value: &Value,
    width: Option<usize>,
    named: Kwargs,
) -> Result<String, Error> {
    let width = option(width, &named, "width")?.unwrap_or(80);
    named.assert_all_used()?;
    charge(state, width)?;
    let text = value.to_string();
    let missing = width.saturating_sub(text.chars().count());
    let left = centered(width, missing);
    Ok(format!(
        "{}{text}{}",
        " ".repeat(left),
        " ".repeat(missing - left)
    ))
}

fn escape(value: &Value) -> Value {
    match value.is_safe() {
        true => value.clone(),
        false => Value::from_safe_string(escaped(&value.to_string())),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\'' => escaped.push_str("&#39;"),
            '"' => escaped.push_str("&#34;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn filesizeformat(
    state: &State<'_, '_>,
    value: &Value,
    binary: Option<bool>,
    named: Kwargs,
) -> Result<String, Error> {
    let binary = option(binary, &named, "binary")?.unwrap_or(false);
    let zero = Some(Value::from(0.0));
    let bytes = minijinja::filters::float(state, value, zero, named)?;
    let bytes = f64::try_from(bytes)?;
    let (base, infix) = if binary { (1024.0, "i") } else { (1000.0, "") };
    if bytes == 1.0 {
        return Ok("1 Byte".to_owned());
    }
    if bytes < base {
        return Ok(format!("{:.0} Bytes", bytes.trunc()));
    }
    let (mut amount, mut prefixes) = (bytes / base, "kMGTPEZY".chars());
    let mut prefix = prefixes.next().unwrap_or_default();
    for next in prefixes {
        if amount < base {
            break;
        }
        amount /= base;
        prefix = next;
    }
    if binary {
        prefix = prefix.to_ascii_uppercase();
    }
    Ok(format!("{amount:.1} {prefix}{infix}B"))
}

/// What is no number is worth the default.
fn float(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    named: Kwargs,
) -> Result<Value, Error> {
    let default = option(default, &named, "default")?;
    let default = default.unwrap_or_else(|| Value::from(0.0));
    minijinja::filters::float(state, value, Some(default), named)
}

/// What is no number is worth the default.
fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    named: Kwargs,
) -> Result<Value, Error> {
    let default = option(default, &named, "default")?;
    let default = default.unwrap_or_else(|| Value::from(0));
    minijinja::filters::int(state, value, Some(default), base, named)
}

/// Finds the id of a flow run in a text that has a link to one.
fn flow_run_id(value: &Value) -> Option<String> {
    const MARK: &str = "flow-run/";
    let text = value.as_str()?;
    let mut ids = text.match_indices(MARK).filter_map(|(at, _)| {
        let id = text.get(at + MARK.len()..at + MARK.len() + 36)?;
        let is_id = id.bytes().enumerate().all(|(n, byte)| match n {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
        is_id.then(|| id.to_owned())
    });
    ids.next()
}

fn truncate(value: &Value, given: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let option = |n: usize, name| option(given.get(n).cloned(), &named, name);
    let length = option(0, "length")?.map_or(Ok(255), usize::try_from)?;
    let killwords = option(1, "killwords")?.is_some_and(|value| value.is_true());
    let end = option(2, "end")?.map_or_else(|| "...".to_owned(), |end| end.to_string());
    let leeway = option(3, "leeway")?.map_or(Ok(5), usize::try_from)?;
    named.assert_all_used()?;
    let text = value.to_string();
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let Some(length) = length.checked_sub(end.chars().count()) else {
        let text = format!("expected length >= {}, got {length}", end.chars().count());
        return Err(Error::new(ErrorKind::InvalidOperation, text));
    };
    let cut: String = text.chars().take(length).collect();
    let whole = match cut.rsplit_once(' ') {
        Some((whole, _)) if !killwords => whole,
        _ => &cut,
    };
    Ok(format!("{whole}{end}"))
}

/// Makes links of words that are addresses.
fn urlize(
    value: &Value,
    trim_url_limit: Option<usize>,
    nofollow: Option<bool>,
    target: Option<String>,
    named: Kwargs,
) -> Result<Value, Error> {
    let limit = option(trim_url_limit, &named, "trim_url_limit")?;
    let nofollow = option(nofollow, &named, "nofollow")?.unwrap_or(false);
    let target = option(target, &named, "target")?;
    named.assert_all_used()?;
    let rel = if nofollow {
        "nofollow noopener"
    } else {
        "noopener"
    };
    let target = target.map_or_else(String::new, |target| {
        format!(" target=\"{}\"", escaped(&target))
    });
    let text = value.to_string();
    let words = text.split_inclusive(char::is_whitespace).map(|word| {
        let address = word.trim_end();
        let address = address
            .trim_start_matches(['(', '<'])
            .trim_end_matches(['.', ',', ')', '>', ';']);
        let Some(href) = link(address) else {
            return escaped(word);
        };
        let (before, after) = word.split_once(address).unwrap_or_default();
        let shown = match limit {
            Some(limit) if address.chars().count() > limit => {
                address.chars().take(limit).chain("...".chars()).collect()
            }
            _ => address.to_owned(),
        };
        let rel = if href.starts_with("mailto:") {
            String::new()
        } else {
            format!(" rel=\"{rel}\"{target}")
        };
        let (before, after) = (escaped(before), escaped(after));
        format!(
            "{before}<a href=\"{}\"{rel}>{}</a>{after}",
            escaped(&href),
            escaped(&shown)
        )
    });
    Ok(Value::from_safe_string(words.collect()))
}

/// Returns where a word leads to, if it is an address.
fn link(word: &str) -> Option<String> {
    let host = |rest: &str| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        host.split(':').next().unwrap_or_default().to_owned()
    };
    if let Some(rest) = ["http://", "https://"]
        .iter()
        .find_map(|scheme| word.strip_prefix(scheme))
    {
        let host = host(rest);
        let is_known = has_top_level(&host) || host.parse::<std::net::Ipv4Addr>().is_ok();
        return is_known.then(|| word.to_owned());
    }
    if let Some((name, host)) = word.strip_prefix("mailto:").unwrap_or(word).split_once('@') {
        let is_address = !name.is_empty() && host.contains('.') && has_top_level(host);
        return is_address.then(|| match word.starts_with("mailto:") {
            true => word.to_owned(),
            false => format!("mailto:{word}"),
        });
    }
    let host = host(word);
    let is_host = match host.strip_prefix("www.") {
        Some(rest) => has_top_level(rest),
        None => host.rsplit_once('.').is_some_and(|(name, end)| {
            let ends = ["com", "net", "int", "edu", "gov", "org", "info", "mil"];
            name.len() > 1 && ends.contains(&end)
        }),
    };
    is_host.then(|| format!("https://{word}"))
}

/// Tells whether a host may end like that.
fn has_top_level(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    (2..64).contains(&last.len()) && last.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn wordcount(value: &Value) -> usize {
    let text = value.to_string();
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.filter(|word| !word.is_empty()).count()
}

fn wordwrap(
    state: &State<'_, '_>,
    value: &Value,
    given: Rest<Value>,
    named: Kwargs,
) -> Result<String, Error> {
    let option = |n: usize, name| option(given.get(n).cloned(), &named, name);
    let width = option(0, "width")?.map_or(Ok(79), usize::try_from)?.max(1);
    let breaks_words = option(1, "break_long_words")?.is_none_or(|value| value.is_true());
    let wrapstring = option(2, "wrapstring")?.filter(|value| !value.is_none());
    let wrapstring = wrapstring.map_or_else(|| "\n".to_owned(), |value| value.to_string());
    let breaks_hyphens = option(3, "break_on_hyphens")?.is_none_or(|value| value.is_true());
    named.assert_all_used()?;
    let text = value.to_string();
    charge(state, text.len().saturating_mul(wrapstring.len() + 1))?;
    let wrap = Wrap {
        width,
        breaks_words,
        breaks_hyphens,
    };
    let lines: Vec<String> = text
        .lines()
        .map(|line| wrap.lines(line).join(&wrapstring))
        .collect();
    Ok(lines.join(&wrapstring))
}

/// How a line is wrapped.
struct Wrap {
    width: usize,
    breaks_words: bool,
    breaks_hyphens: bool,
}

impl Wrap {
    /// Puts words into lines as long as they fit; white space where a line is broken is dropped.
    fn lines(&self, text: &str) -> Vec<String> {
        let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
        for piece in pieces(text, self.breaks_hyphens) {
            let mut piece: Vec<char> = piece.chars().collect();
            let is_blank = piece.iter().all(|letter| letter.is_whitespace());
            let is_long = |piece: &[char]| piece.len() > self.width;
            while used + piece.len() > self.width {
                if self.breaks_words && is_long(&piece) && !is_blank {
                    line.extend(piece.drain(..self.width - used));
                }
                if !line.trim_end().is_empty() {
                    lines.push(line.trim_end().to_owned());
                }
                (line, used) = (String::new(), 0);
                if is_blank || (!self.breaks_words && is_long(&piece)) {
                    break;
                }
            }
            let begins_line = line.is_empty() && (!lines.is_empty() || is_long(&piece));
            if !(is_blank && begins_line) {
                used += piece.len();
                line.extend(piece);
            }
        }
        if !line.trim_end().is_empty() {
            lines.push(line.trim_end().to_owned());
        }
        lines
    }
}

/// Returns words and the white space between them; words may end with a hyphen between letters.
fn pieces(text: &str, hyphens: bool) -> Vec<&str> {
    let letters: Vec<(usize, char)> = text.char_indices().collect();
    let (mut pieces, mut start) = (Vec::new(), 0);
    for n in 1..letters.len() {
        let (at, letter) = letters[n];
        let before = letters[n - 1].1;
        let is_hyphenated = hyphens
            && before == '-'
            && letter.is_alphabetic()
            && n > 1
            && letters[n - 2].1.is_alphabetic();
        if letter.is_whitespace() != before.is_whitespace() || is_hyphenated {
            pieces.push(&text[start..at]);
            start = at;
        }
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

fn xmlattr(value: &Value, autospace: Option<bool>) -> Result<Value, Error> {
    let mut attributes = String::new();
    for name in value.try_iter()? {
        let value = value.get_item(&name)?;
        if matches!(value.kind(), ValueKind::None | ValueKind::Undefined) {
            continue;
        }
        let name = name.to_string();
        if name.contains(|letter: char| letter.is_ascii_whitespace() || "/>=".contains(letter)) {
            let text = format!("invalid character in attribute name '{name}'");
            return Err(Error::new(ErrorKind::InvalidOperation, text));
        }
        if !attributes.is_empty() || autospace.unwrap_or(true) {
            attributes.push(' ');
        }
        attributes.push_str(&format!(
            "{}=\"{}\"",
            escaped(&name),
            escaped(&value.to_string())
        ));
    }
    Ok(Value::from_safe_string(attributes))
}
