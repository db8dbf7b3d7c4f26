//! `#[flow]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ItemFn;

use crate::function::{Function, taken};
use crate::options::{self, Options};

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
    let mut options = options::read(attribute, "flow", OPTIONS);
    let function = Function::read(item, "flow", options.library.take())?;
    let arguments = function.arguments.iter();
    options.check_template("flow", arguments.map(|argument| argument.text.as_str()));
    let Options {
        methods, mistakes, ..
    } = options;
    let sdk = function.sdk();
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
    let (output, given) = (function.output(), function.given("Flow"));
    let body = function.body(&format_ident!("__body"));
    let runner = function.runner();
    let constants = function
        .arguments
        .iter()
        .enumerate()
        .map(|(number, argument)| {
            let (name, owned, text) = (taken(number), &argument.owned, &argument.text);
            let sdk_there = function.sdk_at(argument.span);
            let parameter = quote_spanned!(argument.span=> #sdk_there::parameter::<#owned>(#text));
            quote!(const #name: #sdk::Typed<#owned> = #parameter;)
        });
    let parameters = function
        .arguments
        .iter()
        .enumerate()
        .map(|(number, argument)| {
            let (name, owned) = (taken(number), &argument.owned);
            let doc = argument.doc.iter();
            let default = argument.default.iter().map(|default| {
                let written = default.written(|span| function.sdk_at(span), owned);
                quote!(.default_value(|| #written))
            });
            quote!(#name.parameter() #(.description(#doc))* #(#default)*)
        });
    let documentation = function
        .documentation()
        .map(|text| quote!(.description(#text)));
    // The compiler tells of functions that nobody calls only where they seem to be written by a person.
    let name_sdk = function.sdk_at(name.span());
    let shell = quote_spanned! {name.span()=>
        #[allow(clippy::too_many_arguments)]
        #visibility fn #name(
            #( #names: impl #name_sdk::IntoInput<#owned> ),*
        ) -> #name_sdk::FlowCall<#given> {
            #name_sdk::FlowCall::new(
                <#name as #name_sdk::Flow>::definition(),
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

            impl #sdk::Flow for #name {
                type Output = #output;

                #[allow(deprecated)]
                fn definition() -> &'static #sdk::FlowDefinition {
                    #used
                    static PARAMETERS: &[#sdk::Parameter] = &[ #(#parameters),* ];
                    static DEFINITION: #sdk::FlowDefinition =
                        #sdk::FlowDefinition::new(
                            #text, ::std::module_path!(), PARAMETERS, __run, __options,
                        );
                    &DEFINITION
                }
            }

            fn __options() -> #sdk::FlowOptions {
                #sdk::FlowOptions::new(#text) #documentation #methods
            }
        };
    })
}
