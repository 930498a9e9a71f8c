//! Turns requires edges into waves.
//!
//! The nodes are every desired thing of every host, changed or not, and every change that the desired state does not hold
//! (deletions). A desired thing comes after what it requires, so that an edge through something unchanged still orders two
//! changes. Deletions and the other cases in which `requires` is not enough are ordered by [`super::edges`].

use std::collections::HashMap;

use petgraph::Direction;
use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, VisitMap, Visitable};
use thiserror::Error;

use super::edges::{self, Rule};
use super::succession::Successions;
use crate::compile::Desired;
use crate::resource::{Change, ResourceId, ResourceKey};
use crate::topology::HostName;

/// Things that require each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("these things require each other in a circle: {}", .0.join(" → "))]
pub struct Cycle(pub Vec<String>);

/// The order of a plan's changes.
pub struct Order {
    /// Indexes of changes, wave by wave.
    pub waves: Vec<Vec<usize>>,
    /// For each change the other changes that it waits for directly.
    pub requires: Vec<Vec<ResourceId>>,
}

/// A node: a change by its index, or a thing or barrier that only carries order.
type Node = Option<usize>;

/// The nodes of things by what identifies those.
type Nodes<'a> = HashMap<(&'a HostName, &'a ResourceKey), NodeIndex>;

/// Orders changes into waves.
pub fn order(desired: &Desired, changes: &[Change], successions: &Successions) -> Result<Order, Cycle> {
    let mut graph: DiGraph<Node, ()> = DiGraph::new();
    let mut nodes = Nodes::new();
    for (index, change) in changes.iter().enumerate() {
        nodes.insert((&change.id.host, &change.id.key), graph.add_node(Some(index)));
    }
    for (host, state) in desired {
        for key in state.keys() {
            nodes.entry((host, key)).or_insert_with(|| graph.add_node(None));
        }
    }
    for (host, state) in desired {
        for (key, entry) in state {
            let after = nodes.get(&(host, key));
            for required in &entry.requires {
                if required.key == ResourceKey::KeepalivedDaemon && successions.is_ahead(host, key) {
                    continue;
                }
                if let (Some(before), Some(after)) = (nodes.get(&(&required.host, &required.key)), after) {
                    // An edge that is there twice does no harm; looking for it would take a walk over all edges of a node.
                    graph.add_edge(*before, *after, ());
                }
            }
        }
    }
    let (soft, hard): (Vec<_>, Vec<_>) = edges::rules(changes, successions).into_iter().partition(|rule| rule.is_soft);
    for rule in hard {
        let barrier = graph.add_node(None);
        for before in rule.before {
            graph.add_edge(NodeIndex::new(before), barrier, ());
        }
        for after in rule.after {
            graph.add_edge(barrier, NodeIndex::new(after), ());
        }
    }
    for rule in soft {
        add_where_possible(&mut graph, &rule);
    }
    let Ok(sorted) = toposort(&graph, None) else {
        return Err(cycle(&graph, &nodes));
    };
    Ok(layers(&graph, &sorted, changes))
}

/// Adds the edges of a soft rule that close no circle.
fn add_where_possible(graph: &mut DiGraph<Node, ()>, rule: &Rule) {
    for after in rule.after.iter().copied().map(NodeIndex::new) {
        let mut behind = graph.visit_map();
        let mut walk = Dfs::new(&*graph, after);
        while let Some(node) = walk.next(&*graph) {
            behind.visit(node);
        }
        for before in rule.before.iter().copied().map(NodeIndex::new).filter(|node| !behind.is_visited(node)) {
            graph.add_edge(before, after, ());
        }
    }
}

fn layers(graph: &DiGraph<Node, ()>, sorted: &[NodeIndex], changes: &[Change]) -> Order {
    // The wave of a change, or of what only carries order the number of waves that must have passed.
    let mut level = vec![0usize; graph.node_count()];
    // The changes that a node waits for; what only carries order passes them on.
    let mut awaited: Vec<Vec<usize>> = vec![Vec::new(); graph.node_count()];
    let mut order = Order { waves: Vec::new(), requires: vec![Vec::new(); changes.len()] };
    for node in sorted {
        let mut earliest = 0;
        let mut waits: Vec<usize> = Vec::new();
        for before in graph.neighbors_directed(*node, Direction::Incoming) {
            match graph[before] {
                Some(change) => {
                    earliest = earliest.max(level[before.index()] + 1);
                    waits.push(change);
                }
                None => {
                    earliest = earliest.max(level[before.index()]);
                    waits.extend(&awaited[before.index()]);
                }
            }
        }
        waits.sort_unstable();
        waits.dedup();
        level[node.index()] = earliest;
        match graph[*node] {
            Some(change) => {
                order.requires[change] = waits.iter().map(|index| changes[*index].id.clone()).collect();
                if order.waves.len() <= earliest {
                    order.waves.resize(earliest + 1, Vec::new());
                }
                order.waves[earliest].push(change);
            }
            None => awaited[node.index()] = waits,
        }
    }
    order.waves.iter_mut().for_each(|wave| wave.sort_unstable());
    order
}

fn cycle(graph: &DiGraph<Node, ()>, nodes: &Nodes<'_>) -> Cycle {
    let component = tarjan_scc(graph).into_iter().find(|component| component.len() > 1).unwrap_or_default();
    let name = |node: &NodeIndex| match nodes.iter().find(|(_, known)| *known == node) {
        Some(((host, key), _)) => format!("{host}/{key}"),
        None => "a barrier".to_owned(),
    };
    let mut circle: Vec<String> = component.iter().map(name).collect();
    circle.sort();
    Cycle(circle)
}
