//! What only streams have: `on_data`, with typed arguments and a checked result, and the facts of a stream.

use std::ffi::c_void;
use std::net::SocketAddr;
use std::time::Duration;

use polyport_abi as abi;
use polyport_abi::{PpAddr, PpSlice, PpStreamInfo};

use crate::id::Id;
use crate::status::CallbackError;

/// A handler's own state of one stream, socket or flow, which means nothing to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginState(pub(crate) *mut c_void);

impl PluginState {
    /// No state.
    pub const NONE: Self = Self(std::ptr::null_mut());
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Not known.
    None,
    /// IP and port; v4-mapped addresses come as v4.
    Ip(SocketAddr),
    /// A Unix socket; its name by attribute.
    Unix,
}

impl Address {
    pub(crate) fn to_abi(self) -> PpAddr {
        match self {
            Self::None => PpAddr::default(),
            Self::Unix => PpAddr {
                family: abi::PP_FAMILY_UNIX,
                ..PpAddr::default()
            },
            Self::Ip(SocketAddr::V4(v4)) => {
                let mut ip = [0; 16];
                for (place, octet) in ip.iter_mut().zip(v4.ip().octets()) {
                    *place = octet;
                }
                PpAddr {
                    family: abi::PP_FAMILY_V4,
                    port: v4.port(),
                    scope: 0,
                    ip,
                }
            }
            Self::Ip(SocketAddr::V6(v6)) => match v6.ip().to_ipv4_mapped() {
                Some(v4) => Self::Ip(SocketAddr::new(v4.into(), v6.port())).to_abi(),
                None => PpAddr {
                    family: abi::PP_FAMILY_V6,
                    port: v6.port(),
                    scope: v6.scope_id(),
                    ip: v6.ip().octets(),
                },
            },
        }
    }
}

/// Borrowed text as the ABI's slice.
pub(crate) fn slice(text: &str) -> PpSlice {
    PpSlice {
        ptr: text.as_ptr().cast::<c_void>(),
        len: text.len(),
    }
}

/// The dial that a stream or socket is the result of.
#[derive(Debug, Clone, Copy)]
pub struct DialOrigin {
    /// The id that dialled.
    pub parent: Id,
    /// The plugin's mark.
    pub tag: u64,
}

/// The facts of a stream when it opens.
#[derive(Debug, Clone, Copy)]
pub struct StreamInfo<'a> {
    /// The local address.
    pub local: Address,
    /// The peer's address.
    pub remote: Address,
    /// Set when it was dialled.
    pub dialled: Option<DialOrigin>,
    /// Name of the service; empty when dialled by an instance.
    pub service: &'a str,
    /// Name of the listener; empty when dialled.
    pub listener: &'a str,
}

impl StreamInfo<'_> {
    /// Borrows the names: for a call that ends before they do.
    pub(crate) fn to_abi(self, flags: u32) -> PpStreamInfo {
        let dialled = self.dialled;
        let remote = self.remote.to_abi();
        PpStreamInfo {
            struct_size: struct_size::<PpStreamInfo>(),
            flags: flags
                | if dialled.is_some() {
                    abi::PP_INFO_OUTBOUND
                } else {
                    0
                },
            local: self.local.to_abi(),
            remote,
            direct: remote,
            parent: dialled.map_or(0, |dialled| dialled.parent.raw()),
            tag: dialled.map_or(0, |dialled| dialled.tag),
            service: slice(self.service),
            listener: slice(self.listener),
            sni: slice(""),
            alpn: slice(""),
        }
    }
}

/// The result of `on_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumed {
    /// Bytes that the handler used up; at most those that were delivered.
    pub used: usize,
    /// Do not call again below this length; at least 1.
    pub want: usize,
}

/// Why `on_data` ends the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The handler returned an error.
    #[error("{0}")]
    Callback(CallbackError),
    /// The handler returned more bytes than were delivered.
    #[error("claimed more bytes than it was shown")]
    Overrun,
}

/// The size of a struct, for its first member.
#[expect(
    clippy::cast_possible_truncation,
    reason = "structs of the ABI are small"
)]
pub(crate) const fn struct_size<T>() -> u32 {
    size_of::<T>() as u32
}

/// A deadline as it crosses the ABI: nanoseconds of the monotonic clock.
#[must_use]
pub fn deadline_in(left: Duration) -> u64 {
    let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
    crate::services::monotonic_now().saturating_add(left)
}
