//! What the trampolines of streams, sockets and flows have in common. A trampoline is a function of
//! the table: it hands a call of the host to the author's trait.
//!
//! Each macro makes one trampoline, generic over the handler: `callback!(Stream,
//! DrainStream::on_drain(deadline: PpNanos) => Moment::from_nanos(deadline))` names the context value,
//! the author's method, the raw arguments and the values that the method gets for them.

use polyport_abi::{PpCallback, PpFlowInfo, PpId, PpImport, PpSink, PpSocketInfo, PpStreamInfo};

use crate::datagram::Socket;
use crate::flow::Flow;
use crate::ids::SocketId;
use crate::stream::Stream;

/// What the host keeps for an object between callbacks.
pub(super) struct Kept<C: Context, S> {
    /// What the context value is made from in each callback.
    pub(super) origin: C::Origin,
    /// The author's state.
    pub(super) state: S,
}

/// The context value of a kind of object.
pub(super) trait Context {
    /// What the host knows of an object when it opens.
    type Info;
    /// What a context value needs beside the id.
    type Origin: Copy;

    fn origin(info: &Self::Info) -> Self::Origin;
    fn from_origin(id: PpId, origin: Self::Origin) -> Self;
}

impl Context for Stream<'_> {
    type Info = PpStreamInfo;
    type Origin = ();

    fn origin(_: &PpStreamInfo) {}
    fn from_origin(id: PpId, (): ()) -> Self {
        Self::new(id)
    }
}

impl Context for Socket<'_> {
    type Info = PpSocketInfo;
    type Origin = ();

    fn origin(_: &PpSocketInfo) {}
    fn from_origin(id: PpId, (): ()) -> Self {
        Self::new(id)
    }
}

impl Context for Flow<'_> {
    type Info = PpFlowInfo;
    type Origin = SocketId;

    fn origin(info: &PpFlowInfo) -> SocketId {
        SocketId(info.socket)
    }
    fn from_origin(id: PpId, socket: SocketId) -> Self {
        Self::new(id, socket)
    }
}

/// The callbacks of a trait `Migrate…`: export and import, absent together.
pub(super) type MigrateOps<Info> = (PpCallback<*mut PpSink>, PpImport<Info>);

/// A callback that makes the state of an object: the last argument is the place for it.
macro_rules! open {
    (
        $name:literal, $context:ident,
        $trait:ident::$method:ident($($arg:ident: $raw:ty),*) => $info:ident $(, $value:expr)*
    ) => {
        unsafe extern "C" fn $method<H: $trait>(
            this: *mut c_void,
            id: PpId,
            info: *const <$context<'static> as Context>::Info,
            $($arg: $raw,)*
            state: *mut *mut c_void,
        ) -> PpStatus {
            // SAFETY: the host passes its instance and a place for the state; it lends the other
            // arguments until this returns.
            unsafe {
                begin($name, this, id, state, |handler: &H| {
                    let origin = <$context<'_>>::origin(&*info);
                    let mut context = <$context<'_>>::from_origin(id, origin);
                    let state = $trait::$method(handler, &mut context, &$info(&*info) $(, $value)*)?;
                    Ok(Kept::<$context<'static>, H::State> { origin, state })
                })
            }
        }
    };
}

/// A callback of an open object.
macro_rules! callback {
    (
        $context:ident,
        $trait:ident::$method:ident($($arg:ident: $raw:ty),*) => $($value:expr),*
    ) => {
        pub(super) unsafe extern "C" fn $method<H: $trait>(
            this: *mut c_void,
            state: *mut c_void,
            id: PpId,
            $($arg: $raw),*
        ) -> PpStatus {
            // SAFETY: the host passes what the first callback made, one callback of an object at a
            // time; it lends the other arguments until this returns.
            code(unsafe {
                io(
                    stringify!($method),
                    (this, state, id),
                    |handler: &H, kept: &mut Kept<$context<'static>, H::State>| {
                        let mut context = <$context<'_>>::from_origin(id, kept.origin);
                        $trait::$method(handler, &mut kept.state, &mut context $(, $value)*)
                    },
                )
            })
        }
    };
}

/// The last callback of an object.
macro_rules! closed {
    ($name:literal, $context:ident, $trait:ident) => {
        unsafe extern "C" fn closed<H: $trait>(
            this: *mut c_void,
            state: *mut c_void,
            id: PpId,
            reason: u32,
        ) -> PpStatus {
            // SAFETY: the host passes what the first callback made, for the last time.
            unsafe {
                end(
                    $name,
                    (this, state, id),
                    |handler: &H, kept: Kept<$context<'static>, H::State>| {
                        let mut context = <$context<'_>>::from_origin(id, kept.origin);
                        $trait::closed(handler, kept.state, &mut context, End(reason));
                    },
                )
            }
        }
    };
}

pub(super) use {callback, closed, open};
