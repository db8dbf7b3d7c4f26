//! What commands print: tables for people, JSON for scripts.
//!
//! Data goes to stdout and talk to stderr, so that a pipe carries data alone. Colour is an addition and never the only
//! carrier of a meaning. Names, messages and logs come from other people's programs, so control characters are taken out
//! before a terminal sees them.

use std::io::{self, IsTerminal, Write};

use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Width, presets};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::client::{Document, State};

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

    /// Prints one object: as JSON, or its fields as aligned lines.
    pub fn show<T>(self, object: &Document<T>) {
        match self.is_json() {
            true => print_json(object),
            false => print_fields(&object.raw),
        }
    }

    /// Prints something new: as JSON, or its id alone on a line, so that it can be handed to another command.
    pub fn show_id<T>(self, object: &Document<T>, id: Uuid) {
        match self.is_json() {
            true => print_json(object),
            false => print_line(&id.to_string()),
        }
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
    pub fn table<const N: usize>(self, columns: [&'static str; N]) -> Table {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
            wrapped: &[],
            spare: &[],
            style: self,
        }
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
///
/// On a narrow terminal names are wrapped and the least important columns are left out, so that no
/// id or state is broken in two. A pipe gets everything.
#[derive(Debug)]
pub struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    wrapped: &'static [&'static str],
    spare: &'static [&'static str],
    style: Style,
}

/// How narrow a column of names may become.
const LEAST_NAME: u16 = 14;

impl Table {
    /// Says which columns may be wrapped.
    pub fn wraps(mut self, columns: &'static [&'static str]) -> Self {
        self.wrapped = columns;
        self
    }

    /// Says which columns may be left out, the first one first.
    pub fn spares(mut self, columns: &'static [&'static str]) -> Self {
        self.spare = columns;
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints the table.
    pub fn print(&self) {
        let width = comfy_table::Table::new().width();
        print_line(&self.fitted(width));
    }

    /// Returns the table for a terminal of this width; a pipe has none.
    fn fitted(&self, width: Option<u16>) -> String {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let Some(width) = width else {
            return self.draw(&shown, None).to_string();
        };
        for spare in self.spare {
            if self.least_width(&shown) <= usize::from(width) {
                break;
            }
            shown.retain(|column| self.columns[*column] != *spare);
        }
        // What cannot fit is left to the terminal, which breaks lines but not ids in cells.
        let fits = self.least_width(&shown) <= usize::from(width);
        self.draw(&shown, fits.then_some((width, u16::MAX)))
            .to_string()
    }

    /// Returns the width that these columns need with their names wrapped.
    fn least_width(&self, shown: &[usize]) -> usize {
        let table = self.draw(shown, Some((u16::MAX, LEAST_NAME)));
        table.lines().next().map_or(0, |line| line.chars().count())
    }

    /// Draws columns within a width, names within another; without one nothing is wrapped.
    fn draw(&self, shown: &[usize], limits: Option<(u16, u16)>) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        if self.style.colors {
            table.enforce_styling();
        }
        table.set_header(shown.iter().map(|column| {
            let cell = Cell::new(self.columns[*column]);
            match self.style.colors {
                true => cell.add_attribute(Attribute::Bold),
                false => cell,
            }
        }));
        for row in &self.rows {
            table.add_row(shown.iter().map(|column| row[*column].clone()));
        }
        let Some((width, name_width)) = limits else {
            table.set_content_arrangement(ContentArrangement::Disabled);
            return table;
        };
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width);
        for (position, column) in shown.iter().enumerate() {
            let constraint = match self.wrapped.contains(&self.columns[*column]) {
                false => ColumnConstraint::ContentWidth,
                true => ColumnConstraint::UpperBoundary(Width::Fixed(name_width)),
            };
            if let Some(column) = table.column_mut(position) {
                column.set_constraint(constraint);
            }
        }
        table
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
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        say(&format!("Error: the output cannot be written: {error}"));
        std::process::exit(1);
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
///
/// What is inside of fields has lines of its own (`flow_runner.type`), since nobody reads long JSON.
pub fn print_fields(object: &Value) {
    let mut shown = Vec::new();
    flatten(String::new(), object, &mut shown);
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, text) in shown {
        print_line(&format!("{name:<width$}  {text}"));
    }
}

fn flatten(name: String, value: &Value, shown: &mut Vec<(String, String)>) {
    let inside = |key: &str| match name.is_empty() {
        true => key.to_owned(),
        false => format!("{name}.{key}"),
    };
    match value {
        value if is_empty(value) => {}
        Value::Object(object) => object
            .iter()
            .for_each(|(key, value)| flatten(inside(key), value, shown)),
        Value::Array(list) if list.iter().any(Value::is_object) => list
            .iter()
            .enumerate()
            .for_each(|(i, value)| flatten(format!("{name}[{i}]"), value, shown)),
        // A data document holds JSON as text.
        Value::String(text) if name.ends_with(".blob") && text.starts_with('{') => {
            match serde_json::from_str::<Value>(text) {
                Ok(document) => flatten(name, &document, shown),
                Err(_) => shown.push((name, clean(text))),
            }
        }
        value => shown.push((name, field_text(value))),
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

/// Reads the name of something new: one that people can see.
pub fn name(text: &str) -> Result<String, String> {
    match text.trim().is_empty() || text.chars().any(char::is_control) {
        true => Err("a name has letters that can be seen".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// Returns a text as one word of a shell, for commands that are suggested.
pub fn word(text: &str) -> String {
    let text = clean(text);
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:@%+=,".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
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
    fn a_narrow_terminal_loses_columns_and_wraps_names_and_breaks_no_id() {
        let style = Style { colors: false };
        let mut table = style
            .table(["ID", "Name", "State", "When"])
            .wraps(&["Name"])
            .spares(&["When"]);
        table.row(vec![
            style.id("01a20efd-a091-7790-93b3"),
            style.name("a run with a long name"),
            style.text("Scheduled"),
            style.text("in 59 minutes"),
        ]);
        insta::assert_snapshot!(table.fitted(Some(60)), @r#"
            ┌─────────────────────────┬────────────────────┬───────────┐
            │ ID                      ┆ Name               ┆ State     │
            ╞═════════════════════════╪════════════════════╪═══════════╡
            │ 01a20efd-a091-7790-93b3 ┆ a run with a long  ┆ Scheduled │
            │                         ┆ name               ┆           │
            └─────────────────────────┴────────────────────┴───────────┘
            "#);
        insta::assert_snapshot!(table.fitted(Some(20)), @r#"
            ┌─────────────────────────┬────────────────────────┬───────────┐
            │ ID                      ┆ Name                   ┆ State     │
            ╞═════════════════════════╪════════════════════════╪═══════════╡
            │ 01a20efd-a091-7790-93b3 ┆ a run with a long name ┆ Scheduled │
            └─────────────────────────┴────────────────────────┴───────────┘
            "#);
        assert_eq!(table.fitted(None), table.fitted(Some(200)));
    }

    #[test]
    fn what_is_inside_of_fields_has_lines_of_its_own() {
        let mut shown = Vec::new();
        let object = serde_json::json!({
            "name": "a", "none": null, "tags": ["x", "y"],
            "flow_data": {"encoding": "executable", "blob": "{\"path\":\"/a\"}"},
            "schedules": [{"schedule": {"cron": "0 3 * * *"}}],
        });
        flatten(String::new(), &object, &mut shown);
        let lines: Vec<String> = shown
            .into_iter()
            .map(|(name, text)| format!("{name}={text}"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
            name=a
            tags=x, y
            flow_data.encoding=executable
            flow_data.blob.path=/a
            schedules[0].schedule.cron=0 3 * * *
            "#);
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(
            clean("a\x1b[31mb\u{9b}c\r\n"),
            "a\u{fffd}[31mb\u{fffd}c\u{fffd}\n"
        );
    }
}
