//! The hand-over of a living stream to another instance: its id, socket, unread input, unsent output and timers stay;
//! what the handler knows of it is carried over.

use std::rc::Rc;
use std::sync::Arc;

use polyport_abi::{PP_E_PANIC, PP_END_MIGRATED};
use polyport_host::callbacks::{Info, Notice};
use polyport_host::id::Id;
use polyport_host::status::CallbackError;
use polyport_host::stream::{Address, PluginState, StreamInfo};
use polyport_host::transfer::TransferMode;

use super::Engine;
use super::listening::address;
use super::stream::{Flag, Stream};
use crate::service::Service;

/// What became of the streams of one swap.
#[derive(Debug, Default)]
pub(super) struct Moved {
    migrated: usize,
    stayed: usize,
    /// The hand-over was tried and failed; these stayed, too.
    failed: usize,
    /// Why, of the first that failed.
    reason: Option<(&'static str, CallbackError)>,
    pub(super) draining: usize,
}

impl Moved {
    /// One line for all, and one more if something failed.
    pub(super) fn tell(&self, worker: u8, snapshot: u64) {
        let Self {
            migrated,
            stayed,
            failed,
            draining,
            ..
        } = self;
        if let Some((callback, error)) = &self.reason {
            tracing::warn!(
                worker,
                snapshot,
                streams = failed,
                callback,
                reason = %error,
                "streams could not be handed over and stay with the old code; the reason is that of the first"
            );
        }
        if migrated + stayed + draining != 0 {
            tracing::info!(
                worker,
                snapshot,
                migrated,
                stayed,
                draining,
                "streams moved"
            );
        }
    }

    fn failed(&mut self, callback: &'static str, error: CallbackError) {
        self.failed += 1;
        self.reason.get_or_insert((callback, error));
    }
}

impl Engine {
    /// Hands a stream over if both sides can; `alone`: it has no living relatives.
    pub(super) fn migrate(
        &self,
        stream: &Rc<Stream>,
        next: &Arc<Service>,
        alone: bool,
        moved: &mut Moved,
    ) {
        let carry = stream.service().instance.stream_transfer_to(&next.instance);
        let busy = stream.has(Flag::CONNECTING)
            || stream.has(Flag::DRAINING)
            || stream.has(Flag::BROKEN)
            || stream.ending.borrow().is_some();
        let can = !busy && alone && stream.dialled.is_none() && carry != TransferMode::None;
        if can && self.hand_over(stream, next, carry, moved) {
            moved.migrated += 1;
            // The new code may want less than the old.
            stream.want.set(1);
            self.show_kept_again(stream);
            self.arm(stream);
        } else if self.is_frozen(&stream.service().instance) {
            moved.draining += usize::from(self.end_frozen(stream));
        } else {
            moved.stayed += 1;
        }
        // The next turn goes on with it, and sends what was written meanwhile.
        self.again(stream);
        self.after_callback();
    }

    /// Says whether it is done; else all is as it was.
    fn hand_over(
        &self,
        stream: &Rc<Stream>,
        next: &Arc<Service>,
        carry: TransferMode,
        moved: &mut Moved,
    ) -> bool {
        let before = Arc::clone(&stream.service());
        let (mut state, mut wishes) = (PluginState::NONE, Vec::new());
        if carry == TransferMode::State {
            let bytes = match before.instance.export_state(stream.id, stream.state.get()) {
                // What it asked for meanwhile may have been the end.
                Ok(_) if stream.ending.borrow().is_some() => return false,
                Ok(bytes) => bytes,
                Err(error) if error.0 == PP_E_PANIC => {
                    self.fault(stream, "export_state", &error.to_string());
                    return false;
                }
                Err(error) => {
                    moved.failed("export_state", error);
                    return false;
                }
            };
            let local = stream.socket.local_address();
            let info = Info::Stream(StreamInfo {
                local: local.map_or(Address::None, |local| address(&local)),
                remote: address(&stream.peer),
                dialled: None,
                service: &next.name,
                listener: &stream.listener,
            });
            let version = before.instance.handler().state_version;
            let import = || {
                let instance = &next.instance;
                instance.import_state(stream.id, &info, version, &bytes)
            };
            match self.on_trial(stream.id, import) {
                Ok(imported) => (state, wishes) = imported,
                Err(error) => {
                    moved.failed("import_state", error);
                    return false;
                }
            }
        }
        self.ids.reassign(stream.id, next.instance.index());
        let old = stream.state.replace(state);
        stream.change_service(next);
        // What it wants to do with the stream in its last word is the new side's affair by now.
        self.departed.set(stream.id);
        let said = before
            .instance
            .notify(stream.id, old, Notice::Closed(PP_END_MIGRATED));
        self.departed.set(Id::NONE);
        if let Err(error) = said {
            // The stream is not its any more, so it lives on.
            super::socket::tell_fault(&before, stream.id, "closed", error);
        }
        self.grant(stream.id, wishes);
        true
    }
}
