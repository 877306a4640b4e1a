//! Why a change failed.

use polyport_host::hook_thread::HookFault;
use polyport_host::instance::NoInstance;
use polyport_host::refusal::Refusal;

use crate::control::Exit;
use crate::control::running::state::InstanceHandle;

/// See the module's text.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A plugin passed the probe and failed in the daemon.
    #[error("{0}")]
    Plugin(#[from] Refusal),
    /// No instance can be made of the code.
    #[error("{0}")]
    NoInstance(#[from] NoInstance),
    /// The code has no such handler.
    #[error("instance `{instance}`: the code that is to serve has no such handler")]
    Handler {
        /// Whose.
        instance: String,
    },
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
    /// State could not be put to rest before it was handed over.
    #[error(
        "instance `{instance}`: its state could not be written to {path}: {error}; the state before it stays"
    )]
    State {
        /// Whose.
        instance: String,
        /// Where.
        path: String,
        /// What the system said.
        error: String,
    },
    /// A worker is inside of a callback, so that an instance cannot be held still.
    #[error(
        "the callbacks of {instances} did not end within {seconds} s, so that the state cannot be handed over; the log \
         names a callback that takes long"
    )]
    Busy {
        /// Whose.
        instances: String,
        /// How long was waited.
        seconds: f64,
    },
    /// A socket could not be opened.
    #[error("service `{service}`: {reason}")]
    Bind {
        /// Whose.
        service: String,
        /// With what to do.
        reason: String,
    },
    /// The process before this one does not hand over, or this one cannot take over from it.
    #[error("{0}")]
    OldProcess(String),
    /// The daemon is told to stop.
    #[error("interrupted: the daemon is told to stop")]
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

impl ApplyError {
    /// How the process ends for it, if it was to start.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Plugin(_) | Self::Refused { .. } | Self::Handler { .. } => Exit::Config,
            Self::Hook { .. } => Exit::Hook,
            Self::Bind { .. } => Exit::Bind,
            Self::Interrupted => Exit::Clean,
            Self::NoInstance(_)
            | Self::State { .. }
            | Self::Busy { .. }
            | Self::OldProcess(_)
            | Self::System { .. } => Exit::Internal,
        }
    }

    /// A hook of an instance did not end well; one that says so itself refuses what it was given.
    pub(super) fn hook(
        handle: &InstanceHandle,
        hook: &'static str,
        fault: &HookFault,
        refuses: bool,
    ) -> Self {
        let name = handle.hook_thread.instance().name();
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

    pub(in crate::control) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::System { what, error }
    }
}
