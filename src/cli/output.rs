//! What commands print: tables for people, JSON for scripts.
//!
//! Data goes to stdout and talk to stderr, so that a pipe carries data alone. Colour is an addition and never the only
//! carrier of a meaning. Names, messages and logs come from other people's programs, so control characters are taken out
//! before a terminal sees them.

use std::io::{self, IsTerminal, Write};

use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, presets};
use serde::Serialize;
use serde_json::Value;

use crate::client::State;

/// The form of a command's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people.
    Table,
    /// A table with more columns.
    Wide,
    /// JSON for scripts, every field of the API.
    Json,
}

/// The option `--output`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct OutputArg {
    /// Form of the output.
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value = "table",
        value_name = "FORM"
    )]
    pub format: Format,
}

impl OutputArg {
    /// Returns whether scripts read the output.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Returns whether more columns are wanted.
    pub fn is_wide(self) -> bool {
        self.format == Format::Wide
    }
}

/// How this process may print.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether stdout may carry colours.
    pub colors: bool,
}

impl Style {
    /// Looks at the terminal, `NO_COLOR` and the setting.
    pub fn detect(cli_colors: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colors: cli_colors && !refused && io::stdout().is_terminal(),
        }
    }

    /// Makes a table with these columns.
    pub fn table<const N: usize>(self, columns: [&str; N]) -> Table {
        let mut inner = comfy_table::Table::new();
        inner.load_style(presets::UTF8_FULL_CONDENSED);
        // A pipe has no width, so nothing wraps there.
        inner.set_content_arrangement(ContentArrangement::Dynamic);
        if self.colors {
            inner.enforce_styling();
        }
        inner.set_header(columns.map(|column| match self.colors {
            true => Cell::new(column).add_attribute(Attribute::Bold),
            false => Cell::new(column),
        }));
        Table { inner, style: self }
    }

    fn painted(self, text: impl ToString, color: Color) -> Cell {
        let cell = Cell::new(clean(&text.to_string()));
        match self.colors {
            true => cell.fg(color),
            false => cell,
        }
    }

    /// An id, which is never wrapped.
    pub fn id(self, id: impl ToString) -> Cell {
        self.painted(id, Color::Cyan)
    }

    /// A name.
    pub fn name(self, name: impl ToString) -> Cell {
        self.painted(name, Color::Green)
    }

    /// Any other text.
    pub fn text(self, text: impl ToString) -> Cell {
        Cell::new(clean(&text.to_string()))
    }

    /// A state by its name, in the colour of its type.
    pub fn state(self, state: Option<&State>) -> Cell {
        match state {
            None => self.text("-"),
            Some(state) => self.painted(state.label(), state_color(&state.r#type)),
        }
    }

    /// Something that needs attention.
    pub fn warning(self, text: impl ToString) -> Cell {
        self.painted(text, Color::Red)
    }

    /// Returns a text in a state's colour, for lines that are not in a table.
    pub fn state_line(self, state: &State) -> String {
        let label = clean(state.label());
        match (self.colors, state_color(&state.r#type)) {
            (false, _) => label,
            (true, Color::Green) => format!("\x1b[32m{label}\x1b[0m"),
            (true, Color::Red) => format!("\x1b[31m{label}\x1b[0m"),
            (true, Color::Blue) => format!("\x1b[34m{label}\x1b[0m"),
            (true, Color::Yellow) => format!("\x1b[33m{label}\x1b[0m"),
            (true, _) => format!("\x1b[90m{label}\x1b[0m"),
        }
    }
}

fn state_color(state_type: &str) -> Color {
    match state_type {
        "COMPLETED" => Color::Green,
        "FAILED" | "CRASHED" => Color::Red,
        "RUNNING" => Color::Blue,
        "SCHEDULED" | "PENDING" | "PAUSED" => Color::Yellow,
        _ => Color::DarkGrey,
    }
}

/// A table for people.
#[derive(Debug)]
pub struct Table {
    inner: comfy_table::Table,
    style: Style,
}

impl Table {
    /// Returns the style, to make cells with.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.inner.add_row(cells);
    }

    /// Keeps a column as wide as its content, so that ids can be copied from a narrow terminal.
    pub fn keep(&mut self, column: usize) {
        if let Some(column) = self.inner.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }

    /// Prints the table.
    pub fn print(&self) {
        print_line(&self.inner.to_string());
    }
}

/// Prints a line of data to stdout.
///
/// Whoever reads the pipe may stop early (`| head`), which is no failure of ours.
#[expect(
    clippy::disallowed_methods,
    reason = "nobody reads what any further code would print"
)]
pub fn print_line(text: &str) {
    let mut stdout = io::stdout().lock();
    let outcome = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    if let Err(error) = outcome {
        let code = if error.kind() == io::ErrorKind::BrokenPipe {
            0
        } else {
            1
        };
        std::process::exit(code);
    }
}

/// Prints a line of talk to stderr.
pub fn say(text: &str) {
    // Nobody is left to tell that stderr is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints data as JSON.
pub fn print_json(data: &impl Serialize) {
    let text = serde_json::to_string_pretty(data)
        .expect("what the API sent as JSON can be written as JSON");
    print_line(&text);
}

/// Prints an object as aligned lines, one a field; what is null or empty is left out.
pub fn print_fields(object: &Value) {
    let Some(object) = object.as_object() else {
        return print_json(object);
    };
    let shown: Vec<(&String, String)> = object
        .iter()
        .filter(|(_, value)| !is_empty(value))
        .map(|(name, value)| (name, field_text(value)))
        .collect();
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, text) in shown {
        print_line(&format!("{name:<width$}  {text}"));
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn field_text(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        Value::Array(list) if list.iter().all(Value::is_string) => {
            let texts: Vec<String> = list.iter().filter_map(Value::as_str).map(clean).collect();
            texts.join(", ")
        }
        Value::Object(object) => {
            let rest: serde_json::Map<String, Value> = object
                .iter()
                .filter(|(_, value)| !is_empty(value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            Value::Object(rest).to_string()
        }
        other => other.to_string(),
    }
}

/// Returns the text with control characters made visible, so that it cannot command the terminal.
pub fn clean(text: &str) -> String {
    let is_harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
    text.chars()
        .map(|c| if is_harmless(c) { c } else { '\u{fffd}' })
        .collect()
}

/// Returns how long ago or ahead an instant is, as people say it.
pub fn relative(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let distance = at - now;
    let span = span(distance.abs());
    match (span.as_str(), distance > TimeDelta::zero()) {
        ("0 seconds", _) => "now".to_owned(),
        (span, true) => format!("in {span}"),
        (span, false) => format!("{span} ago"),
    }
}

fn span(distance: TimeDelta) -> String {
    const UNITS: &[(i64, &str)] = &[
        (31_536_000, "year"),
        (2_592_000, "month"),
        (604_800, "week"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let seconds = distance.num_seconds();
    let (size, unit) = UNITS
        .iter()
        .find(|(size, _)| seconds >= *size)
        .unwrap_or(&(1, "second"));
    let count = seconds / size;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Returns an instant as it stands in tables: UTC, whole seconds.
pub fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Returns seconds as people read them.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.1}s"),
        s if s < 3_600.0 => format!("{}m {:02}s", s as u64 / 60, s as u64 % 60),
        s => format!("{}h {:02}m", s as u64 / 3_600, s as u64 % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_in_the_largest_unit() {
        let now = DateTime::UNIX_EPOCH;
        let at = |seconds| relative(now, now + TimeDelta::seconds(seconds));
        assert_eq!(at(0), "now");
        assert_eq!(at(1), "in 1 second");
        assert_eq!(at(-59), "59 seconds ago");
        assert_eq!(at(-7_300), "2 hours ago");
        assert_eq!(at(86_400 * 20), "in 2 weeks");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(
            clean("a\x1b[31mb\u{9b}c\r\n"),
            "a\u{fffd}[31mb\u{fffd}c\u{fffd}\n"
        );
    }
}
