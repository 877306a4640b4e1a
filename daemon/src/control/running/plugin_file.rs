//! A plugin file of the configuration, and which of its bytes run: a copy that is not loaded yet, or a generation.

use std::path::PathBuf;
use std::sync::Arc;

use polyport_host::digest::Digest;
use polyport_host::generation::Generation;
use polyport_host::probe::ProbeReport;
use polyport_host::stage::Staged;

/// A plugin file and the bytes that are to run.
#[derive(Debug)]
pub struct PluginFile {
    /// Where the file is.
    pub path: PathBuf,
    /// Short name of the plugin.
    pub name: String,
    /// Identity of the bytes.
    pub digest: Digest,
    /// What the probe child found in the file.
    pub report: Arc<ProbeReport>,
    /// Where the bytes are.
    pub source: FileSource,
    /// A remark for the operator, such as that other bytes than those of the file serve.
    pub note: Option<String>,
}

/// Where the bytes of a plugin file are.
#[derive(Debug)]
pub enum FileSource {
    /// In a sealed copy that only the probe child has run.
    Staged(Box<Staged>),
    /// In this process.
    Loaded(Arc<Generation>),
}

/// Which handler of which file an instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerRef {
    /// Index of the file in the list of files.
    pub file: usize,
    /// Id of the handler.
    pub handler: String,
}

impl PluginFile {
    /// The same file with its bytes loaded as `generation`.
    pub fn loaded_as(&self, generation: &Arc<Generation>) -> Self {
        Self {
            path: self.path.clone(),
            name: self.name.clone(),
            digest: self.digest,
            report: Arc::clone(&self.report),
            source: FileSource::Loaded(Arc::clone(generation)),
            note: self.note.clone(),
        }
    }

    /// The generation, if the bytes are loaded.
    pub fn generation(&self) -> Option<&Arc<Generation>> {
        match &self.source {
            FileSource::Loaded(generation) => Some(generation),
            FileSource::Staged(_) => None,
        }
    }
}
