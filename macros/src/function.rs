//! What the attributes need to know of a function: what it may be, how its body is run, and what it gives back.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Block, Expr, FnArg, GenericArgument, GenericParam, Ident, Item, ItemFn, Meta,
    PathArguments, ReturnType, Stmt, TraitItemFn, Type,
};

use crate::argument::{Argument, borrowed, documentation, is_of_ours};

/// A function as the attributes see it.
pub(crate) struct Function {
    /// The function without attributes of ours on its arguments.
    pub(crate) item: ItemFn,
    /// Its arguments in order.
    pub(crate) arguments: Vec<Argument>,
    /// What it is called, without the `r#` of a word of the language.
    pub(crate) text: String,
    /// What it gives back when it succeeds.
    pub(crate) output: TokenStream,
    /// Where that stands.
    output_span: Span,
    /// The function of `sdk::outcome` that reads what it returns.
    pub(crate) reader: Ident,
}

impl Function {
    /// Reads a function, or says why it cannot be a `what`.
    pub(crate) fn read(mut item: ItemFn, what: &str) -> syn::Result<Self> {
        check_signature(&item, what)?;
        let mut arguments = Vec::with_capacity(item.sig.inputs.len());
        for input in &mut item.sig.inputs {
            arguments.push(Argument::read(input, what)?);
        }
        let (output, reader) = output(&item.sig.output);
        check_output(&item.sig.output, what)?;
        Ok(Self {
            text: item.sig.ident.unraw().to_string(),
            output_span: output.span(),
            item,
            arguments,
            output,
            reader: Ident::new(reader, Span::call_site()),
        })
    }

    /// Returns the function under another name and without what belongs to the outer one.
    pub(crate) fn body(&self, name: &Ident) -> ItemFn {
        let mut body = self.item.clone();
        body.vis = syn::Visibility::Inherited;
        body.sig.ident = name.clone();
        // What concerns those who call it is said by the outer one, or the shell would be told of it.
        let of_callers = ["doc", "deprecated", "must_use"];
        body.attrs.retain(|attribute| {
            !of_callers
                .iter()
                .any(|name| attribute.path().is_ident(name))
        });
        if returns_result(&body.sig.output) {
            pass_on_block(&mut body.block);
        }
        // What the function prints becomes logs of its run; an import of its own in the body would still win.
        body.block.stmts.insert(
            0,
            syn::parse_quote! {
                #[allow(unused_imports)]
                use ::prefect_rs::{
                    __eprint as eprint, __eprintln as eprintln, __print as print, __println as println,
                };
            },
        );
        body
    }

    /// Returns the attributes that the outer function keeps: documentation, deprecation, conditions, lints.
    pub(crate) fn outer_attributes(&self) -> impl Iterator<Item = Attribute> {
        self.item.attrs.iter().filter_map(|attribute| {
            let is_kept = ["doc", "deprecated", "cfg", "must_use", "allow"]
                .iter()
                .any(|name| attribute.path().is_ident(name));
            if is_kept {
                return Some(attribute.clone());
            }
            // What is expected of the body need not be true of the shell.
            let Meta::List(list) = &attribute.meta else {
                return None;
            };
            let lints = list.tokens.clone();
            let is_expected = attribute.path().is_ident("expect");
            is_expected.then(|| syn::parse_quote!(#[allow(#lints)]))
        })
    }

    /// Returns the conditions under which all that is made of the function is there.
    pub(crate) fn conditions(&self) -> Vec<&Attribute> {
        let attributes = self.item.attrs.iter();
        attributes
            .filter(|attribute| attribute.path().is_ident("cfg"))
            .collect()
    }

    /// Returns the documentation as one text.
    pub(crate) fn documentation(&self) -> Option<String> {
        documentation(&self.item.attrs)
    }

    /// Returns a statement that does nothing but count as a call: whoever uses the type of a function that has its name,
    /// as `map` and `prefect_rs::main!` do, uses the function.
    pub(crate) fn used(&self) -> TokenStream {
        let name = &self.item.sig.ident;
        let names: Vec<_> = self
            .arguments
            .iter()
            .map(|argument| &argument.name)
            .collect();
        quote!(let _ = |#( #names: ::prefect_rs::sdk::NoInput ),*| #name(#(#names),*);)
    }

    /// Returns the function that runs the body once with inputs of any origin.
    pub(crate) fn runner(&self) -> TokenStream {
        let Self {
            arguments, reader, ..
        } = self;
        let names: Vec<_> = arguments.iter().map(|argument| &argument.name).collect();
        let taken = (0..arguments.len()).map(taken);
        let pass = arguments.iter().map(|argument| &argument.pass);
        // What is wrong with the body as a whole is told at its name, what is with its result at the type.
        let (name, result) = (self.item.sig.ident.span(), self.item.sig.output.span());
        let read = quote!(::prefect_rs::sdk::outcome::#reader);
        let run = match self.item.sig.asyncness {
            Some(_) => {
                let body = quote_spanned!(result=> #read(&__RESULT, __body(#(#pass),*).await));
                quote_spanned!(name=> ::prefect_rs::sdk::Running::future(async move { #body }))
            }
            None => {
                let body = quote_spanned!(result=> #read(&__RESULT, __body(#(#pass),*)));
                quote_spanned!(name=> ::prefect_rs::sdk::Running::blocking(move || #body))
            }
        };
        let (output, output_span) = (&self.output, self.output_span);
        let result = quote_spanned!(output_span=> ::prefect_rs::sdk::kept::<#output>());
        quote! {
            const __RESULT: ::prefect_rs::sdk::Kept<#output> = #result;

            #[allow(unused_mut, unused_variables)]
            fn __run(mut __inputs: ::prefect_rs::sdk::Inputs) -> ::prefect_rs::sdk::Running {
                #( let #names = #taken.next(&mut __inputs); )*
                #run
            }
        }
    }
}

/// Returns the name of the constant that takes an argument.
pub(crate) fn taken(number: usize) -> Ident {
    format_ident!("__ARGUMENT_{number}")
}

/// Makes a `what` of a function, or says what is wrong with it.
///
/// A function with a mistake stays what it was, so that whoever calls it is not told of another one.
pub(crate) fn expand(
    attribute: TokenStream,
    item: TokenStream,
    what: &str,
    make: fn(TokenStream, ItemFn) -> syn::Result<TokenStream>,
) -> TokenStream {
    let (mistake, kept) = match parse(item.clone(), what) {
        Ok(function) => match make(attribute, function.clone()) {
            Ok(made) => return made,
            Err(mistake) => (mistake, plain(function)),
        },
        Err(mistake) => (mistake, item),
    };
    let mistake = mistake.into_compile_error();
    quote!(#mistake #kept)
}

/// Returns a function without what only the attributes understand.
fn plain(mut function: ItemFn) -> TokenStream {
    if function.sig.ident == "main" {
        return quote!(
            fn main() {}
        );
    }
    for input in &mut function.sig.inputs {
        if let FnArg::Typed(input) = input {
            input.attrs.retain(|attribute| !is_of_ours(attribute));
        }
    }
    function.into_token_stream()
}

/// Reads what an attribute stands on.
///
/// What is no function is told so; a mistake within a function is the compiler's to tell.
fn parse(item: TokenStream, what: &str) -> syn::Result<ItemFn> {
    match syn::parse2(item.clone()) {
        Ok(function) => Ok(function),
        Err(_) if syn::parse2::<TraitItemFn>(item.clone()).is_ok() => Err(syn::Error::new_spanned(
            item,
            format!("a {what} is a free function with a body; a method of a trait may call one"),
        )),
        Err(mistake) => Err(match syn::parse2::<Item>(item) {
            Ok(Item::Fn(_)) | Err(_) => mistake,
            Ok(other) => syn::Error::new_spanned(
                other,
                format!("a {what} is a function; write `#[{what}]` above an `fn`"),
            ),
        }),
    }
}

fn check_signature(item: &ItemFn, what: &str) -> syn::Result<()> {
    let signature = &item.sig;
    let refuse = |span, why: &str| Err(syn::Error::new(span, why.to_owned()));
    if signature.ident == "main" {
        return refuse(
            signature.ident.span(),
            &format!(
                "`main` begins the program and cannot be a {what}; give it another name and say `prefect_rs::main!(name);` at the end of the file"
            ),
        );
    }
    if let Some(GenericParam::Lifetime(lifetime)) = signature.generics.params.first() {
        return refuse(
            lifetime.span(),
            &format!(
                "a {what} has no lifetimes, since its runs own their arguments; leave it out: `&str`, `&[u8]`"
            ),
        );
    }
    if let Some(parameter) = signature.generics.params.first() {
        return refuse(
            parameter.span(),
            &format!(
                "a {what} has no generic parameters, since each of its runs is recorded with the types it has; write a function for each type"
            ),
        );
    }
    if let Some(unsafety) = &signature.unsafety {
        return refuse(unsafety.span(), &format!("a {what} cannot be unsafe"));
    }
    if let Some(constness) = &signature.constness {
        return refuse(constness.span(), &format!("a {what} cannot be const"));
    }
    if let Some(variadic) = &signature.variadic {
        return refuse(
            variadic.span(),
            &format!("a {what} has a fixed number of arguments"),
        );
    }
    Ok(())
}

/// Refuses what cannot be a result, where the compiler would speak of what the attribute makes of it.
fn check_output(declared: &ReturnType, what: &str) -> syn::Result<()> {
    let ReturnType::Type(_, ty) = declared else {
        return Ok(());
    };
    if let Type::ImplTrait(hidden) = &**ty {
        return Err(syn::Error::new(
            hidden.span(),
            format!(
                "what a {what} gives back needs a type of its own, since runs record it; name the type"
            ),
        ));
    }
    match borrowed(ty) {
        Some(span) => Err(syn::Error::new(
            span,
            format!(
                "a {what} gives back what it owns, since its result outlives the run; write `String` for `&str`, `Vec<T>` for `&[T]`"
            ),
        )),
        None => Ok(()),
    }
}

/// Returns what a function gives back when it succeeds, and the name of what reads it.
fn output(output: &ReturnType) -> (TokenStream, &'static str) {
    let ReturnType::Type(_, ty) = output else {
        return (quote!(()), "plain");
    };
    match last_segment(ty) {
        Some((name, argument)) if name == "Result" => match argument {
            Some(inner) => match last_segment(&inner) {
                Some((name, argument)) if name == "State" => (
                    argument.map_or(quote!(()), |data| quote!(#data)),
                    "state_result",
                ),
                Some(_) | None => (quote!(#inner), "result"),
            },
            None => (
                quote_spanned!(ty.span()=> <#ty as ::prefect_rs::sdk::outcome::Fallible>::Ok),
                "result",
            ),
        },
        Some((name, argument)) if name == "State" => {
            (argument.map_or(quote!(()), |data| quote!(#data)), "state")
        }
        Some(_) | None => (quote!(#ty), "plain"),
    }
}

fn returns_result(output: &ReturnType) -> bool {
    let ReturnType::Type(_, ty) = output else {
        return false;
    };
    last_segment(ty).is_some_and(|(name, _)| name == "Result")
}

/// Lets a body end with the call of a task or flow, whose error becomes the function's own as with `?`.
fn pass_on_block(block: &mut Block) {
    if let Some(Stmt::Expr(tail, None)) = block.stmts.last_mut() {
        pass_on(tail);
    }
}

fn pass_on(tail: &mut Expr) {
    match tail {
        Expr::Await(awaited) if is_call_of_own(&awaited.base) => {
            let passed = quote_spanned!(tail.span()=> ::prefect_rs::sdk::passed_on(#tail));
            *tail = Expr::Verbatim(passed);
        }
        Expr::Block(block) => pass_on_block(&mut block.block),
        Expr::If(choice) => {
            pass_on_block(&mut choice.then_branch);
            if let Some((_, otherwise)) = &mut choice.else_branch {
                pass_on(otherwise);
            }
        }
        Expr::Match(choice) => {
            for arm in &mut choice.arms {
                pass_on(&mut arm.body);
            }
        }
        _ => {}
    }
}

/// Tells whether a function is called whose error has a type of its own. That of a block, or of what the standard library
/// has for anything (`pending()`), may be known by what the outer function returns alone.
fn is_call_of_own(called: &Expr) -> bool {
    match called {
        Expr::MethodCall(call) => is_call_of_own(&call.receiver),
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => path
                .path
                .segments
                .first()
                .is_some_and(|first| first.ident != "std" && first.ident != "core"),
            _ => false,
        },
        _ => false,
    }
}

/// Returns the last name of a path and its first type argument.
fn last_segment(ty: &Type) -> Option<(String, Option<Type>)> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last()?;
    let argument = match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty.clone()),
                _ => None,
            })
        }
        PathArguments::None | PathArguments::Parenthesized(_) => None,
    };
    Some((segment.ident.to_string(), argument))
}
