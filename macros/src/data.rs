//! `#[data]`: the derives that an argument or a result needs, found through `prefect_rs`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse2};

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(syn::Error::new_spanned(
            attribute,
            "`data` takes no options; write `#[data]`",
        ));
    }
    let item: DeriveInput = parse2(item)?;
    Ok(quote! {
        #[derive(
            ::std::fmt::Debug,
            ::std::clone::Clone,
            ::prefect_rs::sdk::serde::Serialize,
            ::prefect_rs::sdk::serde::Deserialize,
            ::prefect_rs::sdk::schemars::JsonSchema,
        )]
        #[serde(crate = "::prefect_rs::sdk::serde")]
        #[schemars(crate = "::prefect_rs::sdk::schemars")]
        #item
    })
}
