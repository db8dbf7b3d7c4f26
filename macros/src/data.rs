//! `#[data]`: the derives that an argument or a result needs, found through `prefect_rs`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{DeriveInput, Expr, Item, Path, Token, parse2};

use crate::options;

/// `crate = path`, or nothing.
struct Library(Option<Path>);

impl Parse for Library {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self(None));
        }
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        let path: Expr = input.parse()?;
        Ok(Self(Some(options::library(&path)?)))
    }
}

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let Library(library) = parse2(attribute.clone()).map_err(|_| {
        syn::Error::new_spanned(
            attribute,
            "`data` takes no options but `crate`; write `#[data]`",
        )
    })?;
    let library = library.map_or_else(
        || quote!(::prefect_rs),
        |library| library.into_token_stream(),
    );
    let item: DeriveInput = parse2(item.clone()).map_err(|mistake| match parse2::<Item>(item) {
        Ok(Item::Struct(_) | Item::Enum(_) | Item::Union(_)) | Err(_) => mistake,
        Ok(other) => syn::Error::new_spanned(
            other,
            "data is a struct or an enum; write `#[data]` above one of them",
        ),
    })?;
    let text = |name: &str| {
        let library = library.to_string().replace(' ', "");
        format!("{library}::sdk::{name}")
    };
    let (serde, schemars) = (text("serde"), text("schemars"));
    Ok(quote! {
        #[derive(
            ::std::fmt::Debug,
            ::std::clone::Clone,
            #library::sdk::serde::Serialize,
            #library::sdk::serde::Deserialize,
            #library::sdk::schemars::JsonSchema,
        )]
        #[serde(crate = #serde)]
        #[schemars(crate = #schemars)]
        #item
    })
}
