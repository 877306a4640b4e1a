//! The hand-over of a living stream or flow from one instance to another, mostly of a newer generation: calls of
//! `export_state` and `import_state`, and when there is a point in them.

use polyport_abi as abi;
use polyport_abi::{PpFlowOps, PpStreamOps};

use crate::boundary::{Callback, IoCall};
use crate::datagram::FlowInfo;
use crate::id::Id;
use crate::instance::Instance;
use crate::probe::HandlerSummary;
use crate::state_io::{feed, gather};
use crate::status::CallbackError;
use crate::stream::{PluginState, StreamInfo};

/// Most bytes that the state of one stream or flow may have on its way.
pub const CARRIED_MAX: usize = 16 << 20;

/// Can a stream or flow go from one instance to another?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// It stays where it is.
    No,
    /// It can, and there is no state: neither handler keeps any.
    Stateless,
    /// By export and import.
    State,
}

/// What a table says of the state of what it serves.
#[derive(Debug, Clone, Copy)]
struct Keeping {
    exports: bool,
    imports: bool,
    /// It makes or frees something for each stream or flow.
    keeps: bool,
}

/// Does a handler with this table keep nothing of a stream?
pub(crate) fn are_stateless(ops: &PpStreamOps) -> bool {
    let keeps = ops.open.is_some() || ops.closed.is_some();
    !(keeps || ops.export_state.is_some() || ops.import_state.is_some())
}

impl Instance {
    /// Can its streams go on with `next`?
    #[must_use]
    pub fn carries_streams_to(&self, next: &Self) -> Carry {
        let keeping = |ops: &PpStreamOps| Keeping {
            exports: ops.export_state.is_some(),
            imports: ops.import_state.is_some(),
            keeps: ops.open.is_some() || ops.closed.is_some(),
        };
        let (old, new) = (&self.handler().stream, &next.handler().stream);
        self.carries(next, old.as_ref().map(keeping), new.as_ref().map(keeping))
    }

    /// Can its streams go on with this handler, as far as can be said before that is loaded? Only which plugin it is of
    /// is not looked at.
    #[must_use]
    pub fn streams_could_go_to(&self, next: &HandlerSummary) -> bool {
        let from = self.handler();
        let Some(old) = &from.stream else {
            return false;
        };
        let understood = next.state_min_version..=next.state_version;
        let by_state = old.export_state.is_some()
            && next.imports_streams
            && understood.contains(&from.state_version);
        from.id == next.id && (by_state || are_stateless(old) && next.streams_are_stateless)
    }

    /// Can its flows go on with `next`?
    #[must_use]
    pub fn carries_flows_to(&self, next: &Self) -> Carry {
        let keeping = |ops: &PpFlowOps| Keeping {
            exports: ops.export_state.is_some(),
            imports: ops.import_state.is_some(),
            keeps: ops.flow_open.is_some() || ops.closed.is_some(),
        };
        let (old, new) = (&self.handler().flow, &next.handler().flow);
        self.carries(next, old.as_ref().map(keeping), new.as_ref().map(keeping))
    }

    fn carries(&self, next: &Self, old: Option<Keeping>, new: Option<Keeping>) -> Carry {
        let (Some(old), Some(new)) = (old, new) else {
            return Carry::No;
        };
        // A handler is named by its plugin and its own id: another plugin's may write another format.
        let (from, to) = (self.handler(), next.handler());
        if from.id != to.id || self.generation().id != next.generation().id {
            return Carry::No;
        }
        let understood = to.state_min_version..=to.state_version;
        if old.exports && new.imports && understood.contains(&from.state_version) {
            return Carry::State;
        }
        let stateless = |side: Keeping| !(side.keeps || side.exports || side.imports);
        if stateless(old) && stateless(new) {
            return Carry::Stateless;
        }
        Carry::No
    }

    /// `export_state` of a stream; the state is as it was afterwards, unless this panicked.
    ///
    /// # Errors
    /// The handler fails, or has none, or writes more than [`CARRIED_MAX`] (`PP_E_FULL`).
    pub fn stream_export(&self, state: PluginState, s: Id) -> Result<Vec<u8>, CallbackError> {
        let Some(export) = self.handler().stream.and_then(|ops| ops.export_state) else {
            return Err(CallbackError(abi::PP_E_UNSUPPORTED));
        };
        let _call = IoCall::enter(Callback::ExportState, self.index(), s);
        // SAFETY: a function of a vetted table, with the instance's own `self` and the state that its `open` or
        // `import_state` returned for this id; exclusive for the id, because the worker makes one call at a time.
        let call = |sink| unsafe { export(self.this(), state.0, s.raw(), sink) };
        let (status, bytes) = gather(CARRIED_MAX, call);
        self.check(status).map(|_| bytes)
    }

    /// `import_state` of a stream, instead of `open`.
    ///
    /// # Errors
    /// The handler fails, or has none.
    pub fn stream_import(
        &self,
        s: Id,
        info: &StreamInfo<'_>,
        version: u32,
        bytes: &[u8],
    ) -> Result<PluginState, CallbackError> {
        let Some(import) = self.handler().stream.and_then(|ops| ops.import_state) else {
            return Err(CallbackError(abi::PP_E_UNSUPPORTED));
        };
        let raw = info.to_abi(abi::PP_INFO_MIGRATED);
        let mut state = std::ptr::null_mut();
        let _call = IoCall::enter(Callback::ImportState, self.index(), s);
        let (this, state_at) = (self.this(), &raw mut state);
        // SAFETY: a function of a vetted table, with the instance's own `self` and borrowed arguments that outlive
        // the call; exclusive for this id, as in `stream_export`.
        let call =
            |source| unsafe { import(this, s.raw(), &raw const raw, version, source, state_at) };
        self.check(feed(bytes, call))?;
        Ok(PluginState(state))
    }

    /// `export_state` of a flow; the state is as it was afterwards, unless this panicked.
    ///
    /// # Errors
    /// As [`stream_export`](Self::stream_export).
    pub fn flow_export(&self, state: PluginState, flow: Id) -> Result<Vec<u8>, CallbackError> {
        let Some(export) = self.handler().flow.and_then(|ops| ops.export_state) else {
            return Err(CallbackError(abi::PP_E_UNSUPPORTED));
        };
        let _call = IoCall::enter(Callback::ExportState, self.index(), flow);
        // SAFETY: as in `stream_export`.
        let call = |sink| unsafe { export(self.this(), state.0, flow.raw(), sink) };
        let (status, bytes) = gather(CARRIED_MAX, call);
        self.check(status).map(|_| bytes)
    }

    /// `import_state` of a flow, instead of `flow_open`.
    ///
    /// # Errors
    /// The handler fails, or has none.
    pub fn flow_import(
        &self,
        flow: Id,
        info: &FlowInfo,
        version: u32,
        bytes: &[u8],
    ) -> Result<PluginState, CallbackError> {
        let Some(import) = self.handler().flow.and_then(|ops| ops.import_state) else {
            return Err(CallbackError(abi::PP_E_UNSUPPORTED));
        };
        let raw = info.to_abi(abi::PP_INFO_MIGRATED);
        let mut state = std::ptr::null_mut();
        let _call = IoCall::enter(Callback::ImportState, self.index(), flow);
        let (this, state_at) = (self.this(), &raw mut state);
        // SAFETY: as in `stream_import`.
        let call =
            |source| unsafe { import(this, flow.raw(), &raw const raw, version, source, state_at) };
        self.check(feed(bytes, call))?;
        Ok(PluginState(state))
    }
}
