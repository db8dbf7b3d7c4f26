//! The options of an attribute: `name = value`, checked against a list, kept as expressions.
//!
//! Each becomes a call of the method of that name, with the span of the value, so that a value of the wrong type is told
//! where it stands.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, Ident, Token};

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
        methods.extend(quote_spanned!(value.span()=> .#name(#value)));
    }
    Ok(methods)
}

fn unknown(name: &str, what: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|known| (distance(name, known), known))
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
        let error = methods(quote!(colour = 3), "task", &["name", "retries"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a task has no option `colour`. It has: name, retries"
        );
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
