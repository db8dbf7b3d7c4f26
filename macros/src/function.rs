//! What the attributes need to know of a function: what it may be, how its body is run, and what it gives back.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Block, Expr, ExprAsync, ExprClosure, ExprReturn, FnArg, GenericArgument,
    GenericParam, Ident, Item, ItemFn, Meta, Path, PathArguments, ReturnType, Stmt, TraitItemFn,
    Type,
};

use crate::argument::{Argument, borrowed, documentation, for_ever, is_of_ours, peeled};

/// A function as the attributes see it.
pub(crate) struct Function {
    /// The function without attributes of ours on its arguments.
    pub(crate) item: ItemFn,
    /// Its arguments in order.
    pub(crate) arguments: Vec<Argument>,
    /// What it is called, without the `r#` of a word of the language.
    pub(crate) text: String,
    /// What it returns.
    output: Output,
    /// The path of the library, if it is not known as `prefect_rs`.
    library: Option<Path>,
}

impl Function {
    /// Reads a function, or says why it cannot be a `what`.
    pub(crate) fn read(mut item: ItemFn, what: &str, library: Option<Path>) -> syn::Result<Self> {
        check_attributes(&item, what)?;
        check_signature(&item, what)?;
        let mut arguments = Vec::with_capacity(item.sig.inputs.len());
        for input in &mut item.sig.inputs {
            arguments.push(Argument::read(input, what)?);
        }
        check_output(&item.sig.output, what)?;
        Ok(Self {
            text: item.sig.ident.unraw().to_string(),
            output: Output::of(&item.sig.output),
            item,
            arguments,
            library,
        })
    }

    /// Returns the path of the library's part for flows, as if it stood at a place: what is wrong there is told there.
    pub(crate) fn sdk_at(&self, span: Span) -> TokenStream {
        let Some(path) = &self.library else {
            return quote_spanned!(span=> ::prefect_rs::sdk);
        };
        let at = |mut token: TokenTree| {
            // What `$crate` is, only its own span knows.
            if token.to_string() != "$crate" {
                token.set_span(span);
            }
            token
        };
        quote!(#path::sdk).into_iter().map(at).collect()
    }

    /// Returns the path of the library's part for flows.
    pub(crate) fn sdk(&self) -> TokenStream {
        self.sdk_at(Span::call_site())
    }

    /// Returns what it gives back when it succeeds, for those who call it. `of` is the trait that a flow or task has.
    pub(crate) fn given(&self, of: &str) -> TokenStream {
        match &self.output {
            Output::Plain(ty) | Output::Result(ty) => ty.clone(),
            Output::Unknown(_) => {
                let (name, sdk) = (&self.item.sig.ident, self.sdk());
                let of = Ident::new(of, Span::call_site());
                quote!(<#name as #sdk::#of>::Output)
            }
        }
    }

    /// Returns the same for the trait itself.
    pub(crate) fn output(&self) -> TokenStream {
        match &self.output {
            Output::Plain(ty) | Output::Result(ty) => ty.clone(),
            Output::Unknown(_) => {
                // What is no data is told where the type stands.
                Ident::new("__Output", self.output.span()).into_token_stream()
            }
        }
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
        // An `async fn` need not await, nor is a plain one any better for being `const`; those who call it never see the
        // many arguments. First, so that what the author says of these lints still counts.
        body.attrs.insert(
            0,
            syn::parse_quote! {
                #[allow(clippy::too_many_arguments, clippy::missing_const_for_fn, clippy::unused_async)]
            },
        );
        let sdk = self.sdk();
        if !matches!(self.output, Output::Plain(_)) {
            PassOn(self).visit_block_mut(&mut body.block);
            self.pass_on_block(&mut body.block);
            body.block.stmts.insert(
                0,
                syn::parse_quote! {
                    #[allow(unused_imports)]
                    use #sdk::tail::Other as _;
                },
            );
        }
        // What the function prints becomes logs of its run; an import of its own in the body would still win.
        body.block.stmts.insert(
            0,
            syn::parse_quote! {
                #[allow(unused_imports)]
                use #sdk::logs::{eprint, eprintln, print, println};
            },
        );
        body
    }

    /// Returns the attributes that the outer function keeps: documentation, deprecation, conditions, lints.
    pub(crate) fn outer_attributes(&self) -> impl Iterator<Item = Attribute> {
        self.item.attrs.iter().filter_map(|attribute| {
            // The call itself must be used, and says why; only a reason of the author's own adds to that.
            if attribute.path().is_ident("must_use") && matches!(attribute.meta, Meta::Path(_)) {
                return None;
            }
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
        let sdk = self.sdk();
        let values: Vec<_> = (0..self.arguments.len()).map(value).collect();
        quote!(let _ = |#( #values: #sdk::NoInput ),*| #name(#(#values),*);)
    }

    /// Returns the function that reads what was returned. What cannot be an error is told at the type.
    fn reader(&self) -> TokenStream {
        let span = self.output.span();
        let sdk = self.sdk_at(span);
        match self.output {
            Output::Plain(_) => quote_spanned!(span=> #sdk::outcome::plain),
            Output::Result(_) => quote_spanned!(span=> #sdk::outcome::result),
            Output::Unknown(_) => {
                quote_spanned!(span=> #sdk::outcome::read::<{ __IS_RESULT }, { __IS_STATE }, _>)
            }
        }
    }

    /// Returns the function that runs the body once with inputs of any origin.
    pub(crate) fn runner(&self) -> TokenStream {
        let sdk = self.sdk();
        // Not the arguments' own names, which may be those of constants, or of the function.
        let values: Vec<_> = (0..self.arguments.len()).map(value).collect();
        let taken = (0..self.arguments.len()).map(taken);
        let pass = self.arguments.iter().zip(&values);
        let pass = pass.map(|(argument, value)| match argument.is_lent {
            true => quote!(&#value),
            false => quote!(#value),
        });
        // What is wrong with the body as a whole is told at its name, what is with its result at the type.
        let name = self.item.sig.ident.span();
        let result = match &self.item.sig.output {
            ReturnType::Type(_, ty) => ty.span(),
            nothing => nothing.span(),
        };
        let (name_sdk, read) = (self.sdk_at(name), self.reader());
        let run = match self.item.sig.asyncness {
            Some(_) => {
                let body = quote_spanned!(result=> #read(&__RESULT, __body(#(#pass),*).await));
                quote_spanned!(name=> #name_sdk::Running::future(async move { #body }))
            }
            None => {
                let body = quote_spanned!(result=> #read(&__RESULT, __body(#(#pass),*)));
                quote_spanned!(name=> #name_sdk::Running::blocking(move || #body))
            }
        };
        let (output, output_span) = (self.output(), self.output.span());
        let output_sdk = self.sdk_at(output_span);
        let result = quote_spanned!(output_span=> #output_sdk::kept::<#output>());
        let told = self.output.told(&sdk);
        quote! {
            #told
            const __RESULT: #sdk::Kept<#output> = #result;

            #[allow(unused_mut, unused_variables)]
            fn __run(mut __inputs: #sdk::Inputs) -> #sdk::Running {
                #( let #values = #taken.next(&mut __inputs); )*
                #run
            }
        }
    }
}

/// Returns the name of the constant that takes an argument.
pub(crate) fn taken(number: usize) -> Ident {
    format_ident!("__ARGUMENT_{number}")
}

/// Returns the name of the variable that has an argument.
fn value(number: usize) -> Ident {
    format_ident!("__value_{number}")
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
    // One of two attributes is told of the other.
    function.attrs.retain(|attribute| made(attribute).is_none());
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

/// Returns what another attribute would make of a function: a flow or a task.
fn made(attribute: &Attribute) -> Option<&'static str> {
    let path = attribute.path();
    let (first, last) = (path.segments.first()?, path.segments.last()?);
    let is_ours = path.segments.len() == 1 || first.ident == "prefect_rs";
    let known = ["flow", "task"];
    known
        .into_iter()
        .find(|known| is_ours && last.ident == known)
}

/// Refuses a second attribute, which would take what the first one makes for what the author wrote.
fn check_attributes(item: &ItemFn, what: &str) -> syn::Result<()> {
    let mut others = item.attrs.iter();
    match others.find_map(|other| made(other).map(|made| (other, made))) {
        None => Ok(()),
        Some((other, made)) if made == what => Err(syn::Error::new_spanned(
            other,
            format!("it is a {what} already; leave one `#[{what}]` out"),
        )),
        Some((other, made)) => Err(syn::Error::new_spanned(
            other,
            format!(
                "a {what} is not a {made} as well; leave one of the attributes out, or let a flow call a task"
            ),
        )),
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
    if let Type::ImplTrait(hidden) = peeled(ty) {
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
        None => check_for_ever(ty, what),
    }
}

/// Refuses a result that could be kept but not read again. An error may be one.
fn check_for_ever(ty: &Type, what: &str) -> syn::Result<()> {
    let ty = peeled(ty);
    let kept = match last_segment(ty) {
        Some((name, _)) if PLAIN.contains(&name.as_str()) => Some(ty.clone()),
        None => Some(ty.clone()),
        // Of a `Result`, also under another name, the first is the value.
        Some((_, first)) => first,
    };
    match kept.as_ref().and_then(for_ever) {
        None => Ok(()),
        Some(text) => Err(syn::Error::new_spanned(
            text,
            format!(
                "a {what} gives back what it owns, since its result is kept and read again; write `String` for `&'static str`, `Vec<T>` for `&'static [T]`"
            ),
        )),
    }
}

/// What a function returns, as far as its text tells.
enum Output {
    /// Data, beyond doubt.
    Plain(TokenStream),
    /// A `Result` of that.
    Result(TokenStream),
    /// What only the type itself tells: an alias may stand for a `Result`, and a `State` may be of another kind than ours.
    Unknown(TokenStream),
}

/// Types that nobody takes for an alias of a `Result`. Those who read the documentation of a function that returns one of
/// them are told its name, and not how it is found out.
const PLAIN: &[&str] = &[
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32",
    "u64", "u128", "usize", "String", "Option", "Vec", "VecDeque", "HashMap", "HashSet",
    "BTreeMap", "BTreeSet", "Box", "Arc", "Cow", "PathBuf", "Duration",
];

impl Output {
    fn of(output: &ReturnType) -> Self {
        let ReturnType::Type(_, ty) = output else {
            return Self::Plain(quote!(()));
        };
        let ty = peeled(ty);
        match last_segment(ty) {
            // What is no path is a tuple, an array and the like.
            None if !matches!(ty, Type::Path(_) | Type::Macro(_)) => Self::Plain(quote!(#ty)),
            Some((name, _)) if PLAIN.contains(&name.as_str()) => Self::Plain(quote!(#ty)),
            Some((name, Some(inner))) if name == "Result" => match last_segment(peeled(&inner)) {
                Some((name, _)) if name == "State" => Self::Unknown(quote!(#ty)),
                Some(_) | None => Self::Result(quote!(#inner)),
            },
            Some(_) | None => Self::Unknown(quote!(#ty)),
        }
    }

    fn span(&self) -> Span {
        match self {
            Self::Plain(ty) | Self::Result(ty) | Self::Unknown(ty) => ty.span(),
        }
    }

    /// Returns the items that tell of a type what it is.
    fn told(&self, sdk: &TokenStream) -> TokenStream {
        let Self::Unknown(ty) = self else {
            return TokenStream::new();
        };
        quote! {
            const __IS_RESULT: bool = {
                #[allow(unused_imports)]
                use #sdk::outcome::Neither as _;
                #sdk::outcome::Told::<#ty>::IS_RESULT
            };
            type __Ok = <#ty as #sdk::outcome::Fallible<__IS_RESULT>>::Ok;
            const __IS_STATE: bool = {
                #[allow(unused_imports)]
                use #sdk::outcome::Neither as _;
                #sdk::outcome::Told::<__Ok>::IS_STATE
            };
            type __Output = <__Ok as #sdk::outcome::Stated<__IS_STATE>>::Data;
        }
    }
}

/// Lets a function end with the call of a task or flow, whose error becomes the function's own as with `?`.
///
/// It ends with what is last in it, and with what it returns: there a call may be awaited, run or got, also in parentheses
/// and last in blocks and branches. Whether it is a call is for its type to say.
impl Function {
    fn pass_on_block(&self, block: &mut Block) {
        if let Some(Stmt::Expr(tail, None)) = block.stmts.last_mut() {
            self.pass_on(tail);
        }
    }

    fn pass_on(&self, tail: &mut Expr) {
        match tail {
            Expr::Await(awaited) => *awaited.base = self.tail(&awaited.base),
            Expr::MethodCall(call)
                if call.args.is_empty() && (call.method == "run" || call.method == "get") =>
            {
                *tail = self.tail(tail);
            }
            // The parentheses go, or the compiler says how to remove them where nobody has written anything.
            Expr::Paren(inner) => {
                *tail = Expr::clone(&inner.expr);
                self.pass_on(tail);
            }
            Expr::Group(inner) => self.pass_on(&mut inner.expr),
            Expr::Block(block) => self.pass_on_block(&mut block.block),
            Expr::Unsafe(block) => self.pass_on_block(&mut block.block),
            Expr::If(choice) => {
                self.pass_on_block(&mut choice.then_branch);
                if let Some((_, otherwise)) = &mut choice.else_branch {
                    self.pass_on(otherwise);
                }
            }
            Expr::Match(choice) => {
                for arm in &mut choice.arms {
                    self.pass_on(&mut arm.body);
                }
            }
            _ => {}
        }
    }

    fn tail(&self, of: &Expr) -> Expr {
        let sdk = self.sdk_at(of.span());
        Expr::Verbatim(quote_spanned!(of.span()=> #sdk::tail::Tail(#of).passed_on()))
    }
}

/// Finds what a function returns before its end.
struct PassOn<'a>(&'a Function);

impl VisitMut for PassOn<'_> {
    fn visit_expr_return_mut(&mut self, found: &mut ExprReturn) {
        visit_mut::visit_expr_return_mut(self, found);
        if let Some(returned) = &mut found.expr {
            self.0.pass_on(returned);
        }
    }

    // What these return is their own.
    fn visit_expr_closure_mut(&mut self, _: &mut ExprClosure) {}
    fn visit_expr_async_mut(&mut self, _: &mut ExprAsync) {}
    fn visit_item_mut(&mut self, _: &mut Item) {}
}

/// Returns the last name of a path and its first type argument.
fn last_segment(ty: &Type) -> Option<(String, Option<Type>)> {
    let Type::Path(path) = ty else {
        return None;
    };
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
