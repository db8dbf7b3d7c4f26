//! `#[task]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ItemFn;

use crate::function::{Function, taken};
use crate::options;

const OPTIONS: &[&str] = &[
    "name",
    "description",
    "version",
    "task_run_name",
    "tags",
    "retries",
    "retry_delay_seconds",
    "retry_jitter_factor",
    "retry_condition",
    "timeout_seconds",
    "cache_key_fn",
    "cache_expiration_seconds",
    "persist_result",
    "refresh_cache",
    "on_running",
    "on_completion",
    "on_failure",
    "on_cancellation",
];

pub(crate) fn expand(attribute: TokenStream, item: ItemFn) -> syn::Result<TokenStream> {
    let (methods, mistakes) = options::methods(attribute, "task", OPTIONS);
    let function = Function::read(item, "task")?;
    if let Some(argument) = function
        .arguments
        .iter()
        .find(|argument| argument.default.is_some())
    {
        return Err(syn::Error::new(
            argument.span,
            "only parameters of flows have defaults, since only flows are run from outside",
        ));
    }
    let (visibility, name) = (&function.item.vis, &function.item.sig.ident);
    let text = &function.text;
    let conditions = function.conditions();
    let outer = function.outer_attributes();
    let names: Vec<_> = function
        .arguments
        .iter()
        .map(|argument| &argument.name)
        .collect();
    let texts: Vec<_> = function
        .arguments
        .iter()
        .map(|argument| &argument.text)
        .collect();
    let owned: Vec<_> = function
        .arguments
        .iter()
        .map(|argument| &argument.owned)
        .collect();
    let output = &function.output;
    let body = function.body(&format_ident!("__body"));
    let runner = function.runner();
    let constants = function
        .arguments
        .iter()
        .enumerate()
        .map(|(number, argument)| {
            let (name, owned) = (taken(number), &argument.owned);
            let take = quote_spanned!(argument.span=> ::prefect_rs::sdk::taken::<#owned>());
            quote!(const #name: ::prefect_rs::sdk::Taken<#owned> = #take;)
        });
    let map = map(&function);
    let documentation = function
        .documentation()
        .map(|text| quote!(.description(#text)));
    // The compiler tells of functions that nobody calls only where they seem to be written by a person.
    let shell = quote_spanned! {name.span()=>
        #[allow(clippy::too_many_arguments)]
        #visibility fn #name(
            #( #names: impl ::prefect_rs::sdk::IntoInput<#owned> ),*
        ) -> ::prefect_rs::sdk::TaskCall<#output> {
            ::prefect_rs::sdk::TaskCall::new(
                <#name as ::prefect_rs::sdk::Task>::definition(),
                ::std::vec![ #( ::prefect_rs::sdk::IntoInput::<#owned>::into_input(#names) ),* ],
            )
        }
    };
    let used = function.used();
    Ok(quote! {
        #mistakes

        #(#outer)*
        #shell

        #(#conditions)*
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #visibility struct #name {}

        #(#conditions)*
        const _: () = {
            #body
            #runner

            #(#constants)*

            impl ::prefect_rs::sdk::Task for #name {
                type Output = #output;

                #[allow(deprecated)]
                fn definition() -> &'static ::prefect_rs::sdk::TaskDefinition {
                    #used
                    static DEFINITION: ::prefect_rs::sdk::TaskDefinition =
                        ::prefect_rs::sdk::TaskDefinition::new(
                            #text, ::std::module_path!(), &[#(#texts),*], (__run, &__RESULT), __options,
                        );
                    &DEFINITION
                }
            }

            fn __options() -> ::prefect_rs::sdk::TaskOptions {
                ::prefect_rs::sdk::TaskOptions::new(#text) #documentation #methods
            }

            #map
        };
    })
}

/// Returns `map`, which makes a call of each of the first argument's values, the others being the same for all.
fn map(function: &Function) -> TokenStream {
    let Some((first, others)) = function.arguments.split_first() else {
        return TokenStream::new();
    };
    let name = &function.item.sig.ident;
    let visibility = &function.item.vis;
    let output = &function.output;
    let (first_name, first_type) = (&first.name, &first.owned);
    let others_names: Vec<_> = others.iter().map(|argument| &argument.name).collect();
    let others_types: Vec<_> = others.iter().map(|argument| &argument.owned).collect();
    let documentation = format!(
        "Submits a run of the task for each value of `{first_name}`; other arguments are the same for all."
    );
    quote! {
        #[allow(clippy::too_many_arguments)]
        impl #name {
            #[doc = #documentation]
            #visibility fn map<__I>(
                #first_name: __I,
                #( #others_names: impl ::prefect_rs::sdk::IntoInput<#others_types> ),*
            ) -> ::prefect_rs::sdk::TaskMap<#output>
            where
                __I: ::std::iter::IntoIterator,
                __I::Item: ::prefect_rs::sdk::IntoInput<#first_type>,
            {
                ::prefect_rs::sdk::TaskMap::new(
                    <Self as ::prefect_rs::sdk::Task>::definition(),
                    #first_name.into_iter().map(::prefect_rs::sdk::IntoInput::<#first_type>::into_input).collect(),
                    ::std::vec![ #( ::prefect_rs::sdk::IntoInput::<#others_types>::into_input(#others_names) ),* ],
                )
            }
        }
    }
}
