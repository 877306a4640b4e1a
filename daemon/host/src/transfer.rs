//! Whether a living stream or flow can go on with another instance, mostly of a newer generation. The calls of
//! `export_state` and `import_state` stand in `callbacks`.

use polyport_abi::{PpFlowOps, PpStreamOps};

use crate::instance::Instance;
use crate::probe::HandlerSummary;

/// Most bytes of exported state of one stream or flow.
pub const STATE_MAX: usize = 16 << 20;

/// How a stream or flow goes from one instance to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferMode {
    /// It stays with its instance.
    None,
    /// Without state: neither handler keeps any.
    Stateless,
    /// By export and import.
    State,
}

/// What a table does with the state of its streams or flows.
#[derive(Debug, Clone, Copy)]
struct StateUse {
    exports: bool,
    imports: bool,
    /// It has a function to open or to close, where it may make or free state.
    keeps: bool,
}

/// Does a handler with this table keep no state of a stream?
pub(crate) fn are_stateless(ops: &PpStreamOps) -> bool {
    let keeps = ops.open.is_some() || ops.closed.is_some();
    !(keeps || ops.export_state.is_some() || ops.import_state.is_some())
}

/// How streams of `this` can go on with `next`.
#[must_use]
pub fn stream_transfer(this: &Instance, next: &Instance) -> TransferMode {
    let state_use = |ops: &PpStreamOps| StateUse {
        exports: ops.export_state.is_some(),
        imports: ops.import_state.is_some(),
        keeps: ops.open.is_some() || ops.closed.is_some(),
    };
    let (old, new) = (&this.handler().stream, &next.handler().stream);
    transfer(
        this,
        next,
        old.as_ref().map(state_use),
        new.as_ref().map(state_use),
    )
}

/// Can streams of `this` probably go on with a handler that is not loaded yet? The plugin's id is not compared.
#[must_use]
pub fn may_transfer_streams(this: &Instance, next: &HandlerSummary) -> bool {
    let from = this.handler();
    let Some(old) = &from.stream else {
        return false;
    };
    let understood = next.state_min_version..=next.state_version;
    let by_state = old.export_state.is_some()
        && next.imports_streams
        && understood.contains(&from.state_version);
    from.id == next.id && (by_state || are_stateless(old) && next.streams_are_stateless)
}

/// How flows of `this` can go on with `next`.
#[must_use]
pub fn flow_transfer(this: &Instance, next: &Instance) -> TransferMode {
    let state_use = |ops: &PpFlowOps| StateUse {
        exports: ops.export_state.is_some(),
        imports: ops.import_state.is_some(),
        keeps: ops.flow_open.is_some() || ops.closed.is_some(),
    };
    let (old, new) = (&this.handler().flow, &next.handler().flow);
    transfer(
        this,
        next,
        old.as_ref().map(state_use),
        new.as_ref().map(state_use),
    )
}

fn transfer(
    this: &Instance,
    next: &Instance,
    old: Option<StateUse>,
    new: Option<StateUse>,
) -> TransferMode {
    let (Some(old), Some(new)) = (old, new) else {
        return TransferMode::None;
    };
    // Handlers of two plugins may have the same id and write different formats.
    let (from, to) = (this.handler(), next.handler());
    if from.id != to.id || this.generation().id != next.generation().id {
        return TransferMode::None;
    }
    let understood = to.state_min_version..=to.state_version;
    if old.exports && new.imports && understood.contains(&from.state_version) {
        return TransferMode::State;
    }
    let stateless = |side: StateUse| !(side.keeps || side.exports || side.imports);
    if stateless(old) && stateless(new) {
        return TransferMode::Stateless;
    }
    TransferMode::None
}
