//! Calls of the hooks of `pp_handler`, one function each; made by the keeper's thread.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use polyport_abi as abi;
use polyport_abi::{PpSink, PpSource};

use crate::id::Id;
use crate::instance::Instance;
use crate::report::{Finding, collect};
use crate::status::{DialFailure, Misstep, check};
use crate::stream::slice;

/// Most bytes of state that one instance may save.
const STATE_MAX: usize = 1 << 30;

/// A hook to call, with what it needs.
#[derive(Debug, Clone)]
pub enum Hook {
    /// An instance begins; configuration as JSON text.
    Create(String),
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
            Self::Restore { .. } => "restore_state",
            Self::Start => "start",
            Self::Drain(_) => "drain",
            Self::Save => "save_state",
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
    pub(crate) fn call(&self, hook: &Hook, op: Id) -> Result<HookOutput, (Misstep, Vec<Finding>)> {
        let plain = |status| match check(status) {
            Ok(remark) => {
                let pending = remark == abi::PP_S_PENDING;
                Ok(HookOutput {
                    pending,
                    ..HookOutput::default()
                })
            }
            Err(misstep) => Err((misstep, Vec::new())),
        };
        if !matches!(hook, Hook::Create(_)) && !self.is_created() {
            return Ok(HookOutput::default());
        }
        match hook {
            Hook::Create(json) => self.create(json),
            Hook::Restore { version, bytes } => self.restore(*version, bytes),
            Hook::Save => self.save(op),
            Hook::Health => self.health(),
            Hook::Start => plain(self.with_op(self.handler().table.start, op)),
            Hook::Stop => plain(self.with_op(self.handler().table.stop, op)),
            Hook::Drain(deadline) => plain(match self.handler().table.drain {
                // SAFETY: a hook of a vetted table with the instance's own `self`; the keeper makes one call at a time.
                Some(drain) => unsafe { drain(self.this(), op.raw(), *deadline) },
                None => abi::PP_OK,
            }),
            Hook::Destroy => {
                self.end();
                plain(match self.handler().table.destroy {
                    // SAFETY: as for drain; the keeper calls nothing of this instance afterwards.
                    Some(destroy) => unsafe { destroy(self.this()) },
                    None => abi::PP_OK,
                })
            }
        }
    }

    fn with_op(&self, hook: Option<abi::PpHook>, op: Id) -> abi::PpStatus {
        match hook {
            // SAFETY: a hook of a vetted table with the instance's own `self`; the keeper makes one call at a time.
            Some(hook) => unsafe { hook(self.this(), op.raw()) },
            None => abi::PP_OK,
        }
    }

    fn create(&self, json: &str) -> Result<HookOutput, (Misstep, Vec<Finding>)> {
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
        match check(status) {
            Ok(_) => {
                self.set_this(this);
                Ok(HookOutput {
                    findings,
                    ..HookOutput::default()
                })
            }
            Err(misstep) => Err((misstep, findings)),
        }
    }

    fn restore(&self, version: u32, bytes: &[u8]) -> Result<HookOutput, (Misstep, Vec<Finding>)> {
        let Some(restore) = self.handler().table.restore_state else {
            return Ok(HookOutput::default());
        };
        let rest: Mutex<&[u8]> = Mutex::new(bytes);
        let mut source = PpSource {
            ctx: (&raw const rest).cast_mut().cast::<c_void>(),
            read,
        };
        let (status, findings) = collect(|report| {
            // SAFETY: a hook of a vetted table; source and report are borrowed until it returns.
            unsafe { restore(self.this(), version, &raw mut source, report) }
        });
        match check(status) {
            Ok(_) => Ok(HookOutput {
                findings,
                ..HookOutput::default()
            }),
            Err(misstep) => Err((misstep, findings)),
        }
    }

    fn save(&self, op: Id) -> Result<HookOutput, (Misstep, Vec<Finding>)> {
        let Some(save) = self.handler().table.save_state else {
            return Ok(HookOutput::default());
        };
        let saved: Mutex<Vec<u8>> = Mutex::default();
        let mut sink = PpSink {
            ctx: (&raw const saved).cast_mut().cast::<c_void>(),
            write,
        };
        // SAFETY: a hook of a vetted table; the sink is borrowed until it returns, also if it says pending.
        match check(unsafe { save(self.this(), op.raw(), &raw mut sink) }) {
            Ok(remark) => Ok(HookOutput {
                pending: remark == abi::PP_S_PENDING,
                findings: Vec::new(),
                saved: Some(saved.into_inner().unwrap_or_else(PoisonError::into_inner)),
            }),
            Err(misstep) => Err((misstep, Vec::new())),
        }
    }

    fn health(&self) -> Result<HookOutput, (Misstep, Vec<Finding>)> {
        let Some(health) = self.handler().table.health else {
            return Ok(HookOutput::default());
        };
        // SAFETY: a hook of a vetted table; the report is borrowed until it returns.
        let (status, findings) = collect(|report| unsafe { health(self.this(), report) });
        match check(status) {
            Ok(_) => Ok(HookOutput {
                findings,
                ..HookOutput::default()
            }),
            Err(misstep) => Err((misstep, findings)),
        }
    }

    /// `on_wake` of the instance.
    pub(crate) fn wake(&self, bits: u64) -> Result<(), Misstep> {
        match self.handler().table.on_wake {
            Some(on_wake) if self.is_created() => {
                // SAFETY: a hook of a vetted table with the instance's own `self`, which is alive; the keeper makes
                // one call at a time.
                check(unsafe { on_wake(self.this(), bits) }).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// `on_timer` of the instance.
    pub(crate) fn timer(&self, key: u32) -> Result<(), Misstep> {
        match self.handler().table.on_timer {
            Some(on_timer) if self.is_created() => {
                // SAFETY: as for `on_wake`, a hook with the instance's own living `self`.
                check(unsafe { on_timer(self.this(), key) }).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// `on_dial_failed` of the instance.
    pub(crate) fn dial_failed(&self, tag: u64, why: DialFailure) -> Result<(), Misstep> {
        match self.handler().table.on_dial_failed {
            Some(failed) if self.is_created() => {
                // SAFETY: as for `on_wake`, a hook with the instance's own living `self`.
                check(unsafe { failed(self.this(), tag, why.status()) }).map(drop)
            }
            _ => Ok(()),
        }
    }
}

unsafe extern "C" fn read(source: *mut PpSource, into: *mut c_void, len: usize) -> i64 {
    // SAFETY: the plugin passes back the source that `restore` lent it, within that call; its threads share it.
    let rest = unsafe {
        source
            .as_ref()
            .and_then(|source| source.ctx.cast::<Mutex<&[u8]>>().as_ref())
    };
    let (Some(rest), false) = (rest, into.is_null() && len != 0) else {
        return abi::PP_E_INVAL.into();
    };
    let mut rest = rest.lock().unwrap_or_else(PoisonError::into_inner);
    let count = len.min(rest.len());
    let (now, later) = rest.split_at(count);
    if count != 0 {
        // SAFETY: `into` has room for `len` bytes by the header, and `count` is at most that.
        unsafe { std::ptr::copy_nonoverlapping(now.as_ptr(), into.cast::<u8>(), count) };
    }
    *rest = later;
    i64::try_from(count).unwrap_or(i64::MAX)
}

unsafe extern "C" fn write(sink: *mut PpSink, bytes: *const c_void, len: usize) -> i64 {
    // SAFETY: the plugin passes back the sink that `save` lent it, within that call; its threads share it.
    let saved = unsafe {
        sink.as_ref()
            .and_then(|sink| sink.ctx.cast::<Mutex<Vec<u8>>>().as_ref())
    };
    // SAFETY: `len` bytes that the plugin lends for this call.
    let bytes = unsafe { crate::claim::bytes(abi::PpSlice { ptr: bytes, len }) };
    let (Some(saved), Ok(bytes)) = (saved, bytes) else {
        return abi::PP_E_INVAL.into();
    };
    let mut saved = saved.lock().unwrap_or_else(PoisonError::into_inner);
    if saved.len() + bytes.len() > STATE_MAX || saved.try_reserve(bytes.len()).is_err() {
        return abi::PP_E_FULL.into();
    }
    saved.extend_from_slice(bytes);
    i64::try_from(len).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: usize = 1000;

    /// Copies pieces of two bytes from the source to the sink.
    fn copy(source: usize, sink: usize) {
        let (source, sink) = (source as *mut PpSource, sink as *mut PpSink);
        let mut piece = [0_u8; 2];
        for _ in 0..ROUNDS {
            // SAFETY: the test waits for this thread, so both are alive.
            let moved = unsafe {
                read(source, piece.as_mut_ptr().cast(), 2);
                write(sink, piece.as_ptr().cast(), 2)
            };
            assert_eq!(moved, 2);
        }
    }

    #[test]
    fn state_goes_out_and_in_from_several_threads_at_once() {
        let bytes: Vec<u8> = (0..=u8::MAX)
            .cycle()
            .take(4 * ROUNDS)
            .flat_map(|n| [n, !n])
            .collect();
        let rest: Mutex<&[u8]> = Mutex::new(&bytes);
        let saved: Mutex<Vec<u8>> = Mutex::default();
        let mut source = PpSource {
            ctx: (&raw const rest).cast_mut().cast::<c_void>(),
            read,
        };
        let mut sink = PpSink {
            ctx: (&raw const saved).cast_mut().cast::<c_void>(),
            write,
        };
        let (source, sink) = (&raw mut source as usize, &raw mut sink as usize);
        let all: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || copy(source, sink)))
            .collect();
        all.into_iter().for_each(|one| one.join().unwrap());
        let saved = saved.into_inner().unwrap();
        assert!(saved.chunks(2).all(|piece| piece[0] == !piece[1]));
        assert_eq!(saved.len(), bytes.len());
        assert_eq!(rest.into_inner().unwrap(), b"");
    }
}
