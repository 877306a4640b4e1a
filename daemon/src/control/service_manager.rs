//! The service manager, notified by the protocol of `sd_notify(3)`; without one, nothing is sent.
//!
//! Not by the crate `sd-notify`, which blocks while the service manager does not read, supports no abstract socket, and
//! reads the environment at each call.

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polyport_sys::notify::{NotifySocket, Urgency};
use polyport_sys::process::monotonic_nanos;

/// A longer status is cut: the service manager ignores messages above 4096 bytes.
const STATUS_BYTES_MAX: usize = 1000;

/// Sends notifications. None of them fails, and none blocks for longer than half a second.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Socket,
    watchdog: Option<Duration>,
    /// The last message was not taken: further ones do not block until one is taken again.
    unresponsive: AtomicBool,
    /// A failure was logged; further ones are not.
    warned: AtomicBool,
    /// Another process of the daemon sends the notifications.
    muted: AtomicBool,
}

#[derive(Debug, Default)]
enum Socket {
    /// There is no service manager.
    #[default]
    None,
    Open(NotifySocket),
    /// Why it could not be opened; logged at the first notification, because there is no log before.
    Broken(String),
}

impl ServiceManager {
    /// The one that `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` describe.
    ///
    /// To be called in `main`, before
    /// [`remove_variables`](polyport_sys::inherit::remove_variables).
    pub fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let own = u64::from(std::process::id());
        let is_watched = number("WATCHDOG_PID").is_none_or(|pid| pid == own);
        let watchdog = number("WATCHDOG_USEC").filter(|_| is_watched);
        Self::new(
            std::env::var_os("NOTIFY_SOCKET"),
            watchdog.map(Duration::from_micros),
        )
    }

    fn new(socket: Option<OsString>, watchdog: Option<Duration>) -> Self {
        let socket = match socket.as_deref().filter(|name| !name.is_empty()) {
            None => Socket::None,
            Some(name) => open(name),
        };
        let exists = !matches!(socket, Socket::None);
        Self {
            socket,
            watchdog: watchdog.filter(|limit| exists && !limit.is_zero()),
            ..Self::default()
        }
    }

    /// The one behind this socket.
    #[cfg(test)]
    pub(super) fn at(socket: &std::path::Path) -> Self {
        Self::new(Some(socket.as_os_str().to_owned()), None)
    }

    /// A start or a reload has ended, and the daemon serves.
    pub fn ready(&self, status: &str) {
        self.notify(&format!("READY=1\nSTATUS={}\n", one_line(status)));
    }

    /// A reload begins. [`Self::ready`] ends it, whether it succeeded or not.
    pub fn reloading(&self) {
        // Without the time the service manager takes a later READY for an earlier one.
        let now = monotonic_nanos() / 1000;
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n"));
    }

    /// One line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.notify(&format!("STATUS={}\n", one_line(status)));
    }

    /// The stop begins.
    pub fn stopping(&self, status: &str) {
        self.notify(&format!("STOPPING=1\nSTATUS={}\n", one_line(status)));
    }

    /// The present start, reload or stop may take this long from now on. To be repeated before the time is over.
    pub fn extend(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.repeat(&format!("EXTEND_TIMEOUT_USEC={micros}\n"));
    }

    /// The interval of [`Self::alive`], half of the time that the service manager grants; `None` without a watchdog.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// The daemon is not stuck.
    pub fn alive(&self) {
        self.repeat("WATCHDOG=1\n");
    }

    /// Stores a copy of a socket with the service manager, so that it outlives a crash of the daemon. A socket that is
    /// stored already is not stored twice.
    pub fn store(&self, name: &str, fd: BorrowedFd<'_>) {
        // Without FDPOLL=0 the service manager would drop a socket that was shut down or has a pending error.
        let text = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0\n");
        self.send(&text, Some(fd), Urgency::Once);
    }

    /// Lets the service manager close what it stores under this name.
    pub fn unstore(&self, name: &str) {
        self.notify(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"));
    }

    /// Suppresses notifications, or sends them again: only one process of the daemon may notify.
    pub fn mute(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// The main process of the service is another one from now on.
    pub fn main_process(&self, pid: u32) {
        self.notify(&format!("MAINPID={pid}\n"));
    }

    fn notify(&self, text: &str) {
        self.send(text, None, Urgency::Once);
    }

    fn repeat(&self, text: &str) {
        self.send(text, None, Urgency::Repeated);
    }

    fn send(&self, text: &str, fd: Option<BorrowedFd<'_>>, urgency: Urgency) {
        if self.muted.load(Ordering::Relaxed) {
            return;
        }
        let socket = match &self.socket {
            Socket::None => return,
            Socket::Open(socket) => socket,
            Socket::Broken(why) => return self.warn_once(why),
        };
        let unresponsive = self.unresponsive.load(Ordering::Relaxed);
        let urgency = if unresponsive {
            Urgency::Repeated
        } else {
            urgency
        };
        let sent = socket.send(text, fd, urgency);
        self.unresponsive.store(sent.is_err(), Ordering::Relaxed);
        if let Err(error) = sent {
            self.warn_once(&error.to_string());
        }
    }

    fn warn_once(&self, error: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error,
                "the service manager cannot be told how the daemon is: look at NOTIFY_SOCKET and at the manager"
            );
        }
    }
}

fn open(name: &OsStr) -> Socket {
    match NotifySocket::open(name) {
        Ok(socket) => Socket::Open(socket),
        Err(error) => Socket::Broken(format!("NOTIFY_SOCKET={}: {error}", name.display())),
    }
}

/// One line of bounded length: a line break would begin another assignment of the protocol.
fn one_line(status: &str) -> String {
    let end = status.floor_char_boundary(STATUS_BYTES_MAX);
    let (kept, rest) = status.split_at(end);
    let mut line = kept.replace(char::is_control, " ");
    if !rest.is_empty() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;
    use std::time::Instant;

    use tempfile::TempDir;

    fn connected() -> (TempDir, UnixDatagram, ServiceManager) {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let limit = Some(Duration::from_secs(10));
        socket.set_read_timeout(limit).unwrap();
        let watchdog = Some(Duration::from_secs(30));
        let manager = ServiceManager::new(Some(path.into_os_string()), watchdog);
        (room, socket, manager)
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 8192];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn service_manager_gets_the_words_of_the_protocol() {
        let (_room, socket, manager) = connected();
        manager.ready("serves 3 listeners");
        assert_eq!(received(&socket), "READY=1\nSTATUS=serves 3 listeners\n");
        manager.status("x");
        assert_eq!(received(&socket), "STATUS=x\n");
        manager.stopping("drains");
        assert_eq!(received(&socket), "STOPPING=1\nSTATUS=drains\n");
        manager.alive();
        assert_eq!(received(&socket), "WATCHDOG=1\n");
        manager.extend(Duration::from_millis(1500));
        assert_eq!(received(&socket), "EXTEND_TIMEOUT_USEC=1500000\n");
        manager.extend(Duration::MAX);
        assert_eq!(received(&socket), "EXTEND_TIMEOUT_USEC=4294967295\n");
        manager.main_process(77);
        assert_eq!(received(&socket), "MAINPID=77\n");
        manager.mute(true);
        manager.status("nobody hears it");
        manager.mute(false);
        let file = tempfile::tempfile().unwrap();
        manager.store("polyport/tcp/x", file.as_fd());
        assert_eq!(
            received(&socket),
            "FDSTORE=1\nFDNAME=polyport/tcp/x\nFDPOLL=0\n"
        );
        manager.unstore("polyport/tcp/x");
        assert_eq!(
            received(&socket),
            "FDSTOREREMOVE=1\nFDNAME=polyport/tcp/x\n"
        );
    }

    #[test]
    fn service_manager_gets_the_time_of_a_reload() {
        let (_room, socket, manager) = connected();
        let before = monotonic_nanos() / 1000;
        manager.reloading();
        let text = received(&socket);
        let micros = text
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .and_then(|rest| rest.strip_suffix('\n'))
            .and_then(|digits| digits.parse::<u64>().ok());
        let now = monotonic_nanos() / 1000;
        assert!(
            micros.is_some_and(|at| (before..=now).contains(&at)),
            "{text}"
        );
    }

    #[test]
    fn service_manager_gets_a_status_of_one_bounded_line() {
        let (_room, socket, manager) = connected();
        manager.status("bad:\nMAINPID=1\r\n");
        assert_eq!(received(&socket), "STATUS=bad: MAINPID=1  \n");
        manager.ready(&"ü".repeat(3000));
        let text = received(&socket);
        assert!(
            text.ends_with("ü…\n") && text.len() < 1100,
            "{}",
            text.len()
        );
    }

    #[test]
    fn service_manager_that_does_not_exist_gets_nothing() {
        let watchdog = Some(Duration::from_secs(30));
        for none in [None, Some(OsString::new())] {
            let manager = ServiceManager::new(none, watchdog);
            assert_eq!(manager.watchdog_interval(), None);
            manager.ready("x");
            assert!(!manager.warned.load(Ordering::Relaxed));
        }
    }

    #[test]
    fn service_manager_watchdog_interval_is_half_of_its_time() {
        let (_room, _socket, marker) = connected();
        assert_eq!(marker.watchdog_interval(), Some(Duration::from_secs(15)));
        let name = Some(OsString::from("/run/notify"));
        for none in [None, Some(Duration::ZERO)] {
            let manager = ServiceManager::new(name.clone(), none);
            assert_eq!(manager.watchdog_interval(), None);
        }
    }

    #[test]
    fn service_manager_that_cannot_be_reached_costs_one_warning_and_no_time() {
        for name in ["/no/such/notify", "vsock:2:1", "relative"] {
            let manager = ServiceManager::new(Some(name.into()), None);
            manager.ready("x");
            manager.alive();
            assert!(manager.warned.load(Ordering::Relaxed), "{name}");
        }
    }

    #[test]
    fn service_manager_that_does_not_read_blocks_once() {
        let (_room, socket, manager) = connected();
        while !manager.unresponsive.load(Ordering::Relaxed) {
            manager.alive();
        }
        let begin = Instant::now();
        for _ in 0..1000 {
            manager.status("x");
        }
        assert!(begin.elapsed() < Duration::from_secs(5));
        received(&socket);
        manager.status("again");
        assert!(!manager.unresponsive.load(Ordering::Relaxed));
    }
}
