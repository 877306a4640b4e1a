//! The code in memory: every generation that was ever loaded, for code is never unmapped. Which of them serves, which
//! would be gone back to, and which were retired or withdrawn.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use polyport_config::Instance;
use polyport_host::generation::Generation;
use polyport_host::probe::ProbeReport;

use crate::control::desired::{File, Source};

/// Above so many generations in memory the operator is warned: a restart gives the memory back.
pub const RESIDENT_MANY: usize = 64;

/// One generation.
#[derive(Debug, Clone)]
pub struct Resident {
    /// The code.
    pub generation: Arc<Generation>,
    /// What a child told of it.
    pub report: Arc<ProbeReport>,
    /// What it was replaced by, while that may be undone.
    pub standby: bool,
    /// Set when it may not serve any more.
    pub withdrawn: Option<Withdrawn>,
    /// Its instances as they were configured when it served last.
    pub instances: Vec<Instance>,
    /// It was given up: it gets no further instances, and its `fini` is or will be called.
    pub done: bool,
}

/// Why a generation may not serve.
#[derive(Debug, Clone)]
pub struct Withdrawn {
    /// In words.
    pub why: String,
    /// What serves in its place.
    pub instead: Arc<Generation>,
}

impl Resident {
    /// As what is wanted of a file.
    #[must_use]
    pub fn as_file(&self, path: &Path, note: Option<String>) -> File {
        File {
            path: path.to_owned(),
            name: self.generation.name.clone(),
            digest: self.generation.digest,
            report: Arc::clone(&self.report),
            source: Source::Loaded(Arc::clone(&self.generation)),
            note,
        }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct CodeCache {
    residents: Vec<Resident>,
    /// Number of the generation that was loaded last.
    last: u64,
}

impl CodeCache {
    /// The number for the next generation. None is used twice, also when loading it fails.
    pub fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// One more is in memory.
    pub fn add(&mut self, generation: Arc<Generation>, report: Arc<ProbeReport>) {
        self.residents.push(Resident {
            generation,
            report,
            standby: false,
            withdrawn: None,
            instances: Vec::new(),
            done: false,
        });
    }

    /// All of them, in the order of loading.
    #[must_use]
    pub fn all(&self) -> &[Resident] {
        &self.residents
    }

    /// The one of this generation.
    pub fn of(&mut self, generation: &Arc<Generation>) -> Option<&mut Resident> {
        self.residents
            .iter_mut()
            .find(|one| Arc::ptr_eq(&one.generation, generation))
    }

    /// `old` served with these instances and `new` serves in its place: `old` stands by, and what stood by before it
    /// does not any more.
    pub fn replaced(&mut self, old: &Arc<Generation>, new: &Arc<Generation>, with: Vec<Instance>) {
        for one in &mut self.residents {
            if one.generation.name == old.name {
                one.standby = Arc::ptr_eq(&one.generation, old);
                one.instances.clear();
            }
        }
        if let Some(old) = self.of(old) {
            old.instances = with;
        }
        if let Some(new) = self.of(new) {
            new.standby = false;
        }
    }

    /// What would be gone back to from a plugin's present generation.
    #[must_use]
    pub fn standby(&self, plugin: &str) -> Option<&Resident> {
        self.residents.iter().find(|one| {
            one.standby && one.generation.name == plugin && one.withdrawn.is_none() && !one.done
        })
    }

    /// It may not serve any more, and another one serves in its place.
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

    /// Gives up those that nothing runs in and nobody would go back to. The newest unused one of each plugin is kept,
    /// for its file may be tried again.
    pub fn give_up(&mut self, in_use: impl Fn(&Arc<Generation>) -> bool) -> Vec<Arc<Generation>> {
        let newest: HashMap<String, u64> = self
            .residents
            .iter()
            .map(|one| (one.generation.name.clone(), one.generation.number))
            .collect();
        let done = self.residents.iter_mut().filter(|one| {
            let is_newest = newest.get(&one.generation.name) == Some(&one.generation.number);
            let may_come_again = is_newest && one.withdrawn.is_none();
            let runs = one.generation.has_instances();
            !one.done && !one.standby && !may_come_again && !runs && !in_use(&one.generation)
        });
        done.map(|one| {
            one.done = true;
            Arc::clone(&one.generation)
        })
        .collect()
    }
}
