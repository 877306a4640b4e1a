//! A hand-over to another process that has the same listening sockets: who comes waits in the kernel while it is made,
//! and is that process's affair once it is. Streams stay here until they end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use polyport_host::status::DialFailure;

use super::Engine;
use super::stream::{Flag, Stream};
use super::table::Entity;
use crate::shut::Reason;

/// Who serves those who come.
#[derive(Debug, Clone)]
pub enum Standby {
    /// Nobody for now: they wait in the kernel.
    Suspend,
    /// This process again.
    Resume,
    /// Another process.
    HandOff {
        /// Instances that are held and whose state has gone over: what they serve ends, because nothing that it
        /// changed would be kept.
        gone: Arc<[u32]>,
        /// Until when the flows of datagram sockets take leave.
        until: Instant,
    },
}

impl Engine {
    /// See the module's text.
    pub(super) fn cede(&self, ceding: &Standby) {
        match ceding {
            Standby::Suspend => {
                self.ceded.set(true);
                self.review_listeners();
            }
            Standby::Resume => {
                self.ceded.set(false);
                self.resume();
            }
            Standby::HandOff { gone, until } => self.cede_for_good(gone, *until),
        }
    }

    fn cede_for_good(&self, gone: &Arc<[u32]>, until: Instant) {
        self.ceded.set(true);
        // It holds listeners, which close when the last who has them lets go.
        self.snapshot.take();
        self.close_listeners();
        self.drop_accepted(gone);
        let until = self.nanos_of(until);
        for entity in self.table.all() {
            match entity {
                Entity::Stream(stream) if gone.contains(&stream.service().instance.index()) => {
                    self.end_stream(&stream);
                }
                Entity::Socket(socket) => {
                    let instance = socket.service().instance.index();
                    if gone.contains(&instance) {
                        self.close_socket(&socket, Reason::Drain);
                    } else if socket.socket.listener().is_some() {
                        self.drain_socket(&socket, until);
                    }
                }
                Entity::Stream(_) | Entity::Flow(_) => {}
            }
        }
        self.let_go(gone);
    }

    fn end_stream(&self, stream: &Rc<Stream>) {
        if stream.has(Flag::CONNECTING) {
            return self.give_up_dial(stream, DialFailure::Closing);
        }
        if !stream.has(Flag::ENDED) {
            self.serve(stream, |stream| stream.end(Reason::Drain, true, None));
        }
    }
}
