//! The tree of actors, as data and as text, DOT or Mermaid.
//!
//! A tree is a copy, made by walking down from a system or a child.

use std::{fmt, fmt::Write as _, sync::Arc};

use crate::{
    cell::{ActorCell, Gauge},
    id::{ActorId, Phase},
    observe::stats::ActorStats,
    util::type_name::short_type_name,
};

/// An actor and all its descendants, at one moment.
///
/// # Examples
///
/// ```
/// # use lanemesh_runtime::{builder, spawn, testing::Sink};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (handle, child) = spawn(builder(Sink::<(), ()>::new).name("root"));
/// handle.idle().await;
/// let tree = child.tree();
/// assert_eq!(&*tree.name, "root");
/// assert!(tree.to_text().contains("running"));
/// assert!(tree.to_dot().starts_with("digraph"));
/// assert!(tree.to_mermaid().starts_with("flowchart"));
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tree {
    /// The actor's identity; none for the root of a system and for what is no actor.
    pub id: Option<ActorId>,
    /// The name given to its builder, or made of its type and identity.
    pub name: Arc<str>,
    /// Its type, without the path; empty for the root of a system.
    pub kind: &'static str,
    /// The phase of its lifecycle.
    pub phase: Phase,
    /// Its incarnation, from 1.
    pub incarnation: u32,
    /// Its counters.
    pub stats: ActorStats,
    /// Its gauges, if it has some ([`Gauges`](crate::observe::Gauges)).
    pub gauges: Vec<Gauge>,
    /// Its children, in the order of their start.
    pub children: Vec<Tree>,
}

impl Tree {
    pub(crate) fn of(cell: &Arc<ActorCell>) -> Self {
        let members = cell
            .children()
            .map(|group| group.members())
            .unwrap_or_default();
        Self {
            id: Some(cell.id()),
            name: cell.name(),
            kind: short_type_name(cell.type_name()),
            phase: cell.phase(),
            incarnation: cell.incarnation(),
            stats: ActorStats::of(cell, 0),
            gauges: cell.gauges(),
            children: members.iter().map(Tree::of).collect(),
        }
    }

    /// A node that is no actor, such as a link to another process, under which actors can be shown.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::observe::Tree;
    ///
    /// let mut tree = Tree::group("node", "Node");
    /// tree.children.push(Tree::group("peer", "Link"));
    /// assert_eq!(tree.len(), 2);
    /// assert!(tree.to_text().contains("  peer running"));
    /// ```
    pub fn group(name: impl Into<Arc<str>>, kind: &'static str) -> Self {
        Self {
            kind,
            ..Self::root(name.into(), &[])
        }
    }

    pub(crate) fn root(name: Arc<str>, members: &[Arc<ActorCell>]) -> Self {
        Self {
            id: None,
            name,
            kind: "",
            phase: Phase::Running,
            incarnation: 1,
            stats: ActorStats::default(),
            gauges: Vec::new(),
            children: members.iter().map(Tree::of).collect(),
        }
    }

    /// The number of actors, including this one.
    pub fn len(&self) -> usize {
        1 + self.children.iter().map(Tree::len).sum::<usize>()
    }

    /// The memory of this actor and its descendants: the sum of their
    /// [`ActorStats::bytes`](crate::observe::ActorStats::bytes).
    pub fn bytes(&self) -> usize {
        self.stats.bytes + self.children.iter().map(Tree::bytes).sum::<usize>()
    }

    /// Whether this actor has no children.
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Visits this actor and all its descendants, parents first, with their depth.
    pub fn walk(&self, mut visit: impl FnMut(&Tree, usize)) {
        self.walk_from(0, &mut visit);
    }

    /// One line for each actor, indented by depth, with its gauges at the end.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.walk(|node, depth| {
            let _ = write!(
                text,
                "{:indent$}{} {} incarnation={} high={} low={} depth={}",
                "",
                node.name,
                node.phase,
                node.incarnation,
                node.stats.high,
                node.stats.low,
                node.stats.depth,
                indent = depth * 2,
            );
            for gauge in &node.gauges {
                let _ = write!(text, " {gauge}");
            }
            text.push('\n');
        });
        text
    }

    /// A graph for Graphviz.
    pub fn to_dot(&self) -> String {
        let mut dot = String::from("digraph actors {\n  node [shape=box];\n");
        self.edges(|line| {
            let _ = match line {
                Line::Node(key, node) => {
                    let label = node.name.replace('\\', "\\\\").replace('"', "\\\"");
                    writeln!(dot, "  {key} [label=\"{label}\\n{}\"];", node.phase)
                }
                Line::Edge(from, to) => writeln!(dot, "  {from} -> {to};"),
            };
        });
        dot.push_str("}\n");
        dot
    }

    /// A flow chart for Mermaid.
    pub fn to_mermaid(&self) -> String {
        let mut chart = String::from("flowchart TD\n");
        self.edges(|line| {
            let _ = match line {
                Line::Node(key, node) => {
                    let label = node.name.replace('"', "#quot;");
                    writeln!(chart, "  {key}[\"{label}<br/>{}\"]", node.phase)
                }
                Line::Edge(from, to) => writeln!(chart, "  {from} --> {to}"),
            };
        });
        chart
    }

    fn walk_from(&self, depth: usize, visit: &mut impl FnMut(&Tree, usize)) {
        visit(self, depth);
        for child in &self.children {
            child.walk_from(depth + 1, visit);
        }
    }

    fn edges(&self, mut line: impl FnMut(Line<'_>)) {
        let mut path: Vec<String> = Vec::new();
        self.walk(|node, depth| {
            let key = node
                .id
                .map_or_else(|| "root".into(), |id| format!("a{}", id.as_u64()));
            line(Line::Node(&key, node));
            path.truncate(depth);
            if let Some(parent) = path.last() {
                line(Line::Edge(parent, &key));
            }
            path.push(key);
        });
    }
}

enum Line<'a> {
    Node(&'a str, &'a Tree),
    Edge(&'a str, &'a str),
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}
