//! Every generation that was ever loaded: code is never unmapped. Which of them serve, which a rollback would return to,
//! and which were retired or withdrawn.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use polyport_config::Instance;
use polyport_host::generation::Generation;
use polyport_host::probe::ProbeReport;

use super::plugin_file::{FileSource, PluginFile};

/// With more generations in memory the operator is warned: only a restart frees the memory.
pub const RESIDENT_MANY: usize = 64;

/// A generation in memory.
#[derive(Debug, Clone)]
pub struct Resident {
    /// The code.
    pub generation: Arc<Generation>,
    /// What the probe child found in it.
    pub report: Arc<ProbeReport>,
    /// A rollback would return to it.
    pub standby: bool,
    /// Set when it may not serve any more.
    pub withdrawn: Option<Withdrawn>,
    /// The configuration of its instances when it served last.
    pub instances: Vec<Instance>,
    /// No instance is made of it any more, and its `fini` is or will be called.
    pub retired: bool,
}

/// Why a generation may not serve.
#[derive(Debug, Clone)]
pub struct Withdrawn {
    /// In words.
    pub why: String,
    /// The generation that serves in its place.
    pub instead: Arc<Generation>,
}

impl Resident {
    /// This code as the bytes of the plugin file at `path`.
    pub fn as_file(&self, path: &Path, note: Option<String>) -> PluginFile {
        PluginFile {
            path: path.to_owned(),
            name: self.generation.name.clone(),
            digest: self.generation.digest,
            report: Arc::clone(&self.report),
            source: FileSource::Loaded(Arc::clone(&self.generation)),
            note,
        }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct CodeCache {
    residents: Vec<Resident>,
    /// Number of the last generation.
    last: u64,
}

impl CodeCache {
    /// The number for the next generation. No number is used twice, not even when loading fails.
    pub fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Adds a loaded generation.
    pub fn add(&mut self, generation: Arc<Generation>, report: Arc<ProbeReport>) {
        self.residents.push(Resident {
            generation,
            report,
            standby: false,
            withdrawn: None,
            instances: Vec::new(),
            retired: false,
        });
    }

    /// All generations, in the order of loading.
    pub fn all(&self) -> &[Resident] {
        &self.residents
    }

    /// The entry of a generation.
    pub fn of(&mut self, generation: &Arc<Generation>) -> Option<&mut Resident> {
        let mut all = self.residents.iter_mut();
        all.find(|one| Arc::ptr_eq(&one.generation, generation))
    }

    /// Records that `new` serves in place of `old`, whose instances were configured as in `instances`. A rollback
    /// returns to `old` from now on, and to no generation before it.
    pub fn replace(
        &mut self,
        old: &Arc<Generation>,
        new: &Arc<Generation>,
        instances: Vec<Instance>,
    ) {
        for one in &mut self.residents {
            if one.generation.name == old.name {
                one.standby = Arc::ptr_eq(&one.generation, old);
                one.instances.clear();
            }
        }
        if let Some(old) = self.of(old) {
            old.instances = instances;
        }
        if let Some(new) = self.of(new) {
            new.standby = false;
        }
    }

    /// What a rollback of the plugin returns to.
    pub fn standby(&self, plugin: &str) -> Option<&Resident> {
        self.residents.iter().find(|one| {
            one.standby && one.generation.name == plugin && one.withdrawn.is_none() && !one.retired
        })
    }

    /// Records that a generation may not serve any more, and which one serves in its place.
    pub fn withdraw(&mut self, generation: &Arc<Generation>, why: &str, instead: &Arc<Generation>) {
        if let Some(one) = self.of(instead) {
            one.standby = false;
        }
        if let Some(one) = self.of(generation) {
            one.standby = false;
            one.withdrawn = Some(Withdrawn {
                why: why.to_owned(),
                instead: Arc::clone(instead),
            });
        }
    }

    /// Retires and returns the generations that are neither used nor kept for a rollback. The newest one of each plugin
    /// stays unless it was withdrawn: its file may be configured again.
    pub fn release(&mut self, in_use: impl Fn(&Arc<Generation>) -> bool) -> Vec<Arc<Generation>> {
        let newest: HashMap<String, u64> = self
            .residents
            .iter()
            .map(|one| (one.generation.name.clone(), one.generation.number))
            .collect();
        let released = self.residents.iter_mut().filter(|one| {
            let is_newest = newest.get(&one.generation.name) == Some(&one.generation.number);
            let may_return = is_newest && one.withdrawn.is_none();
            let runs = one.generation.has_instances();
            !one.retired && !one.standby && !may_return && !runs && !in_use(&one.generation)
        });
        released
            .map(|one| {
                one.retired = true;
                Arc::clone(&one.generation)
            })
            .collect()
    }
}
