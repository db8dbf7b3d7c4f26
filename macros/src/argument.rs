//! What the attributes need to know of an argument: its type as the body sees it, and the one in which runs keep it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, FnArg, Ident, Lit, Meta, Pat, Type};

/// An argument.
pub(crate) struct Argument {
    /// Its name.
    pub(crate) name: Ident,
    /// The same as runs show it.
    pub(crate) text: String,
    /// The type in which it is kept between attempts.
    pub(crate) owned: TokenStream,
    /// Whether the body gets a reference to it.
    pub(crate) is_lent: bool,
    /// Its documentation.
    pub(crate) doc: Option<String>,
    /// What it is when a run from outside does not say.
    pub(crate) default: Option<DefaultValue>,
    /// Where its type stands.
    pub(crate) span: Span,
}

/// What says what an argument is when a run from outside does not.
pub(crate) enum DefaultValue {
    /// The type of the argument.
    OfType(Span),
    /// An expression.
    Of(Expr),
}

impl DefaultValue {
    /// Returns the call that writes it as JSON.
    pub(crate) fn written(
        &self,
        sdk: impl Fn(Span) -> TokenStream,
        owned: &TokenStream,
    ) -> TokenStream {
        match self {
            Self::OfType(span) => {
                let sdk = sdk(*span);
                quote_spanned!(*span=> #sdk::default_of::<#owned>(<#owned as ::std::default::Default>::default()))
            }
            // What is made by a call has the type that the argument has, or nothing would tell what `"x".into()` is.
            Self::Of(made @ (Expr::Call(_) | Expr::MethodCall(_))) => {
                let sdk = sdk(made.span());
                quote_spanned!(made.span()=> #sdk::default_of::<#owned>(#made))
            }
            // A text will do for a `String`, as in a call.
            Self::Of(given) => {
                let sdk = sdk(given.span());
                quote_spanned!(given.span()=> #sdk::default_value::<#owned>(#given))
            }
        }
    }
}

impl Argument {
    pub(crate) fn read(input: &mut FnArg, what: &str) -> syn::Result<Self> {
        let input = match input {
            FnArg::Typed(input) => input,
            FnArg::Receiver(receiver) => {
                return Err(syn::Error::new(
                    receiver.span(),
                    format!("a {what} is a free function; take what it needs as arguments"),
                ));
            }
        };
        let Pat::Ident(pattern) = &*input.pat else {
            let remedy = match &*input.pat {
                Pat::Wild(_) => "`_name` says that the body does not use it",
                _ => "take it apart in the body",
            };
            return Err(syn::Error::new(
                input.pat.span(),
                format!("an argument of a {what} needs a name, since runs show it; {remedy}"),
            ));
        };
        if let Some(condition) = input.attrs.iter().find(|attribute| is_condition(attribute)) {
            return Err(syn::Error::new(
                condition.span(),
                format!(
                    "an argument of a {what} is always there, since runs record it; put the condition on the function"
                ),
            ));
        }
        let name = pattern.ident.clone();
        let doc = documentation(&input.attrs);
        let default = default(&input.attrs)?;
        input.attrs.retain(|attribute| !is_of_ours(attribute));
        let ty = peeled(&input.ty);
        let span = ty.span();
        let (owned, is_lent) = owned(ty, what)?;
        // A task only writes its arguments; a flow reads them, and nothing that is read is there for ever.
        if what == "flow"
            && let Some(text) = for_ever(ty)
        {
            return Err(syn::Error::new_spanned(
                text,
                "a parameter of a flow owns what is in it, since a run may bring it from outside; write `String` for `&'static str`, `Vec<T>` for `&'static [T]`",
            ));
        }
        Ok(Self {
            text: name.unraw().to_string(),
            name,
            owned,
            is_lent,
            doc,
            default,
            span,
        })
    }
}

fn is_condition(attribute: &Attribute) -> bool {
    ["cfg", "cfg_attr"]
        .iter()
        .any(|name| attribute.path().is_ident(name))
}

pub(crate) fn is_of_ours(attribute: &Attribute) -> bool {
    is_doc(attribute) || attribute.path().is_ident("default")
}

/// Returns a type without the parentheses, seen or not, that a macro or a person has put around it.
pub(crate) fn peeled(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            ty => return ty,
        }
    }
}

/// Returns the type in which an argument is kept, and whether the body borrows it.
fn owned(ty: &Type, what: &str) -> syn::Result<(TokenStream, bool)> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => Err(syn::Error::new(
            ty.span(),
            format!(
                "a {what} may run again, so it cannot change its caller's data; take the value and return the new one"
            ),
        )),
        // What is borrowed for ever is data like any other.
        Type::Reference(reference) if is_static(reference.lifetime.as_ref()) => {
            Ok((ty.to_token_stream(), false))
        }
        Type::Reference(reference) if reference.lifetime.is_some() => Err(syn::Error::new(
            reference.lifetime.span(),
            format!(
                "a run owns its arguments, and the {what} borrows them while it runs; leave the lifetime out"
            ),
        )),
        Type::Reference(reference) if is_nameless(&reference.elem) => {
            Err(nameless(&reference.elem, what))
        }
        Type::Reference(reference) => {
            let inner = peeled(&reference.elem);
            owned_within(inner, what)?;
            let owned = match inner {
                Type::Path(path) if path.path.is_ident("str") => {
                    quote_spanned!(ty.span()=> ::std::string::String)
                }
                Type::Path(path) if last_is(path, "Path") => {
                    quote_spanned!(ty.span()=> ::std::path::PathBuf)
                }
                Type::Path(path) if last_is(path, "OsStr") => {
                    quote_spanned!(ty.span()=> ::std::ffi::OsString)
                }
                Type::Path(path) if last_is(path, "CStr") => {
                    quote_spanned!(ty.span()=> ::std::ffi::CString)
                }
                Type::Slice(slice) => {
                    let element = &slice.elem;
                    quote_spanned!(ty.span()=> ::std::vec::Vec<#element>)
                }
                inner => quote_spanned!(ty.span()=> #inner),
            };
            Ok((owned, true))
        }
        ty if is_nameless(ty) => Err(nameless(ty, what)),
        ty => {
            owned_within(ty, what)?;
            Ok((ty.to_token_stream(), false))
        }
    }
}

fn is_nameless(ty: &Type) -> bool {
    matches!(peeled(ty), Type::ImplTrait(_) | Type::TraitObject(_))
}

fn nameless(ty: &Type, what: &str) -> syn::Error {
    let message = format!(
        "an argument of a {what} needs a type of its own, since runs record it; name the type"
    );
    syn::Error::new(ty.span(), message)
}

fn last_is(path: &syn::TypePath, name: &str) -> bool {
    let last = path.path.segments.last();
    last.is_some_and(|last| last.ident == name && last.arguments.is_none())
}

/// Refuses a type that borrows inside.
fn owned_within(ty: &Type, what: &str) -> syn::Result<()> {
    match borrowed(ty) {
        None => Ok(()),
        Some(span) => Err(syn::Error::new(
            span,
            format!(
                "an argument of a {what} owns what is in it, since runs keep it between attempts; write `String` for `&str`, `Vec<T>` for `&[T]`"
            ),
        )),
    }
}

fn is_static(lifetime: Option<&syn::Lifetime>) -> bool {
    lifetime.is_some_and(|lifetime| lifetime.ident == "static")
}

/// Returns where a type borrows what may go away.
pub(crate) fn borrowed(ty: &Type) -> Option<Span> {
    struct Find(Option<Span>);

    impl<'ast> Visit<'ast> for Find {
        fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
            if reference.lifetime.is_none() {
                self.0.get_or_insert(reference.span());
            }
            visit::visit_type_reference(self, reference);
        }

        fn visit_lifetime(&mut self, lifetime: &'ast syn::Lifetime) {
            if !is_static(Some(lifetime)) {
                self.0.get_or_insert(lifetime.span());
            }
        }
    }

    let mut find = Find(None);
    find.visit_type(ty);
    find.0
}

/// Returns where a type borrows for ever what is only there while it is read, such as a text: the compiler says of it that
/// an implementation is not general enough.
pub(crate) fn for_ever(ty: &Type) -> Option<&syn::TypeReference> {
    struct Find<'a>(Option<&'a syn::TypeReference>);

    impl<'ast> Visit<'ast> for Find<'ast> {
        fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
            let is_read = match peeled(&reference.elem) {
                Type::Slice(_) => true,
                Type::Path(path) => path.path.is_ident("str") || last_is(path, "Path"),
                _ => false,
            };
            if is_read && is_static(reference.lifetime.as_ref()) {
                self.0.get_or_insert(reference);
            }
            visit::visit_type_reference(self, reference);
        }
    }

    let mut find = Find(None);
    find.visit_type(ty);
    find.0
}

fn is_doc(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc")
}

pub(crate) fn documentation(attributes: &[Attribute]) -> Option<String> {
    let lines: Vec<String> = attributes
        .iter()
        .filter(|attribute| is_doc(attribute))
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value().trim().to_owned()),
                    _ => None,
                },
                _ => None,
            },
            Meta::Path(_) | Meta::List(_) => None,
        })
        .collect();
    let text = lines.join("\n").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn default(attributes: &[Attribute]) -> syn::Result<Option<DefaultValue>> {
    let mut found = None;
    for attribute in attributes {
        if attribute.path().is_ident("default") {
            found = Some(match &attribute.meta {
                Meta::List(list) => DefaultValue::Of(list.parse_args()?),
                Meta::NameValue(pair) => DefaultValue::Of(pair.value.clone()),
                Meta::Path(path) => DefaultValue::OfType(path.span()),
            });
        }
    }
    Ok(found)
}
