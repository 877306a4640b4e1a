//! Flows that go over to other code: from the face of a socket that was replaced to the one that serves.

use std::collections::HashSet;
use std::rc::Rc;

use polyport_abi::{PP_E_PANIC, PP_END_MIGRATED};
use polyport_host::callbacks::{Info, Notice};
use polyport_host::id::Id;
use polyport_host::status::CallbackError;
use polyport_host::stream::PluginState;
use polyport_host::transfer::TransferMode;

use super::Engine;
use super::flow::Flow;
use super::socket::{Socket, tell_fault};
use super::stream::Flag;
use super::table::Entity;
use crate::shut::Reason;

/// What became of the flows of a face.
#[derive(Debug, Default)]
struct Tally {
    migrated: usize,
    stayed: usize,
    ended: usize,
    /// How many could not be exported or imported, and why the first could not.
    failed: Option<(usize, CallbackError)>,
}

/// Why a flow does not move.
enum Stays {
    /// Nothing is wrong.
    Put,
    Failed(CallbackError),
    /// The side that it would have left has panicked.
    Ended,
}

impl Engine {
    /// Moves the flows that can.
    pub(super) fn move_flows(&self, from: &Rc<Socket>, to: &Rc<Socket>) {
        let flows = from.flows.borrow().by_last_look();
        if flows.is_empty() {
            return;
        }
        let carry = from
            .service()
            .instance
            .flow_transfer_to(&to.service().instance);
        let parents = self.parents();
        let mut tally = Tally::default();
        for id in flows {
            let Some(flow) = self.flow_at(from, id) else {
                continue;
            };
            let may = flow.hears() && !parents.contains(&id) && self.takes_flow(to);
            let moved = match carry {
                TransferMode::Stateless if may => {
                    self.rehome(&flow, to);
                    Ok(())
                }
                TransferMode::State if may => self.move_flow(&flow, from, to),
                _ => Err(Stays::Put),
            };
            match moved {
                Ok(()) => {
                    to.flows.borrow_mut().looked_at(id, flow.last_io());
                    self.arm_flow(&flow);
                    tally.migrated += 1;
                }
                Err(Stays::Put) => tally.stayed += 1,
                Err(Stays::Failed(why)) => {
                    tally.stayed += 1;
                    tally.failed.get_or_insert((0, why)).0 += 1;
                }
                Err(Stays::Ended) => tally.ended += 1,
            }
        }
        from.flows.borrow_mut().sweep();
        tell(&tally, from, to);
    }

    /// Flows and sockets that something was dialled for, which would miss its answer.
    fn parents(&self) -> HashSet<Id> {
        let living = self.table.all().into_iter();
        let mut parents: HashSet<Id> = living
            .filter_map(|entity| match entity {
                Entity::Stream(stream) if stream.has(Flag::ENDED) => None,
                Entity::Stream(stream) => stream.dialled,
                Entity::Socket(socket) => socket.dialled,
                Entity::Flow(_) => None,
            })
            .map(|dialled| dialled.parent)
            .collect();
        parents.extend(self.untold_parents());
        parents
    }

    fn move_flow(&self, flow: &Rc<Flow>, from: &Rc<Socket>, to: &Rc<Socket>) -> Result<(), Stays> {
        let (old, new) = (from.service(), to.service());
        let bytes = match old.instance.export_state(flow.id, flow.state.get()) {
            Ok(bytes) => bytes,
            Err(error) if error.0 == PP_E_PANIC => {
                tell_fault(&old, flow.id, "export_state", error);
                self.close_flow(flow, Reason::PluginFault);
                return Err(Stays::Ended);
            }
            Err(error) => return Err(Stays::Failed(error)),
        };
        self.after_callback();
        if !flow.hears() {
            return Err(Stays::Put);
        }
        // What it asks about the flow is answered as for the face that it goes to.
        self.rehome(flow, to);
        let (info, version) = (
            Info::Flow(flow.info()),
            old.instance.handler().state_version,
        );
        let import = || {
            let instance = &new.instance;
            instance.import_state(flow.id, &info, version, &bytes)
        };
        let (state, wishes) = self.on_trial(flow.id, import).map_err(|error| {
            self.rehome(flow, from);
            Stays::Failed(error)
        })?;
        self.say_moved(flow, from, flow.state.replace(state));
        self.grant(flow.id, wishes);
        self.after_callback();
        Ok(())
    }

    /// The old side's last word about a flow that lives on elsewhere: it has no say in it any more.
    fn say_moved(&self, flow: &Rc<Flow>, from: &Rc<Socket>, state: PluginState) {
        let service = from.service();
        self.departed.set(flow.id);
        let said = service
            .instance
            .notify(flow.id, state, Notice::Closed(PP_END_MIGRATED));
        self.departed.set(Id::NONE);
        if let Err(error) = said {
            tell_fault(&service, flow.id, "closed", error);
        }
        self.after_callback();
    }

    /// Makes a flow another face's; it keeps its id and its timers.
    fn rehome(&self, flow: &Rc<Flow>, to: &Rc<Socket>) {
        let from = flow.set_socket(to);
        from.flows.borrow_mut().remove(flow);
        to.flows.borrow_mut().put(flow);
        let service = to.service();
        flow.service().ended();
        service.began();
        flow.set_service(&service);
        self.ids.reassign(flow.id, service.instance.index());
    }
}

fn tell(tally: &Tally, from: &Socket, to: &Socket) {
    let service = to.service();
    let name = service.instance.name();
    if let Some((failed, reason)) = &tally.failed {
        tracing::warn!(
            service = service.name,
            address = %to.listener,
            plugin = name.plugin,
            generation = name.generation,
            failed,
            %reason,
            "flows could not move to the new code and stay with the old"
        );
    }
    tracing::info!(
        service = service.name,
        address = %to.listener,
        from = from.service().instance.name().generation,
        to = name.generation,
        migrated = tally.migrated,
        stayed = tally.stayed,
        ended = tally.ended,
        "flows moved"
    );
}
