//! Modules that need each other.

use std::collections::BTreeSet;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::tree::Tree;

/// The groups of modules of a crate in which each needs every other, directly or by way of others, as sorted paths.
///
/// A module and its own children may need each other: a parent that gathers its children, whose types they use, is one
/// idea in several files. Every larger group is a cycle, as are children of one parent that need each other.
pub fn find(tree: &Tree) -> Vec<BTreeSet<String>> {
    let mut graph = DiGraph::<usize, ()>::new();
    let nodes: Vec<NodeIndex> = (0..tree.len())
        .map(|module| graph.add_node(module))
        .collect();
    for (from, to) in tree.uses() {
        graph.update_edge(nodes[from], nodes[to], ());
    }
    tarjan_scc(&graph)
        .into_iter()
        .map(|group| group.into_iter().map(|node| graph[node]).collect())
        .filter(|group: &Vec<usize>| group.len() > 1 && !is_family(tree, group))
        .map(|group| group.into_iter().map(|module| tree.path(module)).collect())
        .collect()
}

/// A module and children of it that do not need each other.
fn is_family(tree: &Tree, group: &[usize]) -> bool {
    group.iter().any(|parent| {
        let others: Vec<usize> = group.iter().copied().filter(|m| m != parent).collect();
        others.iter().all(|m| tree.parent(*m) == Some(*parent)) && !has_cycle(tree, &others)
    })
}

fn has_cycle(tree: &Tree, modules: &[usize]) -> bool {
    let mut graph = DiGraph::<(), ()>::new();
    let nodes: Vec<NodeIndex> = modules.iter().map(|_| graph.add_node(())).collect();
    let place = |module: usize| modules.iter().position(|m| *m == module);
    for (from, to) in tree.uses() {
        if let (Some(from), Some(to)) = (place(from), place(to)) {
            graph.update_edge(nodes[from], nodes[to], ());
        }
    }
    petgraph::algo::is_cyclic_directed(&graph)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The cycles of a crate with these files.
    fn cycles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().expect("tempdir");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("create");
            fs::write(path, text).expect("write");
        }
        let tree = Tree::read(&folder.path().join("lib.rs")).expect("Rust");
        find(&tree)
            .into_iter()
            .map(|group| group.into_iter().collect())
            .collect()
    }

    #[test]
    fn two_modules_that_use_each_other_are_a_cycle() {
        let found = cycles(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            (
                "a.rs",
                "use crate::b::B;\npub struct A(pub Option<Box<B>>);\n",
            ),
            ("b.rs", "pub struct B(pub Option<Box<super::a::A>>);\n"),
        ]);
        assert_eq!(found, [["crate::a", "crate::b"]]);
    }

    #[test]
    fn a_parent_and_its_children_are_none() {
        let found = cycles(&[
            ("lib.rs", "mod p;\n"),
            (
                "p.rs",
                "mod c;\nmod d;\npub use c::C;\nuse d::D;\npub const N: u32 = 1;\n",
            ),
            ("p/c.rs", "use super::N;\npub struct C;\n"),
            ("p/d.rs", "use super::{C, N};\npub struct D;\n"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn children_that_need_each_other_are_a_cycle_also_through_their_parent() {
        let found = cycles(&[
            ("lib.rs", "mod p;\n"),
            ("p.rs", "mod c;\nmod d;\npub use c::C;\npub use d::D;\n"),
            ("p/c.rs", "use super::D;\npub struct C;\n"),
            ("p/d.rs", "use super::C;\npub struct D;\n"),
        ]);
        assert_eq!(found, [["crate::p::c", "crate::p::d"]]);
    }

    #[test]
    fn paths_within_functions_and_macros_count_and_tests_do_not() {
        let found = cycles(&[
            ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("a.rs", "pub fn a() { println!(\"{}\", crate::b::B); }\n"),
            ("b.rs", "pub const B: u8 = 1; fn b() { crate::a::a() }\n"),
            (
                "c.rs",
                "pub const C: u8 = 1;\n#[cfg(test)]\nmod tests { use crate::a::a; }\n",
            ),
        ]);
        assert_eq!(found, [["crate::a", "crate::b"]]);
    }
}
