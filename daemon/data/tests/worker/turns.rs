//! One worker on the thread of the test, turn by turn, with a handler of functions in this executable.

use std::cell::RefCell;
use std::ffi::c_void;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use polyport_abi::{PP_OK, PpId, PpStatus, PpStreamInfo, PpStreamOps};
use polyport_common::wait_group::wait_group;
use polyport_data::admit::{Limit, Permits};
use polyport_data::service::{Service, Timeouts};
use polyport_data::snapshot::Snapshot;
use polyport_data::worker::Worker;
use polyport_data::{Clock, Command, Mailbox};
use polyport_host::boundary::CallMarker;
use polyport_host::generation::{Generation, Handler};
use polyport_host::hook_thread::HookThread;
use polyport_host::instance::Instance;
use polyport_host::registry::Registry;
use polyport_host::wake_table::WakeTable;

use crate::stage::{SOON, listener};

thread_local! {
    static CALLS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

extern "C" fn open(
    _: *mut c_void,
    _: PpId,
    _: *const PpStreamInfo,
    _: *mut *mut c_void,
) -> PpStatus {
    CALLS.with_borrow_mut(|calls| calls.push("open"));
    PP_OK
}

#[expect(clippy::cast_possible_wrap, reason = "few bytes")]
extern "C" fn on_data(
    _: *mut c_void,
    _: *mut c_void,
    _: PpId,
    _: *const u8,
    count: usize,
    _: u32,
    _: *mut usize,
) -> i64 {
    CALLS.with_borrow_mut(|calls| calls.push("on_data"));
    count as i64
}

static OPS: PpStreamOps = PpStreamOps {
    struct_size: 0,
    reserved: 0,
    open: Some(open),
    on_data: Some(on_data),
    on_writable: None,
    on_wake: None,
    on_timer: None,
    on_drain: None,
    on_dial_failed: None,
    export_state: None,
    import_state: None,
    closed: None,
};

/// A worker that was woken for a connection must not keep it waiting behind a callback that may take long: the kernel has
/// woken no other worker for it.
#[test]
fn accept_comes_before_callbacks_of_other_streams_in_a_turn() {
    let mailbox = Mailbox::new().unwrap();
    let peers: Arc<[Arc<Mailbox>]> = Arc::from([Arc::clone(&mailbox)]);
    let wake_table = Arc::new(WakeTable::new(0, Box::new(|| ())));
    let registry = Arc::<Registry>::default();
    registry.set_wake_tables(vec![Arc::clone(&wake_table)]);
    let handler = Handler::from_tables("noting", Some(&OPS), None, None);
    let generation = Generation::from_handlers("noting", 1, vec![handler.clone()]);
    let instance = Instance::new(&registry, "noting", generation, handler).unwrap();
    let hook_thread = HookThread::start(Arc::clone(&instance)).unwrap();
    let in_use = wait_group();
    let service = Arc::new(Service {
        name: "s".to_owned(),
        instance,
        hook_thread,
        timeouts: Timeouts {
            first_byte: None,
            idle: None,
            write: SOON,
            lifetime: None,
        },
        permits: Permits::new(vec![Limit::new(9)], Arc::default()),
        grace: SOON,
        live: Arc::default(),
        in_use: in_use.token(),
    });
    let (socket, at) = listener();
    let snapshot = Arc::new(Snapshot {
        number: 1,
        services: vec![Arc::clone(&service)],
        listeners: vec![(socket, service)],
        sockets: Vec::new(),
        leaving: Vec::new(),
    });
    let applied = wait_group();
    let command = Command::Snapshot(snapshot, applied.token());
    mailbox.send(command).unwrap();
    let mut worker = Worker::new(0, wake_table, mailbox, peers, Clock::monotonic()).unwrap();
    let marker: &'static CallMarker = Box::leak(Box::default());
    worker.with_host(&registry, marker, |worker| {
        while !applied.is_empty() {
            worker.turn(Some(Duration::ZERO)).unwrap();
        }
        let mut first = TcpStream::connect(at).unwrap();
        while CALLS.take().is_empty() {
            worker.turn(Some(SOON)).unwrap();
        }
        // Both are ready at once, the bytes of the first stream before the second connection.
        first.write_all(b"x").unwrap();
        let _second = TcpStream::connect(at).unwrap();
        while CALLS.with_borrow(Vec::len) < 2 {
            worker.turn(Some(SOON)).unwrap();
        }
        assert_eq!(CALLS.take(), ["open", "on_data"]);
    });
}
