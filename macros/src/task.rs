//! `#[task]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ItemFn;

use crate::function::{Function, taken};
use crate::options::{self, Options};

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
    let mut options = options::read(attribute, "task", OPTIONS);
    let function = Function::read(item, "task", options.library.take())?;
    let arguments = function.arguments.iter();
    options.check_template("task", arguments.map(|argument| argument.text.as_str()));
    let Options {
        methods, mistakes, ..
    } = options;
    let sdk = function.sdk();
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
    let (output, given) = (function.output(), function.given("Task"));
    let body = function.body(&format_ident!("__body"));
    let runner = function.runner();
    let constants = function
        .arguments
        .iter()
        .enumerate()
        .map(|(number, argument)| {
            let (name, owned) = (taken(number), &argument.owned);
            let sdk_there = function.sdk_at(argument.span);
            let take = quote_spanned!(argument.span=> #sdk_there::taken::<#owned>());
            quote!(const #name: #sdk::Taken<#owned> = #take;)
        });
    let map = map(&function);
    let documentation = function
        .documentation()
        .map(|text| quote!(.description(#text)));
    // The compiler tells of functions that nobody calls only where they seem to be written by a person.
    let name_sdk = function.sdk_at(name.span());
    let shell = quote_spanned! {name.span()=>
        #[allow(clippy::too_many_arguments)]
        #visibility fn #name(
            #( #names: impl #name_sdk::IntoInput<#owned> ),*
        ) -> #name_sdk::TaskCall<#given> {
            #name_sdk::TaskCall::new(
                <#name as #name_sdk::Task>::definition(),
                ::std::vec![ #( #name_sdk::IntoInput::<#owned>::into_input(#names) ),* ],
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

            impl #sdk::Task for #name {
                type Output = #output;

                #[allow(deprecated)]
                fn definition() -> &'static #sdk::TaskDefinition {
                    #used
                    static DEFINITION: #sdk::TaskDefinition =
                        #sdk::TaskDefinition::new(
                            #text, ::std::module_path!(), &[#(#texts),*], (__run, &__RESULT), __options,
                        );
                    &DEFINITION
                }
            }

            fn __options() -> #sdk::TaskOptions {
                #sdk::TaskOptions::new(#text) #documentation #methods
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
    let (sdk, given) = (function.sdk(), function.given("Task"));
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
                #( #others_names: impl #sdk::IntoInput<#others_types> ),*
            ) -> #sdk::TaskMap<#given>
            where
                __I: ::std::iter::IntoIterator,
                __I::Item: #sdk::IntoInput<#first_type>,
            {
                #sdk::TaskMap::new(
                    <Self as #sdk::Task>::definition(),
                    #first_name.into_iter().map(#sdk::IntoInput::<#first_type>::into_input).collect(),
                    ::std::vec![ #( #sdk::IntoInput::<#others_types>::into_input(#others_names) ),* ],
                )
            }
        }
    }
}
