//! Calls of the hooks of `pp_handler`, one function each; made by the hook thread's thread.

use polyport_abi as abi;

use crate::id::Id;
use crate::instance::Instance;
use crate::report::{Finding, collect};
use crate::state_io::{feed, gather};
use crate::status::{CallbackError, DialFailure};
use crate::stream::slice;

/// Most bytes of state that one instance may save.
const STATE_MAX: usize = 1 << 30;

/// A hook to call, with what it needs.
#[derive(Debug, Clone)]
pub enum Hook {
    /// An instance begins; configuration as JSON text.
    Create(String),
    /// Another configuration for an instance that lives.
    Reconfigure(String),
    /// State that was at rest.
    Restore {
        /// As it was saved.
        version: u32,
        /// The state.
        bytes: Vec<u8>,
    },
    /// Threads may begin.
    Start,
    /// No new streams will come; the deadline is a time of the monotonic clock, nanoseconds.
    Drain(u64),
    /// Writes the state.
    Save,
    /// Release what two generations cannot share.
    Freeze,
    /// Go on after all: the reload was undone.
    Thaw,
    /// Join your threads.
    Stop,
    /// The last call.
    Destroy,
    /// Ready?
    Health,
}

impl Hook {
    /// The member's name in `plugin.h`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Reconfigure(_) => "reconfigure",
            Self::Restore { .. } => "restore_state",
            Self::Start => "start",
            Self::Drain(_) => "drain",
            Self::Save => "save_state",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Stop => "stop",
            Self::Destroy => "destroy",
            Self::Health => "health",
        }
    }
}

/// What a hook gave back when it returned.
#[derive(Debug, Default)]
pub struct HookOutput {
    /// It goes on, and will be completed.
    pub pending: bool,
    /// What it reported.
    pub findings: Vec<Finding>,
    /// What `save_state` wrote; `None` for other hooks, or when the handler keeps no state.
    pub saved: Option<Vec<u8>>,
}

impl Instance {
    /// Does the handler have this hook?
    #[must_use]
    pub fn keeps_state(&self) -> bool {
        self.handler().table.save_state.is_some()
    }

    /// Calls a hook; `op` is what it completes if it says pending.
    ///
    /// # Errors
    /// The hook fails; with what it reported.
    pub(crate) fn call(
        &self,
        hook: &Hook,
        op: Id,
    ) -> Result<HookOutput, (CallbackError, Vec<Finding>)> {
        let plain = |status| match self.check(status) {
            Ok(remark) => {
                let pending = remark == abi::PP_S_PENDING;
                Ok(HookOutput {
                    pending,
                    ..HookOutput::default()
                })
            }
            Err(error) => Err((error, Vec::new())),
        };
        if !matches!(hook, Hook::Create(_)) && !self.is_created() {
            return Ok(HookOutput::default());
        }
        match hook {
            Hook::Create(json) => self.create(json),
            Hook::Reconfigure(json) => self.reconfigure(json),
            Hook::Restore { version, bytes } => self.restore(*version, bytes),
            Hook::Save => self.save(op),
            Hook::Health => self.health(),
            Hook::Start => plain(self.with_op(self.handler().table.start, op)),
            Hook::Freeze => plain(self.with_op(self.handler().table.freeze, op)),
            Hook::Thaw => plain(self.with_op(self.handler().table.thaw, op)),
            Hook::Stop => plain(self.with_op(self.handler().table.stop, op)),
            Hook::Drain(deadline) => plain(match self.handler().table.drain {
                // SAFETY: a hook of a vetted table with the instance's own `self`; the hook thread makes one call at a time.
                Some(drain) => unsafe { drain(self.this(), op.raw(), *deadline) },
                None => abi::PP_OK,
            }),
            Hook::Destroy => {
                self.end();
                plain(match self.handler().table.destroy {
                    // SAFETY: as for drain; the hook thread calls nothing of this instance afterwards.
                    Some(destroy) => unsafe { destroy(self.this()) },
                    None => abi::PP_OK,
                })
            }
        }
    }

    fn with_op(&self, hook: Option<abi::PpHook>, op: Id) -> abi::PpStatus {
        match hook {
            // SAFETY: a hook of a vetted table with the instance's own `self`; the hook thread makes one call at a time.
            Some(hook) => unsafe { hook(self.this(), op.raw()) },
            None => abi::PP_OK,
        }
    }

    fn create(&self, json: &str) -> Result<HookOutput, (CallbackError, Vec<Finding>)> {
        let Some(create) = self.handler().table.create else {
            self.set_this(std::ptr::null_mut());
            return Ok(HookOutput::default());
        };
        let json = slice(json);
        let mut this = std::ptr::null_mut();
        let (status, findings) = collect(|report| {
            // SAFETY: a hook of a vetted table; all arguments are borrowed until it returns.
            unsafe { create(self.id().raw(), &raw const json, report, &raw mut this) }
        });
        match self.check(status) {
            Ok(_) => {
                self.set_this(this);
                Ok(HookOutput {
                    findings,
                    ..HookOutput::default()
                })
            }
            Err(error) => Err((error, findings)),
        }
    }

    fn reconfigure(&self, json: &str) -> Result<HookOutput, (CallbackError, Vec<Finding>)> {
        let Some(reconfigure) = self.handler().table.reconfigure else {
            return Err((CallbackError(abi::PP_E_UNSUPPORTED), Vec::new()));
        };
        let json = slice(json);
        // SAFETY: a hook of a vetted table; text and report are borrowed until it returns.
        let (status, findings) =
            collect(|report| unsafe { reconfigure(self.this(), &raw const json, report) });
        self.with_findings(status, findings)
    }

    fn with_findings(
        &self,
        status: abi::PpStatus,
        findings: Vec<Finding>,
    ) -> Result<HookOutput, (CallbackError, Vec<Finding>)> {
        match self.check(status) {
            Ok(_) => Ok(HookOutput {
                findings,
                ..HookOutput::default()
            }),
            Err(error) => Err((error, findings)),
        }
    }

    fn restore(
        &self,
        version: u32,
        bytes: &[u8],
    ) -> Result<HookOutput, (CallbackError, Vec<Finding>)> {
        let Some(restore) = self.handler().table.restore_state else {
            return Ok(HookOutput::default());
        };
        let (status, findings) = feed(bytes, |source| {
            // SAFETY: a hook of a vetted table; source and report are borrowed until it returns.
            collect(|report| unsafe { restore(self.this(), version, source, report) })
        });
        self.with_findings(status, findings)
    }

    fn save(&self, op: Id) -> Result<HookOutput, (CallbackError, Vec<Finding>)> {
        let Some(save) = self.handler().table.save_state else {
            return Ok(HookOutput::default());
        };
        // SAFETY: a hook of a vetted table; the sink is borrowed until it returns, also if it says pending.
        let call = |sink| unsafe { save(self.this(), op.raw(), sink) };
        let (status, saved) = gather(STATE_MAX, call);
        match self.check(status) {
            Ok(remark) => Ok(HookOutput {
                pending: remark == abi::PP_S_PENDING,
                findings: Vec::new(),
                saved: Some(saved),
            }),
            Err(error) => Err((error, Vec::new())),
        }
    }

    fn health(&self) -> Result<HookOutput, (CallbackError, Vec<Finding>)> {
        let Some(health) = self.handler().table.health else {
            return Ok(HookOutput::default());
        };
        // SAFETY: a hook of a vetted table; the report is borrowed until it returns.
        let (status, findings) = collect(|report| unsafe { health(self.this(), report) });
        self.with_findings(status, findings)
    }

    /// `on_wake` of the instance.
    pub(crate) fn wake(&self, bits: u64) -> Result<(), CallbackError> {
        match self.handler().table.on_wake {
            Some(on_wake) if self.is_created() => {
                // SAFETY: a hook of a vetted table with the instance's own `self`, which is alive; the hook thread makes
                // one call at a time.
                self.check(unsafe { on_wake(self.this(), bits) }).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// `on_timer` of the instance.
    pub(crate) fn timer(&self, key: u32) -> Result<(), CallbackError> {
        match self.handler().table.on_timer {
            Some(on_timer) if self.is_created() => {
                // SAFETY: as for `on_wake`, a hook with the instance's own living `self`.
                self.check(unsafe { on_timer(self.this(), key) }).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// `on_dial_failed` of the instance.
    pub(crate) fn dial_failed(&self, tag: u64, why: DialFailure) -> Result<(), CallbackError> {
        match self.handler().table.on_dial_failed {
            Some(failed) if self.is_created() => {
                // SAFETY: as for `on_wake`, a hook with the instance's own living `self`.
                self.check(unsafe { failed(self.this(), tag, why.status()) })
                    .map(drop)
            }
            _ => Ok(()),
        }
    }
}
