//! Reasons of an end.

use std::fmt;

use polyport_abi as abi;

/// Why a stream, socket or flow ended. New reasons may be added: match with a last arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End(pub(crate) u32);

impl End {
    /// Both directions ended in order.
    pub const DONE: Self = Self(abi::PP_END_DONE);
    /// The handler closed it.
    pub const HANDLER: Self = Self(abi::PP_END_HANDLER);
    /// The peer reset it or vanished.
    pub const PEER_RESET: Self = Self(abi::PP_END_PEER_RESET);
    /// No byte within the idle timeout.
    pub const IDLE: Self = Self(abi::PP_END_IDLE);
    /// No first byte in time.
    pub const FIRST_BYTE: Self = Self(abi::PP_END_FIRST_BYTE);
    /// The peer did not read within the write timeout.
    pub const WRITE: Self = Self(abi::PP_END_WRITE);
    /// Its lifetime is over.
    pub const LIFETIME: Self = Self(abi::PP_END_LIFETIME);
    /// The handler wants more bytes than the host may buffer.
    pub const TOO_LARGE: Self = Self(abi::PP_END_TOO_LARGE);
    /// The peer ended in the middle of a message.
    pub const PARTIAL: Self = Self(abi::PP_END_PARTIAL);
    /// A callback failed, panicked or returned an impossible value.
    pub const PLUGIN_FAULT: Self = Self(abi::PP_END_PLUGIN_FAULT);
    /// Shutdown or reload, in order.
    pub const DRAIN: Self = Self(abi::PP_END_DRAIN);
    /// Shutdown: the grace period ran out.
    pub const FORCED: Self = Self(abi::PP_END_FORCED);
    /// The operator ended it.
    pub const OPERATOR: Self = Self(abi::PP_END_OPERATOR);
    /// The system refused something.
    pub const HOST: Self = Self(abi::PP_END_HOST);
    /// Another generation took it over.
    pub const MIGRATED: Self = Self(abi::PP_END_MIGRATED);

    /// The number in the ABI.
    #[must_use]
    pub const fn code(self) -> u32 {
        self.0
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::DONE => "done",
            Self::HANDLER => "closed by the handler",
            Self::PEER_RESET => "reset by the peer",
            Self::IDLE => "idle",
            Self::FIRST_BYTE => "no first byte",
            Self::WRITE => "the peer does not read",
            Self::LIFETIME => "lifetime over",
            Self::TOO_LARGE => "message too large",
            Self::PARTIAL => "partial message",
            Self::PLUGIN_FAULT => "fault of the plugin",
            Self::DRAIN => "drained",
            Self::FORCED => "forced",
            Self::OPERATOR => "closed by the operator",
            Self::HOST => "refused by the system",
            Self::MIGRATED => "migrated",
            _ => "unknown reason",
        })
    }
}
