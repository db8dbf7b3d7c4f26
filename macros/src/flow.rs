//! `#[flow]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ItemFn;

use crate::function::{Function, taken};
use crate::options;

const OPTIONS: &[&str] = &[
    "name",
    "description",
    "version",
    "flow_run_name",
    "tags",
    "retries",
    "retry_delay_seconds",
    "timeout_seconds",
    "persist_result",
    "on_running",
    "on_completion",
    "on_failure",
    "on_cancellation",
];

pub(crate) fn expand(attribute: TokenStream, item: ItemFn) -> syn::Result<TokenStream> {
    let (methods, mistakes) = options::methods(attribute, "flow", OPTIONS);
    let function = Function::read(item, "flow")?;
    let (visibility, name) = (&function.item.vis, &function.item.sig.ident);
    let text = &function.text;
    let conditions = function.conditions();
    let outer = function.outer_attributes();
    let names: Vec<_> = function
        .arguments
        .iter()
        .map(|argument| &argument.name)
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
            let (name, owned, text) = (taken(number), &argument.owned, &argument.text);
            let parameter =
                quote_spanned!(argument.span=> ::prefect_rs::sdk::parameter::<#owned>(#text));
            quote!(const #name: ::prefect_rs::sdk::Typed<#owned> = #parameter;)
        });
    let parameters = function
        .arguments
        .iter()
        .enumerate()
        .map(|(number, argument)| {
            let (name, owned) = (taken(number), &argument.owned);
            let doc = argument.doc.iter();
            let default = argument.default.iter().map(|default| {
                quote_spanned!(syn::spanned::Spanned::span(default)=>
                    .default_value(|| ::prefect_rs::sdk::default_value::<#owned>(#default))
                )
            });
            quote!(#name.parameter() #(.description(#doc))* #(#default)*)
        });
    let documentation = function
        .documentation()
        .map(|text| quote!(.description(#text)));
    // The compiler tells of functions that nobody calls only where they seem to be written by a person.
    let shell = quote_spanned! {name.span()=>
        #[allow(clippy::too_many_arguments)]
        #visibility fn #name(
            #( #names: impl ::prefect_rs::sdk::IntoInput<#owned> ),*
        ) -> ::prefect_rs::sdk::FlowCall<#output> {
            ::prefect_rs::sdk::FlowCall::new(
                <#name as ::prefect_rs::sdk::Flow>::definition(),
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

            impl ::prefect_rs::sdk::Flow for #name {
                type Output = #output;

                #[allow(deprecated)]
                fn definition() -> &'static ::prefect_rs::sdk::FlowDefinition {
                    #used
                    static PARAMETERS: &[::prefect_rs::sdk::Parameter] = &[ #(#parameters),* ];
                    static DEFINITION: ::prefect_rs::sdk::FlowDefinition =
                        ::prefect_rs::sdk::FlowDefinition::new(
                            #text, ::std::module_path!(), PARAMETERS, __run, __options,
                        );
                    &DEFINITION
                }
            }

            fn __options() -> ::prefect_rs::sdk::FlowOptions {
                ::prefect_rs::sdk::FlowOptions::new(#text) #documentation #methods
            }
        };
    })
}
