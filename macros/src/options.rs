//! The options of an attribute: `name = value`, checked against a list, kept as expressions.
//!
//! Each becomes a call of the method of that name, with the span of the value, so that a value of the wrong type is told
//! where it stands.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, Ident, Lit, Token};

/// `name = value`.
struct Pair {
    name: Ident,
    value: Expr,
}

impl Parse for Pair {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: Ident = input.parse()?;
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

/// Reads the options of an attribute into method calls that follow a builder, and what is wrong with the others.
pub(crate) fn methods(
    attribute: TokenStream,
    what: &str,
    known: &[&str],
) -> (TokenStream, TokenStream) {
    let (mut methods, mut mistakes) = (TokenStream::new(), TokenStream::new());
    let pairs = Punctuated::<Pair, Token![,]>::parse_terminated.parse2(attribute);
    let pairs = match pairs {
        Ok(pairs) => pairs,
        Err(mistake) => return (methods, mistake.into_compile_error()),
    };
    for (index, Pair { name, value }) in pairs.iter().enumerate() {
        let text = name.to_string();
        let is_twice = pairs.iter().take(index).any(|pair| pair.name == *name);
        let mistake = if !known.contains(&text.as_str()) {
            Some((name.span(), unknown(&text, what, known)))
        } else if is_twice {
            Some((name.span(), format!("`{text}` is given twice")))
        } else {
            unfit(&text, value).map(|message| (value.span(), message.to_owned()))
        };
        match mistake {
            Some((span, message)) => {
                mistakes.extend(syn::Error::new(span, message).into_compile_error());
            }
            None => methods.extend(quote_spanned!(value.span()=> .#name(#value))),
        }
    }
    (methods, mistakes)
}

/// Says what is wrong with a literal whose mistake the compiler would tell in words about traits.
fn unfit(option: &str, value: &Expr) -> Option<&'static str> {
    let Expr::Lit(literal) = value else {
        return None;
    };
    let is_text = matches!(literal.lit, Lit::Str(_));
    match option {
        "name" if !is_text => Some("a name is a text: `name = \"…\"`"),
        "tags" => Some("tags are a list: `tags = [\"…\"]`"),
        "retry_delay_seconds" if is_text => Some(
            "a delay is a number of seconds, a list of them, or made by `exponential_backoff(…)`",
        ),
        "cache_key_fn" => Some(
            "a key is made by a function of the arguments: `cache_key_fn = input_hash`, or a closure",
        ),
        _ => None,
    }
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
        methods(attribute, "task", known).1.to_string()
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
    fn what_is_right_counts_beside_what_is_wrong() {
        let (methods, mistakes) = methods(quote!(retrys = 3, name = "a"), "task", &["name"]);
        assert!(methods.to_string().contains(". name (\"a\")"), "{methods}");
        assert!(mistakes.to_string().contains("retrys"), "{mistakes}");
    }
}
