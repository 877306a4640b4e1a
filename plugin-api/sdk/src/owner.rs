//! Timers and dials of streams, sockets, flows and instances, as methods of those four.

use std::marker::PhantomData;
use std::time::Duration;

use polyport_abi::{
    PP_DIAL_DATAGRAM, PP_DIAL_STREAM, PP_DIAL_UNIX, PP_DIAL_UNIXGRAM, PpAddr, PpDial, PpId,
};

use crate::address::Address;
use crate::host::host;
use crate::raw::{EMPTY, lend, nanos, size32};
use crate::status::{Result, done};

/// A dial. It results in a new stream or socket with [`Dial::tag`], or in `on_dial_failed`.
#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    raw: PpDial,
    /// The names in `raw` are borrowed.
    names: PhantomData<&'a [u8]>,
}

impl<'a> Dial<'a> {
    /// To the upstream `name` of the operator's configuration.
    #[must_use]
    pub fn upstream(name: &'a str) -> Self {
        let mut dial = Self::new(PP_DIAL_STREAM);
        dial.raw.upstream = lend(name.as_bytes());
        dial
    }

    /// A TCP connection.
    #[must_use]
    pub fn stream(to: Address) -> Self {
        let mut dial = Self::new(PP_DIAL_STREAM);
        dial.raw.addr = to.0;
        dial
    }

    /// A connected UDP socket.
    #[must_use]
    pub fn datagram(to: Address) -> Self {
        let mut dial = Self::new(PP_DIAL_DATAGRAM);
        dial.raw.addr = to.0;
        dial
    }

    /// A Unix stream; a leading NUL means an abstract name.
    #[must_use]
    pub fn unix(path: &'a [u8]) -> Self {
        let mut dial = Self::new(PP_DIAL_UNIX);
        dial.raw.path = lend(path);
        dial
    }

    /// A Unix datagram socket; a leading NUL means an abstract name.
    #[must_use]
    pub fn unixgram(path: &'a [u8]) -> Self {
        let mut dial = Self::new(PP_DIAL_UNIXGRAM);
        dial.raw.path = lend(path);
        dial
    }

    /// Gives up after `timeout` instead of 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.raw.connect_timeout = nanos(timeout);
        self
    }

    /// A number that the result carries.
    #[must_use]
    pub const fn tag(mut self, tag: u64) -> Self {
        self.raw.tag = tag;
        self
    }

    fn new(kind: u32) -> Self {
        let raw = PpDial {
            struct_size: size32::<PpDial>(),
            flags: 0,
            kind,
            reserved: 0,
            upstream: EMPTY,
            path: EMPTY,
            addr: PpAddr::default(),
            connect_timeout: 0,
            tag: 0,
        };
        Self {
            raw,
            names: PhantomData,
        }
    }
}

pub(crate) fn timer_set(owner: PpId, key: u32, after: Duration, period: Duration) -> Result<()> {
    // SAFETY: numbers only; the caller holds the owner's context value.
    done(unsafe { (host().timer_set)(owner, key, nanos(after), nanos(period)) })
}

pub(crate) fn timer_cancel(owner: PpId, key: u32) -> Result<()> {
    // SAFETY: numbers only; the caller holds the owner's context value.
    done(unsafe { (host().timer_cancel)(owner, key) })
}

pub(crate) fn dial(owner: PpId, dial: &Dial<'_>) -> Result<()> {
    // SAFETY: the names in `dial` outlive the call; the caller holds the owner's context value.
    done(unsafe { (host().dial)(owner, &raw const dial.raw) })
}

/// Timers and dials as methods of a context value with a `raw_id`.
macro_rules! owner_functions {
    ($tag:literal) => {
        /// Calls `on_timer(key)` once, after `after`. Setting a key again replaces its timer.
        #[doc = concat!("`", $tag, "`")]
        ///
        /// # Errors
        ///
        /// `GONE` after the end, `FULL` at the host's limit of timers.
        pub fn set_timer(&mut self, key: u32, after: std::time::Duration) -> $crate::Result<()> {
            $crate::owner::timer_set(self.raw_id(), key, after, std::time::Duration::ZERO)
        }

        /// Calls `on_timer(key)` every `period`. Setting a key again replaces its timer.
        #[doc = concat!("`", $tag, "`")]
        ///
        /// # Errors
        ///
        /// As for a single timer; `INVAL` for a period of zero.
        pub fn set_interval(
            &mut self,
            key: u32,
            period: std::time::Duration,
        ) -> $crate::Result<()> {
            if period.is_zero() {
                return Err($crate::Status::INVAL.into());
            }
            $crate::owner::timer_set(self.raw_id(), key, period, period)
        }

        #[doc = concat!("Cancels a timer: it never fires afterwards. `", $tag, "`")]
        ///
        /// # Errors
        ///
        /// `GONE` after the end.
        pub fn cancel_timer(&mut self, key: u32) -> $crate::Result<()> {
            $crate::owner::timer_cancel(self.raw_id(), key)
        }

        #[doc = concat!("Connects; this object becomes the parent of the result. `", $tag, "`")]
        ///
        /// # Errors
        ///
        /// `DENIED` by the operator's policy, `INVAL` for an invalid address, `FULL` at a limit.
        pub fn dial(&mut self, to: &$crate::Dial<'_>) -> $crate::Result<()> {
            $crate::owner::dial(self.raw_id(), to)
        }
    };
}
pub(crate) use owner_functions;
