//! Whether a living stream or flow can go on with another instance, mostly of a newer generation. The calls of
//! `export_state` and `import_state` stand in `callbacks`.

use polyport_abi::{PpFlowOps, PpStreamOps};

use crate::instance::Instance;
use crate::probe::HandlerSummary;

/// Most bytes that the state of one stream or flow may have on its way.
pub const STATE_MAX: usize = 16 << 20;

/// Can a stream or flow go from one instance to another?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferMode {
    /// It stays where it is.
    None,
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
    pub fn stream_transfer_to(&self, next: &Self) -> TransferMode {
        let keeping = |ops: &PpStreamOps| Keeping {
            exports: ops.export_state.is_some(),
            imports: ops.import_state.is_some(),
            keeps: ops.open.is_some() || ops.closed.is_some(),
        };
        let (old, new) = (&self.handler().stream, &next.handler().stream);
        self.transfer_to(next, old.as_ref().map(keeping), new.as_ref().map(keeping))
    }

    /// Can its streams go on with this handler, as far as can be said before that is loaded? Only which plugin it is of
    /// is not looked at.
    #[must_use]
    pub fn may_transfer_streams_to(&self, next: &HandlerSummary) -> bool {
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
    pub fn flow_transfer_to(&self, next: &Self) -> TransferMode {
        let keeping = |ops: &PpFlowOps| Keeping {
            exports: ops.export_state.is_some(),
            imports: ops.import_state.is_some(),
            keeps: ops.flow_open.is_some() || ops.closed.is_some(),
        };
        let (old, new) = (&self.handler().flow, &next.handler().flow);
        self.transfer_to(next, old.as_ref().map(keeping), new.as_ref().map(keeping))
    }

    fn transfer_to(&self, next: &Self, old: Option<Keeping>, new: Option<Keeping>) -> TransferMode {
        let (Some(old), Some(new)) = (old, new) else {
            return TransferMode::None;
        };
        // A handler is named by its plugin and its own id: another plugin's may write another format.
        let (from, to) = (self.handler(), next.handler());
        if from.id != to.id || self.generation().id != next.generation().id {
            return TransferMode::None;
        }
        let understood = to.state_min_version..=to.state_version;
        if old.exports && new.imports && understood.contains(&from.state_version) {
            return TransferMode::State;
        }
        let stateless = |side: Keeping| !(side.keeps || side.exports || side.imports);
        if stateless(old) && stateless(new) {
            return TransferMode::Stateless;
        }
        TransferMode::None
    }
}
