//! What a reload asks of a handler: state out and in, of one stream or of the instance, and a pause.

use std::ffi::c_void;

use polyport_abi::{
    PP_E_FAIL, PP_E_UNSUPPORTED, PP_END_MIGRATED, PP_INFO_MIGRATED, PpHook, PpId, PpSink, PpSource,
    PpStatus,
};

use super::desk;
use super::driver::{Driver, collect, stream_info};
use crate::raw::lend;

impl Driver {
    /// The version of the state that this handler writes.
    #[must_use]
    pub const fn state_version(&self) -> u32 {
        self.table.state_version
    }

    /// The state of one stream, which goes on.
    ///
    /// # Errors
    ///
    /// What the handler refused it with; `PP_E_UNSUPPORTED` if its streams do not move.
    pub fn export_stream(&mut self, id: PpId) -> Result<Vec<u8>, PpStatus> {
        let export = self.stream().export_state.ok_or(PP_E_UNSUPPORTED)?;
        let (this, state) = (self.this, self.state(id));
        // SAFETY: a table of the SDK, and what `open` made.
        written(|sink| unsafe { export(this, state, id, sink) })
    }

    /// A stream that comes from other code, with its state as of `version`.
    ///
    /// # Errors
    ///
    /// What the handler refused it with; `PP_E_UNSUPPORTED` if its streams do not move, or it does
    /// not read this version.
    pub fn import_stream(&mut self, version: u32, state: &[u8]) -> Result<PpId, PpStatus> {
        let import = self.stream().import_state.ok_or(PP_E_UNSUPPORTED)?;
        if !(self.table.state_min_version..=self.table.state_version).contains(&version) {
            return Err(PP_E_UNSUPPORTED);
        }
        let (id, info) = (desk::id(self.desk), stream_info(PP_INFO_MIGRATED));
        let (this, mut made) = (self.this, std::ptr::null_mut());
        let code = reading(state, |source| {
            // SAFETY: a table of the SDK; info, source and place live until it returns.
            unsafe { import(this, id, &raw const info, version, source, &raw mut made) }
        });
        self.opened(id, made, code)?;
        Ok(id)
    }

    /// Moves a stream to an instance of other code, as a reload does. It has a new id there, since
    /// ids of a test belong to one instance.
    ///
    /// # Errors
    ///
    /// As for [`Driver::export_stream`] and [`Driver::import_stream`]: the stream stays here.
    pub fn move_stream(&mut self, id: PpId, to: &mut Self) -> Result<PpId, PpStatus> {
        let state = self.export_stream(id)?;
        let moved = to.import_stream(self.state_version(), &state)?;
        self.end_stream(id, PP_END_MIGRATED);
        Ok(moved)
    }

    /// The state of the instance.
    ///
    /// # Errors
    ///
    /// What `save_state` refused it with.
    pub fn save(&mut self) -> Result<Vec<u8>, PpStatus> {
        let save = self.table.save_state.ok_or(PP_E_UNSUPPORTED)?;
        let (this, op) = (self.this, desk::id(self.desk));
        // SAFETY: a table of the SDK, and what `create` made.
        written(|sink| unsafe { save(this, op, sink) })
    }

    /// Gives the instance state as of `version`.
    ///
    /// # Errors
    ///
    /// The findings of `restore_state`: `POINTER: MESSAGE`.
    pub fn restore(&mut self, version: u32, state: &[u8]) -> Result<(), Vec<String>> {
        let mut findings = Vec::new();
        let Some(restore) = self.table.restore_state else {
            return Err(findings);
        };
        let (this, mut report) = (self.this, collect(&mut findings));
        let code = reading(state, |source| {
            // SAFETY: a table of the SDK, and what `create` made; the report lives until it
            // returns.
            unsafe { restore(this, version, source, &raw mut report) }
        });
        if code < 0 { Err(findings) } else { Ok(()) }
    }

    /// Gives the living instance a new configuration.
    ///
    /// # Errors
    ///
    /// What it was refused with, and the findings; `PP_E_UNSUPPORTED`: the host makes a new
    /// instance.
    pub fn reconfigure(&mut self, json: &str) -> Result<(), (PpStatus, Vec<String>)> {
        let mut findings = Vec::new();
        let Some(reconfigure) = self.table.reconfigure else {
            return Err((PP_E_UNSUPPORTED, findings));
        };
        let (json, mut report) = (lend(json.as_bytes()), collect(&mut findings));
        // SAFETY: a table of the SDK, and what `create` made; text and report live until it
        // returns.
        let code = unsafe { reconfigure(self.this, &raw const json, &raw mut report) };
        if code < 0 {
            return Err((code, findings));
        }
        Ok(())
    }

    /// Freezes the instance; its code, or `PP_S_PENDING`.
    pub fn freeze(&mut self) -> PpStatus {
        self.hook(self.table.freeze)
    }

    /// Lets the instance go on after [`Driver::freeze`].
    pub fn thaw(&mut self) -> PpStatus {
        self.hook(self.table.thaw)
    }

    fn hook(&mut self, hook: Option<PpHook>) -> PpStatus {
        let op = desk::id(self.desk);
        // SAFETY: a table of the SDK, and what `create` made.
        hook.map_or(PP_E_UNSUPPORTED, |hook| unsafe { hook(self.this, op) })
    }
}

/// What a callback writes into a sink.
fn written(callback: impl FnOnce(*mut PpSink) -> PpStatus) -> Result<Vec<u8>, PpStatus> {
    let mut bytes = Vec::<u8>::new();
    let mut sink = PpSink {
        ctx: (&raw mut bytes).cast(),
        write,
    };
    let code = callback(&raw mut sink);
    if code < 0 { Err(code) } else { Ok(bytes) }
}

/// Runs a callback that reads state.
fn reading(mut state: &[u8], callback: impl FnOnce(*mut PpSource) -> PpStatus) -> PpStatus {
    let mut source = PpSource {
        ctx: (&raw mut state).cast(),
        read,
    };
    callback(&raw mut source)
}

unsafe extern "C" fn write(sink: *mut PpSink, bytes: *const c_void, len: usize) -> i64 {
    if len == 0 {
        return 0;
    }
    // SAFETY: called with the sink of `written`, whose `ctx` is a vector, and bytes that are lent.
    unsafe {
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), len);
        (*(*sink).ctx.cast::<Vec<u8>>()).extend_from_slice(bytes);
    }
    0
}

/// Gives at most seven bytes at once, since a source may give fewer than it was asked for.
unsafe extern "C" fn read(source: *mut PpSource, into: *mut c_void, len: usize) -> i64 {
    // SAFETY: called with the source of `reading`, whose `ctx` is a slice.
    let state = unsafe { &mut *(*source).ctx.cast::<&[u8]>() };
    let n = len.min(state.len()).min(7);
    let Some((now, later)) = state.split_at_checked(n) else {
        return i64::from(PP_E_FAIL);
    };
    // SAFETY: the room is lent, and `n` is at most its length.
    unsafe { std::ptr::copy_nonoverlapping(now.as_ptr(), into.cast::<u8>(), n) };
    *state = later;
    i64::try_from(n).unwrap_or(0)
}
