//! A target: all that is wanted, whole. A configuration, and for each plugin file which bytes are to run: those of a
//! copy that is not loaded yet, or of a generation that is. A start, a reload, a drain by hand, a rollback and a
//! return to what was before differ in their targets only.

pub mod load;
pub mod derive;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use polyport_config::{Config, Instance};
use polyport_host::digest::Digest;
use polyport_host::generation::Generation;
use polyport_host::probe::{HandlerSummary, ProbeReport};
use polyport_host::stage::Staged;

use crate::control::running::code_cache::Resident;

/// See the module's text.
#[derive(Debug)]
pub struct DesiredState {
    /// The values.
    pub config: Config,
    /// The plugin files, each once.
    pub files: Vec<File>,
    /// Which of them an instance comes from, and which of its handlers it is.
    pub handlers: HashMap<String, HandlerRef>,
}

/// A plugin file and the bytes that are to run.
#[derive(Debug)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// The plugin's short name.
    pub name: String,
    /// Identity of the bytes.
    pub digest: Digest,
    /// What a child told of it.
    pub report: Arc<ProbeReport>,
    /// Where the bytes are.
    pub source: Source,
    /// What the operator should know of the choice.
    pub note: Option<String>,
}

/// Where bytes are.
#[derive(Debug)]
pub enum Source {
    /// In a sealed copy that no process but a child has run.
    Staged(Box<Staged>),
    /// In this process.
    Loaded(Arc<Generation>),
}

/// Where an instance comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerRef {
    /// Place in [`DesiredState::files`].
    pub file: usize,
    /// Id of the handler.
    pub handler: String,
}

impl DesiredState {
    /// The file and the handler of an instance.
    #[must_use]
    pub fn handler_ref(&self, instance: &str) -> Option<(&File, &str)> {
        let handler_ref = self.handlers.get(instance)?;
        Some((self.files.get(handler_ref.file)?, &handler_ref.handler))
    }

    /// The handler of an instance, as far as it is data.
    #[must_use]
    pub fn summary(&self, instance: &str) -> Option<&HandlerSummary> {
        let (file, handler) = self.handler_ref(instance)?;
        file.report.handlers.iter().find(|one| one.id == handler)
    }
}

impl DesiredState {
    /// The generations that it asks for, as far as they are in this process.
    #[must_use]
    pub fn generations(&self) -> Vec<Arc<Generation>> {
        let loaded = self.files.iter().filter_map(File::generation);
        loaded.map(Arc::clone).collect()
    }

    /// The same, if all of its bytes are in this process.
    #[must_use]
    pub fn copy(&self) -> Option<Self> {
        let again = |file: &File| file.generation().map(|generation| file.again(generation));
        Some(Self {
            config: self.config.clone(),
            files: self.files.iter().map(again).collect::<Option<_>>()?,
            handlers: self.handlers.clone(),
        })
    }

    /// The instances that come from a plugin.
    #[must_use]
    pub fn instances_of(&self, plugin: &str) -> Vec<Instance> {
        let comes = |wanted: &&Instance| {
            let handler_ref = self.handler_ref(&wanted.name);
            handler_ref.is_some_and(|(file, _)| file.name == plugin)
        };
        self.config
            .instances
            .iter()
            .filter(comes)
            .cloned()
            .collect()
    }

    /// Takes another generation where this one was to serve.
    pub fn replace(&mut self, generation: &Arc<Generation>, instead: &Resident) {
        for file in &mut self.files {
            let is = |one: &Arc<Generation>| Arc::ptr_eq(one, generation);
            if file.generation().is_some_and(is) {
                *file = instead.as_file(&file.path, None);
            }
        }
    }

    /// Leaves out files that no instance comes from any more.
    pub fn forget_unused(&mut self) {
        let instances = &self.config.instances;
        self.handlers
            .retain(|name, _| instances.iter().any(|one| one.name == *name));
        let mut place = 0;
        let mut places = HashMap::new();
        for at in 0..self.files.len() {
            if self
                .handlers
                .values()
                .any(|handler_ref| handler_ref.file == at)
            {
                places.insert(at, place);
                place += 1;
            }
        }
        let mut at = 0;
        self.files.retain(|_| {
            at += 1;
            places.contains_key(&(at - 1))
        });
        for handler_ref in self.handlers.values_mut() {
            handler_ref.file = places
                .get(&handler_ref.file)
                .copied()
                .unwrap_or(handler_ref.file);
        }
    }
}

impl File {
    /// The same file, whose bytes are in this process by now.
    #[must_use]
    pub fn again(&self, generation: &Arc<Generation>) -> Self {
        Self {
            path: self.path.clone(),
            name: self.name.clone(),
            digest: self.digest,
            report: Arc::clone(&self.report),
            source: Source::Loaded(Arc::clone(generation)),
            note: self.note.clone(),
        }
    }

    /// The generation, if the bytes are in this process.
    #[must_use]
    pub fn generation(&self) -> Option<&Arc<Generation>> {
        match &self.source {
            Source::Loaded(generation) => Some(generation),
            Source::Staged(_) => None,
        }
    }
}
