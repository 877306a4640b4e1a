//! Names of things that the host owns. They are plain numbers: copying, keeping or sending one to
//! another thread is harmless, and one whose thing has ended is refused with
//! [`Status::GONE`](crate::Status::GONE).
//!
//! Only what the ABI allows from any thread can be done with an id. The rest needs the context
//! value that a callback is given: [`Stream`](crate::Stream), [`Socket`](crate::Socket),
//! [`Flow`](crate::Flow), [`Instance`](crate::Instance).

use polyport_abi::PpId;

use crate::host::host;
use crate::status::{Result, done};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) PpId);

        impl $name {
            /// Asks for `on_wake(bits)` in the thing's own context; bits of several calls are
            /// OR-ed. `[any]`
            ///
            /// # Errors
            ///
            /// `GONE` or `CLOSING` if it has ended or is ending. What ends between this call and
            /// its delivery is not reported.
            pub fn wake(self, bits: u64) -> Result<()> {
                // SAFETY: `wake` takes numbers only, and may be called from any thread.
                done(unsafe { (host().wake)(self.0, bits) })
            }

            /// The number, for a log or a table of one's own. `[any]`
            #[must_use]
            pub const fn as_u64(self) -> u64 {
                self.0
            }
        }

        impl Target for $name {
            fn raw_id(&self) -> u64 {
                self.0
            }
        }
    };
}

id! {
    /// An instance of a handler.
    InstanceId
}
id! {
    /// A byte stream.
    StreamId
}
id! {
    /// A datagram socket.
    SocketId
}
id! {
    /// A flow: the datagrams between two addresses.
    FlowId
}

/// Whatever has an id: the target of a wake-up, the subject of a log line.
pub trait Target {
    /// The number of the thing. `[any]`
    fn raw_id(&self) -> u64;
}

impl<T: Target + ?Sized> Target for &T {
    fn raw_id(&self) -> u64 {
        (**self).raw_id()
    }
}

impl<T: Target + ?Sized> Target for &mut T {
    fn raw_id(&self) -> u64 {
        (**self).raw_id()
    }
}
