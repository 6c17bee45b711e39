//! The modules of a crate, read from its source files, and which of them use which.
//!
//! A module is a file: what stands in braces (`mod x { ... }`) belongs to the file around it. What a module uses is
//! followed to the module that defines it, so that a parent that only re-exports its children hides nothing. Code under
//! `#[cfg(test)]` does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility};

use crate::Error;

/// The modules of one crate.
#[derive(Debug)]
pub struct Tree {
    scopes: Vec<Scope>,
    uses: BTreeSet<(usize, usize)>,
}

/// A module, in a file of its own or in braces.
#[derive(Debug, Default)]
struct Scope {
    name: String,
    parent: Option<usize>,
    /// The scope that is the file it stands in; itself for a file.
    file: usize,
    children: BTreeMap<String, usize>,
    defined: BTreeSet<String>,
    /// Names that `use` brings in, and what they stand for.
    imported: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Every path that is written in it.
    paths: Vec<Vec<String>>,
}

impl Tree {
    /// Reads a crate from its first file, as `src/lib.rs`.
    ///
    /// # Errors
    /// When a file is missing, cannot be read, or is not Rust.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let mut tree = Self {
            scopes: vec![Scope {
                name: "crate".to_owned(),
                ..Scope::default()
            }],
            uses: BTreeSet::new(),
        };
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        tree.read_file(0, root, &folder)?;
        for scope in 0..tree.scopes.len() {
            let mut paths = tree.scopes[scope].paths.clone();
            paths.extend(tree.scopes[scope].globs.iter().cloned());
            for path in paths {
                if let Some(to) = tree.home_of(scope, &path, &mut BTreeSet::new()) {
                    let (from, to) = (tree.scopes[scope].file, tree.scopes[to].file);
                    if from != to {
                        tree.uses.insert((from, to));
                    }
                }
            }
        }
        Ok(tree)
    }

    /// How many modules there are, those in braces counted too.
    pub fn len(&self) -> usize {
        self.scopes.len()
    }

    /// Never: a crate has a root.
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Which module uses which, by number; both are files.
    pub fn uses(&self) -> impl Iterator<Item = (usize, usize)> {
        self.uses.iter().copied()
    }

    /// The module that declares this one.
    pub fn parent(&self, module: usize) -> Option<usize> {
        self.scopes[module].parent.map(|p| self.scopes[p].file)
    }

    /// A module as Rust names it, as `crate::lab::images`.
    pub fn path(&self, module: usize) -> String {
        let scope = &self.scopes[module];
        match scope.parent {
            Some(parent) => format!("{}::{}", self.path(parent), scope.name),
            None => scope.name.clone(),
        }
    }

    /// Reads a file as the module `scope`, whose children's files lie in `folder`.
    fn read_file(&mut self, scope: usize, path: &Path, folder: &Path) -> Result<(), Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let file = syn::parse_file(&text).map_err(|source| Error::Parse {
            path: path.to_owned(),
            source,
        })?;
        self.scopes[scope].file = scope;
        self.read_items(scope, &file.items, path, folder)
    }

    fn read_items(
        &mut self,
        scope: usize,
        items: &[Item],
        path: &Path,
        folder: &Path,
    ) -> Result<(), Error> {
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Mod(module) => self.read_module(scope, module, path, folder)?,
                Item::Use(item) => self.note_use(scope, item),
                other => {
                    if let Some(name) = name_of(other) {
                        self.scopes[scope].defined.insert(name);
                    }
                    let mut finder = Finder::default();
                    finder.visit_item(other);
                    self.scopes[scope].paths.append(&mut finder.paths);
                    for item in &finder.uses {
                        self.note_use(scope, item);
                    }
                }
            }
        }
        Ok(())
    }

    fn read_module(
        &mut self,
        parent: usize,
        module: &ItemMod,
        path: &Path,
        folder: &Path,
    ) -> Result<(), Error> {
        let name = module.ident.to_string();
        let child = self.scopes.len();
        self.scopes.push(Scope {
            name: name.clone(),
            parent: Some(parent),
            file: self.scopes[parent].file,
            ..Scope::default()
        });
        self.scopes[parent].children.insert(name.clone(), child);
        let inner = folder.join(&name);
        if let Some((_, items)) = &module.content {
            return self.read_items(child, items, path, &inner);
        }
        let candidates = match path_attribute(&module.attrs) {
            Some(named) => vec![path.with_file_name(named)],
            None => vec![folder.join(format!("{name}.rs")), inner.join("mod.rs")],
        };
        let file = candidates.iter().find(|file| file.is_file());
        let file = file.ok_or_else(|| Error::NoFile {
            module: name,
            parent: path.to_owned(),
            tried: candidates.first().cloned().unwrap_or_default(),
        })?;
        self.read_file(child, file, &inner)
    }

    fn note_use(&mut self, scope: usize, item: &ItemUse) {
        let mut leaves = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut leaves);
        let scope = &mut self.scopes[scope];
        for leaf in leaves {
            match leaf.name {
                None => scope.globs.push(leaf.path),
                Some(name) => {
                    scope.paths.push(leaf.path.clone());
                    scope.imported.insert(name, leaf.path);
                }
            }
        }
    }

    /// The module in which what a path names is defined; none of what is in another crate.
    fn home_of(
        &self,
        scope: usize,
        path: &[String],
        seen: &mut BTreeSet<(usize, String)>,
    ) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => 0,
            "self" => scope,
            "super" => self.scopes[scope].parent?,
            name => *self.scopes[scope].children.get(name)?,
        };
        let mut current = start;
        for name in rest {
            match name.as_str() {
                "self" => {}
                "super" => current = self.scopes[current].parent?,
                name => match self.scopes[current].children.get(name) {
                    Some(child) => current = *child,
                    None => return Some(self.home_of_name(current, name, seen)),
                },
            }
        }
        Some(current)
    }

    /// The module in which a name that is known in this one is defined; this one where that does not show.
    fn home_of_name(
        &self,
        scope: usize,
        name: &str,
        seen: &mut BTreeSet<(usize, String)>,
    ) -> usize {
        self.definition_of(scope, name, seen).unwrap_or(scope)
    }

    fn definition_of(
        &self,
        scope: usize,
        name: &str,
        seen: &mut BTreeSet<(usize, String)>,
    ) -> Option<usize> {
        if !seen.insert((scope, name.to_owned())) {
            return None;
        }
        let this = &self.scopes[scope];
        if this.defined.contains(name) {
            return Some(scope);
        }
        if let Some(path) = this.imported.get(name) {
            return self.home_of(scope, path, seen);
        }
        this.globs.iter().find_map(|glob| {
            let from = self.home_of(scope, glob, seen)?;
            match self.scopes[from].children.get(name) {
                Some(child) => Some(*child),
                None => self.definition_of(from, name, seen),
            }
        })
    }
}

/// One name that a `use` brings in, or all of a module without a name.
struct Leaf {
    path: Vec<String>,
    name: Option<String>,
}

fn flatten(tree: &UseTree, before: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, leaves);
            before.pop();
        }
        UseTree::Name(name) if name.ident == "self" => leaves.push(Leaf {
            name: before.last().cloned(),
            path: before.clone(),
        }),
        UseTree::Name(name) => leaves.push(Leaf {
            path: with(before, name.ident.to_string()),
            name: Some(name.ident.to_string()),
        }),
        UseTree::Rename(renamed) => leaves.push(Leaf {
            path: with(before, renamed.ident.to_string()),
            name: Some(renamed.rename.to_string()),
        }),
        UseTree::Glob(_) => leaves.push(Leaf {
            path: before.clone(),
            name: None,
        }),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, leaves);
            }
        }
    }
}

fn with(before: &[String], last: String) -> Vec<String> {
    let mut path = before.to_owned();
    path.push(last);
    path
}

/// Finds every path in an item's code, macros' arguments among it.
#[derive(Default)]
struct Finder {
    paths: Vec<Vec<String>>,
    uses: Vec<ItemUse>,
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.uses.push(item.clone());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|part| part.ident.to_string());
        self.paths.push(names.collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        paths_of_tokens(call.tokens.clone(), &mut self.paths);
    }

    // `pub(crate)` names no module that is used.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// Paths with at least two parts, as `crate::lab::LabError`.
fn paths_of_tokens(tokens: TokenStream, paths: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if colons != 2 {
                    finish(&mut path, paths);
                }
                path.push(name.to_string());
                colons = 0;
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                finish(&mut path, paths);
                colons = 0;
                paths_of_tokens(group.stream(), paths);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {
                finish(&mut path, paths);
                colons = 0;
            }
        }
    }
    finish(&mut path, paths);
}

fn finish(path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let path = std::mem::take(path);
    if path.len() > 1 {
        paths.push(path);
    }
}

/// Is it compiled for unit tests only?
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let mut tokens = list.tokens.clone().into_iter();
            let first = tokens.next().map(|token| token.to_string());
            match first.as_deref() {
                Some("test") => true,
                Some("all") => tokens.any(|rest| mentions_test(&rest)),
                _ => false,
            }
        }
        _ => false,
    })
}

fn mentions_test(token: &TokenTree) -> bool {
    match token {
        TokenTree::Group(group) => {
            let mut tokens = group.stream().into_iter();
            tokens.any(|token| matches!(&token, TokenTree::Ident(name) if name == "test"))
        }
        _ => false,
    }
}

/// The file of `#[path = "..."]`.
fn path_attribute(attributes: &[Attribute]) -> Option<PathBuf> {
    attributes.iter().find_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        let syn::Expr::Lit(literal) = &pair.value else {
            return None;
        };
        match &literal.lit {
            syn::Lit::Str(text) if pair.path.is_ident("path") => Some(text.value().into()),
            _ => None,
        }
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item defines.
fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}
