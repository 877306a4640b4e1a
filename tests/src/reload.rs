//! Reloads: by signal or by `polyportctl`, their outcome, and the ways to replace a plugin's file.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::daemon::ADMIN_SOCKET;
use crate::draft::Draft;
use crate::{Builder, Daemon, Event, Finished, SOON, binaries, events, run, wait};

impl Daemon {
    /// Sends HUP and waits for any outcome.
    #[track_caller]
    pub fn reload(&self) -> Event {
        self.hang_up("the verdict of the reload", events::is_reload_verdict)
    }

    /// Reloads, and expects success.
    #[track_caller]
    pub fn reload_applied(&self) -> Event {
        let verdict = self.reload();
        assert!(verdict.is(events::RELOAD_APPLIED), "{}", verdict.line);
        verdict
    }

    /// Reloads, and expects no change.
    #[track_caller]
    pub fn reload_unchanged(&self) -> Event {
        let verdict = self.reload();
        assert!(verdict.is(events::RELOAD_UNCHANGED), "{}", verdict.line);
        verdict
    }

    /// Reloads, and expects a failure whose reason holds this text, ignoring case.
    #[track_caller]
    pub fn reload_failed(&self, reason: &str) -> Event {
        let verdict = self.reload();
        assert!(verdict.is(events::RELOAD_FAILED), "{}", verdict.line);
        let said = verdict.field("reason").to_lowercase();
        assert!(
            said.contains(&reason.to_lowercase()),
            "`{reason}` is not the reason: {}",
            verdict.line
        );
        verdict
    }

    /// Changes the configuration, reloads, and expects success.
    #[track_caller]
    pub fn reconfigure(&mut self, change: impl FnOnce(Draft) -> Draft) -> Event {
        self.edit(change);
        self.reload_applied()
    }

    /// Runs `polyportctl` on this daemon, which was built with [`admin`](crate::Builder::admin).
    #[track_caller]
    pub fn ctl(&self, arguments: &[&str]) -> Finished {
        self.ctl_within(arguments, SOON)
    }

    /// The same with a limit of its own.
    #[track_caller]
    pub fn ctl_within(&self, arguments: &[&str], limit: Duration) -> Finished {
        let mut command = Command::new(binaries::polyportctl());
        command.arg("--socket").arg(self.admin_socket());
        run::to_end(command.args(arguments), b"", limit)
    }

    /// A listing of `polyportctl` as JSON.
    #[track_caller]
    pub fn listing(&self, what: &str) -> serde_json::Value {
        let finished = self.ctl(&[what, "--json"]);
        finished.exits(0);
        serde_json::from_slice(&finished.stdout).expect("a listing is JSON")
    }

    /// The path of its admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.dir().join(ADMIN_SOCKET)
    }

    /// Waits for an event that fits, leaving out the first `seen` events of the log.
    #[track_caller]
    pub fn next_event(&self, seen: usize, what: &str, fits: impl Fn(&Event) -> bool) -> Event {
        wait::until(what, SOON, || {
            let events = self.log().events();
            events.into_iter().skip(seen).find(|event| fits(event))
        })
    }
}

/// A plugin file that an operator replaces while the daemon serves.
#[derive(Clone, Debug)]
pub struct Place {
    path: PathBuf,
}

impl Place {
    /// This plugin in a folder, and a builder with it as instance and service `svc` on these listeners.
    #[must_use]
    pub fn with_service(folder: &Path, plugin: &Path, listen: &str) -> (Self, Builder) {
        let place = Self::new(folder, "svc", plugin);
        let builder = Daemon::builder().plugin("svc", place.path());
        (place, builder.service("svc", listen, "svc"))
    }

    /// A file of this name in a folder, with this content.
    #[must_use]
    pub fn new(folder: &Path, name: &str, plugin: &Path) -> Self {
        let place = Self {
            path: folder.join(format!("libpolyport_{name}.so")),
        };
        place.copy(plugin);
        place
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `mv new plugin.so`: another inode under the same name.
    pub fn rename(&self, plugin: &Path) {
        let next = self.path.with_extension("next");
        fs::copy(plugin, &next).expect("a copy beside it");
        fs::rename(&next, &self.path).expect("the copy takes its place");
    }

    /// `cp new plugin.so`: the same inode, cut off and written again.
    pub fn copy(&self, plugin: &Path) {
        self.write(&fs::read(plugin).expect("the plugin can be read"));
    }

    /// Writes these bytes into the same inode.
    pub fn write(&self, bytes: &[u8]) {
        fs::write(&self.path, bytes).expect("the plugin can be written");
    }

    /// Begins to write into the same inode; the rest comes with [`Slowly::finish`].
    #[must_use]
    pub fn begin(&self, plugin: &Path, first: usize) -> Slowly {
        let bytes = fs::read(plugin).expect("the plugin can be read");
        let mut file = File::create(&self.path).expect("the plugin can be written");
        let (now, later) = bytes.split_at(first);
        file.write_all(now).expect("the first part");
        Slowly {
            file,
            later: later.to_vec(),
        }
    }

    /// Removes the file.
    pub fn remove(&self) {
        fs::remove_file(&self.path).expect("the plugin can be removed");
    }
}

/// A writer that has not finished.
#[derive(Debug)]
pub struct Slowly {
    file: File,
    later: Vec<u8>,
}

impl Slowly {
    /// Writes the rest.
    pub fn finish(mut self) {
        self.file.write_all(&self.later).expect("the rest");
    }
}
