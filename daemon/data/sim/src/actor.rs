//! Instances: handlers of tables in this program, each with traits of its own.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Result, anyhow};
use polyport_abi as abi;
use polyport_abi::{PpFlowOps, PpId, PpReport, PpSlice, PpSocketOps, PpStatus, PpStreamOps};
use polyport_common::wait_group::{WaitGroup, wait_group};
use polyport_host::generation::{Generation, Handler};
use polyport_host::hook_thread::HookThread;
use polyport_host::instance::Instance;
use polyport_host::registry::Registry;

use crate::handler::{datagram, notices, stream, transfer};
use crate::random::Random;

/// How an actor behaves.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent traits")]
pub(crate) struct Traits {
    /// Streams and flows have a state: `open` and `closed` are called.
    pub(crate) stateful: bool,
    /// They can be exported and imported.
    pub(crate) moves: bool,
    /// It has `on_drain`.
    pub(crate) drains: bool,
    pub(crate) exclusive: bool,
    pub(crate) manual_flow: bool,
    /// It has no `on_data`.
    pub(crate) ignores_data: bool,
    /// It has flows, at most so many; 0: none.
    pub(crate) flows_max: u32,
}

/// An instance, and what control keeps of it.
pub(crate) struct Actor {
    pub(crate) traits: Traits,
    pub(crate) instance: Arc<Instance>,
    pub(crate) hook_thread: Arc<HookThread>,
    pub(crate) live: Arc<AtomicU64>,
    pub(crate) in_use: WaitGroup,
    /// It serves nothing any more.
    pub(crate) left: bool,
    /// It left while it was paused, and is exclusive.
    pub(crate) fenced: bool,
}

impl Traits {
    pub(crate) fn random(random: &mut Random) -> Self {
        let stateful = random.chance(85);
        // What it drops is not part of a state that another could go on with.
        let ignores_data = stateful && random.chance(5);
        Self {
            stateful,
            moves: stateful && !ignores_data && random.chance(60),
            drains: random.chance(50),
            exclusive: stateful && random.chance(20),
            manual_flow: random.chance(10),
            ignores_data,
            flows_max: if random.chance(60) {
                u32::try_from(random.between(1, 6)).unwrap_or(1)
            } else {
                0
            },
        }
    }
}

impl Actor {
    /// An instance that is the actor of this number.
    pub(crate) fn new(registry: &Arc<Registry>, number: usize, traits: Traits) -> Result<Self> {
        let mut handler = Handler::from_tables("sim", None, None, None);
        handler.stream = Some(stream_ops(traits));
        handler.socket = Some(socket_ops(traits));
        handler.flow = (traits.flows_max != 0).then(|| flow_ops(traits));
        handler.table.create = Some(create);
        if traits.exclusive {
            handler.flags |= abi::PP_HF_EXCLUSIVE;
        }
        if traits.manual_flow {
            handler.flags |= abi::PP_HF_MANUAL_FLOW;
        }
        let generation = Generation::from_handlers("sim", number as u64, vec![handler.clone()]);
        let instance = Instance::new(registry, "actor", generation, handler)
            .map_err(|error| anyhow!("{error}"))?;
        let hook_thread = HookThread::without_thread(Arc::clone(&instance), &number.to_string())
            .map_err(|error| anyhow!("{error}"))
            .context("create")?;
        Ok(Self {
            traits,
            instance,
            hook_thread,
            live: Arc::default(),
            in_use: wait_group(),
            left: false,
            fenced: false,
        })
    }
}

/// `create`: the configuration is the actor's number, and so is `self`, counted from 1.
unsafe extern "C" fn create(
    _: PpId,
    json: *const PpSlice,
    _: *mut PpReport,
    this: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: a slice of text and a place for a pointer, both lent for this call.
    let bytes = unsafe { std::slice::from_raw_parts((*json).ptr.cast::<u8>(), (*json).len) };
    let number = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse::<usize>().ok());
    let Some(number) = number else {
        return abi::PP_E_INVAL;
    };
    // SAFETY: as above.
    unsafe { this.write(std::ptr::without_provenance_mut(number + 1)) };
    abi::PP_OK
}

fn stream_ops(traits: Traits) -> PpStreamOps {
    PpStreamOps {
        struct_size: u32::try_from(size_of::<PpStreamOps>()).unwrap_or(0),
        reserved: 0,
        open: traits.stateful.then_some(stream::open),
        on_data: (!traits.ignores_data).then_some(stream::on_data),
        on_writable: Some(notices::on_writable),
        on_wake: Some(notices::on_wake),
        on_timer: Some(notices::on_timer),
        on_drain: traits.drains.then_some(notices::on_drain),
        on_dial_failed: Some(notices::on_dial_failed),
        export_state: traits.moves.then_some(transfer::export_state),
        import_state: traits.moves.then_some(transfer::import_state),
        closed: traits.stateful.then_some(notices::closed),
    }
}

fn socket_ops(traits: Traits) -> PpSocketOps {
    PpSocketOps {
        struct_size: u32::try_from(size_of::<PpSocketOps>()).unwrap_or(0),
        flags: 0,
        socket_open: Some(datagram::socket_open),
        on_datagrams: Some(datagram::on_datagrams),
        on_writable: Some(notices::on_writable),
        on_send_error: Some(datagram::on_send_error),
        on_wake: Some(notices::on_wake),
        on_timer: Some(notices::on_timer),
        on_drain: traits.drains.then_some(notices::on_drain),
        on_dial_failed: Some(notices::on_dial_failed),
        socket_closed: Some(notices::closed),
    }
}

fn flow_ops(traits: Traits) -> PpFlowOps {
    PpFlowOps {
        struct_size: u32::try_from(size_of::<PpFlowOps>()).unwrap_or(0),
        flags: 0,
        idle_timeout: 0,
        flows_max: traits.flows_max,
        reserved: 0,
        flow_open: traits.stateful.then_some(datagram::flow_open),
        on_datagrams: Some(datagram::on_datagrams),
        on_wake: Some(notices::on_wake),
        on_timer: Some(notices::on_timer),
        on_drain: traits.drains.then_some(notices::on_drain),
        on_dial_failed: Some(notices::on_dial_failed),
        export_state: traits.moves.then_some(transfer::export_state),
        import_state: traits.moves.then_some(datagram::import_state),
        closed: traits.stateful.then_some(notices::closed),
    }
}
