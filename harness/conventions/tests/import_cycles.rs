//! No module may need a module that needs it in turn, but for a parent and its own children.
//!
//! Such modules cannot be read, tested or moved one without the other. To cut a cycle, move what both need into a module
//! of its own, or move the function that needs both to the one that stands above.

use std::collections::{BTreeMap, BTreeSet};

use vifbench_conventions::{cycles, tree::Tree, workspace};

/// Modules that are in cycles today, by crate. The list only shrinks: a module that is in no cycle any more must leave it.
const KNOWN: [(&str, &[&str]); 1] = [(
    "vifbench",
    &[
        "crate::commands::matrix",
        "crate::commands::report",
        "crate::commands::run",
    ],
)];

#[test]
fn the_modules_of_every_crate_need_each_other_in_one_direction() {
    let known: BTreeMap<&str, BTreeSet<&str>> = KNOWN
        .iter()
        .map(|(package, modules)| (*package, modules.iter().copied().collect()))
        .collect();
    let mut faults = Vec::new();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let targets = workspace::targets().expect("cargo lists the workspace's crates");
    assert!(targets.len() > 5, "these are not all: {targets:?}");
    for target in &targets {
        let tree = Tree::read(&target.root).expect("every crate can be read");
        let allowed = known.get(target.package.as_str());
        for group in cycles::find(&tree) {
            let is_known = |m: &String| allowed.is_some_and(|known| known.contains(m.as_str()));
            if !group.iter().all(is_known) {
                let modules: Vec<&str> = group.iter().map(String::as_str).collect();
                faults.push(format!(
                    "{} ({}): these modules need each other: {}",
                    target.package,
                    target.kind,
                    modules.join(", ")
                ));
            }
            let seen = seen.entry(target.package.clone()).or_default();
            seen.extend(group);
        }
    }
    for (package, modules) in &known {
        for module in modules {
            let still = seen
                .get(*package)
                .is_some_and(|seen| seen.contains(*module));
            if !still {
                faults.push(format!(
                    "{package}: {module} is in no cycle any more; remove it from KNOWN in this test"
                ));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
