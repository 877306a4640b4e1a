//! Validation of a configuration and of the plugins that it names, which only a probe child runs. Nothing is opened or
//! written. Start, `--check`, plan and reload use it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polyport_config::{
    Config, Environment, Fault, Faults, Instance, Library, ListenAddress, Service, Sources, nearest,
};
use polyport_host::load_error::{ErrorCode, LoadError};
use polyport_host::plugin_path::find;
use polyport_host::probe::{HandlerSummary, ProbeReport, ProbeRequest, Validation, Verdict, probe};
use polyport_host::stage::{StageOptions, Staged, stage};

use super::DesiredState;
use crate::control::running::code_cache::Resident;
use crate::control::running::{FileSource, HandlerRef, Inventory, PluginFile};

/// A configuration that can be used.
#[derive(Debug)]
pub struct ValidConfig {
    /// The desired state.
    pub desired: DesiredState,
    /// For the operator.
    pub warnings: Vec<Fault>,
    /// The text of the files, to quote lines.
    pub sources: Sources,
}

/// What runs already, so that the probe child need not validate it again.
#[derive(Debug, Default)]
pub struct ValidationCache {
    /// Every generation in memory.
    loaded: Vec<Resident>,
    /// The configurations of the running instances.
    instances: Vec<Instance>,
}

impl ValidationCache {
    /// What the inventory has.
    pub fn of(inventory: &Inventory) -> Self {
        let state = inventory.state();
        let config = state.config.as_ref();
        Self {
            loaded: inventory.code.borrow().all().to_vec(),
            instances: config.map_or_else(Vec::new, |config| config.instances.clone()),
        }
    }

    /// The generation of these bytes, if it may get further instances.
    fn resident(&self, staged: &Staged) -> Option<&Resident> {
        let usable =
            |one: &&Resident| is_copy(one, staged) && one.withdrawn.is_none() && !one.retired;
        self.loaded.iter().find(usable)
    }

    /// What serves in place of these bytes if they were withdrawn, and why they were.
    fn instead_of(&self, staged: &Staged) -> Option<(&Resident, &str)> {
        let mut copies = self.loaded.iter().filter(|one| is_copy(one, staged));
        let withdrawn = copies.find_map(|one| one.withdrawn.as_ref())?;
        let instead = self
            .loaded
            .iter()
            .find(|one| Arc::ptr_eq(&one.generation, &withdrawn.instead) && !one.retired)?;
        Some((instead, &withdrawn.why))
    }

    /// Returns whether all of these instances run with the same configuration.
    fn has_all(&self, instances: &[&Instance]) -> bool {
        let has = |wanted: &Instance| self.instances.iter().any(|one| one.means_same(wanted));
        instances.iter().all(|wanted| has(wanted))
    }
}

fn is_copy(resident: &Resident, staged: &Staged) -> bool {
    resident.generation.digest == staged.digest && resident.generation.name == staged.name
}

/// Validates everything that can be validated without serving.
///
/// # Errors
/// All faults, with their places.
pub fn validate(path: &Path, cache: &ValidationCache) -> Result<ValidConfig, Faults> {
    let environment = Environment {
        variable: &|name| std::env::var(name).ok(),
        plugin_exists: &|name, plugin_path| find(name, plugin_path).is_ok(),
    };
    let loaded = polyport_config::load(path, &environment)?;
    let mut validator = Validator {
        cache,
        faults: Vec::new(),
        warnings: loaded.warnings,
        files: Vec::new(),
        handlers: HashMap::new(),
    };
    validator.plugins(&loaded.config);
    validator.services(&loaded.config);
    if !validator.faults.is_empty() {
        validator.faults.append(&mut validator.warnings);
        return Err(Faults::new(validator.faults, loaded.sources));
    }
    Ok(ValidConfig {
        desired: DesiredState {
            config: loaded.config,
            files: validator.files,
            handlers: validator.handlers,
        },
        warnings: validator.warnings,
        sources: loaded.sources,
    })
}

struct Validator<'a> {
    cache: &'a ValidationCache,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    files: Vec<PluginFile>,
    handlers: HashMap<String, HandlerRef>,
}

impl Validator<'_> {
    /// Validates each plugin file once, for all of its instances.
    fn plugins(&mut self, config: &Config) {
        let mut files: Vec<(PathBuf, Vec<&Instance>)> = Vec::new();
        for instance in &config.instances {
            let library = match &instance.library {
                Library::Name(name) => name.clone(),
                Library::Path(path) => path.to_string_lossy().into_owned(),
            };
            match find(&library, &config.daemon.plugin_path) {
                Ok(found) => {
                    for shadowed in &found.shadowed {
                        let message = format!(
                            "plugin `{library}`: {} hides {}",
                            found.path.display(),
                            shadowed.display()
                        );
                        self.warnings
                            .push(Fault::warning(instance.position.clone(), message));
                    }
                    match files.iter_mut().find(|(path, _)| *path == found.path) {
                        Some((_, instances)) => instances.push(instance),
                        None => files.push((found.path, vec![instance])),
                    }
                }
                Err(refusal) => self.refuse(instance, &refusal, config),
            }
        }
        for (path, instances) in files {
            self.plugin(&path, &instances, config);
        }
        self.names(config);
    }

    /// Checks that no two files have the name of one plugin: listings and commands name plugins.
    fn names(&mut self, config: &Config) {
        for (at, file) in self.files.iter().enumerate() {
            let mut before = self.files.iter().take(at);
            let Some(other) = before.find(|other| other.name == file.name) else {
                continue;
            };
            let of_file = |name: &str| self.handlers.get(name).is_some_and(|one| one.file == at);
            let instance = config.instances.iter().find(|one| of_file(&one.name));
            let Some(instance) = instance else { continue };
            let message = format!(
                "{} and {} are both plugin `{}`",
                other.path.display(),
                file.path.display(),
                file.name
            );
            let fault = Fault::error(instance.position.clone(), message);
            self.faults
                .push(fault.with_help("rename one of the files, or use one for both"));
        }
    }

    fn refuse(&mut self, instance: &Instance, refusal: &LoadError, config: &Config) {
        let mut fault = Fault::error(instance.position.clone(), refusal.to_string());
        // A file that was found but cannot be used is the one that was meant.
        if instance.implicit && refusal.code() == ErrorCode::NotFound {
            let names = config.instances.iter().filter(|other| !other.implicit);
            let near = nearest(&instance.name, names.map(|other| other.name.as_str()));
            fault = fault.with_help(match near {
                Some(near) => format!("no instance has this name either; did you mean `{near}`?"),
                None => "no instance has this name either; instances stand under `plugins:`".into(),
            });
        }
        self.faults.push(fault);
    }

    fn plugin(&mut self, path: &Path, instances: &[&Instance], config: &Config) {
        let (file, validations) = match self.run(path, instances) {
            Ok(passed) => passed,
            Err(refusal) => {
                return instances
                    .iter()
                    .for_each(|instance| self.refuse(instance, &refusal, config));
            }
        };
        if let (Some(note), Some(instance)) = (&file.note, instances.first()) {
            let warning = Fault::warning(instance.position.clone(), note.clone());
            self.warnings.push(warning);
        }
        for instance in instances {
            let Some(handler) = self.handler(instance, &file.report) else {
                continue;
            };
            let handler_ref = HandlerRef {
                file: self.files.len(),
                handler,
            };
            self.handlers.insert(instance.name.clone(), handler_ref);
            if config.daemon.state_directory.is_none() && self.keeps_state(&file.report, instance) {
                let message = format!("instance `{}` loses its state at each stop", instance.name);
                let warning = Fault::warning(instance.position.clone(), message)
                    .with_help("set `daemon.state-directory` to keep it");
                self.warnings.push(warning);
            }
        }
        for (instance, verdict) in instances.iter().zip(&validations.verdicts) {
            self.add_findings(instance, verdict, &file.name, validations.log.last());
        }
        self.files.push(file);
    }

    /// Stages a file and lets the probe child run it, unless the same bytes run here already with the same configuration.
    fn run(
        &self,
        path: &Path,
        instances: &[&Instance],
    ) -> Result<(PluginFile, Validations), LoadError> {
        let options = StageOptions {
            check_ownership: is_privileged(),
        };
        let staged = stage(path, &options)?;
        if let Some((instead, why)) = self.cache.instead_of(&staged) {
            let note = format!(
                "plugin `{}`: {} was withdrawn ({why}); generation {} serves until the file changes",
                staged.name,
                path.display(),
                instead.generation.number
            );
            let file = instead.as_file(path, Some(note));
            return Ok((file, Validations::default()));
        }
        let resident = self.cache.resident(&staged);
        if let Some(resident) = resident.filter(|_| self.cache.has_all(instances)) {
            return Ok((resident.as_file(path, None), Validations::default()));
        }
        let validations = instances.iter().map(|instance| Validation {
            handler: instance.handler.clone(),
            config_json: instance.config.to_json().to_string(),
        });
        let request = ProbeRequest {
            validations: validations.collect(),
            ..ProbeRequest::new(["probe"])
        };
        let mut report = probe(&staged, &request)?;
        let validations = Validations {
            verdicts: std::mem::take(&mut report.validations),
            log: std::mem::take(&mut report.log),
        };
        let file = match resident {
            Some(resident) => resident.as_file(path, None),
            None => PluginFile {
                path: path.to_owned(),
                name: staged.name.clone(),
                digest: staged.digest,
                report: Arc::new(report),
                source: FileSource::Staged(Box::new(staged)),
                note: None,
            },
        };
        Ok((file, validations))
    }

    /// Collects the findings of `validate` for an instance.
    fn add_findings(
        &mut self,
        instance: &Instance,
        verdict: &Verdict,
        plugin: &str,
        log: Option<&String>,
    ) {
        for finding in &verdict.findings {
            let position = instance
                .config
                .at_pointer(&finding.pointer)
                .position
                .clone();
            let message = format!("plugin `{plugin}`: {}", finding.message);
            if finding.error {
                let fault = Fault::error(position, message);
                self.faults.push(match log {
                    Some(line) => fault.with_help(format!("the plugin logged: {line}")),
                    None => fault,
                });
            } else {
                self.warnings.push(Fault::warning(position, message));
            }
        }
        if !verdict.is_good() && !verdict.findings.iter().any(|finding| finding.error) {
            let message = format!(
                "plugin `{plugin}`: validate refuses the configuration and gives no reason"
            );
            self.faults
                .push(Fault::error(instance.position.clone(), message));
        }
    }

    fn keeps_state(&self, report: &ProbeReport, instance: &Instance) -> bool {
        let handler_ref = self.handlers.get(&instance.name);
        report.handlers.iter().any(|handler| {
            handler.keeps_state
                && handler_ref.is_some_and(|handler_ref| handler_ref.handler == handler.id)
        })
    }

    /// The handler of an instance: the configured one, or the only one.
    fn handler(&mut self, instance: &Instance, report: &ProbeReport) -> Option<String> {
        let offered: Vec<&str> = report
            .handlers
            .iter()
            .map(|handler| handler.id.as_str())
            .collect();
        let fault = match (&instance.handler, offered.as_slice()) {
            (Some(wanted), _) if offered.contains(&wanted.as_str()) => return Some(wanted.clone()),
            (None, [only]) => return Some((*only).to_owned()),
            (Some(wanted), _) => {
                let message = format!("plugin `{}` has no handler `{wanted}`", report.id);
                let near = nearest(wanted, offered.iter().copied());
                Fault::error(instance.position.clone(), message).with_help(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it has: {}", offered.join(", ")),
                })
            }
            (None, _) => {
                let message = format!("plugin `{}` has several handlers", report.id);
                Fault::error(instance.position.clone(), message).with_help(format!(
                    "say which by `handler:`, one of: {}",
                    offered.join(", ")
                ))
            }
        };
        self.faults.push(fault);
        None
    }

    /// Checks that each handler serves the kind of its listeners.
    fn services(&mut self, config: &Config) {
        for service in &config.services {
            let Some(summary) = self.summary(&service.handler) else {
                continue;
            };
            let (streams, datagrams) = (summary.serves_streams, summary.serves_datagrams);
            let id = summary.id.clone();
            for listener in &service.listeners {
                let (fits, what) = match &listener.address {
                    ListenAddress::Tcp(_) | ListenAddress::Unix(_) => (streams, "streams"),
                    ListenAddress::Udp(_) | ListenAddress::Unixgram(_) => (datagrams, "datagrams"),
                    // The kind is known when the socket is passed.
                    ListenAddress::Inherited { .. } => continue,
                };
                if !fits {
                    let message =
                        format!("handler `{id}` does not serve {what}: {}", listener.address);
                    self.faults
                        .push(Fault::error(listener.position.clone(), message));
                }
            }
            self.groups(service);
        }
    }

    fn summary(&self, instance: &str) -> Option<&HandlerSummary> {
        let handler_ref = self.handlers.get(instance)?;
        let report = &self.files.get(handler_ref.file)?.report;
        report
            .handlers
            .iter()
            .find(|handler| handler.id == handler_ref.handler)
    }

    /// Checks that the groups of Unix sockets exist.
    fn groups(&mut self, service: &Service) {
        for listener in &service.listeners {
            let (ListenAddress::Unix(unix) | ListenAddress::Unixgram(unix)) = &listener.address
            else {
                continue;
            };
            if let Some(group) = &unix.group
                && let Err(error) = polyport_sys::lookup_group(group)
            {
                let message = format!("group `{group}` of {}: {error}", unix.path.display());
                self.faults
                    .push(Fault::error(listener.position.clone(), message));
            }
        }
    }
}

/// Results of `validate` for each instance, and what the plugin logged meanwhile.
#[derive(Default)]
struct Validations {
    verdicts: Vec<Verdict>,
    log: Vec<String>,
}

/// Returns whether this process has privileges that a writer of a plugin file could gain.
fn is_privileged() -> bool {
    polyport_sys::process::effective_uid() == 0 || std::env::var_os("INVOCATION_ID").is_some()
}
