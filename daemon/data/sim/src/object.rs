//! The model of a stream, socket or flow.

use std::collections::BTreeMap;

use polyport_abi as abi;

use crate::counts::Kind;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    /// In the order in which objects were first seen; for the trace.
    pub(crate) number: u64,
    /// Who answers it.
    pub(crate) actor: usize,
    /// The state that its open or import returned.
    pub(crate) state: usize,
    pub(crate) phase: Phase,
    /// A drain was asked for.
    pub(crate) draining: bool,
    /// `on_drain` was called.
    pub(crate) drained: bool,
    /// The root of its group.
    pub(crate) group: u64,
    /// Whether a dial made it.
    pub(crate) dialled: bool,
    pub(crate) timers: BTreeMap<u32, Timer>,
    /// Bits of wakes that are to come.
    pub(crate) woken: u64,
    /// Bits that may come once more: the worker may have taken the first ones already.
    pub(crate) maybe_woken: u64,
    /// An import of it that has ended well and is to be committed.
    pub(crate) import: Option<Import>,
    pub(crate) opened: u64,
    pub(crate) last_data: u64,
    /// How the handler has closed it.
    pub(crate) close: Option<u32>,
    /// A callback about it has failed.
    pub(crate) faulted: bool,
    pub(crate) stream: StreamSide,
    /// The port of a listener's socket, or of a flow.
    pub(crate) port: Option<usize>,
    /// The socket of a flow.
    pub(crate) socket: u64,
    /// The datagram peer of a flow or dialled socket.
    pub(crate) peer: Option<usize>,
    /// Datagrams sent.
    pub(crate) sent: u64,
    pub(crate) send_errors: u64,
    /// A short send: `on_writable` is to come.
    pub(crate) owed: bool,
    /// Why it has ended.
    pub(crate) reason: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// `closed` was called, or its `open` failed.
    Ended,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Timer {
    pub(crate) due: u64,
    pub(crate) period: u64,
}

/// What only a stream has.
#[derive(Debug, Default)]
pub(crate) struct StreamSide {
    pub(crate) connection: Option<usize>,
    /// Bytes that the handler has used up.
    pub(crate) consumed: u64,
    /// Bytes that the host has taken.
    pub(crate) written: u64,
    /// No call below so many bytes.
    pub(crate) want: usize,
    pub(crate) reads_off: bool,
    /// A write was above high, or refused for lack of room.
    pub(crate) owed: bool,
    /// Whether it is owed is not known.
    pub(crate) maybe_owed: bool,
    pub(crate) fin_shown: bool,
    pub(crate) fin_written: bool,
    /// What the handler was last shown and has not used up.
    pub(crate) unused: usize,
}

/// An import: what it returned, and what it asked for.
#[derive(Debug, Default)]
pub(crate) struct Import {
    pub(crate) actor: usize,
    pub(crate) state: usize,
    pub(crate) done: bool,
    /// With the object that each is about.
    pub(crate) effects: Vec<(u64, Effect)>,
}

/// What an import asked for.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Write(u64),
    Fin,
    Owed,
    /// Watermarks: output may be above the new ones.
    Watermarks,
    Reads(bool),
    Close(u32),
    TimerSet(u64, u32, u64, u64),
    TimerCancel(u64, u32),
    Dial(u64),
}

impl Object {
    pub(crate) fn new(id: u64, kind: Kind, number: u64, actor: usize, now: u64) -> Self {
        Self {
            id,
            kind,
            number,
            actor,
            state: 0,
            phase: Phase::Open,
            draining: false,
            drained: false,
            group: id,
            dialled: false,
            timers: BTreeMap::new(),
            woken: 0,
            maybe_woken: 0,
            import: None,
            opened: now,
            last_data: now,
            close: None,
            faulted: false,
            stream: StreamSide {
                want: 1,
                ..StreamSide::default()
            },
            port: None,
            socket: 0,
            peer: None,
            sent: 0,
            send_errors: 0,
            owed: false,
            reason: 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Is its end under way?
    pub(crate) fn is_closing(&self) -> bool {
        self.close.is_some() || self.faulted
    }
}

impl Object {
    /// Is it this actor that has imported it, with this state?
    pub(crate) fn is_imported_by(&self, actor: usize, state: usize) -> bool {
        self.import
            .as_ref()
            .is_some_and(|one| (one.actor, one.state) == (actor, state))
    }

    /// The handler closes it; a later, harder way replaces an earlier one.
    pub(crate) fn closed_by_handler(&mut self, how: u32) {
        self.close = Some(self.close.map_or(how, |before| before.max(how)));
    }

    /// It has ended for this reason.
    pub(crate) fn ended_for(&mut self, reason: u32) {
        self.reason = reason;
        self.timers.clear();
        self.woken = 0;
    }

    /// After its end: does all that was written have to come to the peer?
    pub(crate) fn all_is_to_come(&self) -> bool {
        match self.reason {
            abi::PP_END_DONE => true,
            abi::PP_END_HANDLER => self.close == Some(abi::PP_CLOSE_FLUSH),
            abi::PP_END_DRAIN | abi::PP_END_PARTIAL => {
                self.close.is_none_or(|how| how == abi::PP_CLOSE_FLUSH)
            }
            _ => false,
        }
    }
}
