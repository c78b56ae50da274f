//! Which crate needs which, as `cargo metadata` tells it.
//!
//! Only the packages that are built on this machine are asked for: others need not have been downloaded. Cargo lists
//! a few optional dependencies that no build contains, so a rule over this graph is at worst too strict.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crates and their dependencies. Two versions of a crate are two nodes.
#[derive(Default)]
pub(crate) struct Graph {
    names: BTreeMap<String, String>,
    /// Normal dependencies of every crate, by node.
    edges: BTreeMap<String, BTreeSet<String>>,
    /// What the workspace's crates declare, on any platform.
    pub(crate) declared: Vec<Declared>,
    /// The workspace's crates.
    pub(crate) members: BTreeSet<String>,
}

/// `from` names `to` in its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) from: String,
    pub(crate) to: String,
    /// A dev-dependency.
    pub(crate) for_tests: bool,
}

impl Graph {
    /// The graph of this workspace.
    pub(crate) fn of_workspace() -> Self {
        let options = ["--offline", "--locked", "--filter-platform", "host-tuple"].map(str::to_owned);
        let metadata = MetadataCommand::new()
            .manifest_path(crate::tree::root().join("Cargo.toml"))
            .other_options(options.to_vec())
            .exec()
            .expect("cargo metadata describes this workspace without network");
        let mut graph = Self::default();
        for package in &metadata.packages {
            graph.names.insert(package.id.repr.clone(), package.name.to_string());
            if metadata.workspace_members.contains(&package.id) {
                graph.members.insert(package.name.to_string());
                graph.declared.extend(package.dependencies.iter().map(|dependency| Declared {
                    from: package.name.to_string(),
                    to: dependency.name.clone(),
                    for_tests: dependency.kind == DependencyKind::Development,
                }));
            }
        }
        for node in metadata.resolve.expect("cargo metadata resolves").nodes {
            let normal = |dep: &&cargo_metadata::NodeDep| {
                dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
            };
            let needs = node.deps.iter().filter(normal).map(|dep| dep.pkg.repr.clone()).collect();
            graph.edges.insert(node.id.repr, needs);
        }
        graph
    }

    /// A made-up graph whose crates are all in the workspace.
    pub(crate) fn made_up(crates: &[(&str, &[&str])]) -> Self {
        let mut graph = Self::default();
        for (from, needs) in crates {
            graph.members.insert((*from).to_owned());
            for name in needs.iter().chain([from]) {
                graph.names.insert((*name).to_owned(), (*name).to_owned());
            }
            graph.edges.insert((*from).to_owned(), needs.iter().map(|to| (*to).to_owned()).collect());
            graph.declared.extend(needs.iter().map(|to| Declared {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
                for_tests: false,
            }));
        }
        graph
    }

    /// Every crate that `name` needs, and theirs.
    fn reach(&self, name: &str) -> BTreeSet<&str> {
        let mut seen: BTreeSet<&String> = BTreeSet::new();
        let mut next: Vec<&String> =
            self.names.iter().filter(|(_, n)| *n == name).map(|(id, _)| id).collect();
        while let Some(node) = next.pop() {
            for need in self.edges.get(node).into_iter().flatten() {
                if seen.insert(need) {
                    next.push(need);
                }
            }
        }
        seen.into_iter().filter_map(|node| self.names.get(node)).map(String::as_str).collect()
    }

    /// The violations of "`name` reaches none of `banned`". A ban that ends in `*` is a prefix.
    pub(crate) fn reaches_none(&self, name: &str, banned: &[&str]) -> Vec<String> {
        if !self.members.contains(name) {
            return vec![format!("{name} is not in the workspace: the rule about it checks nothing")];
        }
        let reached = self.reach(name);
        let is_banned = |found: &&&str| banned.iter().any(|ban| matches(ban, found));
        reached.iter().filter(is_banned).map(|found| format!("{name} reaches {found}")).collect()
    }

    /// The violations of "only `allowed` name `dependency` in their manifests". Tests of others may not either.
    pub(crate) fn named_only_by(&self, dependency: &str, allowed: &[&str]) -> Vec<String> {
        let (fine, wrong): (Vec<&Declared>, Vec<&Declared>) = self
            .declared
            .iter()
            .filter(|declared| matches(dependency, &declared.to))
            .partition(|declared| allowed.contains(&declared.from.as_str()));
        if fine.is_empty() && wrong.is_empty() {
            return vec![format!("nobody names {dependency}: the rule about it checks nothing")];
        }
        wrong.iter().map(|declared| format!("{} names {}", declared.from, declared.to)).collect()
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}
