//! Calls a handler as the daemon does, through the same table.

use std::ffi::c_void;
use std::net::SocketAddr;

use polyport_abi::{
    PP_DATA_FIN, PpAddr, PpCallback, PpDatagram, PpHandler, PpId, PpOpen, PpReport, PpSlice,
    PpSocketInfo, PpSocketOps, PpStatus, PpStreamInfo, PpStreamOps,
};

use super::table::raw_host;
use super::test_host::{self, TestHost};
use crate::address::Address;
use crate::host::install;
use crate::raw::{EMPTY, borrow_text, lend, size32};

/// An instance of a handler that a test calls: `Driver::new(handler_table!(Echo), "{}")`. Streams and
/// sockets that the test does not end are leaked.
#[derive(Debug)]
pub struct Driver {
    /// The number of its test host.
    pub(super) number: u32,
    pub(super) table: PpHandler,
    pub(super) this: *mut c_void,
    /// Streams and sockets that are open: id and state.
    pub(super) open: Vec<(PpId, *mut c_void)>,
}

/// The result of `on_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataResult {
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
    /// The findings of `create`, each `POINTER: MESSAGE`.
    pub fn new(table: PpHandler, json: &str) -> Result<Self, Vec<String>> {
        // SAFETY: the table of the tests is static.
        let _fits = unsafe { install(raw_host()) };
        let mut findings = Vec::new();
        let mut report = collect(&mut findings);
        let (number, json) = (test_host::create(), lend(json.as_bytes()));
        let mut this = std::ptr::null_mut();
        let Some(create) = table.create else {
            return Err(findings);
        };
        // SAFETY: a table of the SDK; text, report and place live until it returns.
        let code = unsafe {
            create(
                test_host::new_id(number),
                &raw const json,
                &raw mut report,
                &raw mut this,
            )
        };
        if code < 0 {
            return Err(findings);
        }
        Ok(Self {
            number,
            table,
            this,
            open: Vec::new(),
        })
    }

    /// The host of this test: what the handler did so far, and how the host answers.
    pub fn host<T>(&self, access: impl FnOnce(&mut TestHost) -> T) -> T {
        test_host::with(u64::from(self.number) << 32, access)
    }

    /// Opens a stream.
    ///
    /// # Errors
    ///
    /// The refusal of `open`.
    pub fn open_stream(&mut self) -> Result<PpId, PpStatus> {
        self.open(self.stream().open, &stream_info(0))
    }

    /// Calls `on_data` of a stream.
    pub fn data(&mut self, id: PpId, bytes: &[u8], fin: bool) -> DataResult {
        let (mut want, flags) = (1, if fin { PP_DATA_FIN } else { 0 });
        let Some(on_data) = self.stream().on_data else {
            return DataResult { used: 0, want };
        };
        let (this, state) = (self.this, self.state(id));
        let (first, n) = (bytes.as_ptr(), bytes.len());
        // SAFETY: a table of the SDK, and what `open` made; the bytes live until it returns.
        let used = unsafe { on_data(this, state, id, first, n, flags, &raw mut want) };
        DataResult { used, want }
    }

    /// Calls `on_writable` of a stream: its output so far counts as sent.
    pub fn writable(&mut self, id: PpId) -> PpStatus {
        self.host(|host| host.written.remove(&id));
        let (this, state) = (self.this, self.state(id));
        // SAFETY: a table of the SDK, and what `open` made.
        self.stream()
            .on_writable
            .map_or(0, |on_writable| unsafe { on_writable(this, state, id) })
    }

    /// Calls `on_wake` of a stream.
    pub fn wake_stream(&mut self, id: PpId, bits: u64) -> PpStatus {
        self.call(id, self.stream().on_wake, bits).unwrap_or(0)
    }

    /// Calls `on_drain` of a stream; `None` if its handler has none: the host closes such a stream
    /// when it is idle.
    pub fn drain_stream(&mut self, id: PpId) -> Option<PpStatus> {
        self.call(id, self.stream().on_drain, 0)
    }

    /// Calls `closed` of a stream.
    pub fn end_stream(&mut self, id: PpId, reason: u32) -> PpStatus {
        let code = self.call(id, self.stream().closed, reason).unwrap_or(0);
        self.open.retain(|(open, _)| *open != id);
        code
    }

    /// Opens a datagram socket.
    ///
    /// # Errors
    ///
    /// The refusal of `socket_open`.
    pub fn open_socket(&mut self) -> Result<PpId, PpStatus> {
        let info = PpSocketInfo {
            struct_size: size32::<PpSocketInfo>(),
            flags: 0,
            local: PpAddr::default(),
            remote: PpAddr::default(),
            parent: 0,
            tag: 0,
            service: lend(b"test"),
            listener: lend(b"test"),
        };
        self.open(self.socket().socket_open, &info)
    }

    /// Calls `on_datagrams` of a socket. The peer of the first datagram is 1, of the second 2, and
    /// so on.
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

    /// Opens an object; a handler without the callback accepts all.
    fn open<Info>(&mut self, open: PpOpen<Info>, info: &Info) -> Result<PpId, PpStatus> {
        let (id, mut state) = (test_host::new_id(self.number), std::ptr::null_mut());
        if let Some(open) = open {
            // SAFETY: a table of the SDK; info and place live until it returns.
            let code = unsafe { open(self.this, id, info, &raw mut state) };
            self.opened(id, state, code)?;
        }
        Ok(id)
    }

    /// Calls a callback of an open object, if the handler has it. An argument that is a pointer is
    /// valid during the call.
    pub(super) fn call<A>(&self, id: PpId, callback: PpCallback<A>, arg: A) -> Option<PpStatus> {
        let state = self.state(id);
        // SAFETY: a table of the SDK, and what `open` made; the caller vouches for `arg`.
        callback.map(|callback| unsafe { callback(self.this, state, id, arg) })
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

/// The info of a stream with these flags.
pub(super) fn stream_info(flags: u32) -> PpStreamInfo {
    PpStreamInfo {
        struct_size: size32::<PpStreamInfo>(),
        flags,
        local: PpAddr::default(),
        remote: PpAddr::default(),
        direct: PpAddr::default(),
        parent: 0,
        tag: 0,
        service: lend(b"test"),
        listener: lend(b"test"),
        sni: EMPTY,
        alpn: EMPTY,
    }
}

/// A report that appends each finding to a list.
pub(super) fn collect(findings: &mut Vec<String>) -> PpReport {
    PpReport {
        ctx: std::ptr::from_mut(findings).cast(),
        add,
    }
}

/// A datagram of a newer host, whose struct is longer than the SDK's: so each test checks the stride
/// too.
#[repr(C)]
struct Stretched(PpDatagram, [u64; 2]);

impl Stretched {
    fn new(((from, bytes), peer): (&(SocketAddr, &[u8]), PpId)) -> Self {
        let datagram = PpDatagram {
            ptr: bytes.as_ptr().cast(),
            len: bytes.len(),
            peer,
            from: Address::from(*from).0,
            to: PpAddr::default(),
            received: 0,
            flags: 0,
            reserved: 0,
        };
        Self(datagram, [u64::MAX; 2])
    }
}

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
            // SAFETY: what `create` made; this is the last call.
            let _code = unsafe { destroy(self.this) };
        }
    }
}
