//! The service manager, told by the notify protocol (`sd_notify(3)`) how the daemon is; without one, nothing is said.
//!
//! The words are those of the crate `sd-notify`; the way is our own, because that of the crate waits for as long as the
//! manager does not read, knows no abstract sockets, and asks the environment each time.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polyport_sys::notify::{NotifySocket, Urgency};
use polyport_sys::process::monotonic_nanos;
use sd_notify::NotifyState;

/// A status longer than this is cut: the manager throws a message away that is longer than 4096 bytes.
const STATUS_BYTES_MAX: usize = 1000;

/// Who started the daemon and wants to know how it is. No call fails, and none waits for longer than half a second.
#[derive(Debug, Default)]
pub struct ServiceManager {
    way: Way,
    watchdog: Option<Duration>,
    /// It did not take the last message: the next ones wait for nothing until one is taken again.
    unresponsive: AtomicBool,
    /// A failure was logged; further ones are not.
    warned: AtomicBool,
    /// Another process of the daemon is who speaks.
    muted: AtomicBool,
}

#[derive(Debug, Default)]
enum Way {
    /// Nobody wants to know.
    #[default]
    None,
    OpenListener(NotifySocket),
    /// It is said once there is a log.
    Broken(String),
}

impl ServiceManager {
    /// The one that `NOTIFY_SOCKET` names, and what `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    ///
    /// To be called in `main`, before
    /// [`remove_variables`](polyport_sys::inherit::forget_variables).
    #[must_use]
    pub fn from_environment() -> Self {
        Self::new(
            std::env::var_os("NOTIFY_SOCKET"),
            sd_notify::watchdog_enabled(),
        )
    }

    fn new(socket: Option<OsString>, watchdog: Option<Duration>) -> Self {
        let way = match socket.as_deref().filter(|name| !name.is_empty()) {
            None => Way::None,
            Some(name) => open(name),
        };
        let log_hook_result = !matches!(way, Way::None);
        Self {
            way,
            watchdog: watchdog.filter(|limit| log_hook_result && !limit.is_zero()),
            ..Self::default()
        }
    }

    /// The one behind this socket.
    #[cfg(test)]
    pub(super) fn at(socket: &std::path::Path) -> Self {
        Self::new(Some(socket.as_os_str().to_owned()), None)
    }

    /// The start or a reload is over, and the daemon serves.
    pub fn ready(&self, status: &str) {
        let status = plain(status);
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// A reload begins; [`Self::ready`] ends it, however it went.
    pub fn reloading(&self) {
        // Without the time the manager takes a later READY for an older one.
        let now = i128::from(monotonic_nanos() / 1000);
        self.tell(&[NotifyState::Reloading, NotifyState::MonotonicUsec(now)]);
    }

    /// What the daemon does now, or why it did not do what it was told: one line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(&plain(status))]);
    }

    /// The stop begins.
    pub fn stopping(&self, status: &str) {
        let status = plain(status);
        self.tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
    }

    /// What runs now, start, reload or stop, may take this long from now on. To be said again before it is over.
    pub fn extend(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.repeat(&[NotifyState::ExtendTimeoutUsec(micros)]);
    }

    /// How often [`Self::alive`] is to be called, twice in the time that the manager grants; `None` when it does not
    /// watch.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// The daemon is not stuck.
    pub fn alive(&self) {
        self.repeat(&[NotifyState::Watchdog]);
    }

    /// Gives the manager a copy of a socket to keep, so that it outlives a crash of the daemon. What it keeps already it
    /// does not keep twice.
    pub fn store(&self, name: &str, fd: BorrowedFd<'_>) {
        // A listening socket that was shut, or one with an error pending, would be dropped by itself without the last.
        let words = [
            NotifyState::Custom("FDSTORE=1"),
            NotifyState::Custom(&format!("FDNAME={name}")),
            NotifyState::Custom("FDPOLL=0"),
        ];
        self.send(&words, Some(fd), Urgency::Once);
    }

    /// Lets the manager close what it keeps under this name.
    pub fn unstore(&self, name: &str) {
        self.tell(&[
            NotifyState::Custom("FDSTOREREMOVE=1"),
            NotifyState::Custom(&format!("FDNAME={name}")),
        ]);
    }

    /// Says nothing any more, or speaks again: the manager hears one process of the daemon only.
    pub fn mute(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// From now on this process is the daemon.
    pub fn main_process(&self, pid: u32) {
        self.tell(&[NotifyState::MainPid(pid)]);
    }

    fn tell(&self, words: &[NotifyState<'_>]) {
        self.send(words, None, Urgency::Once);
    }

    fn repeat(&self, words: &[NotifyState<'_>]) {
        self.send(words, None, Urgency::Repeated);
    }

    fn send(&self, words: &[NotifyState<'_>], fd: Option<BorrowedFd<'_>>, urgency: Urgency) {
        if self.muted.load(Ordering::Relaxed) {
            return;
        }
        let socket = match &self.way {
            Way::None => return,
            Way::OpenListener(socket) => socket,
            Way::Broken(why) => return self.warn_once(why),
        };
        let mut text = String::new();
        for word in words {
            // Writing to a string never fails.
            writeln!(text, "{word}").unwrap_or_default();
        }
        let unresponsive = self.unresponsive.load(Ordering::Relaxed);
        let urgency = if unresponsive {
            Urgency::Repeated
        } else {
            urgency
        };
        let sent = socket.send(&text, fd, urgency);
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

fn open(name: &OsStr) -> Way {
    match NotifySocket::open(name) {
        Ok(socket) => Way::OpenListener(socket),
        Err(error) => Way::Broken(format!("NOTIFY_SOCKET={}: {error}", name.display())),
    }
}

/// One line of bounded length: a line break would begin another word of the protocol.
fn plain(status: &str) -> String {
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

    fn manager() -> (TempDir, UnixDatagram, ServiceManager) {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let limit = Some(Duration::from_secs(10));
        socket.set_read_timeout(limit).unwrap();
        let watchdog = Some(Duration::from_secs(30));
        let manager = ServiceManager::new(Some(path.into_os_string()), watchdog);
        (room, socket, manager)
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 8192];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn each_word_is_that_of_the_protocol() {
        let (_room, socket, manager) = manager();
        manager.ready("serves 3 listeners");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=serves 3 listeners\n");
        manager.status("x");
        assert_eq!(heard(&socket), "STATUS=x\n");
        manager.stopping("drains");
        assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=drains\n");
        manager.alive();
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
        manager.extend(Duration::from_millis(1500));
        assert_eq!(heard(&socket), "EXTEND_TIMEOUT_USEC=1500000\n");
        manager.extend(Duration::MAX);
        assert_eq!(heard(&socket), "EXTEND_TIMEOUT_USEC=4294967295\n");
        manager.main_process(77);
        assert_eq!(heard(&socket), "MAINPID=77\n");
        manager.mute(true);
        manager.status("nobody hears it");
        manager.mute(false);
        let file = tempfile::tempfile().unwrap();
        manager.store("polyport/tcp/x", file.as_fd());
        assert_eq!(
            heard(&socket),
            "FDSTORE=1\nFDNAME=polyport/tcp/x\nFDPOLL=0\n"
        );
        manager.unstore("polyport/tcp/x");
        assert_eq!(heard(&socket), "FDSTOREREMOVE=1\nFDNAME=polyport/tcp/x\n");
    }

    #[test]
    fn a_reload_says_when_it_began() {
        let (_room, socket, manager) = manager();
        let before = monotonic_nanos() / 1000;
        manager.reloading();
        let text = heard(&socket);
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
    fn a_status_is_one_line_and_not_too_long() {
        let (_room, socket, manager) = manager();
        manager.status("bad:\nMAINPID=1\r\n");
        assert_eq!(heard(&socket), "STATUS=bad: MAINPID=1  \n");
        manager.ready(&"ü".repeat(3000));
        let text = heard(&socket);
        assert!(
            text.ends_with("ü…\n") && text.len() < 1100,
            "{}",
            text.len()
        );
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        let watchdog = Some(Duration::from_secs(30));
        for none in [None, Some(OsString::new())] {
            let manager = ServiceManager::new(none, watchdog);
            assert_eq!(manager.watchdog_interval(), None);
            manager.ready("x");
            assert!(!manager.warned.load(Ordering::Relaxed));
        }
    }

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time() {
        let (_room, _socket, marker) = manager();
        assert_eq!(marker.watchdog_interval(), Some(Duration::from_secs(15)));
        let name = Some(OsString::from("/run/notify"));
        for none in [None, Some(Duration::ZERO)] {
            let manager = ServiceManager::new(name.clone(), none);
            assert_eq!(manager.watchdog_interval(), None);
        }
    }

    #[test]
    fn a_manager_that_cannot_be_told_costs_one_line_and_no_time() {
        for name in ["/no/such/notify", "vsock:2:1", "relative"] {
            let manager = ServiceManager::new(Some(name.into()), None);
            manager.ready("x");
            manager.alive();
            assert!(manager.warned.load(Ordering::Relaxed), "{name}");
        }
    }

    #[test]
    fn a_manager_that_does_not_read_is_waited_for_once() {
        let (_room, socket, manager) = manager();
        while !manager.unresponsive.load(Ordering::Relaxed) {
            manager.alive();
        }
        let begin = Instant::now();
        for _ in 0..1000 {
            manager.status("x");
        }
        assert!(begin.elapsed() < Duration::from_secs(5));
        heard(&socket);
        manager.status("again");
        assert!(!manager.unresponsive.load(Ordering::Relaxed));
    }
}
