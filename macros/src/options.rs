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

/// Reads the options of an attribute into method calls that follow a builder.
pub(crate) fn methods(
    attribute: TokenStream,
    what: &str,
    known: &[&str],
) -> syn::Result<TokenStream> {
    let pairs = Punctuated::<Pair, Token![,]>::parse_terminated.parse2(attribute)?;
    let mut methods = TokenStream::new();
    for (index, Pair { name, value }) in pairs.iter().enumerate() {
        let text = name.to_string();
        if !known.contains(&text.as_str()) {
            return Err(syn::Error::new(name.span(), unknown(&text, what, known)));
        }
        if pairs.iter().take(index).any(|pair| pair.name == *name) {
            return Err(syn::Error::new(
                name.span(),
                format!("`{text}` is given twice"),
            ));
        }
        if let Some(message) = unfit(&text, value) {
            return Err(syn::Error::new(value.span(), message));
        }
        methods.extend(quote_spanned!(value.span()=> .#name(#value)));
    }
    Ok(methods)
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

    #[test]
    fn a_misspelt_option_is_told_with_the_nearest_one() {
        let error = methods(quote!(retrys = 3), "task", &["name", "retries"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a task has no option `retrys`; did you mean `retries`? It has: name, retries"
        );
        let error = methods(quote!(timeout = 3), "task", &["tags", "timeout_seconds"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("did you mean `timeout_seconds`?"), "{text}");
        let error = methods(quote!(colour = 3), "task", &["name", "retries"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a task has no option `colour`. It has: name, retries"
        );
    }

    #[test]
    fn a_literal_of_the_wrong_kind_is_told_by_what_is_expected() {
        let known = &["name", "tags"];
        let name = methods(quote!(name = 3), "task", known).unwrap_err();
        assert_eq!(name.to_string(), "a name is a text: `name = \"…\"`");
        let tags = methods(quote!(tags = "db"), "task", known).unwrap_err();
        assert_eq!(tags.to_string(), "tags are a list: `tags = [\"…\"]`");
        assert!(methods(quote!(name = NAME, tags = ["db"]), "task", known).is_ok());
    }

    #[test]
    fn an_option_is_given_once_and_with_a_value() {
        let known = &["name"];
        let twice = methods(quote!(name = "a", name = "b"), "task", known).unwrap_err();
        assert_eq!(twice.to_string(), "`name` is given twice");
        let bare = methods(quote!(name), "task", known).unwrap_err();
        assert_eq!(bare.to_string(), "an option has a value: `name = …`");
    }
}
