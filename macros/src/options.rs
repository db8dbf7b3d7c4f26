//! The options of an attribute: `name = value`, checked against a list, kept as expressions.
//!
//! Each becomes a call of the method of that name, with the span of the value, so that a value of the wrong type is told
//! where it stands.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Path, Token, UnOp};

/// `name = value`.
struct Pair {
    name: Ident,
    value: Expr,
}

impl Parse for Pair {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(Lit) {
            let value: Lit = input.parse()?;
            let message = match &value {
                Lit::Str(text) => {
                    format!("an option has a name; write `name = {:?}`", text.value())
                }
                _ => "an option has a name: `name = …`, `retries = …`".to_owned(),
            };
            return Err(syn::Error::new(value.span(), message));
        }
        // `crate` is a word of the language.
        let name = Ident::parse_any(input)?;
        if !input.peek(Token![=]) {
            return Err(syn::Error::new(
                name.span(),
                format!("an option has a value: `{name} = …`"),
            ));
        }
        input.parse::<Token![=]>()?;
        Ok(Self {
            name,
            value: input.parse()?,
        })
    }
}

/// What an attribute says.
#[derive(Default)]
pub(crate) struct Options {
    /// Method calls that follow a builder.
    pub(crate) methods: TokenStream,
    /// What is wrong with the others.
    pub(crate) mistakes: TokenStream,
    /// Where `prefect_rs` is, if it says so.
    pub(crate) library: Option<Path>,
    /// What its runs are named, if that is a literal.
    pub(crate) template: Option<LitStr>,
}

impl Options {
    /// Refuses a name of runs that refers to what is no argument, and would stay as it is written.
    pub(crate) fn check_template<'a>(
        &mut self,
        what: &str,
        arguments: impl Iterator<Item = &'a str>,
    ) {
        let Some(template) = &self.template else {
            return;
        };
        let known: Vec<_> = arguments.collect();
        let text = template.value();
        let Some(unknown) = placeholders(&text).find(|name| !known.contains(&name.trim())) else {
            return;
        };
        let of = match &known[..] {
            [] => "it has none".to_owned(),
            known => format!("it has: {}", known.join(", ")),
        };
        let message = format!("`{{{unknown}}}` is no argument of this {what}; {of}");
        let mistake = syn::Error::new(template.span(), message);
        self.mistakes.extend(mistake.into_compile_error());
    }
}

/// Returns what stands in braces in a name of runs, as runs read it. Doubled braces stay what they are.
fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    let mut rest = template;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once('{')?;
        let (name, after) = after.split_once('}')?;
        rest = after;
        Some(name)
    })
    .filter(|name| !name.contains('{'))
}

/// Reads the options of an attribute.
pub(crate) fn read(attribute: TokenStream, what: &str, known: &[&str]) -> Options {
    let mut options = Options::default();
    let pairs = Punctuated::<Pair, Token![,]>::parse_terminated.parse2(attribute);
    let pairs = match pairs {
        Ok(pairs) => pairs,
        Err(mistake) => {
            options.mistakes = mistake.into_compile_error();
            return options;
        }
    };
    for (index, Pair { name, value }) in pairs.iter().enumerate() {
        let text = name.to_string();
        let is_twice = pairs.iter().take(index).any(|pair| pair.name == *name);
        if name == "crate" {
            match library(value) {
                Ok(path) => options.library = Some(path),
                Err(mistake) => options.mistakes.extend(mistake.into_compile_error()),
            }
            continue;
        }
        let mistake = if !known.contains(&text.as_str()) {
            Some(syn::Error::new(name.span(), unknown(&text, what, known)))
        } else if is_twice {
            let message = format!("`{text}` is given twice");
            Some(syn::Error::new(name.span(), message))
        } else {
            unfit(&text, value, what)
        };
        if let Some(mistake) = mistake {
            options.mistakes.extend(mistake.into_compile_error());
            continue;
        }
        if let (true, Some(template)) = (text.ends_with("_run_name"), text_of(value)) {
            options.template = Some(template.clone());
        }
        // Nothing else would tell what is not in an empty list.
        let call = match bare(value) {
            Expr::Array(list) if text == "tags" && list.elems.is_empty() => {
                quote_spanned!(value.span()=> .#name([""; 0]))
            }
            _ => quote_spanned!(value.span()=> .#name(#value)),
        };
        options.methods.extend(call);
    }
    options
}

/// Reads where `prefect_rs` is: `crate = flows`, or as a text, as other attributes take it.
pub(crate) fn library(value: &Expr) -> syn::Result<Path> {
    match value {
        Expr::Path(path) if path.qself.is_none() => Ok(path.path.clone()),
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => text.parse(),
        other => Err(syn::Error::new(
            other.span(),
            "`crate` is the path by which you know prefect_rs: `crate = flows`",
        )),
    }
}

/// Returns an expression without the parentheses, seen or not, that a macro or a person has put around it.
fn bare(mut value: &Expr) -> &Expr {
    loop {
        value = match value {
            Expr::Group(group) => &group.expr,
            Expr::Paren(paren) => &paren.expr,
            value => return value,
        }
    }
}

/// Returns a text that is written as one.
fn text_of(value: &Expr) -> Option<&LitStr> {
    match bare(value) {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Some(text),
        _ => None,
    }
}

/// Says what is wrong with a literal whose mistake the compiler would tell in words about traits, or not at all.
fn unfit(option: &str, value: &Expr, what: &str) -> Option<syn::Error> {
    let refuse = |place: &Expr, message: &str| Some(syn::Error::new_spanned(place, message));
    if let Some(number) = below_zero(value) {
        match option {
            "retries" => return refuse(number, "retries are counted from zero"),
            "timeout_seconds" | "retry_delay_seconds" | "cache_expiration_seconds" => {
                return refuse(number, "a span of time is not below zero");
            }
            _ => {}
        }
    }
    let value = bare(value);
    let literal = match value {
        Expr::Lit(literal) => literal,
        Expr::Array(list) if option == "tags" => {
            let is_no_text =
                |tag: &&Expr| matches!(tag, Expr::Lit(tag) if !matches!(tag.lit, Lit::Str(_)));
            let tag = list.elems.iter().find(is_no_text)?;
            return refuse(tag, "a tag is a text: `tags = [\"…\"]`");
        }
        _ => return None,
    };
    let text = text_of(value).map(LitStr::value);
    let message = match (option, &text) {
        ("name", None) => "a name is a text: `name = \"…\"`",
        ("name", Some(name)) if name.trim().is_empty() => {
            "a name is not empty; without `name` it is that of the function"
        }
        ("name", Some(name)) if what == "flow" && name.contains(NOT_IN_NAMES) => {
            "a name of a flow contains none of / % & > <, since servers make addresses of it"
        }
        ("tags", _) => "tags are a list: `tags = [\"…\"]`",
        ("retry_delay_seconds", Some(_)) => {
            "a delay is a number of seconds, a list of them, or made by `exponential_backoff(…)`"
        }
        ("cache_key_fn", _) => {
            "a key is made by a function of the arguments: `cache_key_fn = input_hash`, or a closure"
        }
        _ => return None,
    };
    Some(syn::Error::new_spanned(literal, message))
}

/// What the library refuses in the name of a flow when it is run, as servers do.
const NOT_IN_NAMES: [char; 5] = ['/', '%', '&', '>', '<'];

/// Returns a literal number below zero: the value itself, one in a list, or what `exponential_backoff` is given.
fn below_zero(value: &Expr) -> Option<&Expr> {
    match bare(value) {
        number @ Expr::Unary(minus) if matches!(minus.op, UnOp::Neg(_)) => {
            let is_number =
                matches!(bare(&minus.expr), Expr::Lit(ExprLit { lit, .. }) if is_above_zero(lit));
            is_number.then_some(number)
        }
        Expr::Array(list) => list.elems.iter().find_map(below_zero),
        Expr::Repeat(list) => below_zero(&list.expr),
        Expr::Call(call) => match bare(&call.func) {
            Expr::Path(function)
                if function.path.segments.last()?.ident == "exponential_backoff" =>
            {
                call.args.iter().find_map(below_zero)
            }
            _ => None,
        },
        _ => None,
    }
}

fn is_above_zero(literal: &Lit) -> bool {
    match literal {
        Lit::Int(number) => number.base10_digits() != "0",
        Lit::Float(number) => number
            .base10_parse::<f64>()
            .is_ok_and(|number| number > 0.0),
        _ => false,
    }
}

fn unknown(name: &str, what: &str, known: &[&str]) -> String {
    // Who leaves out the unit has most of the word; what is part of several words tells none of them.
    let containing: Vec<_> = known
        .iter()
        .filter(|known| name.len() > 3 && known.contains(name))
        .collect();
    let nearest = known
        .iter()
        .map(|known| (distance(name, known), known))
        .min()
        // Of a short word three letters are too much.
        .filter(|(distance, known)| *distance <= 3 && 2 * distance <= known.len().max(name.len()));
    let near = match (&containing[..], nearest) {
        ([_], _) | (_, None) => containing,
        (_, Some((_, known))) => vec![known],
    };
    let near: Vec<_> = near.iter().map(|known| format!("`{known}`")).collect();
    let guess = match &near[..] {
        [] => ".".to_owned(),
        near => format!("; did you mean {}?", near.join(" or ")),
    };
    let known = known.join(", ");
    format!("a {what} has no option `{name}`{guess} It has: {known}")
}

/// Returns how many letters must change to make one word the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    /// Returns what is said of an attribute of a task that knows these options.
    fn said(attribute: TokenStream, known: &[&str]) -> String {
        read(attribute, "task", known).mistakes.to_string()
    }

    #[test]
    fn a_misspelt_option_is_told_with_the_nearest_one() {
        let text = said(quote!(retrys = 3), &["name", "retries"]);
        assert!(
            text.contains(
                "a task has no option `retrys`; did you mean `retries`? It has: name, retries"
            ),
            "{text}"
        );
        let text = said(quote!(timeout = 3), &["tags", "timeout_seconds"]);
        assert!(text.contains("did you mean `timeout_seconds`?"), "{text}");
        let text = said(quote!(colour = 3), &["name", "retries"]);
        assert!(
            text.contains("a task has no option `colour`. It has: name, retries"),
            "{text}"
        );
    }

    #[test]
    fn a_literal_of_the_wrong_kind_is_told_by_what_is_expected() {
        let known = &["name", "tags"];
        let text = said(quote!(name = 3, tags = "db"), known);
        assert!(text.contains("a name is a text: `name = "), "{text}");
        assert!(text.contains("tags are a list: `tags = ["), "{text}");
        let text = said(quote!(tags = ["db", 1]), known);
        assert!(text.contains("a tag is a text: `tags = ["), "{text}");
        assert_eq!(said(quote!(name = NAME, tags = ["db"]), known), "");
    }

    #[test]
    fn a_part_of_several_options_is_told_with_the_nearest_one_or_with_all() {
        let known = &[
            "name",
            "retries",
            "retry_delay_seconds",
            "retry_condition",
            "cache_key_fn",
            "refresh_cache",
        ];
        let text = said(quote!(retry = 3), known);
        assert!(text.contains("did you mean `retries`?"), "{text}");
        let text = said(quote!(cache = f), known);
        assert!(
            text.contains("did you mean `cache_key_fn` or `refresh_cache`?"),
            "{text}"
        );
        let text = said(quote!(delay = 3), known);
        assert!(
            text.contains("did you mean `retry_delay_seconds`?"),
            "{text}"
        );
    }

    #[test]
    fn a_value_without_an_option_is_told_what_it_lacks() {
        let text = said(quote!("Load"), &["name"]);
        assert!(text.contains("write `name = \\\"Load\\\"`"), "{text}");
        let text = said(quote!(3), &["name"]);
        assert!(text.contains("an option has a name: "), "{text}");
    }

    #[test]
    fn a_number_below_zero_is_refused_where_it_is_written() {
        let known = &["timeout_seconds", "retry_delay_seconds"];
        for attribute in [
            quote!(timeout_seconds = -1),
            quote!(timeout_seconds = (-0.5)),
            quote!(retry_delay_seconds = [1, -2]),
            quote!(retry_delay_seconds = [-2; 3]),
            quote!(retry_delay_seconds = exponential_backoff(-1)),
        ] {
            let text = said(attribute, known);
            assert!(text.contains("a span of time is not below zero"), "{text}");
        }
        let right = quote!(timeout_seconds = -0.0, retry_delay_seconds = [1, 2 - 1]);
        assert_eq!(said(right, known), "");
    }

    #[test]
    fn a_name_is_one_that_servers_take() {
        let known = &["name"];
        let text = said(quote!(name = " "), known);
        assert!(text.contains("a name is not empty"), "{text}");
        assert_eq!(said(quote!(name = "east/west"), known), "");
        let text = read(quote!(name = "east/west"), "flow", known).mistakes;
        assert!(text.to_string().contains("none of / % & > <"), "{text}");
    }

    #[test]
    fn a_name_of_runs_refers_to_arguments() {
        let said = |template: &str, arguments: &[&str]| {
            let attribute = quote!(task_run_name = #template);
            let mut options = read(attribute, "task", &["task_run_name"]);
            options.check_template("task", arguments.iter().copied());
            options.mistakes.to_string()
        };
        assert_eq!(said("{city} { n } {{x}} {", &["city", "n"]), "");
        let text = said("a {nope}", &["city", "n"]);
        assert!(
            text.contains("`{nope}` is no argument of this task; it has: city, n"),
            "{text}"
        );
        let text = said("a {}", &[]);
        assert!(
            text.contains("`{}` is no argument of this task; it has none"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_list_of_tags_has_a_type() {
        let options = read(quote!(tags = []), "task", &["tags"]);
        assert_eq!(options.mistakes.to_string(), "");
        let methods = options.methods.to_string();
        assert_eq!(methods, quote!(.tags([""; 0])).to_string());
    }

    #[test]
    fn an_option_is_given_once_and_with_a_value() {
        let text = said(quote!(name = "a", name = "b"), &["name"]);
        assert!(text.contains("`name` is given twice"), "{text}");
        let text = said(quote!(name), &["name"]);
        assert!(text.contains("an option has a value: `name = …`"), "{text}");
    }

    #[test]
    fn the_crate_is_a_path_or_a_text_of_one() {
        for attribute in [quote!(crate = a::b), quote!(crate = "a::b")] {
            let library = read(attribute, "task", &[]).library.unwrap();
            assert_eq!(quote!(#library).to_string(), "a :: b");
        }
        let text = said(quote!(crate = 3), &[]);
        assert!(text.contains("by which you know prefect_rs"), "{text}");
    }

    #[test]
    fn what_is_right_counts_beside_what_is_wrong() {
        let Options {
            methods, mistakes, ..
        } = read(quote!(retrys = 3, name = "a"), "task", &["name"]);
        assert!(methods.to_string().contains(". name (\"a\")"), "{methods}");
        assert!(mistakes.to_string().contains("retrys"), "{mistakes}");
    }
}
