//! The options of an attribute: `name = value`, checked against a list, kept as expressions.
//!
//! Each becomes a call of the method of that name, with the span of the value, so that a value of the wrong type is told
//! where it stands.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, Path, Token};

/// `name = value`.
struct Pair {
    name: Ident,
    value: Expr,
}

impl Parse for Pair {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
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
            Some((name.span(), unknown(&text, what, known)))
        } else if is_twice {
            Some((name.span(), format!("`{text}` is given twice")))
        } else {
            unfit(&text, value).map(|(span, message)| (span, message.to_owned()))
        };
        match mistake {
            Some((span, message)) => {
                let mistakes = &mut options.mistakes;
                mistakes.extend(syn::Error::new(span, message).into_compile_error());
            }
            None => {
                let call = quote_spanned!(value.span()=> .#name(#value));
                options.methods.extend(call);
            }
        }
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

/// Says what is wrong with a literal whose mistake the compiler would tell in words about traits.
fn unfit(option: &str, value: &Expr) -> Option<(Span, &'static str)> {
    let literal = match value {
        Expr::Lit(literal) => literal,
        Expr::Array(list) if option == "tags" => {
            let is_no_text =
                |tag: &&Expr| matches!(tag, Expr::Lit(tag) if !matches!(tag.lit, Lit::Str(_)));
            let tag = list.elems.iter().find(is_no_text)?;
            return Some((tag.span(), "a tag is a text: `tags = [\"…\"]`"));
        }
        _ => return None,
    };
    let is_text = matches!(literal.lit, Lit::Str(_));
    let message = match option {
        "name" if !is_text => Some("a name is a text: `name = \"…\"`"),
        "tags" => Some("tags are a list: `tags = [\"…\"]`"),
        "retry_delay_seconds" if is_text => Some(
            "a delay is a number of seconds, a list of them, or made by `exponential_backoff(…)`",
        ),
        "cache_key_fn" => Some(
            "a key is made by a function of the arguments: `cache_key_fn = input_hash`, or a closure",
        ),
        _ => None,
    };
    message.map(|message| (value.span(), message))
}

fn unknown(name: &str, what: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|known| {
            // Who leaves out the unit has most of the word.
            let is_begun = name.len() > 3 && known.starts_with(name);
            (if is_begun { 0 } else { distance(name, known) }, known)
        })
        .min()
        .filter(|(distance, _)| *distance <= 3);
    let guess = near
        .map(|(_, known)| format!("; did you mean `{known}`?"))
        .unwrap_or_default();
    format!(
        "a {what} has no option `{name}`{guess} It has: {}",
        known.join(", ")
    )
    .replace("` It", "`. It")
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
