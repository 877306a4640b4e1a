//! The start, step by step: load, create, restore, start, bind, serve. Each step adds to the [`Life`], so that
//! whoever breaks it off can undo what was done.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use polyport_config::{Config, Workers as Count};
use polyport_host::generation::{Generation, Handler, load};
use polyport_host::hooks::Hook;
use polyport_host::instance::Instance;
use polyport_host::keeper::{HookFault, Keeper};
use polyport_host::refusal::Refusal;
use polyport_host::services::host_table;

use super::bind;
use super::life::{Held, Life};
use super::state::{Saved, StateFault, Store};
use super::vet::{Checked, Choice, Vetted};
use super::workers::{Doors, Workers};
use crate::common::tasks;
use crate::data::admit::{Limit, Permits};
use crate::data::snapshot::{Service, Timeouts};

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
    /// The system has no more of something.
    #[error("{what}: {error}")]
    System {
        /// For what.
        what: &'static str,
        /// What it said.
        error: std::io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> BootFault {
    move |error| BootFault::System { what, error }
}

/// Starts everything that a checked configuration names.
///
/// # Errors
/// The first step that failed; `life` holds what was done before.
pub async fn boot(life: &mut Life, checked: Checked) -> Result<(), BootFault> {
    let Checked {
        config,
        plugins,
        choices,
        ..
    } = checked;
    let doors = Doors::new(workers(&config)).map_err(system("workers"))?;
    prepare(life, &config)?;
    load_plugins(life, plugins).await?;
    create(life, &config, &choices).await?;
    restore(life).await?;
    let services = services(life, &config);
    doors.take_dials(diallers(life, &config));
    start(life).await?;
    serve(life, &config, &services, doors).await
}

fn workers(config: &Config) -> u8 {
    let wanted = match config.daemon.workers {
        Count::Auto => std::thread::available_parallelism().map_or(1, usize::from),
        Count::Count(count) => count,
    };
    // Ids have room for so many; one number is kept for what belongs to no worker.
    u8::try_from(wanted.clamp(1, 250)).unwrap_or(250)
}

fn prepare(life: &mut Life, config: &Config) -> Result<(), BootFault> {
    life.hook_timeout = config.daemon.hook_timeout;
    life.drain_timeout = config.daemon.drain_timeout;
    life.store = match &config.daemon.state_directory {
        Some(directory) => Some(Store::open(directory).map_err(system("daemon.state-directory"))?),
        None => None,
    };
    match polyport_sys::limits::raise_open_files() {
        Ok((before, now)) => tracing::debug!(before, now, "limit of open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
    Ok(())
}

async fn load_plugins(life: &mut Life, plugins: Vec<Vetted>) -> Result<(), BootFault> {
    for (vetted, number) in plugins.into_iter().zip(1_u64..) {
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
) -> Result<(), BootFault> {
    for wanted in &config.instances {
        let Some((generation, handler)) = chosen(life, choices.get(&wanted.name)) else {
            continue;
        };
        let keeper = Keeper::start(Instance::new(&wanted.name, generation, handler))
            .map_err(system("a thread for the instance's hooks"))?;
        life.instances.push(Held {
            keeper: Arc::clone(&keeper),
            started: false,
        });
        let hook = Hook::Create(wanted.config.to_json().to_string());
        let result = keeper.call(hook, life.hook_timeout).await;
        if let Err(fault) = result {
            let failed = matches!(fault, HookFault::Failed { .. });
            let (instance, hook, reason) = (wanted.name.clone(), "create", fault.to_string());
            return Err(if failed {
                BootFault::Refused {
                    instance,
                    hook,
                    reason,
                }
            } else {
                BootFault::Hook {
                    instance,
                    hook,
                    reason,
                }
            });
        }
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

/// Gives back the state that is at rest.
async fn restore(life: &Life) -> Result<(), BootFault> {
    for held in &life.instances {
        let instance = held.keeper.instance();
        if !instance.keeps_state() {
            continue;
        }
        let name = &instance.name().instance;
        // Without a store the check has warned already.
        let Some(store) = &life.store else { continue };
        let Some(saved) = stored(store, instance) else {
            continue;
        };
        let version = saved.version;
        let hook = Hook::Restore {
            version,
            bytes: saved.bytes,
        };
        match held.keeper.call(hook, life.hook_timeout).await {
            Ok(_) => tracing::info!(instance = name, version, "state restored"),
            Err(fault @ HookFault::Failed { .. }) => {
                return Err(BootFault::Refused {
                    instance: name.clone(),
                    hook: "restore_state",
                    reason: format!(
                        "{fault}; the state stays in {}: move it away to start without",
                        store.path(name).display()
                    ),
                });
            }
            Err(fault) => {
                let (instance, reason) = (name.clone(), fault.to_string());
                return Err(BootFault::Hook {
                    instance,
                    hook: "restore_state",
                    reason,
                });
            }
        }
    }
    Ok(())
}

/// What is at rest for an instance; what cannot be used is set aside and said.
fn stored(store: &Store, instance: &Instance) -> Option<Saved> {
    let (name, handler) = (&instance.name().instance, instance.handler());
    let fault = match store.load(name, &handler.id) {
        Ok(Some(saved))
            if saved.version >= handler.state_min_version
                && saved.version <= handler.state_version =>
        {
            return Some(saved);
        }
        Ok(Some(saved)) => format!(
            "it has version {}, and this plugin understands {} to {}",
            saved.version, handler.state_min_version, handler.state_version
        ),
        Ok(None) => return None,
        Err(StateFault::Unreadable(error)) => {
            tracing::error!(instance = name, path = %store.path(name).display(), %error, "the state cannot be read");
            return None;
        }
        Err(fault) => fault.to_string(),
    };
    match store.set_aside(name) {
        Ok(aside) => tracing::warn!(
            instance = name,
            path = %store.path(name).display(),
            aside = %aside.display(),
            reason = fault,
            "the state cannot be used and is set aside; the instance starts without"
        ),
        Err(error) => tracing::error!(
            instance = name,
            path = %store.path(name).display(),
            reason = fault,
            %error,
            "the state cannot be used, nor set aside; the next stop replaces it"
        ),
    }
    None
}

async fn start(life: &mut Life) -> Result<(), BootFault> {
    for held in &mut life.instances {
        held.started = true;
        let name = held.keeper.instance().name();
        if let Err(fault) = held.keeper.call(Hook::Start, life.hook_timeout).await {
            // What said that it did not start is not stopped.
            held.started = !matches!(fault, HookFault::Failed { .. });
            let (instance, reason) = (name.instance.clone(), fault.to_string());
            return Err(BootFault::Hook {
                instance,
                hook: "start",
                reason,
            });
        }
        tracing::info!(
            instance = name.instance,
            plugin = name.plugin,
            "instance started"
        );
    }
    Ok(())
}

/// The services as workers see them, in the order of the configuration.
fn services(life: &Life, config: &Config) -> Vec<Arc<Service>> {
    let wanted = Arc::new(AtomicBool::new(false));
    let daemon = Limit::new(config.daemon.limits.streams);
    let made = config.services.iter().filter_map(|service| {
        let mut limits = vec![Arc::clone(&daemon)];
        limits.extend(service.limits.streams.map(Limit::new));
        let timeouts = Timeouts {
            first_byte: service.timeouts.first_byte,
            idle: service.timeouts.idle,
            write: service.timeouts.write.unwrap_or(WRITE_TIMEOUT),
            lifetime: service.timeouts.lifetime,
        };
        let permits = Permits::new(limits, Arc::clone(&wanted));
        Some(Arc::new(service_of(
            life,
            &service.handler,
            service.name.clone(),
            timeouts,
            permits,
        )?))
    });
    made.collect()
}

/// When a service says nothing: nobody may hold output for ever.
const WRITE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// For what an instance dials on its own.
const DIALLED_IDLE: std::time::Duration = std::time::Duration::from_secs(300);

fn service_of(
    life: &Life,
    instance: &str,
    name: String,
    timeouts: Timeouts,
    permits: Arc<Permits>,
) -> Option<Service> {
    let held = life
        .instances
        .iter()
        .find(|held| held.keeper.instance().name().instance == instance)?;
    let keeper = Arc::clone(&held.keeper);
    Some(Service {
        name,
        instance: Arc::clone(keeper.instance()),
        keeper,
        timeouts,
        permits,
    })
}

/// What the dials of instances count against.
fn diallers(life: &Life, config: &Config) -> Vec<(u32, Arc<Service>)> {
    let limit = Limit::new(config.daemon.limits.streams);
    let timeouts = Timeouts {
        first_byte: None,
        idle: Some(DIALLED_IDLE),
        write: WRITE_TIMEOUT,
        lifetime: None,
    };
    let made = life.instances.iter().filter_map(|held| {
        let instance = held.keeper.instance();
        let permits = Permits::new(vec![Arc::clone(&limit)], Arc::default());
        let name = &instance.name().instance;
        let service = service_of(life, name, String::new(), timeouts, permits)?;
        Some((instance.index(), Arc::new(service)))
    });
    made.collect()
}

/// Binds all sockets, then hands them to the workers: either all serve, or none did.
async fn serve(
    life: &mut Life,
    config: &Config,
    services: &[Arc<Service>],
    doors: Doors,
) -> Result<(), BootFault> {
    let mut opened = Vec::new();
    for (wanted, service) in config.services.iter().zip(services) {
        for listener in &wanted.listeners {
            match bind::open(&listener.address, service).await {
                Ok(one) => opened.push(one),
                Err(reason) => {
                    return Err(BootFault::Bind {
                        service: wanted.name.clone(),
                        reason,
                    });
                }
            }
        }
    }
    let mut workers = Workers::start(doors, &life.shutdown).map_err(system("workers"))?;
    for one in opened {
        let (service, address) = one.describe();
        tracing::info!(service, address, "listening");
        workers.serve(one);
    }
    life.workers = Some(workers);
    Ok(())
}
