//! Calls of the hooks of `pp_handler`, one function each. Only the instance's hook thread makes them.

use polyport_abi as abi;

use crate::callbacks::Notice;
use crate::id::Id;
use crate::instance::Instance;
use crate::report::{Finding, collect};
use crate::state_io::{collect_state, supply_state};
use crate::status::CallbackError;
use crate::stream::slice;

/// Most bytes of state that one instance may save.
const STATE_MAX: usize = 1 << 30;

/// A hook to call, with its arguments.
#[derive(Debug, Clone)]
pub enum Hook {
    /// The instance's first hook; the configuration as JSON text.
    Create(String),
    /// Another configuration for a living instance, as JSON text.
    Reconfigure(String),
    /// State that an earlier instance saved.
    Restore {
        /// The version in which the state was written.
        version: u32,
        /// The state.
        bytes: Vec<u8>,
    },
    /// The instance may start threads.
    Start,
    /// No new streams will come; the deadline is a time of the monotonic clock, nanoseconds.
    Drain(u64),
    /// Writes the state.
    Save,
    /// The instance releases resources that two generations cannot share.
    Freeze,
    /// The instance takes them back: the reload was undone.
    Thaw,
    /// The instance joins its threads.
    Stop,
    /// The instance's last hook.
    Destroy,
    /// Returns whether the instance is well.
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

/// The result of a hook that returned no error.
#[derive(Debug, Default)]
pub struct HookOutput {
    /// The hook goes on, and will be completed.
    pub pending: bool,
    /// The findings that it reported.
    pub findings: Vec<Finding>,
    /// The state that `save_state` wrote; `None` for other hooks and for handlers without state.
    pub saved: Option<Vec<u8>>,
}

/// What a hook returned; an error with its findings.
pub(crate) type HookResult = Result<HookOutput, (CallbackError, Vec<Finding>)>;

impl Instance {
    /// Calls a hook. `op` is the operation that the plugin completes if the hook returns pending.
    ///
    /// # Errors
    /// The hook fails; with its findings.
    pub(crate) fn call(&self, hook: &Hook, op: Id) -> HookResult {
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

    fn create(&self, json: &str) -> HookResult {
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
        if status >= 0 {
            self.set_this(this);
        }
        self.with_findings(status, findings)
    }

    fn reconfigure(&self, json: &str) -> HookResult {
        let Some(reconfigure) = self.handler().table.reconfigure else {
            return Err((CallbackError(abi::PP_E_UNSUPPORTED), Vec::new()));
        };
        let json = slice(json);
        // SAFETY: a hook of a vetted table; text and report are borrowed until it returns.
        let (status, findings) =
            collect(|report| unsafe { reconfigure(self.this(), &raw const json, report) });
        self.with_findings(status, findings)
    }

    fn with_findings(&self, status: abi::PpStatus, findings: Vec<Finding>) -> HookResult {
        match self.check(status) {
            Ok(_) => Ok(HookOutput {
                findings,
                ..HookOutput::default()
            }),
            Err(error) => Err((error, findings)),
        }
    }

    fn restore(&self, version: u32, bytes: &[u8]) -> HookResult {
        let Some(restore) = self.handler().table.restore_state else {
            return Ok(HookOutput::default());
        };
        let (status, findings) = supply_state(bytes, |source| {
            // SAFETY: a hook of a vetted table; source and report are borrowed until it returns.
            collect(|report| unsafe { restore(self.this(), version, source, report) })
        });
        self.with_findings(status, findings)
    }

    fn save(&self, op: Id) -> HookResult {
        let Some(save) = self.handler().table.save_state else {
            return Ok(HookOutput::default());
        };
        // SAFETY: a hook of a vetted table; the sink is borrowed until it returns, also if it says pending.
        let call = |sink| unsafe { save(self.this(), op.raw(), sink) };
        let (status, saved) = collect_state(STATE_MAX, call);
        match self.check(status) {
            Ok(remark) => Ok(HookOutput {
                pending: remark == abi::PP_S_PENDING,
                findings: Vec::new(),
                saved: Some(saved),
            }),
            Err(error) => Err((error, Vec::new())),
        }
    }

    fn health(&self) -> HookResult {
        let Some(health) = self.handler().table.health else {
            return Ok(HookOutput::default());
        };
        // SAFETY: a hook of a vetted table; the report is borrowed until it returns.
        let (status, findings) = collect(|report| unsafe { health(self.this(), report) });
        self.with_findings(status, findings)
    }

    /// Calls the instance's function for this event. An instance that has none, or is not alive, is not called.
    ///
    /// # Errors
    /// The function fails.
    pub(crate) fn notify_instance(&self, notice: Notice) -> Result<(), CallbackError> {
        macro_rules! call {
            ($member:ident $(, $argument:expr)*) => {
                match self.handler().table.$member {
                    // SAFETY: a hook of a vetted table with the instance's own `self`, which is alive; the hook thread
                    // makes one call at a time.
                    Some(function) => unsafe { function(self.this() $(, $argument)*) },
                    None => abi::PP_OK,
                }
            };
        }
        if !self.is_created() {
            return Ok(());
        }
        let status = match notice {
            Notice::Wake(bits) => call!(on_wake, bits),
            Notice::Timer(key) => call!(on_timer, key),
            Notice::DialFailed { tag, why } => call!(on_dial_failed, tag, why.status()),
            Notice::Writable | Notice::Drain(_) | Notice::Closed(_) => abi::PP_OK,
        };
        self.check(status).map(drop)
    }
}
