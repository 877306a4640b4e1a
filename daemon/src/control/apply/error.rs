//! Why a change failed.

use polyport_host::hook_thread::HookFault;
use polyport_host::instance::InstanceError;
use polyport_host::load_error::LoadError;

use crate::control::Exit;
use crate::control::running::InstanceHandle;
use crate::control::running::fence::FenceError;
use crate::control::running::hooks::HookError;

/// See the module's text.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A plugin passed the probe and failed in the daemon.
    #[error("{0}")]
    Plugin(#[from] LoadError),
    /// The instance cannot be made.
    #[error("{0}")]
    InstanceError(#[from] InstanceError),
    /// The code has no such handler.
    #[error("instance `{instance}`: the code that is to serve has no such handler")]
    Handler {
        /// Name of the instance.
        instance: String,
    },
    /// A hook refused the configuration or the state.
    #[error("{0}")]
    Refused(HookError),
    /// A hook failed or did not return.
    #[error("{0}")]
    Hook(HookError),
    /// State cannot be handed over.
    #[error("{0}")]
    Fence(#[from] FenceError),
    /// A socket could not be opened.
    #[error("service `{service}`: {reason}")]
    Bind {
        /// Name of the service.
        service: String,
        /// Why, with what to do.
        reason: String,
    },
    /// The old process does not hand over, or this one cannot take over from it.
    #[error("{0}")]
    Upgrade(String),
    /// The daemon is to stop.
    #[error("interrupted: the daemon is told to stop")]
    Interrupted,
    /// The system refused something.
    #[error("{what}: {error}")]
    System {
        /// What for.
        what: &'static str,
        /// The refusal.
        error: std::io::Error,
    },
}

impl ApplyError {
    /// The exit code of a process whose start failed so.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Plugin(_) | Self::Refused(_) | Self::Handler { .. } => Exit::Config,
            Self::Hook(_) | Self::Fence(FenceError::Hook(_)) => Exit::Hook,
            Self::Bind { .. } => Exit::Bind,
            Self::Interrupted => Exit::Clean,
            Self::InstanceError(_) | Self::Fence(_) | Self::Upgrade(_) | Self::System { .. } => {
                Exit::Internal
            }
        }
    }

    /// A hook that reports a failure itself refuses what it was given; one that is late or stuck has failed.
    pub(super) fn refused(handle: &InstanceHandle, hook: &'static str, fault: &HookFault) -> Self {
        let error = HookError::new(handle, hook, fault);
        match fault {
            HookFault::Failed { .. } => Self::Refused(error),
            _ => Self::Hook(error),
        }
    }

    pub(super) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::System { what, error }
    }
}
