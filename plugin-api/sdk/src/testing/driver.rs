//! Calls a handler like the daemon, over the same table.

use std::ffi::c_void;
use std::fmt;
use std::net::SocketAddr;

use polyport_abi::{
    PP_DATA_FIN, PP_FAMILY_NONE, PpAddr, PpDatagram, PpHandler, PpId, PpReport, PpSlice,
    PpSocketInfo, PpSocketOps, PpStatus, PpStreamInfo, PpStreamOps,
};

use super::desk::{self, Desk};
use super::table::raw_host;
use crate::address::Address;
use crate::host::install;
use crate::raw::{EMPTY, borrow_text, lend, size32};

/// An instance of a handler, driven by a test: `Driver::new(handler_table!(Echo), "{}")`. Streams
/// and sockets that the test does not end are leaked.
pub struct Driver {
    pub(super) desk: u32,
    pub(super) table: PpHandler,
    pub(super) this: *mut c_void,
    /// Streams and sockets that are open: id and state.
    pub(super) open: Vec<(PpId, *mut c_void)>,
}

/// What `on_data` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Bytes used up, or a `PP_E_*`.
    pub used: i64,
    /// Call again at this length.
    pub want: usize,
}

impl Driver {
    /// An instance with this configuration.
    ///
    /// # Errors
    ///
    /// The findings of `create`: `POINTER: MESSAGE`.
    pub fn new(table: PpHandler, json: &str) -> Result<Self, Vec<String>> {
        // SAFETY: the table of the tests is static.
        let _fits = unsafe { install(raw_host()) };
        let mut findings = Vec::new();
        let mut report = collect(&mut findings);
        let (desk, json) = (desk::open(), lend(json.as_bytes()));
        let mut this = std::ptr::null_mut();
        let Some(create) = table.create else {
            return Err(findings);
        };
        // SAFETY: a table of the SDK; text, report and place live until it returns.
        let code = unsafe {
            create(
                desk::id(desk),
                &raw const json,
                &raw mut report,
                &raw mut this,
            )
        };
        if code < 0 {
            return Err(findings);
        }
        Ok(Self {
            desk,
            table,
            this,
            open: Vec::new(),
        })
    }

    /// What the handler did so far, and how the host is to answer.
    pub fn desk<T>(&self, look: impl FnOnce(&mut Desk) -> T) -> T {
        desk::with(u64::from(self.desk) << 32, look)
    }

    /// Opens a stream.
    ///
    /// # Errors
    ///
    /// What `open` refused it with.
    pub fn open_stream(&mut self) -> Result<PpId, PpStatus> {
        let info = stream_info(0);
        let (id, mut state) = (desk::id(self.desk), std::ptr::null_mut());
        if let Some(open) = self.stream().open {
            // SAFETY: a table of the SDK; info and place live until it returns.
            let code = unsafe { open(self.this, id, &raw const info, &raw mut state) };
            self.opened(id, state, code)?;
        }
        Ok(id)
    }

    /// Shows bytes to a stream.
    pub fn data(&mut self, id: PpId, bytes: &[u8], fin: bool) -> Shown {
        let (mut want, flags) = (1, if fin { PP_DATA_FIN } else { 0 });
        let Some(on_data) = self.stream().on_data else {
            return Shown { used: 0, want };
        };
        let (this, state) = (self.this, self.state(id));
        let (first, n) = (bytes.as_ptr(), bytes.len());
        // SAFETY: a table of the SDK, and what `open` made; the bytes live until it returns.
        let used = unsafe { on_data(this, state, id, first, n, flags, &raw mut want) };
        Shown { used, want }
    }

    /// Tells a stream that its output fell to the low watermark; what it wrote so far counts as
    /// sent.
    pub fn writable(&mut self, id: PpId) -> PpStatus {
        self.desk(|desk| desk.written.remove(&id));
        let (this, state) = (self.this, self.state(id));
        // SAFETY: a table of the SDK, and what `open` made.
        self.stream()
            .on_writable
            .map_or(0, |on_writable| unsafe { on_writable(this, state, id) })
    }

    /// Wakes a stream.
    pub fn wake_stream(&mut self, id: PpId, bits: u64) -> PpStatus {
        let (this, state) = (self.this, self.state(id));
        // SAFETY: a table of the SDK, and what `open` made.
        self.stream()
            .on_wake
            .map_or(0, |on_wake| unsafe { on_wake(this, state, id, bits) })
    }

    /// Drains a stream; `None`: its handler has nothing to say, and the host closes it when it is
    /// idle.
    pub fn drain_stream(&mut self, id: PpId) -> Option<PpStatus> {
        let (this, state) = (self.this, self.state(id));
        // SAFETY: a table of the SDK, and what `open` made.
        self.stream()
            .on_drain
            .map(|on_drain| unsafe { on_drain(this, state, id, 0) })
    }

    /// Ends a stream.
    pub fn end_stream(&mut self, id: PpId, reason: u32) -> PpStatus {
        let (this, state) = (self.this, self.state(id));
        self.open.retain(|(open, _)| *open != id);
        // SAFETY: a table of the SDK, and what `open` made, which is used no more.
        self.stream()
            .closed
            .map_or(0, |closed| unsafe { closed(this, state, id, reason) })
    }

    /// Opens a datagram socket.
    ///
    /// # Errors
    ///
    /// What `socket_open` refused it with.
    pub fn open_socket(&mut self) -> Result<PpId, PpStatus> {
        let info = PpSocketInfo {
            struct_size: size32::<PpSocketInfo>(),
            flags: 0,
            local: NOWHERE,
            remote: NOWHERE,
            parent: 0,
            tag: 0,
            service: lend(b"test"),
            listener: lend(b"test"),
        };
        let (id, mut state) = (desk::id(self.desk), std::ptr::null_mut());
        if let Some(open) = self.socket().socket_open {
            // SAFETY: a table of the SDK; info and place live until it returns.
            let code = unsafe { open(self.this, id, &raw const info, &raw mut state) };
            self.opened(id, state, code)?;
        }
        Ok(id)
    }

    /// Shows a batch to a socket. The peer of the first datagram is 1, of the second 2, and so on.
    pub fn datagrams(&mut self, id: PpId, batch: &[(SocketAddr, &[u8])]) -> PpStatus {
        let Some(on_datagrams) = self.socket().on_datagrams else {
            return 0;
        };
        let elements: Vec<Stretched> = batch.iter().zip(1..).map(Stretched::new).collect();
        let (this, state, n) = (self.this, self.state(id), elements.len());
        let first = elements.as_ptr().cast::<PpDatagram>();
        // SAFETY: a table of the SDK, and what `socket_open` made; the batch lives until it
        // returns.
        unsafe { on_datagrams(this, state, id, first, n, size_of::<Stretched>()) }
    }

    pub(super) fn opened(
        &mut self,
        id: PpId,
        state: *mut c_void,
        code: PpStatus,
    ) -> Result<(), PpStatus> {
        if code < 0 {
            return Err(code);
        }
        self.open.push((id, state));
        Ok(())
    }

    pub(super) fn state(&self, id: PpId) -> *mut c_void {
        let open = self.open.iter().find(|(open, _)| *open == id);
        assert!(open.is_some(), "this id is not open");
        open.map_or(std::ptr::null_mut(), |(_, state)| *state)
    }

    pub(super) fn stream(&self) -> PpStreamOps {
        assert!(
            !self.table.stream.is_null(),
            "this handler does not serve streams"
        );
        // SAFETY: not null, and the tables of the SDK are static.
        unsafe { *self.table.stream }
    }

    fn socket(&self) -> PpSocketOps {
        assert!(
            !self.table.socket.is_null(),
            "this handler does not serve datagrams"
        );
        // SAFETY: not null, and the tables of the SDK are static.
        unsafe { *self.table.socket }
    }
}

/// What the host says of a stream with these flags.
pub(super) fn stream_info(flags: u32) -> PpStreamInfo {
    PpStreamInfo {
        struct_size: size32::<PpStreamInfo>(),
        flags,
        local: NOWHERE,
        remote: NOWHERE,
        direct: NOWHERE,
        parent: 0,
        tag: 0,
        service: lend(b"test"),
        listener: lend(b"test"),
        sni: EMPTY,
        alpn: EMPTY,
    }
}

/// A report that puts what is found into a list.
pub(super) fn collect(findings: &mut Vec<String>) -> PpReport {
    PpReport {
        ctx: std::ptr::from_mut(findings).cast(),
        add,
    }
}

/// A datagram of a newer host, which knows more than the SDK: so each test holds the stride as
/// well.
#[repr(C)]
struct Stretched(PpDatagram, [u64; 2]);

impl Stretched {
    fn new(((from, bytes), peer): (&(SocketAddr, &[u8]), PpId)) -> Self {
        let datagram = PpDatagram {
            ptr: bytes.as_ptr().cast(),
            len: bytes.len(),
            peer,
            from: Address::from(*from).0,
            to: NOWHERE,
            received: 0,
            flags: 0,
            reserved: 0,
        };
        Self(datagram, [u64::MAX; 2])
    }
}

const NOWHERE: PpAddr = PpAddr {
    family: PP_FAMILY_NONE,
    port: 0,
    scope: 0,
    ip: [0; 16],
};

unsafe extern "C" fn add(
    report: *mut PpReport,
    _: u32,
    pointer: *const PpSlice,
    message: *const PpSlice,
) {
    // SAFETY: called with a report of `collect`, whose `ctx` is a vector, and with texts of
    // the SDK.
    unsafe {
        let findings = &mut *(*report).ctx.cast::<Vec<String>>();
        findings.push(format!(
            "{}: {}",
            borrow_text(*pointer),
            borrow_text(*message)
        ));
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(destroy) = self.table.destroy {
            // SAFETY: what `create` made, for the last time.
            let _code = unsafe { destroy(self.this) };
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("desk", &self.desk)
            .finish_non_exhaustive()
    }
}
