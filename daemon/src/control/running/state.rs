//! The running state: everything that serves, as one immutable value. A change builds the next state beside it and
//! replaces it; readers see either the one or the other.

use std::collections::HashMap;
use std::sync::Arc;

use polyport_config::{Config, ListenAddress};
use polyport_host::generation::Generation;

use super::instance::{InstanceHandle, Retiring};
use super::plugin_file::{HandlerRef, PluginFile};
use super::services::ServiceQuota;
use crate::control::listen::bind::ListenSocket;
use crate::control::listen::fdstore::fdstore_name;
use crate::control::service_manager::ServiceManager;
use polyport_data::service::Service;
use polyport_data::snapshot::{Leaving, Snapshot};

/// See the module's text.
#[derive(Debug, Default, Clone)]
pub struct RunningState {
    /// Number of changes so far; 0 before the first.
    pub number: u64,
    /// The configuration in force; `None` before the first change.
    pub config: Option<Arc<Config>>,
    /// The plugin files, each with the generation that serves for it.
    pub files: Vec<(Arc<PluginFile>, Arc<Generation>)>,
    /// The handler of each instance, by the instance's name.
    pub handlers: HashMap<String, HandlerRef>,
    /// Instances, in the order of their start.
    pub instances: Vec<Arc<InstanceHandle>>,
    /// Services as workers see them, in the order of the configuration.
    pub services: Vec<Arc<Service>>,
    /// The quota of each service, by its name.
    pub quotas: HashMap<String, ServiceQuota>,
    /// Listening sockets.
    pub listeners: Vec<OpenListener>,
}

/// A listening socket of a service.
#[derive(Debug, Clone)]
pub struct OpenListener {
    /// The address in the configuration.
    pub address: ListenAddress,
    /// Name of the service.
    pub service: String,
    /// The socket.
    pub socket: ListenSocket,
}

impl RunningState {
    /// The instance of this name.
    pub fn instance(&self, name: &str) -> Option<&Arc<InstanceHandle>> {
        self.instances.iter().find(|handle| handle.name() == name)
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The generation that serves for the plugin of this name.
    pub fn generation(&self, plugin: &str) -> Option<&Arc<Generation>> {
        let mut files = self.files.iter();
        let (_, generation) = files.find(|(file, _)| file.name == plugin)?;
        Some(generation)
    }

    /// The number of streams of a service.
    pub fn streams_of(&self, service: &str) -> u64 {
        let quota = self.quotas.get(service);
        quota.map_or(0, |quota| quota.limit.used())
    }

    /// The same state without its listeners; a listener closes when the last worker drops it.
    pub fn without_listeners(&self) -> Self {
        Self {
            files: Vec::new(),
            handlers: HashMap::new(),
            listeners: Vec::new(),
            ..self.clone()
        }
    }

    /// Removes the Unix sockets from the store of the service manager: a stop removes their files, so that no client
    /// could reach a stored one.
    pub fn unstore_unix_sockets(&self, manager: &ServiceManager) {
        for open in &self.listeners {
            if let ListenAddress::Unix(_) | ListenAddress::Unixgram(_) = open.address {
                open.unstore(manager);
            }
        }
    }

    /// What workers serve of this state, and which instances they drain.
    pub fn snapshot(&self, retiring: &[Retiring]) -> Snapshot {
        let mut snapshot = Snapshot {
            number: self.number,
            services: self.services.clone(),
            listeners: Vec::new(),
            sockets: Vec::new(),
            leaving: Vec::new(),
        };
        for open in &self.listeners {
            let Some(service) = self.service(&open.service).map(Arc::clone) else {
                continue;
            };
            match &open.socket {
                ListenSocket::Streams(listener) => {
                    snapshot.listeners.push((Arc::clone(listener), service));
                }
                ListenSocket::Datagrams(socket) => {
                    snapshot.sockets.push((Arc::clone(socket), service));
                }
            }
        }
        snapshot.leaving.extend(retiring.iter().map(|one| Leaving {
            instance: one.handle.index(),
            until: one.until,
        }));
        snapshot
    }
}

impl OpenListener {
    /// Lets the service manager close its copy of the socket.
    pub fn unstore(&self, manager: &ServiceManager) {
        if let Some(name) = fdstore_name(&self.address) {
            manager.unstore(&name);
        }
    }
}
