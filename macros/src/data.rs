//! `#[data]`: the derives that an argument or a result needs, found through `prefect_rs`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Item, parse2};

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(syn::Error::new_spanned(
            attribute,
            "`data` takes no options; write `#[data]`",
        ));
    }
    let item: DeriveInput = parse2(item.clone()).map_err(|mistake| match parse2::<Item>(item) {
        Ok(Item::Struct(_) | Item::Enum(_) | Item::Union(_)) | Err(_) => mistake,
        Ok(other) => syn::Error::new_spanned(
            other,
            "data is a struct or an enum; write `#[data]` above one of them",
        ),
    })?;
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
