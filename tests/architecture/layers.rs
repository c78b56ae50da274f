//! Who may know whom: arrows point down only, heavy dependencies stay in one crate, the pure crates stay pure.

use crate::graph::Graph;

/// The crates without input and output.
const PURE: [&str; 4] = ["consilium-domain", "consilium-metrics", "consilium-privacy", "consilium-protocol"];

/// What a pure crate must not reach: a runtime, a network, tensors, images.
const IMPURE: [&str; 7] = ["tokio*", "quinn*", "rustls*", "burn*", "nifti", "sqlx*", "socket2"];

/// From top to bottom. A crate may depend on crates of lower layers only, never on its own layer.
const LAYERS: [&[&str]; 7] = [
    &["consilium-tests"],
    &["consilium-simulator"],
    &["consilium-coordinator", "consilium-client", "consilium-certs"],
    &["consilium-audit", "consilium-web"],
    &[
        "consilium-transport",
        "consilium-protocol",
        "consilium-data",
        "consilium-model",
        "consilium-package",
        "consilium-process",
    ],
    &[
        "consilium-weights",
        "consilium-privacy",
        "consilium-metrics",
        "consilium-conv3d",
        "consilium-pki",
        "consilium-signing",
    ],
    &["consilium-domain", "consilium-codec"],
];

/// Crates outside the house: they know none of it, and none of it knows them.
const APART: [&str; 1] = ["consilium-xtask"];

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

/// Arrows that do not point down, and crates without a place. Tests within a crate may look around freely.
fn wrong_arrows(graph: &Graph) -> Vec<String> {
    let mut wrong: Vec<String> = graph
        .members
        .iter()
        .filter(|name| layer(name).is_none() && !APART.contains(&name.as_str()))
        .map(|name| format!("{name} has no layer: give it one in tests/architecture/layers.rs"))
        .collect();
    for arrow in graph.declared.iter().filter(|arrow| !arrow.for_tests && graph.members.contains(&arrow.to)) {
        let down = matches!((layer(&arrow.from), layer(&arrow.to)), (Some(from), Some(to)) if from < to);
        if !down {
            wrong.push(format!("{} must not depend on {}", arrow.from, arrow.to));
        }
    }
    wrong
}

/// The places of burn, nifti and bincode, and what the two daemons must not drag along.
fn misplaced(graph: &Graph) -> Vec<String> {
    let mut wrong = graph.named_only_by("burn*", &["consilium-model"]);
    wrong.extend(graph.named_only_by("nifti", &["consilium-data"]));
    wrong.extend(graph.named_only_by("bincode", &["consilium-transport", "consilium-metrics"]));
    wrong.extend(graph.reaches_none("consilium-coordinator", &["burn*", "nifti", "consilium-client"]));
    wrong.extend(graph.reaches_none("consilium-client", &["consilium-coordinator", "sqlx*"]));
    wrong.extend(graph.reaches_none("consilium-audit", &["tokio*", "quinn*", "rustls", "burn*", "sqlx*"]));
    wrong
}

fn impure(graph: &Graph) -> Vec<String> {
    PURE.iter().flat_map(|name| graph.reaches_none(name, &IMPURE)).collect()
}

#[test]
fn arrows_point_down() {
    assert_eq!(wrong_arrows(&Graph::of_workspace()), [""; 0]);
}

#[test]
fn heavy_dependencies_stay_where_they_belong() {
    assert_eq!(misplaced(&Graph::of_workspace()), [""; 0]);
}

#[test]
fn pure_crates_reach_no_runtime_and_no_tensors() {
    assert_eq!(impure(&Graph::of_workspace()), [""; 0]);
}

#[test]
fn an_arrow_up_or_sideways_is_found() {
    let graph = Graph::made_up(&[
        ("consilium-domain", &["serde", "consilium-metrics"]),
        ("consilium-coordinator", &["consilium-client", "consilium-protocol"]),
        ("consilium-client", &["consilium-xtask"]),
        ("consilium-xtask", &[]),
        ("consilium-metrics", &[]),
        ("consilium-protocol", &[]),
        ("consilium-attic", &[]),
    ]);
    assert_eq!(
        wrong_arrows(&graph),
        [
            "consilium-attic has no layer: give it one in tests/architecture/layers.rs",
            "consilium-domain must not depend on consilium-metrics",
            "consilium-coordinator must not depend on consilium-client",
            "consilium-client must not depend on consilium-xtask",
        ]
    );
}

#[test]
fn what_is_reached_through_others_is_found() {
    let graph = Graph::made_up(&[
        ("consilium-coordinator", &["consilium-transport"]),
        ("consilium-transport", &["bincode", "harmless"]),
        ("harmless", &["burn-tensor"]),
        ("consilium-client", &["sqlx-sqlite"]),
        ("consilium-model", &["burn"]),
        ("consilium-data", &["nifti"]),
        ("consilium-audit", &["tokio-util"]),
    ]);
    assert_eq!(
        misplaced(&graph),
        [
            "harmless names burn-tensor",
            "consilium-coordinator reaches burn-tensor",
            "consilium-client reaches sqlx-sqlite",
            "consilium-audit reaches tokio-util"
        ]
    );
}

#[test]
fn an_impure_crate_is_found() {
    let graph = Graph::made_up(&[
        ("consilium-domain", &["tokio-util"]),
        ("consilium-metrics", &["consilium-domain"]),
        ("consilium-privacy", &[]),
        ("consilium-protocol", &["rustls-pki-types"]),
    ]);
    let found = impure(&graph);
    assert_eq!(
        found,
        [
            "consilium-domain reaches tokio-util",
            "consilium-metrics reaches tokio-util",
            "consilium-protocol reaches rustls-pki-types"
        ]
    );
}

#[test]
fn a_rule_about_nothing_is_found() {
    let graph = Graph::made_up(&[("consilium-domain", &[])]);
    assert_eq!(graph.reaches_none("consilium-metrics", &["tokio"]).len(), 1);
    assert_eq!(graph.named_only_by("burn", &["consilium-model"]).len(), 1);
}
