//! The calls of a reload: export and import of a stream, save and restore of an instance, freeze.

use std::ffi::c_void;

use polyport_abi::{
    PP_E_FAIL, PP_E_UNSUPPORTED, PP_END_MIGRATED, PP_INFO_MIGRATED, PpHook, PpId, PpSink, PpSource,
    PpStatus,
};

use super::driver::{Driver, collect, stream_info};
use super::test_host::new_id;
use crate::raw::lend;

impl Driver {
    /// The version of the state that this handler writes.
    #[must_use]
    pub const fn state_version(&self) -> u32 {
        self.table.state_version
    }

    /// Exports the state of one stream, which stays open.
    ///
    /// # Errors
    ///
    /// The handler's refusal; `PP_E_UNSUPPORTED` if its streams do not migrate.
    pub fn export_stream(&mut self, id: PpId) -> Result<Vec<u8>, PpStatus> {
        let export = self.stream().export_state;
        written(|sink| self.call(id, export, sink).unwrap_or(PP_E_UNSUPPORTED))
    }

    /// Imports a stream of another generation, with its state as of `version`.
    ///
    /// # Errors
    ///
    /// The handler's refusal; `PP_E_UNSUPPORTED` if its streams do not migrate, or it does not read
    /// this version.
    pub fn import_stream(&mut self, version: u32, state: &[u8]) -> Result<PpId, PpStatus> {
        let import = self.stream().import_state.ok_or(PP_E_UNSUPPORTED)?;
        if !(self.table.state_min_version..=self.table.state_version).contains(&version) {
            return Err(PP_E_UNSUPPORTED);
        }
        let (id, info) = (new_id(self.number), stream_info(PP_INFO_MIGRATED));
        let (this, mut made) = (self.this, std::ptr::null_mut());
        let code = reading(state, |source| {
            // SAFETY: a table of the SDK; info, source and place live until it returns.
            unsafe { import(this, id, &raw const info, version, source, &raw mut made) }
        });
        self.opened(id, made, code)?;
        Ok(id)
    }

    /// Migrates a stream to an instance of other code, as a reload does. The stream gets a new id,
    /// since ids of a test belong to one instance.
    ///
    /// # Errors
    ///
    /// As for [`Driver::export_stream`] and [`Driver::import_stream`]: the stream stays with `self`.
    pub fn migrate_stream(&mut self, id: PpId, to: &mut Self) -> Result<PpId, PpStatus> {
        let state = self.export_stream(id)?;
        let moved = to.import_stream(self.state_version(), &state)?;
        self.end_stream(id, PP_END_MIGRATED);
        Ok(moved)
    }

    /// Saves the state of the instance.
    ///
    /// # Errors
    ///
    /// The refusal of `save_state`.
    pub fn save(&mut self) -> Result<Vec<u8>, PpStatus> {
        let save = self.table.save_state.ok_or(PP_E_UNSUPPORTED)?;
        let (this, op) = (self.this, new_id(self.number));
        // SAFETY: a table of the SDK, and what `create` made.
        written(|sink| unsafe { save(this, op, sink) })
    }

    /// Restores the instance from state as of `version`.
    ///
    /// # Errors
    ///
    /// The findings of `restore_state`, each `POINTER: MESSAGE`.
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

    /// Reconfigures the running instance.
    ///
    /// # Errors
    ///
    /// The refusal and the findings; on `PP_E_UNSUPPORTED` a host makes a new instance.
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

    /// Freezes the instance; returns the hook's code, or `PP_S_PENDING`.
    pub fn freeze(&mut self) -> PpStatus {
        self.hook(self.table.freeze)
    }

    /// Thaws the instance after [`Driver::freeze`].
    pub fn thaw(&mut self) -> PpStatus {
        self.hook(self.table.thaw)
    }

    fn hook(&mut self, hook: Option<PpHook>) -> PpStatus {
        let op = new_id(self.number);
        // SAFETY: a table of the SDK, and what `create` made.
        hook.map_or(PP_E_UNSUPPORTED, |hook| unsafe { hook(self.this, op) })
    }
}

/// Runs a callback and returns what it wrote into the sink.
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
    // SAFETY: called with the sink of `written`, whose `ctx` is a vector, and with lent bytes.
    unsafe {
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), len);
        (*(*sink).ctx.cast::<Vec<u8>>()).extend_from_slice(bytes);
    }
    0
}

/// Returns at most seven bytes a call: a source may return fewer than requested.
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
