//! The start, step by step: load, create, restore, start, bind, serve. Each step adds to the [`Life`], so that
//! whoever breaks it off can undo what was done.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use polyport_config::{Config, Workers as Count};
use polyport_host::generation::{Generation, Handler, load};
use polyport_host::hooks::{Hook, HookOutput};
use polyport_host::instance::Instance;
use polyport_host::keeper::{HookFault, Keeper};
use polyport_host::refusal::Refusal;
use polyport_host::services::host_table;

use super::bind::{Opened, Patience};
use super::life::{Held, Life};
use super::services::{diallers, services};
use super::state::{Saved, StateFault, Store};
use super::vet::{Checked, Choice, Vetted};
use super::workers::{Doors, Workers};
use super::{Exit, bind};
use crate::common::pass::Gate;
use crate::common::tasks;
use crate::data::service::Service;
use crate::data::snapshot::Snapshot;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum BootFault {
    /// A plugin passed the probe and failed in the daemon.
    #[error("{0}")]
    Plugin(#[from] Refusal),
    /// `create` refuses the configuration, or `restore_state` its state.
    #[error("instance `{instance}`: {hook} {reason}")]
    Refused {
        /// Whose.
        instance: String,
        /// Which.
        hook: &'static str,
        /// In words.
        reason: String,
    },
    /// A hook failed or did not return.
    #[error("instance `{instance}`: {hook} {reason}")]
    Hook {
        /// Whose.
        instance: String,
        /// Which.
        hook: &'static str,
        /// In words.
        reason: String,
    },
    /// A socket could not be bound.
    #[error("service `{service}`: {reason}")]
    Bind {
        /// Whose.
        service: String,
        /// With what to do.
        reason: String,
    },
    /// It was told to stop.
    #[error("interrupted")]
    Interrupted,
    /// The system has no more of something.
    #[error("{what}: {error}")]
    System {
        /// For what.
        what: &'static str,
        /// What it said.
        error: std::io::Error,
    },
}

impl BootFault {
    /// How the process ends for it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Plugin(_) | Self::Refused { .. } => Exit::Config,
            Self::Hook { .. } => Exit::Hook,
            Self::Bind { .. } => Exit::Bind,
            Self::Interrupted => Exit::Clean,
            Self::System { .. } => Exit::Internal,
        }
    }

    /// A hook of an instance did not end well; one that says so itself refuses what it was given.
    fn hook(held: &Held, hook: &'static str, fault: &HookFault, refuses: bool) -> Self {
        let name = held.keeper.instance().name();
        let instance = format!("{}` of plugin `{}", name.instance, name.plugin);
        let reason = fault.to_string();
        if refuses && matches!(fault, HookFault::Failed { .. }) {
            Self::Refused {
                instance,
                hook,
                reason,
            }
        } else {
            Self::Hook {
                instance,
                hook,
                reason,
            }
        }
    }
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> BootFault {
    move |error| BootFault::System { what, error }
}

/// Says whether the start is to be broken off here.
fn go_on(interrupted: &Cell<bool>) -> Result<(), BootFault> {
    if interrupted.get() {
        Err(BootFault::Interrupted)
    } else {
        Ok(())
    }
}

/// Starts everything that a checked configuration names. Once `interrupted` is set it ends after the step that runs.
///
/// # Errors
/// The first step that failed; `life` holds what was done before.
pub async fn boot(
    life: &mut Life,
    checked: Checked,
    interrupted: &Cell<bool>,
) -> Result<(), BootFault> {
    let Checked {
        config,
        plugins,
        choices,
        ..
    } = checked;
    let doors = Doors::new(workers(&config)).map_err(system("workers"))?;
    life.hook_timeout = config.daemon.hook_timeout;
    life.drain_timeout = config.daemon.drain_timeout;
    match polyport_sys::limits::raise_open_files() {
        Ok((before, now)) => tracing::debug!(before, now, "limit of open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
    load_plugins(life, plugins, interrupted).await?;
    create(life, &config, &choices, interrupted).await?;
    open_store(life, &config)?;
    restore(life, interrupted).await?;
    let services = services(life, &config);
    doors.take_dials(diallers(life, &services));
    start(life, interrupted).await?;
    serve(life, &config, services.all, doors, interrupted).await
}

fn workers(config: &Config) -> u8 {
    let wanted = match config.daemon.workers {
        Count::Auto => std::thread::available_parallelism().map_or(1, usize::from),
        Count::Count(count) => count,
    };
    // Ids have room for so many; one number is kept for what belongs to no worker.
    u8::try_from(wanted.clamp(1, 250)).unwrap_or(250)
}

/// The state directory is needed only when a handler keeps state.
fn open_store(life: &mut Life, config: &Config) -> Result<(), BootFault> {
    let Some(directory) = &config.daemon.state_directory else {
        return Ok(());
    };
    let Some(held) = life
        .instances
        .iter()
        .find(|held| held.keeper.instance().keeps_state())
    else {
        return Ok(());
    };
    let store = Store::open(directory).map_err(|error| BootFault::Refused {
        instance: held.keeper.instance().name().instance.clone(),
        hook: "its state:",
        reason: format!("daemon.state-directory {}: {error}", directory.display()),
    })?;
    life.store = Some(store);
    Ok(())
}

async fn load_plugins(
    life: &mut Life,
    plugins: Vec<Vetted>,
    interrupted: &Cell<bool>,
) -> Result<(), BootFault> {
    for (vetted, number) in plugins.into_iter().zip(1_u64..) {
        go_on(interrupted)?;
        let staged = vetted.staged;
        let loading = tasks::blocking(move || load(staged, number, host_table())).await;
        let generation = loading.map_err(|error| system("loader")(error.into()))??;
        tracing::info!(
            plugin = generation.name,
            generation = generation.number,
            id = generation.id,
            version = generation.version,
            path = %generation.path.display(),
            digest = %generation.digest,
            "plugin loaded"
        );
        life.generations.push(generation);
    }
    Ok(())
}

async fn create(
    life: &mut Life,
    config: &Config,
    choices: &HashMap<String, Choice>,
    interrupted: &Cell<bool>,
) -> Result<(), BootFault> {
    for wanted in &config.instances {
        go_on(interrupted)?;
        let Some((generation, handler)) = chosen(life, choices.get(&wanted.name)) else {
            continue;
        };
        let instance = Instance::new(&wanted.name, generation, handler)
            .map_err(std::io::Error::other)
            .map_err(system("a new instance"))?;
        let keeper =
            Keeper::start(instance).map_err(system("a thread for the instance's hooks"))?;
        let held = Held {
            keeper: Arc::clone(&keeper),
            in_use: Gate::new(),
            live: Arc::default(),
            started: false,
        };
        let hook = Hook::Create(wanted.config.to_json().to_string());
        let result = keeper.call(hook, life.hook_timeout).await;
        let fault = result
            .map(|output| warn(&held, &output))
            .map_err(|fault| BootFault::hook(&held, "create", &fault, true));
        life.instances.push(held);
        fault?;
        let name = keeper.instance().name();
        let (plugin, generation) = (&name.plugin, name.generation);
        tracing::info!(
            instance = name.instance,
            plugin,
            generation,
            "instance created"
        );
    }
    Ok(())
}

fn chosen(life: &Life, choice: Option<&Choice>) -> Option<(Arc<Generation>, Handler)> {
    let choice = choice?;
    let generation = life.generations.get(choice.plugin)?;
    Some((
        Arc::clone(generation),
        generation.handler(&choice.handler)?.clone(),
    ))
}

/// What a hook reported though it went well.
fn warn(held: &Held, output: &HookOutput) {
    let name = held.keeper.instance().name();
    for finding in &output.findings {
        let (pointer, message) = (&finding.pointer, &finding.message);
        tracing::warn!(
            instance = name.instance,
            plugin = name.plugin,
            pointer,
            "{message}"
        );
    }
}

/// Gives back the state that is at rest.
async fn restore(life: &Life, interrupted: &Cell<bool>) -> Result<(), BootFault> {
    // Without a store the check has warned already.
    let Some(store) = &life.store else {
        return Ok(());
    };
    for held in life
        .instances
        .iter()
        .filter(|held| held.keeper.instance().keeps_state())
    {
        go_on(interrupted)?;
        let instance = held.keeper.instance();
        let name = &instance.name().instance;
        let (from, of) = (store.clone(), Arc::clone(instance));
        let found = tasks::blocking(move || stored(&from, &of)).await;
        let found = found.map_err(|error| system("state")(error.into()))?;
        let refused = |reason| BootFault::Refused {
            instance: name.clone(),
            hook: "restore_state",
            reason,
        };
        let Some(saved) = found.map_err(refused)? else {
            continue;
        };
        let version = saved.version;
        let hook = Hook::Restore {
            version,
            bytes: saved.bytes,
        };
        match held.keeper.call(hook, life.hook_timeout).await {
            Ok(output) => {
                warn(held, &output);
                tracing::info!(instance = name, version, "state restored");
            }
            Err(fault @ HookFault::Failed { .. }) => {
                return Err(refused(format!(
                    "{fault}; the state stays in {}: move it away to start without",
                    store.path(name).display()
                )));
            }
            Err(fault) => return Err(BootFault::hook(held, "restore_state", &fault, false)),
        }
    }
    Ok(())
}

/// What is at rest for an instance; what is damaged is set aside and said. What cannot be read or set aside would be
/// replaced at the next stop, so it is an error, with what to do.
fn stored(store: &Store, instance: &Instance) -> Result<Option<Saved>, String> {
    let (name, handler) = (&instance.name().instance, instance.handler());
    let path = store.path(name);
    let range = handler.state_min_version..=handler.state_version;
    let fault = match store.load(name, &handler.id) {
        Ok(Some(saved)) if range.contains(&saved.version) => return Ok(Some(saved)),
        Ok(Some(saved)) => format!(
            "it has version {}, and this plugin understands {} to {}",
            saved.version, handler.state_min_version, handler.state_version
        ),
        Ok(None) => return Ok(None),
        Err(StateFault::Unreadable(error)) => {
            return Err(format!(
                "{} cannot be read: {error}; correct its owner or mode, or move it away",
                path.display()
            ));
        }
        Err(fault) => fault.to_string(),
    };
    let aside = store.set_aside(name).map_err(|error| {
        format!(
            "{} cannot be used ({fault}) nor set aside: {error}; move it away",
            path.display()
        )
    })?;
    tracing::warn!(
        instance = name,
        path = %path.display(),
        aside = %aside.display(),
        reason = fault,
        "the state cannot be used and is set aside; the instance starts without"
    );
    Ok(None)
}

async fn start(life: &mut Life, interrupted: &Cell<bool>) -> Result<(), BootFault> {
    for held in &mut life.instances {
        go_on(interrupted)?;
        held.started = true;
        if let Err(fault) = held.keeper.call(Hook::Start, life.hook_timeout).await {
            // What said that it did not start is not stopped.
            held.started = !matches!(fault, HookFault::Failed { .. });
            return Err(BootFault::hook(held, "start", &fault, false));
        }
        let name = held.keeper.instance().name();
        tracing::info!(
            instance = name.instance,
            plugin = name.plugin,
            "instance started"
        );
    }
    Ok(())
}

/// Binds all sockets, then hands them to the workers: either all serve, or none did.
async fn serve(
    life: &mut Life,
    config: &Config,
    services: Vec<Arc<Service>>,
    doors: Doors,
    interrupted: &Cell<bool>,
) -> Result<(), BootFault> {
    let mut snapshot = Snapshot {
        number: 1,
        services: Vec::new(),
        listeners: Vec::new(),
        sockets: Vec::new(),
        leaving: Vec::new(),
    };
    // Datagram sockets go to the workers in turn.
    let mut turns = (0..doors.count()).cycle();
    for (wanted, service) in config.services.iter().zip(&services) {
        for listener in &wanted.listeners {
            go_on(interrupted)?;
            let worker = turns.clone().next().unwrap_or(0);
            let opened = bind::open(&listener.address, worker, Patience::ColdStart).await;
            let service = Arc::clone(service);
            match opened {
                Ok(Opened::Listener(listener)) => snapshot.listeners.push((listener, service)),
                Ok(Opened::Datagrams(listener)) => {
                    snapshot.sockets.push((listener, service));
                    turns.next();
                }
                Err(reason) => {
                    return Err(BootFault::Bind {
                        service: wanted.name.clone(),
                        reason,
                    });
                }
            }
        }
    }
    snapshot.services = services;
    let workers = Workers::start(doors, &life.shutdown).map_err(system("workers"))?;
    tell_listening(&snapshot);
    let gate = workers.swap(&Arc::new(snapshot));
    life.workers = Some(workers);
    // A worker that is late is told of by the watchdog; the sockets are open all the same.
    drop(tokio::time::timeout(life.hook_timeout, gate.all_back()).await);
    // Asked after the last wait: nobody else looks at it.
    go_on(interrupted)
}

fn tell_listening(snapshot: &Snapshot) {
    for service in &snapshot.services {
        let streams = snapshot.listeners.iter();
        let streams = streams.map(|(listener, of)| (&listener.address, of));
        let datagrams = snapshot.sockets.iter();
        let all = streams.chain(datagrams.map(|(listener, of)| (&listener.address, of)));
        for (address, _) in all.filter(|(_, of)| Arc::ptr_eq(of, service)) {
            tracing::info!(service = service.name, address, "listening");
        }
    }
}
