//! A worker on a bench: fed with snapshots by hand, with plugins of the zoo that are compiled for it.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use polyport_daemon::common::pass::{Gate, Pass};
use polyport_daemon::common::shutdown::{Phase, Signal};
use polyport_daemon::data::accept::{DatagramListener, Origin, OwnSocket};
use polyport_daemon::data::admit::Permits;
use polyport_daemon::data::engine::{Door, Mail};
use polyport_daemon::data::service::{Service, Timeouts};
use polyport_daemon::data::snapshot::{Leaving, Snapshot};
use polyport_daemon::data::worker::{self, Post, Worker};
use polyport_host::directory::Directory;
use polyport_host::generation::load;
use polyport_host::hooks::Hook;
use polyport_host::instance::Instance;
use polyport_host::keeper::Keeper;
use polyport_host::services::host_table;
use polyport_host::stage::{StageOptions, stage};
use polyport_sys::bind_udp;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(10);

/// See the module's text; it serves one datagram socket, of one service at a time.
pub(crate) struct Bench {
    room: tempfile::TempDir,
    runtime: Runtime,
    shutdown: Signal,
    worker: Option<Worker>,
    ended: mpsc::Receiver<(u8, std::io::Result<()>)>,
    listener: Option<Arc<DatagramListener>>,
    address: SocketAddr,
    generations: AtomicU32,
}

/// The gate of an instance, with its index.
pub(crate) struct Uses {
    gate: Gate,
    index: u32,
}

impl Uses {
    pub(crate) fn is_held(&self) -> bool {
        self.gate.is_held()
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        let (shutdown, door) = (Signal::new(), Door::new().unwrap());
        let bell = Arc::clone(&door);
        let (tell, ended) = mpsc::channel(1);
        let worker = worker::start(Post {
            number: 0,
            directory: Arc::new(Directory::new(0, Box::new(move || bell.ring()))),
            neighbours: Arc::from([Arc::clone(&door)]),
            door,
            watch: shutdown.watch(),
            ended: tell,
        });
        let (socket, granted) = bind_udp(([127, 0, 0, 1], 0).into(), 1 << 20).unwrap();
        let Ok(polyport_sys::PeerAddress::Ip(address)) = socket.local_address() else {
            unreachable!("it is bound to an IP address")
        };
        let listener = DatagramListener {
            address: format!("udp://{address}"),
            socket: OwnSocket::new(socket, Origin::Bound),
            worker: 0,
            granted: Some(granted),
            dropped_by_kernel: AtomicU32::new(0),
        };
        Self {
            room: tempfile::tempdir().unwrap(),
            runtime,
            shutdown,
            worker: Some(worker.unwrap()),
            ended,
            listener: Some(Arc::new(listener)),
            address,
            generations: AtomicU32::new(1),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A service of a plugin of the zoo, built with these macros, and who uses its instance.
    pub(crate) fn service(&self, zoo: &str, macros: &[&str]) -> (Arc<Service>, Uses) {
        self.service_with(zoo, macros, "{}")
    }

    pub(crate) fn service_with(
        &self,
        zoo: &str,
        macros: &[&str],
        config: &str,
    ) -> (Arc<Service>, Uses) {
        let number = self.generations.fetch_add(1, Ordering::Relaxed);
        let file = self
            .room
            .path()
            .join(format!("libpolyport_{zoo}{number}.so"));
        compile(zoo, macros, &file);
        let staged = stage(&file, &StageOptions::default()).unwrap();
        let generation = load(staged, number.into(), host_table()).unwrap();
        let handler = generation.handlers[0].clone();
        let instance = Instance::new(zoo, generation, handler).unwrap();
        let keeper = Keeper::start(Arc::clone(&instance)).unwrap();
        let create = keeper.call(Hook::Create(config.to_owned()), PATIENCE);
        self.runtime.block_on(create).unwrap();
        let gate = Gate::new();
        let uses = Uses {
            index: instance.index(),
            gate,
        };
        let service = Arc::new(Service {
            name: "s".to_owned(),
            instance,
            keeper,
            timeouts: Timeouts {
                first_byte: None,
                idle: Some(Duration::from_secs(60)),
                write: Duration::from_secs(30),
                lifetime: None,
            },
            permits: Permits::new(Vec::new(), Arc::new(AtomicBool::new(false))),
            grace: Duration::from_secs(10),
            live: Arc::default(),
            in_use: uses.gate.pass(),
        });
        (service, uses)
    }

    /// The same with another idle timeout.
    pub(crate) fn with_idle(&self, service: &Service, idle: Duration) -> Arc<Service> {
        Arc::new(Service {
            name: service.name.clone(),
            instance: Arc::clone(&service.instance),
            keeper: Arc::clone(&service.keeper),
            timeouts: Timeouts {
                idle: Some(idle),
                ..service.timeouts
            },
            permits: Arc::clone(&service.permits),
            grace: service.grace,
            live: Arc::clone(&service.live),
            in_use: service.in_use.clone(),
        })
    }

    pub(crate) fn leaving(&self, uses: &Uses, until: Instant) -> Leaving {
        Leaving {
            instance: uses.index,
            until: Some(until),
        }
    }

    /// Lets the service answer on the socket, and waits until that is so.
    pub(crate) fn serve(&self, service: &Arc<Service>) {
        self.serve_beside(service, Vec::new());
    }

    pub(crate) fn serve_beside(&self, service: &Arc<Service>, leaving: Vec<Leaving>) {
        self.swap(Snapshot {
            number: 1,
            services: vec![Arc::clone(service)],
            listeners: Vec::new(),
            sockets: vec![(
                Arc::clone(self.listener.as_ref().unwrap()),
                Arc::clone(service),
            )],
            leaving,
        });
    }

    /// Takes socket and service away.
    pub(crate) fn remove(&mut self) {
        self.listener.take();
        self.swap(Snapshot {
            number: 1,
            services: Vec::new(),
            listeners: Vec::new(),
            sockets: Vec::new(),
            leaving: Vec::new(),
        });
    }

    fn swap(&self, snapshot: Snapshot) {
        self.tell(|pass| Mail::Snapshot(Arc::new(snapshot), pass));
    }

    fn tell(&self, letter: impl FnOnce(Pass) -> Mail) {
        let gate = Gate::new();
        let letter = letter(gate.pass());
        self.worker.as_ref().unwrap().door.post(letter).unwrap();
        self.all_back("the letter", &gate);
    }

    /// Lets the worker call nothing of an instance, and waits until that is so.
    pub(crate) fn hold(&self, uses: &Uses) {
        let instances: Arc<[u32]> = Arc::from([uses.index]);
        self.tell(|pass| Mail::Hold(instances, pass));
    }

    pub(crate) fn release(&self, uses: &Uses) {
        let instances: Arc<[u32]> = Arc::from([uses.index]);
        self.tell(|pass| Mail::Release(instances, pass));
    }

    /// Streams and flows of the service's instance.
    pub(crate) fn live(&self, service: &Service) -> u64 {
        service.live.load(Ordering::Relaxed)
    }

    /// Waits until the worker has let go of all services of an instance.
    pub(crate) fn nobody_uses(&self, uses: &Uses) {
        self.all_back("the instance", &uses.gate);
    }

    fn all_back(&self, what: &str, gate: &Gate) {
        let back = async { tokio::time::timeout(PATIENCE, gate.all_back()).await };
        assert!(self.runtime.block_on(back).is_ok(), "{what} is still held");
    }

    /// Drains the worker and waits for its end.
    pub(crate) fn stop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        self.shutdown.announce(Phase::Drain { deadline });
        let told = self.runtime.block_on(self.ended.recv());
        told.unwrap().1.unwrap();
        self.worker.take().unwrap().thread.join().unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shutdown.announce(Phase::Force);
        if let Some(worker) = self.worker.take() {
            drop(worker.thread.join());
        }
    }
}

fn compile(zoo: &str, macros: &[&str], file: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-fvisibility=hidden", "-O1", "-I"])
        .arg(root.join("plugin-api/include"))
        .arg(format!("-DZOO_NAME=\"{zoo}\""))
        .args(macros.iter().map(|text| format!("-D{text}")))
        .arg(root.join(format!("tests/zoo/{zoo}.c")))
        .arg("-o")
        .arg(file)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{complaint}");
}

/// Who talks to the bench, or is talked to by it.
pub(crate) struct Peer(UdpSocket);

impl Peer {
    pub(crate) fn of(bench: &Bench) -> Self {
        Self::to(bench.address())
    }

    pub(crate) fn to(address: SocketAddr) -> Self {
        let peer = Self::bound();
        peer.0.connect(address).unwrap();
        peer
    }

    pub(crate) fn bound() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub(crate) fn ask(&self, text: &str) -> String {
        self.say(text);
        self.hears()
    }

    pub(crate) fn say(&self, text: &str) {
        self.0.send(text.as_bytes()).unwrap();
    }

    pub(crate) fn say_to(&self, text: &str, to: SocketAddr) {
        self.0.send_to(text.as_bytes(), to).unwrap();
    }

    pub(crate) fn hears(&self) -> String {
        self.hears_from().0
    }

    /// Nothing comes for a moment, though it was asked for.
    pub(crate) fn hears_nothing(&self) {
        let moment = Some(Duration::from_millis(100));
        self.0.set_read_timeout(moment).unwrap();
        assert!(self.0.recv(&mut [0; 64]).is_err());
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    pub(crate) fn hears_from(&self) -> (String, SocketAddr) {
        let mut bytes = [0; 2048];
        let (count, from) = self.0.recv_from(&mut bytes).unwrap();
        (String::from_utf8_lossy(&bytes[..count]).into_owned(), from)
    }
}

pub(crate) fn until(what: &str, fits: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !fits() {
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
