//! The desired state: a whole configuration, and for each plugin file which bytes are to run. A start, a reload, a drain
//! by an operator, a rollback and a return to an earlier state differ only in their desired states.

pub mod load;
pub mod derive;
pub mod faults;

use std::collections::HashMap;
use std::sync::Arc;

use polyport_config::{Config, Instance};
use polyport_host::generation::Generation;
use polyport_host::probe::HandlerSummary;

use super::running::code_cache::Resident;
use super::running::{HandlerRef, PluginFile, RunningState};

/// See the module's text.
#[derive(Debug)]
pub struct DesiredState {
    /// The configuration.
    pub config: Config,
    /// The plugin files, each once.
    pub files: Vec<PluginFile>,
    /// The handler of each instance, by the instance's name.
    pub handlers: HashMap<String, HandlerRef>,
}

impl DesiredState {
    /// What runs now, as something to return to; `None` before the first change. It holds no listener open.
    pub fn of_running(state: &RunningState) -> Option<Self> {
        let files = state.files.iter();
        Some(Self {
            config: Config::clone(state.config.as_deref()?),
            files: files.map(|(file, code)| file.loaded_as(code)).collect(),
            handlers: state.handlers.clone(),
        })
    }

    /// A copy, if all bytes are loaded.
    pub fn copy(&self) -> Option<Self> {
        let copy = |file: &PluginFile| file.generation().map(|code| file.loaded_as(code));
        Some(Self {
            config: self.config.clone(),
            files: self.files.iter().map(copy).collect::<Option<_>>()?,
            handlers: self.handlers.clone(),
        })
    }

    /// The file and the handler id of an instance.
    pub fn handler_of(&self, instance: &str) -> Option<(&PluginFile, &str)> {
        let handler = self.handlers.get(instance)?;
        Some((self.files.get(handler.file)?, &handler.handler))
    }

    /// What the probe found about the handler of an instance.
    pub fn summary_of(&self, instance: &str) -> Option<&HandlerSummary> {
        let (file, handler) = self.handler_of(instance)?;
        file.report.handlers.iter().find(|one| one.id == handler)
    }

    /// The instances of a plugin.
    pub fn instances_of(&self, plugin: &str) -> Vec<Instance> {
        let is_of_plugin = |wanted: &&Instance| {
            let handler = self.handler_of(&wanted.name);
            handler.is_some_and(|(file, _)| file.name == plugin)
        };
        let instances = self.config.instances.iter();
        instances.filter(is_of_plugin).cloned().collect()
    }

    /// The loaded generations of the files.
    pub fn generations(&self) -> Vec<Arc<Generation>> {
        let loaded = self.files.iter().filter_map(PluginFile::generation);
        loaded.map(Arc::clone).collect()
    }

    /// Puts other code in the place of a generation.
    pub fn replace_code(&mut self, generation: &Arc<Generation>, instead: &Resident) {
        for file in &mut self.files {
            let is = |one: &Arc<Generation>| Arc::ptr_eq(one, generation);
            if file.generation().is_some_and(is) {
                *file = instead.as_file(&file.path, None);
            }
        }
    }

    /// Removes the handlers of instances that are gone, and files without instances.
    fn remove_unused(&mut self) {
        let instances = &self.config.instances;
        self.handlers
            .retain(|name, _| instances.iter().any(|one| one.name == *name));
        let old = std::mem::take(&mut self.files);
        let mut new_index = HashMap::new();
        for (index, file) in old.into_iter().enumerate() {
            if self.handlers.values().any(|one| one.file == index) {
                new_index.insert(index, self.files.len());
                self.files.push(file);
            }
        }
        for handler in self.handlers.values_mut() {
            handler.file = new_index.get(&handler.file).copied().unwrap_or_default();
        }
    }
}
