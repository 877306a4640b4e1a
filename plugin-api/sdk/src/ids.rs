//! Ids of objects that the host owns. They are plain numbers: copying, keeping or sending one to
//! another thread is harmless, and the id of an ended object is refused with
//! [`Status::GONE`](crate::Status::GONE).
//!
//! An id allows only the calls that the ABI allows from any thread. The rest needs the context
//! value of a callback: [`Stream`](crate::Stream), [`Socket`](crate::Socket),
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
            /// Requests `on_wake(bits)` in the object's own context; bits of several calls are
            /// OR-ed. `[any]`
            ///
            /// # Errors
            ///
            /// `GONE` or `CLOSING` if the object has ended or is ending. An end between this call
            /// and the callback is not reported.
            pub fn wake(self, bits: u64) -> Result<()> {
                // SAFETY: `wake` takes numbers only, and may be called from any thread.
                done(unsafe { (host().wake)(self.0, bits) })
            }

            /// The number, for logs and tables. `[any]`
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

/// Anything with an id: the target of a wake-up, the subject of a log line.
pub trait Target {
    /// The id. `[any]`
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
