//! The servers that are compared: how each is started, known to be ready, and stopped.

pub(crate) mod tokio_echo;
mod polyport;
mod reference;

pub(crate) mod guard;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::cases::Case;
use crate::cli::BenchOptions;
use crate::pinning::{Pinning, Side};

const READY_WITHIN: Duration = Duration::from_secs(10);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const ATTEMPT: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(20);

/// A server that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// C, edge-triggered epoll.
    CEpoll,
    /// C, recvmmsg and sendmmsg.
    CMmsg,
    /// C, the same with GRO and GSO.
    CGro,
    /// What the tutorial shows.
    Tokio,
    /// Another build of the daemon, to compare with.
    Baseline,
    /// The daemon with its echo plugin.
    Polyport,
}

/// What starting a server needs: compiled references, paths, processors, a folder for files.
#[derive(Debug)]
pub(crate) struct Lab {
    folder: TempDir,
    workers: u16,
    daemon: Option<Daemon>,
    baseline: Option<Daemon>,
    without: Vec<String>,
    /// Who runs where.
    pub(crate) pinning: Pinning,
}

/// A build of the daemon.
#[derive(Debug)]
struct Daemon {
    program: PathBuf,
    plugins: PathBuf,
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    contender: Contender,
    child: Child,
    log: PathBuf,
    /// Its process.
    pub(crate) process: Pid,
    /// Its port, the same for TCP and UDP.
    pub(crate) port: u16,
}

impl Contender {
    /// The name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CEpoll => "c-epoll",
            Self::CMmsg => "c-mmsg",
            Self::CGro => "c-gro",
            Self::Tokio => "tokio",
            Self::Baseline => "baseline",
            Self::Polyport => "polyport",
        }
    }
}

impl Lab {
    /// Compiles the references and finds the builds of the daemon.
    pub(crate) fn open(options: &BenchOptions) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("polyport-bench-")
            .tempdir()?;
        reference::compile(folder.path())?;
        let (mut daemon, mut baseline) = (None, None);
        if let (Some(program), Some(plugins)) = (&options.daemon, &options.plugin_path) {
            daemon = Some(Daemon::find(program, plugins)?);
            if let Some(program) = &options.baseline {
                let beside = program.with_file_name("plugins");
                let fallback = if beside.is_dir() { &beside } else { plugins };
                let plugins = options.baseline_plugins.as_ref().unwrap_or(fallback);
                baseline = Some(Daemon::find(program, plugins)?);
            }
        }
        let pinning = Pinning::plan(options.workers)?;
        Ok(Self {
            folder,
            workers: options.workers,
            daemon,
            baseline,
            without: options.without.clone(),
            pinning,
        })
    }

    /// Who takes part in a case, the reference first.
    pub(crate) fn contenders(&self, case: &Case) -> Vec<Contender> {
        let mut contenders = vec![case.reference];
        if case.is_udp() {
            let other = [Contender::CMmsg, Contender::CGro];
            contenders.extend(other.into_iter().filter(|one| *one != case.reference));
        }
        contenders.push(Contender::Tokio);
        contenders.extend(self.baseline.is_some().then_some(Contender::Baseline));
        contenders.extend(self.daemon.is_some().then_some(Contender::Polyport));
        let is_left_out = |one: &Contender| self.without.iter().any(|name| name == one.name());
        contenders.retain(|one| *one == case.reference || !is_left_out(one));
        contenders
    }

    /// Starts a server on a free port and waits until it answers.
    pub(crate) async fn start(&self, contender: Contender, udp: bool) -> Result<Server> {
        let port = free_port()?;
        let log = self.folder.path().join(format!("{}.log", contender.name()));
        let mut command = self.command(contender, port)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        command.kill_on_drop(true);
        let child = self.pinning.within(Side::Server, || {
            command
                .spawn()
                .with_context(|| format!("cannot start {}", contender.name()))
        })?;
        let process = child.id().and_then(|id| i32::try_from(id).ok());
        let process = Pid::from_raw(process.context("the server ended at once")?);
        let mut server = Server {
            contender,
            child,
            log,
            process,
            port,
        };
        match timeout(READY_WITHIN, server.ready(udp)).await {
            Ok(ready) => ready?,
            Err(_) => bail!(
                "{} is not ready in time{}",
                contender.name(),
                server.log_tail()
            ),
        }
        Ok(server)
    }

    fn command(&self, contender: Contender, port: u16) -> Result<Command> {
        let (folder, workers) = (self.folder.path(), self.workers);
        match contender {
            Contender::CEpoll => reference::tcp(folder, port, workers),
            Contender::CMmsg => reference::udp(folder, port, "mmsg", workers),
            Contender::CGro => reference::udp(folder, port, "gro", workers),
            Contender::Tokio => {
                let mut command = guard::command(std::env::current_exe()?)?;
                command.args(["serve-tokio", "--port", &port.to_string()]);
                command.args(["--workers", &workers.to_string()]);
                Ok(command)
            }
            Contender::Baseline => polyport::command(&self.baseline, folder, port, workers),
            Contender::Polyport => polyport::command(&self.daemon, folder, port, workers),
        }
    }
}

impl Daemon {
    fn find(program: &Path, plugins: &Path) -> Result<Self> {
        Ok(Self {
            program: absolute(program)?,
            plugins: absolute(plugins)?,
        })
    }
}

impl Server {
    /// Returns when an echo came back.
    async fn ready(&mut self, udp: bool) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended with {status}{}",
                    self.contender.name(),
                    self.log_tail()
                );
            }
            let answered = match udp {
                true => timeout(ATTEMPT, datagram_answered(address)).await,
                false => timeout(ATTEMPT, stream_answered(address)).await,
            };
            if matches!(answered, Ok(Ok(()))) {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks the server to end, and checks how it did.
    pub(crate) async fn stop(mut self) -> Result<()> {
        kill(self.process, Signal::SIGTERM).context("the server ended before it was told to")?;
        let status = match timeout(STOPPED_WITHIN, self.child.wait()).await {
            Ok(status) => status?,
            Err(_) => bail!("{} did not stop{}", self.contender.name(), self.log_tail()),
        };
        let clean = self.ended_well(status);
        ensure!(
            clean,
            "{} stopped with {status}{}",
            self.contender.name(),
            self.log_tail()
        );
        Ok(())
    }

    /// The daemon must stop cleanly; the others do not catch the signal.
    fn ended_well(&self, status: ExitStatus) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        match self.contender {
            Contender::Baseline | Contender::Polyport => status.success(),
            _ => status.signal() == Some(Signal::SIGTERM as i32),
        }
    }

    /// The last lines that the server logged.
    fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let mut lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.reverse();
        lines
            .iter()
            .fold(String::new(), |tail, line| tail + "\n    " + line)
    }
}

async fn stream_answered(address: SocketAddr) -> Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"ready?").await?;
    let mut reply = [0; 6];
    stream.read_exact(&mut reply).await?;
    ensure!(&reply == b"ready?", "the echo differs");
    Ok(())
}

async fn datagram_answered(address: SocketAddr) -> Result<()> {
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(address).await?;
    socket.send(b"ready?").await?;
    let mut reply = [0; 16];
    let length = socket.recv(&mut reply).await?;
    ensure!(reply.get(..length) == Some(b"ready?"), "the echo differs");
    Ok(())
}

/// A port that is free for TCP and UDP at this moment.
fn free_port() -> Result<u16> {
    for _ in 0..32 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free for both TCP and UDP")
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))
}
