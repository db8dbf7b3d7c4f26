//! A condition of SQL being put together: placeholders, and one clause for each kind of question.

use uuid::Uuid;

use crate::db::{Dialect, Value};
use crate::schemas::StateType;
use crate::schemas::filters::{
    DeploymentIds, Makers, Operator, OptionalTexts, StateFilter, TagsFilter, TaskRunIds, Texts,
    Times,
};
use crate::schemas::text_search::{TextFilter, Words};

/// A condition being put together, and its values from `$1` on.
pub(super) struct Condition {
    pub(super) dialect: Dialect,
    pub(super) values: Vec<Value>,
}

impl Condition {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            values: Vec::new(),
        }
    }

    /// Returns the text of a `WHERE` in which all parts hold, and its values.
    pub(super) fn where_all(self, parts: impl IntoIterator<Item = String>) -> (String, Vec<Value>) {
        let parts = parts.into_iter().collect();
        let text = join(parts, Operator::And).unwrap_or_else(|| "TRUE".to_owned());
        (text, self.values)
    }

    /// Binds a value and returns the number of its placeholder.
    pub(super) fn bind<V: Into<Value>>(&mut self, value: V) -> usize {
        self.values.push(value.into());
        self.values.len()
    }

    pub(super) fn any_text(
        &mut self,
        alias: &str,
        column: &str,
        any: Option<Vec<String>>,
    ) -> Option<String> {
        let n = self.bind(any?);
        Some(format!("{alias}.{column} = ANY(${n})"))
    }

    pub(super) fn optional_text(
        &mut self,
        alias: &str,
        column: &str,
        filter: Option<&OptionalTexts>,
    ) -> Option<String> {
        let filter = filter?;
        let any = self.any_text(alias, column, filter.any_.clone());
        let null = filter.is_null_.map(|is_null| null(alias, column, is_null));
        join(any.into_iter().chain(null).collect(), filter.operator)
    }

    pub(super) fn maker(&mut self, alias: &str, filter: Option<&Makers>) -> Option<String> {
        let filter = filter?;
        let ids = filter.id_.as_ref();
        let ids = ids.map(|ids| ids.iter().map(ToString::to_string).collect());
        let mut parts = Vec::new();
        for (member, any) in [("id", ids), ("type", filter.type_.clone())] {
            if let Some(any) = any {
                let member = self.bind(member);
                let value = self
                    .dialect
                    .label(&format!("{alias}.created_by"), &format!("${member}"));
                let n = self.bind(any);
                parts.push(format!("{value} = ANY(${n})"));
            }
        }
        parts.extend(
            filter
                .is_null_
                .map(|is_null| null(alias, "created_by", is_null)),
        );
        join(parts, filter.operator)
    }

    pub(super) fn ids<T: Copy + Into<Uuid>>(
        &mut self,
        alias: &str,
        column: &str,
        any: Option<&Vec<T>>,
        not_any: Option<&Vec<T>>,
    ) -> Option<String> {
        let uuids = |ids: &Vec<T>| Value::Uuids(ids.iter().map(|id| (*id).into()).collect());
        let mut parts = Vec::new();
        if let Some(any) = any {
            // An index that begins with the column has the rows of one in its order; those of a list are sorted.
            let is = match any.as_slice() {
                [one] => format!("= ${}", self.bind::<Uuid>((*one).into())),
                _ => format!("= ANY(${})", self.bind(uuids(any))),
            };
            parts.push(format!("{alias}.{column} {is}"));
        }
        if let Some(not_any) = not_any.filter(|list| !list.is_empty()) {
            let n = self.bind(uuids(not_any));
            parts.push(format!("{alias}.{column} <> ALL(${n})"));
        }
        join(parts, Operator::And)
    }

    pub(super) fn deployment_ids(
        &mut self,
        alias: &str,
        column: &str,
        filter: Option<&DeploymentIds>,
    ) -> Option<String> {
        let filter = filter?;
        let ids = self.ids(
            alias,
            column,
            filter.any_.as_ref(),
            filter.not_any_.as_ref(),
        );
        let null = filter.is_null_.map(|is_null| null(alias, column, is_null));
        join(ids.into_iter().chain(null).collect(), filter.operator)
    }

    pub(super) fn task_run_ids(
        &mut self,
        alias: &str,
        column: &str,
        filter: Option<&TaskRunIds>,
    ) -> Option<String> {
        let filter = filter?;
        let ids = self.ids(
            alias,
            column,
            filter.any_.as_ref(),
            filter.not_any_.as_ref(),
        );
        let null = filter.is_null_.map(|is_null| null(alias, column, is_null));
        join(ids.into_iter().chain(null).collect(), filter.operator)
    }

    pub(super) fn text(
        &mut self,
        alias: &str,
        column: &str,
        filter: Option<&Texts>,
    ) -> Option<String> {
        let filter = filter?;
        let mut parts = Vec::from_iter(self.any_text(alias, column, filter.any_.clone()));
        if let Some(not_any) = filter.not_any_.as_ref().filter(|list| !list.is_empty()) {
            let n = self.bind(not_any.clone());
            parts.push(format!("{alias}.{column} <> ALL(${n})"));
        }
        if let Some(like) = &filter.like_ {
            let n = self.bind(like_pattern(like));
            parts.push(format!("LOWER({alias}.{column}) LIKE ${n} ESCAPE '\\'"));
        }
        join(parts, Operator::And)
    }

    pub(super) fn tags(&mut self, alias: &str, filter: Option<&TagsFilter>) -> Option<String> {
        let filter = filter?;
        let column = format!("{alias}.tags");
        let mut parts = Vec::new();
        if let Some(all) = &filter.all_ {
            let n = self.bind(all.clone());
            parts.push(self.dialect.list_contains_all(&column, n));
        }
        if let Some(any) = &filter.any_ {
            let n = self.bind(any.clone());
            parts.push(self.dialect.list_contains_any(&column, n));
        }
        if let Some(is_null) = filter.is_null_ {
            let is = if is_null { "=" } else { "<>" };
            parts.push(format!("{column} {is} '[]'"));
        }
        join(parts, filter.operator)
    }

    /// Bounds a number, inclusive on both sides.
    pub(super) fn bounds(
        &mut self,
        number: &str,
        least: Option<i64>,
        most: Option<i64>,
    ) -> Vec<String> {
        let mut parts = Vec::new();
        for (is, bound) in [(">=", least), ("<=", most)] {
            if let Some(bound) = bound {
                let n = self.bind(bound);
                parts.push(format!("{number} {is} ${n}"));
            }
        }
        parts
    }

    pub(super) fn state(&mut self, alias: &str, filter: Option<&StateFilter>) -> Option<String> {
        let filter = filter?;
        let mut parts = Vec::new();
        if let Some(types) = &filter.r#type {
            let texts = Texts {
                any_: names(&types.any_),
                not_any_: names(&types.not_any_),
                like_: None,
            };
            parts.extend(self.text(alias, "state_type", Some(&texts)));
        }
        parts.extend(self.text(alias, "state_name", filter.name.as_ref()));
        join(parts, filter.operator)
    }

    pub(super) fn times(
        &mut self,
        alias: &str,
        column: &str,
        filter: Option<&Times>,
    ) -> Option<String> {
        let filter = filter?;
        let mut parts = Vec::new();
        for (word, bound) in [("<=", filter.before_), (">=", filter.after_)] {
            if let Some(bound) = bound {
                let n = self.bind(bound.0);
                parts.push(format!("{alias}.{column} {word} ${n}"));
            }
        }
        parts.extend(filter.is_null_.map(|is_null| null(alias, column, is_null)));
        join(parts, Operator::And)
    }
}

pub(super) fn join(parts: Vec<String>, operator: Operator) -> Option<String> {
    let word = if operator == Operator::Or {
        " OR "
    } else {
        " AND "
    };
    match parts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => Some(format!("({})", parts.join(word))),
    }
}

pub(super) fn null(alias: &str, column: &str, is_null: bool) -> String {
    format!(
        "{alias}.{column} IS {}NULL",
        if is_null { "" } else { "NOT " }
    )
}

/// Returns the conditions, all of which hold for a text in lower case that has the words.
pub(in crate::server::models) fn words_in(
    dialect: Dialect,
    text: &str,
    filter: &TextFilter,
    mut bind: impl FnMut(String) -> String,
) -> Vec<String> {
    let Words { any, none, all } = filter.words();
    let mut has = |word: String| dialect.contains(text, &bind(word));
    let any: Vec<String> = any.into_iter().map(&mut has).collect();
    let none = none
        .into_iter()
        .map(|word| format!("NOT {}", has(word)))
        .collect::<Vec<_>>();
    let all = all.into_iter().map(&mut has).collect::<Vec<_>>();
    let mut conditions = [none, all].concat();
    if !any.is_empty() {
        conditions.push(format!("({})", any.join(" OR ")));
    }
    conditions
}

/// Returns the `LIKE` pattern of "contains this text, whatever its case".
pub(in crate::server::models) fn like_pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

fn names(types: &Option<Vec<StateType>>) -> Option<Vec<String>> {
    types
        .as_ref()
        .map(|types| types.iter().map(|t| t.as_str().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_searched_as_it_stands() {
        assert_eq!(like_pattern("50%_A\\"), "%50\\%\\_a\\\\%");
    }
}
