//! Every item that a crate with the feature `sdk` alone can name has an example in its documentation.
//!
//! The examples are compiled as documentation tests; what lacks one is found here, in the sources, since the lint for it is
//! not stable. What a macro of the library declares is beyond this: options have examples by the macro that makes them.

use std::path::{Path, PathBuf};

use syn::{Attribute, ImplItem, Item, TraitItem, Visibility};

/// What was looked at, and what has no example.
#[derive(Default)]
struct Findings {
    seen: usize,
    bare: Vec<String>,
}

impl Findings {
    fn look(&mut self, place: &Path, name: &str, attributes: &[Attribute]) {
        if is_left_out(attributes) {
            return;
        }
        self.seen += 1;
        if !documentation(attributes).contains("```") {
            self.bare.push(format!("{}: {name}", place.display()));
        }
    }
}

fn documentation(attributes: &[Attribute]) -> String {
    let texts = attributes.iter().filter_map(|attribute| {
        let pair = attribute.meta.require_name_value().ok()?;
        let syn::Expr::Lit(literal) = &pair.value else {
            return None;
        };
        match &literal.lit {
            syn::Lit::Str(text) if pair.path.is_ident("doc") => Some(text.value()),
            _ => None,
        }
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// Tells whether something is not there, or not shown, in the documentation of the feature `sdk`.
fn is_left_out(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Ok(list) = attribute.meta.require_list() else {
            return false;
        };
        let text = list.tokens.to_string();
        let is_hidden = list.path.is_ident("doc") && text == "hidden";
        let is_of_server = list.path.is_ident("cfg") && text == "feature = \"server\"";
        let is_test = list.path.is_ident("cfg") && text.contains("test");
        let is_hidden_there = list.path.is_ident("cfg_attr")
            && text.starts_with("not (feature = \"server\")")
            && text.contains("doc");
        is_hidden || is_of_server || is_test || is_hidden_there
    })
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Looks at the items of a file and of the modules below it, which are in `folder`.
fn look_at(file: &Path, folder: &Path, findings: &mut Findings) {
    let text = std::fs::read_to_string(file).expect("a source file");
    for item in syn::parse_file(&text).expect("sources are Rust").items {
        match item {
            Item::Mod(module) if module.content.is_none() && !is_left_out(&module.attrs) => {
                let name = module.ident.to_string();
                let inner = folder.join(&name);
                let files = [folder.join(format!("{name}.rs")), inner.join("mod.rs")];
                let file = files.iter().find(|file| file.exists());
                look_at(file.expect("a file of the module"), &inner, findings);
            }
            Item::Fn(item) if is_public(&item.vis) => {
                findings.look(file, &item.sig.ident.to_string(), &item.attrs);
            }
            Item::Struct(item) if is_public(&item.vis) => {
                findings.look(file, &item.ident.to_string(), &item.attrs);
            }
            Item::Enum(item) if is_public(&item.vis) => {
                findings.look(file, &item.ident.to_string(), &item.attrs);
            }
            Item::Macro(item)
                if item
                    .attrs
                    .iter()
                    .any(|of| of.path().is_ident("macro_export")) =>
            {
                let name = item.ident.map(|name| name.to_string());
                findings.look(file, &name.unwrap_or_default(), &item.attrs);
            }
            Item::Use(item) if is_public(&item.vis) && !documentation(&item.attrs).is_empty() => {
                findings.look(file, "a name of another crate", &item.attrs);
            }
            Item::Trait(item) if is_public(&item.vis) => {
                findings.look(file, &item.ident.to_string(), &item.attrs);
                if is_left_out(&item.attrs) {
                    continue;
                }
                for method in &item.items {
                    if let TraitItem::Fn(method) = method {
                        findings.look(file, &method.sig.ident.to_string(), &method.attrs);
                    }
                }
            }
            Item::Impl(item) if item.trait_.is_none() => {
                for method in &item.items {
                    if let ImplItem::Fn(method) = method
                        && is_public(&method.vis)
                    {
                        findings.look(file, &method.sig.ident.to_string(), &method.attrs);
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn every_public_item_of_the_sdk_has_an_example() {
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut findings = Findings::default();
    look_at(&sources.join("lib.rs"), &sources, &mut findings);
    assert!(findings.seen > 200, "only {} items", findings.seen);
    assert!(
        findings.bare.is_empty(),
        "without an example:\n{}",
        findings.bare.join("\n")
    );
}
