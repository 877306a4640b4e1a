//! One worker on the thread of the test, turn by turn, with a handler of functions in this executable.

use std::cell::RefCell;
use std::ffi::c_void;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use polyport_abi::{PP_OK, PpId, PpStatus, PpStreamInfo, PpStreamOps};
use polyport_common::wait_group::{WaitGroup, wait_group};
use polyport_data::admit::{Limit, Permits};
use polyport_data::listen::Listener;
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

/// What the services of a worker are made of.
struct Bench {
    mailbox: Arc<Mailbox>,
    instance: Arc<Instance>,
    hook_thread: Arc<HookThread>,
    in_use: WaitGroup,
}

impl Bench {
    /// Calls `work` with a worker's function for a turn, which waits for the given time at most.
    fn run(work: impl FnOnce(&Self, &mut dyn FnMut(Duration))) {
        let mailbox = Mailbox::new().unwrap();
        let peers: Arc<[Arc<Mailbox>]> = Arc::from([Arc::clone(&mailbox)]);
        let wake_table = Arc::new(WakeTable::new(0, Box::new(|| ())));
        let registry = Arc::<Registry>::default();
        registry.set_wake_tables(vec![Arc::clone(&wake_table)]);
        let handler = Handler::from_tables("noting", Some(&OPS), None, None);
        let generation = Generation::from_handlers("noting", 1, vec![handler.clone()]);
        let instance = Instance::new(&registry, "noting", generation, handler).unwrap();
        let bench = Self {
            hook_thread: HookThread::start(Arc::clone(&instance)).unwrap(),
            mailbox: Arc::clone(&mailbox),
            instance,
            in_use: wait_group(),
        };
        let mut worker = Worker::new(0, wake_table, mailbox, peers, Clock::monotonic()).unwrap();
        let marker: &'static CallMarker = Box::leak(Box::default());
        worker.with_host(&registry, marker, |worker| {
            work(&bench, &mut |sleep| worker.turn(Some(sleep)).unwrap());
        });
    }

    /// A snapshot with one service on this listener, and with this idle timeout; the group is empty once it is applied.
    fn snapshot(&self, socket: &Arc<Listener>, idle: Option<Duration>) -> WaitGroup {
        let service = Arc::new(Service {
            name: "s".to_owned(),
            instance: Arc::clone(&self.instance),
            hook_thread: Arc::clone(&self.hook_thread),
            timeouts: Timeouts {
                first_byte: None,
                idle,
                write: SOON,
                lifetime: None,
            },
            permits: Permits::new(vec![Limit::new(u64::MAX)], Arc::default()),
            grace: SOON,
            live: Arc::default(),
            in_use: self.in_use.token(),
        });
        let applied = wait_group();
        let snapshot = Snapshot {
            number: 1,
            services: vec![Arc::clone(&service)],
            listeners: vec![(Arc::clone(socket), service)],
            sockets: Vec::new(),
            leaving: Vec::new(),
        };
        let command = Command::Snapshot(Arc::new(snapshot), applied.token());
        self.mailbox.send(command).unwrap();
        applied
    }
}

/// A worker that was woken for a connection must not keep it waiting behind a callback that may take long: the kernel has
/// woken no other worker for it.
#[test]
fn accept_comes_before_callbacks_of_other_streams_in_a_turn() {
    let (socket, at) = listener();
    Bench::run(|bench, turn| {
        let applied = bench.snapshot(&socket, None);
        while !applied.is_empty() {
            turn(Duration::ZERO);
        }
        let mut first = TcpStream::connect(at).unwrap();
        while CALLS.take().is_empty() {
            turn(SOON);
        }
        // Both are ready at once, the bytes of the first stream before the second connection.
        first.write_all(b"x").unwrap();
        let _second = TcpStream::connect(at).unwrap();
        while CALLS.with_borrow(Vec::len) < 2 {
            turn(SOON);
        }
        assert_eq!(CALLS.take(), ["open", "on_data"]);
    });
}

/// A snapshot is applied to many streams a part at a time. The CPU time of the longest turn is printed; in a release build it
/// is to be below 2 ms.
#[test]
fn reload_visits_many_streams_over_several_turns() {
    let (_, limit) = polyport_sys::limits::raise_open_files().unwrap();
    let most = if std::env::var_os("POLYPORT_LONG").is_some() {
        100_000
    } else {
        4_000
    };
    // Two descriptors for each, and some for the rest.
    let count = usize::try_from((limit - 200) / 2).unwrap().min(most);
    let (socket, at) = listener();
    Bench::run(|bench, turn| {
        let applied = bench.snapshot(&socket, None);
        let mut clients = Vec::new();
        while clients.len() < count {
            clients.push(TcpStream::connect(at).unwrap());
            turn(Duration::ZERO);
        }
        while CALLS.with_borrow(Vec::len) < count {
            turn(SOON);
        }
        assert!(applied.is_empty());
        let applied = bench.snapshot(&socket, Some(SOON));
        let (mut turns, mut longest) = (0, Duration::ZERO);
        while !applied.is_empty() {
            let before = polyport_sys::process::thread_cpu_time().unwrap();
            turn(Duration::ZERO);
            longest = longest.max(polyport_sys::process::thread_cpu_time().unwrap() - before);
            turns += 1;
        }
        println!("{count} streams: {turns} turns, the longest took {longest:?}");
        assert!(turns > count / 1024, "{turns} turns");
    });
}
