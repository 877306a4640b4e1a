//! What lives: everything that a start has made and a stop must end. Filled step by step, so that a start which is
//! broken off anywhere is undone like a stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use polyport_host::generation::Generation;
use polyport_host::keeper::Keeper;

use super::state::Store;
use super::workers::Workers;
use crate::common::pass::Gate;
use crate::common::shutdown::Signal as Shutdown;

/// An instance and how far its life has come.
#[derive(Debug)]
pub struct Held {
    /// Calls its hooks.
    pub keeper: Arc<Keeper>,
    /// Its passes are with everything on the data side that may call it.
    pub in_use: Gate,
    /// Streams and flows of it that live.
    pub live: Arc<AtomicU64>,
    /// `start` was called.
    pub started: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Life {
    /// Deadline of each hook.
    pub hook_timeout: Duration,
    /// Grace for streams.
    pub drain_timeout: Duration,
    /// Where state rests, if anywhere.
    pub store: Option<Store>,
    /// Where the configuration came from.
    pub config: PathBuf,
    /// Loaded code, in the order of loading.
    pub generations: Vec<Arc<Generation>>,
    /// Instances, in the order of their start.
    pub instances: Vec<Held>,
    /// The data side, once it runs.
    pub workers: Option<Workers>,
    /// Announces the shutdown.
    pub shutdown: Shutdown,
}

impl Life {
    /// Nothing lives yet.
    #[must_use]
    pub fn new(config: PathBuf) -> Self {
        Self {
            hook_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(30),
            store: None,
            config,
            generations: Vec::new(),
            instances: Vec::new(),
            workers: None,
            shutdown: Shutdown::new(),
        }
    }
}
