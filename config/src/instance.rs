//! The `plugins:` section: instances, which are handlers with their configuration, and the order in
//! which they start.

use std::path::PathBuf;

use crate::node::{Node, Place};

/// A handler with its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its name under `plugins:`, or the handler name of a service when it is implicit.
    pub name: String,
    /// The plugin that it comes from.
    pub library: Library,
    /// Which handler, when the plugin offers several.
    pub handler: Option<String>,
    /// The instances that start before this one and stop after it.
    pub after: Vec<String>,
    /// What is given to the plugin; a map without keys when the file says nothing.
    pub config: Node,
    /// Its name under `plugins:`, or the `handler:` value of the first service that implies it.
    pub place: Place,
    /// Not named under `plugins:`: made because a service names a handler that is no instance.
    pub implicit: bool,
}

/// The plugin that an instance comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Library {
    /// A name to look up on the plugin path: `kv` finds `libpolyport_kv.so` or `kv.so`.
    Name(String),
    /// An absolute path.
    Path(PathBuf),
}
