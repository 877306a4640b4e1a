//! Why a stream, socket or flow ended: one reason, and who is to blame.

use polyport_abi as abi;

/// Who caused an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The other end of the connection.
    Peer,
    /// The handler.
    Plugin,
    /// The operator: by a command or by configuration.
    Operator,
    /// The daemon, or the system under it.
    Host,
}

impl Blame {
    /// The word for the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Plugin => "plugin",
            Self::Operator => "operator",
            Self::Host => "host",
        }
    }
}

/// The reason of an end; the codes are `PP_END_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Both directions ended in order.
    Done,
    /// The handler closed it.
    Handler,
    /// The peer reset it or vanished.
    PeerReset,
    /// No byte for the idle timeout.
    Idle,
    /// No first byte in time.
    FirstByte,
    /// The peer did not read for the write timeout.
    Write,
    /// Its lifetime is over.
    Lifetime,
    /// The handler waits for more than may be kept.
    TooLarge,
    /// The peer ended in the middle of a message.
    Partial,
    /// A callback failed, panicked or claimed the impossible.
    PluginFault,
    /// Shutdown, in order.
    Drain,
    /// Shutdown: the grace period ran out.
    Forced,
    /// The system refused something.
    Host,
}

impl Reason {
    /// The code for the plugin, the blame, and the word for the log.
    #[must_use]
    pub fn describe(self) -> (u32, Blame, &'static str) {
        match self {
            Self::Done => (abi::PP_END_DONE, Blame::Peer, "done"),
            Self::Handler => (abi::PP_END_HANDLER, Blame::Plugin, "handler"),
            Self::PeerReset => (abi::PP_END_PEER_RESET, Blame::Peer, "peer-reset"),
            Self::Idle => (abi::PP_END_IDLE, Blame::Peer, "idle"),
            Self::FirstByte => (abi::PP_END_FIRST_BYTE, Blame::Peer, "first-byte"),
            Self::Write => (abi::PP_END_WRITE, Blame::Peer, "write"),
            Self::Lifetime => (abi::PP_END_LIFETIME, Blame::Operator, "lifetime"),
            Self::TooLarge => (abi::PP_END_TOO_LARGE, Blame::Peer, "too-large"),
            Self::Partial => (abi::PP_END_PARTIAL, Blame::Peer, "partial"),
            Self::PluginFault => (abi::PP_END_PLUGIN_FAULT, Blame::Plugin, "plugin-fault"),
            Self::Drain => (abi::PP_END_DRAIN, Blame::Operator, "drain"),
            Self::Forced => (abi::PP_END_FORCED, Blame::Operator, "forced"),
            Self::Host => (abi::PP_END_HOST, Blame::Host, "host"),
        }
    }

    /// The code for the plugin.
    #[must_use]
    pub fn code(self) -> u32 {
        self.describe().0
    }
}
