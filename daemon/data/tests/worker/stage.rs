//! A data side without control: workers with real sockets, instances of a small plugin, snapshots by hand.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use polyport_common::shutdown::{Phase, Signal};
use polyport_common::wait_group::{WaitGroup, wait_group};
use polyport_data::Standby;
use polyport_data::admit::{Limit, Permits};
use polyport_data::listen::{Listener, Origin};
use polyport_data::service::{Service, Timeouts};
use polyport_data::snapshot::{Leaving, Snapshot};
use polyport_data::worker::{self, WorkerHandle, WorkerSetup};
use polyport_data::{Command, Mailbox};
use polyport_host::generation::load;
use polyport_host::hook_thread::HookThread;
use polyport_host::hooks::Hook;
use polyport_host::host_api::{Dial, DialTarget};
use polyport_host::instance::Instance;
use polyport_host::registry::Registry;
use polyport_host::services::host_table;
use polyport_host::stage::{StageOptions, stage};
use polyport_host::wake_table::WakeTable;
use polyport_sys::bind_tcp;
use tokio::sync::mpsc;

/// Whatever takes longer has failed.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Compiles a plugin with these macros, unless that has been done: the file is named after all that it is made of.
fn compiled(source: &str, macros: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let include = root.join("plugin-api/include");
    let source = root.join(source);
    let mut digest = DefaultHasher::new();
    macros.hash(&mut digest);
    let folders = [&include.join("polyport"), source.parent().unwrap()].map(|each| each.read_dir());
    let files = folders
        .into_iter()
        .flat_map(Result::unwrap)
        .map(|file| file.unwrap().path());
    let mut parts: Vec<PathBuf> = files
        .filter(|file| *file == source || file.extension().is_some_and(|end| end == "h"))
        .collect();
    parts.sort();
    for part in parts {
        fs::read(part).unwrap().hash(&mut digest);
    }
    let name = format!("{:016x}.so", digest.finish());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("actors");
    fs::create_dir_all(&folder).unwrap();
    let target = folder.join(&name);
    if target.exists() {
        return target;
    }
    let part = tempfile::NamedTempFile::new_in(&folder).unwrap();
    let built = process::Command::new("cc")
        .args(["-shared", "-fPIC", "-fvisibility=hidden", "-O1", "-I"])
        .arg(include)
        .args(["-DTEST_NAME=\"actor\""])
        .args(macros.iter().map(|text| format!("-D{text}")))
        .arg("-o")
        .arg(part.path())
        .arg(&source)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{complaint}");
    part.persist(&target).unwrap();
    target
}

/// See the module's text.
pub(crate) struct Stage {
    runtime: tokio::runtime::Runtime,
    workers: Vec<WorkerHandle>,
    registry: Arc<Registry>,
    next: AtomicU64,
}

/// An instance, and what control would keep of it.
pub(crate) struct Actor {
    pub(crate) instance: Arc<Instance>,
    hook_thread: Arc<HookThread>,
    pub(crate) live: Arc<AtomicU64>,
    pub(crate) in_use: WaitGroup,
}

impl Stage {
    pub(crate) fn new(workers: u8) -> Self {
        let shutdown = Signal::new();
        let mailboxes: Vec<_> = (0..workers).map(|_| Mailbox::new().unwrap()).collect();
        let mailboxes: Arc<[Arc<Mailbox>]> = mailboxes.into();
        let directories: Vec<_> = (0..workers)
            .zip(&*mailboxes)
            .map(|(number, mailbox)| {
                let mailbox = Arc::clone(mailbox);
                Arc::new(WakeTable::new(number, Box::new(move || mailbox.wake())))
            })
            .collect();
        let registry = Arc::<Registry>::default();
        registry.set_wake_tables(directories.clone());
        let (ended, _) = mpsc::channel(1);
        let start = |(number, wake_table): (u8, Arc<WakeTable>)| {
            worker::start(WorkerSetup {
                number,
                wake_table,
                registry: Arc::clone(&registry),
                mailbox: Arc::clone(&mailboxes[usize::from(number)]),
                peers: Arc::clone(&mailboxes),
                present: shutdown.token(),
                ended: ended.clone(),
            })
            .unwrap()
        };
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            workers: (0..).zip(directories).map(start).collect(),
            registry,
            next: AtomicU64::new(1),
        }
    }

    /// An instance of the session plugin with these macros, of a generation of its own.
    pub(crate) fn actor(&self, macros: &[&str]) -> Actor {
        self.actor_of("daemon/data/tests/worker/session.c", macros, "{}")
    }

    /// An instance of this source with these macros and this configuration.
    pub(crate) fn actor_of(&self, source: &str, macros: &[&str], config: &str) -> Actor {
        let target = compiled(source, macros);
        let staged = stage(&target, &StageOptions::default()).unwrap();
        let generation = load(staged, 1, host_table()).unwrap();
        let handler = generation.handlers[0].clone();
        let instance = Instance::new(&self.registry, "actor", generation, handler).unwrap();
        let hook_thread = HookThread::start(Arc::clone(&instance)).unwrap();
        let create = Hook::Create(config.to_owned());
        let created = self.runtime.block_on(hook_thread.call(create, SOON));
        created.unwrap();
        Actor {
            hook_thread,
            instance,
            live: Arc::default(),
            in_use: wait_group(),
        }
    }

    /// Lets all workers serve this, and waits until they do.
    pub(crate) fn serve(&self, listeners: &[(&Arc<Listener>, &Arc<Service>)], leaving: &[Leaving]) {
        let services = listeners.iter().map(|(_, service)| Arc::clone(service));
        let own = |(listener, service): &(&Arc<Listener>, &Arc<Service>)| {
            (Arc::clone(listener), Arc::clone(service))
        };
        self.apply(Snapshot {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            services: services.collect(),
            listeners: listeners.iter().map(own).collect(),
            sockets: Vec::new(),
            leaving: leaving.to_vec(),
        });
    }

    /// The same with a whole snapshot.
    pub(crate) fn apply(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        self.command_all(|pass| Command::Snapshot(Arc::clone(&snapshot), pass));
    }

    /// Holds an instance, and waits until it is.
    pub(crate) fn pause(&self, actor: &Actor) {
        self.command_all(|pass| Command::Pause(Arc::from([actor.instance.index()]), pass));
    }

    /// Releases an instance.
    pub(crate) fn resume(&self, actor: &Actor) {
        self.command_all(|pass| Command::Resume(Arc::from([actor.instance.index()]), pass));
    }

    /// Says who serves those who come, and waits until it is so.
    pub(crate) fn set_standby(&self, standby: &Standby) {
        self.command_all(|pass| Command::Standby(standby.clone(), pass));
    }

    /// Lets an instance dial on its own.
    pub(crate) fn dial(&self, actor: &Actor, to: SocketAddr) {
        let dial = Dial {
            target: DialTarget::Stream(to),
            timeout: SOON,
            tag: 0,
        };
        let command = Command::Dial(actor.service(""), dial);
        self.workers[0].mailbox.send(command).unwrap();
    }

    fn command_all(&self, command: impl Fn(polyport_common::wait_group::Token) -> Command) {
        let gate = wait_group();
        for worker in &self.workers {
            worker.mailbox.send(command(gate.token())).unwrap();
        }
        self.wait_for(&gate);
    }

    /// Waits until all passes of a gate are back.
    pub(crate) fn wait_for(&self, gate: &WaitGroup) {
        self.runtime
            .block_on(async { tokio::time::timeout(SOON, gate.wait()).await })
            .unwrap();
    }

    /// Announces a phase of the shutdown.
    pub(crate) fn announce(&self, phase: Phase) {
        for worker in &self.workers {
            drop(worker.mailbox.send(Command::Phase(phase)));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.announce(Phase::Force);
        for worker in self.workers.drain(..) {
            drop(worker.thread.join());
        }
    }
}

impl Actor {
    /// A service of it that never gives up waiting.
    pub(crate) fn service(&self, name: &str) -> Arc<Service> {
        self.service_with(name, None, SOON)
    }

    /// A service of it with this idle timeout and grace.
    pub(crate) fn service_with(
        &self,
        name: &str,
        idle: Option<Duration>,
        grace: Duration,
    ) -> Arc<Service> {
        self.service_full(name, idle, grace, u64::MAX)
    }

    /// A service of it with room for so many streams.
    pub(crate) fn service_of(&self, name: &str, streams: u64) -> Arc<Service> {
        self.service_full(name, None, SOON, streams)
    }

    fn service_full(
        &self,
        name: &str,
        idle: Option<Duration>,
        grace: Duration,
        streams: u64,
    ) -> Arc<Service> {
        Arc::new(Service {
            name: name.to_owned(),
            instance: Arc::clone(&self.instance),
            hook_thread: Arc::clone(&self.hook_thread),
            timeouts: Timeouts {
                first_byte: None,
                idle,
                write: SOON,
                lifetime: None,
            },
            permits: Permits::new(vec![Limit::new(streams)], Arc::default()),
            grace,
            live: Arc::clone(&self.live),
            in_use: self.in_use.token(),
        })
    }

    /// It leaves, and its streams finish when they like.
    pub(crate) fn stays(&self) -> Leaving {
        Leaving {
            instance: self.instance.index(),
            until: None,
        }
    }

    pub(crate) fn leaves(&self, after: Duration) -> Leaving {
        Leaving {
            instance: self.instance.index(),
            until: Some(std::time::Instant::now() + after),
        }
    }
}

/// A listener on a free port, and where it is.
pub(crate) fn listener() -> (Arc<Listener>, SocketAddr) {
    let socket = bind_tcp("127.0.0.1:0".parse().unwrap(), 4096).unwrap();
    let polyport_sys::PeerAddress::Ip(at) = socket.local_address().unwrap() else {
        unreachable!("it is bound by TCP");
    };
    let listener = Listener::new(format!("tcp://{at}"), None, socket, Origin::Bound);
    (Arc::new(listener), at)
}

/// A client that speaks in lines.
pub(crate) struct Client {
    socket: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::of(TcpStream::connect(to).unwrap())
    }

    pub(crate) fn of(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.set_nodelay(true).unwrap();
        let lines = BufReader::new(socket.try_clone().unwrap());
        Self { socket, lines }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).unwrap();
    }

    /// The next line, without its end; empty at the end of the stream.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.line()
    }

    /// Ends the direction of the client.
    pub(crate) fn finish(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Is there nothing to read now?
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let quiet = self
            .socket
            .peek(&mut [0])
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).unwrap();
        quiet
    }

    /// Waits for the end in order of the stream; a reset is none.
    pub(crate) fn end(&mut self) {
        let mut rest = Vec::new();
        self.lines.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{rest:?}");
    }
}
