//! Features without a bundled plugin: flows, saved state, migration, exclusive instances, panics of
//! threads.
#![expect(unsafe_code, reason = "it calls the tables as the daemon does")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::ffi::{CStr, c_void};
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use polyport_sdk::abi::{
    self, PpAddr, PpDatagram, PpFlowInfo, PpHandler, PpId, PpPlugin, PpSink, PpSource,
};
use polyport_sdk::prelude::*;
use polyport_sdk::testing::{raw_host, recorded};
use polyport_sdk::{
    Exclusive, Flow, FlowHandler, FlowInfo, Hook, MigrateFlow, Persist, StateReader, StateWriter,
    export_plugin, handler_table,
};

/// Counts datagrams, by flow and in total.
struct Tally(AtomicU64);

impl Handler for Tally {
    const ID: &'static CStr = c"tally";
    const SUMMARY: &'static CStr = c"counts what comes";
    const STATE_VERSION: u32 = 2;
    const STATE_MIN_VERSION: u32 = 1;
    type Config = NoConfig;

    fn create(_: &mut Instance<'_>, _: NoConfig) -> Result<Self> {
        Ok(Self(AtomicU64::new(0)))
    }
}

impl Persist for Tally {
    fn save_state(&self, _: &mut Instance<'_>, to: &mut StateWriter<'_>) -> Result<()> {
        Ok(to.write_all(&self.0.load(Ordering::Relaxed).to_be_bytes())?)
    }

    fn restore_state(
        &self,
        _: &mut Instance<'_>,
        _version: u32,
        from: &mut StateReader<'_>,
    ) -> Result<()> {
        let mut all = [0; 8];
        from.read_exact(&mut all)?;
        self.0.store(u64::from_be_bytes(all), Ordering::Relaxed);
        Ok(())
    }
}

impl Exclusive for Tally {
    fn freeze(&self, hook: &mut Hook<'_>) -> Result<()> {
        log::info!(hook, "frozen at {}", self.0.load(Ordering::Relaxed); state = "cold");
        Ok(())
    }
    fn thaw(&self, _: &mut Hook<'_>) -> Result<()> {
        Ok(())
    }
}

impl FlowHandler for Tally {
    type State = u64;
    const FLOWS_MAX: u32 = 9;

    fn open(&self, _: &mut Flow<'_>, _: &FlowInfo<'_>) -> Result<u64> {
        Ok(0)
    }

    fn on_datagrams(&self, seen: &mut u64, flow: &mut Flow<'_>, batch: Batch<'_>) -> Result<()> {
        *seen += batch.len() as u64;
        self.0.fetch_add(batch.len() as u64, Ordering::Relaxed);
        flow.send(&seen.to_be_bytes()).map(drop)
    }
}

impl MigrateFlow for Tally {
    fn export_state(&self, n: &u64, _: &mut Flow<'_>, to: &mut StateWriter<'_>) -> Result<()> {
        Ok(to.write_all(&n.to_be_bytes())?)
    }

    fn import_state(
        &self,
        _: &mut Flow<'_>,
        _: &FlowInfo<'_>,
        _version: u32,
        from: &mut StateReader<'_>,
    ) -> Result<u64> {
        let mut n = [0; 8];
        from.read_exact(&mut n)?;
        Ok(u64::from_be_bytes(n))
    }
}

export_plugin! { id: "org.example.families", handlers: [Tally] }

unsafe extern "C" {
    fn polyport_plugin_v1() -> *const PpPlugin;
}

/// An instance and its table, through the raw calls.
fn tally(id: PpId) -> (PpHandler, *mut c_void) {
    // SAFETY: the macro above defined it, and what it returns is static.
    let plugin = unsafe { &*polyport_plugin_v1() };
    // SAFETY: the table of the tests is static.
    assert_eq!(unsafe { plugin.init.unwrap()(raw_host()) }, abi::PP_OK);
    let (table, mut this) = (handler_table!(Tally), std::ptr::null_mut());
    let (create, none) = (table.create.unwrap(), std::ptr::null_mut());
    // SAFETY: no text is the empty configuration; `this` is ours.
    let code = unsafe { create(id, std::ptr::null(), none, &raw mut this) };
    assert_eq!(code, abi::PP_OK);
    (table, this)
}

unsafe extern "C" fn write(sink: *mut PpSink, bytes: *const c_void, len: usize) -> i64 {
    // SAFETY: `ctx` is the vector of the test, and the bytes are lent.
    unsafe {
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), len);
        (*(*sink).ctx.cast::<Vec<u8>>()).extend_from_slice(bytes);
    }
    0
}

unsafe extern "C" fn read(source: *mut PpSource, into: *mut c_void, len: usize) -> i64 {
    // SAFETY: `ctx` is the slice of the test, and the room is lent.
    let n = unsafe {
        let from = &mut *(*source).ctx.cast::<&[u8]>();
        from.read(std::slice::from_raw_parts_mut(into.cast(), len))
            .unwrap()
    };
    i64::try_from(n).unwrap()
}

#[test]
fn state_is_saved_and_restored() {
    let id = 91 << 32;
    let (table, this) = tally(id);
    assert_eq!((table.state_version, table.state_min_version), (2, 1));
    assert_eq!(table.flags, abi::PP_HF_EXCLUSIVE);
    let mut saved = Vec::<u8>::new();
    let mut sink = PpSink {
        ctx: (&raw mut saved).cast(),
        write,
    };
    let mut stored: &[u8] = &7_u64.to_be_bytes();
    let mut source = PpSource {
        ctx: (&raw mut stored).cast(),
        read,
    };
    let mut short: &[u8] = &[1, 2];
    let mut cut = PpSource {
        ctx: (&raw mut short).cast(),
        read,
    };
    let none = std::ptr::null_mut();
    // SAFETY: the instance is ours; sink and sources live here.
    unsafe {
        let restore = table.restore_state.unwrap();
        assert_eq!(restore(this, 2, &raw mut cut, none), abi::PP_E_FAIL);
        assert_eq!(restore(this, 2, &raw mut source, none), abi::PP_OK);
        assert_eq!(table.freeze.unwrap()(this, id + 1), abi::PP_OK);
        assert_eq!(
            table.save_state.unwrap()(this, id + 1, &raw mut sink),
            abi::PP_OK
        );
        assert_eq!(table.destroy.unwrap()(this), abi::PP_OK);
    }
    assert_eq!(saved, 7_u64.to_be_bytes());
    let line = recorded(id).logged.pop().unwrap();
    assert_eq!(line.text, "frozen at 7");
    assert_eq!(line.pairs, [("state".to_owned(), "cold".to_owned())]);
}

fn flow_info(socket: PpId) -> PpFlowInfo {
    let nowhere = PpAddr::default();
    let struct_size = u32::try_from(size_of::<PpFlowInfo>()).unwrap();
    PpFlowInfo {
        struct_size,
        flags: 0,
        socket,
        local: nowhere,
        remote: nowhere,
    }
}

fn empty_datagram() -> PpDatagram {
    let nowhere = PpAddr::default();
    let (ptr, from, to) = (std::ptr::null(), nowhere, nowhere);
    PpDatagram {
        ptr,
        len: 0,
        peer: 5,
        from,
        to,
        received: 0,
        flags: 0,
        reserved: 0,
    }
}

#[test]
fn flow_replies_through_its_socket_and_migrates() {
    let (id, socket) = (92 << 32 | 1, 92 << 32 | 2);
    let (table, this) = tally(92 << 32);
    // SAFETY: the tables are static.
    let (sockets, ops) = unsafe { (&*table.socket, &*table.flow) };
    assert!(
        sockets.on_datagrams.is_none(),
        "all datagrams belong to flows"
    );
    assert!(ops.on_drain.is_none(), "a flow does not hold up a drain");
    assert_eq!(ops.flows_max, 9);
    let (info, datagram) = (flow_info(socket), empty_datagram());
    let (batch, stride) = ([datagram; 3], size_of::<PpDatagram>());
    let mut moved = Vec::<u8>::new();
    let mut sink = PpSink {
        ctx: (&raw mut moved).cast(),
        write,
    };
    let mut st = std::ptr::null_mut();
    // SAFETY: instance and flow are ours; what is lent lives here.
    unsafe {
        let on_datagrams = ops.on_datagrams.unwrap();
        assert_eq!(
            ops.flow_open.unwrap()(this, id, &raw const info, &raw mut st),
            abi::PP_OK
        );
        assert_eq!(
            on_datagrams(this, st, id, batch.as_ptr(), 3, stride),
            abi::PP_OK
        );
        let short = on_datagrams(this, st, id, batch.as_ptr(), 3, stride - 8);
        assert_eq!(
            short,
            abi::PP_E_INVAL,
            "an element that is too short is not read"
        );
        assert_eq!(
            ops.export_state.unwrap()(this, st, id, &raw mut sink),
            abi::PP_OK
        );
        assert_eq!(
            ops.closed.unwrap()(this, st, id, abi::PP_END_MIGRATED),
            abi::PP_OK
        );
    }
    assert_eq!(moved, 3_u64.to_be_bytes());
    let (mut rest, import) = (moved.as_slice(), ops.import_state.unwrap());
    let mut source = PpSource {
        ctx: (&raw mut rest).cast(),
        read,
    };
    // SAFETY: as above.
    unsafe {
        let (info, source) = (&raw const info, &raw mut source);
        assert_eq!(import(this, id, info, 2, source, &raw mut st), abi::PP_OK);
        let on_datagrams = ops.on_datagrams.unwrap();
        assert_eq!(
            on_datagrams(this, st, id, batch.as_ptr(), 1, stride),
            abi::PP_OK
        );
        assert_eq!(
            ops.closed.unwrap()(this, st, id, abi::PP_END_IDLE),
            abi::PP_OK
        );
        assert_eq!(table.destroy.unwrap()(this), abi::PP_OK);
    }
    let sends = recorded(socket).sends;
    let answers: Vec<_> = sends
        .iter()
        .map(|call| (call[0].peer, call[0].data.clone()))
        .collect();
    let number = |n: u64| (id, n.to_be_bytes().to_vec());
    assert_eq!(answers, [number(3), number(4)]);
}

#[test]
fn panic_of_a_thread_is_logged() {
    let (_table, _instance) = tally(93 << 32);
    let died = std::thread::spawn(|| std::panic::panic_any("on its own")).join();
    assert!(died.is_err());
    let lines: Vec<_> = recorded(0)
        .logged
        .into_iter()
        .map(|line| line.text)
        .collect();
    assert!(
        lines.iter().any(|line| line.contains("on its own")),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line.contains("tests/objects.rs:")),
        "{lines:?}"
    );
}
