//! This process: how it was started, which other process it takes over from, and how the service manager is notified.

use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::admin::SocketHandle;
use super::data_plane::DataPlane;
use super::listen::activation::Activation;
use super::running::{Inventory, OpenListener};
use super::service_manager::ServiceManager;
use super::upgrade::{Executable, OldProcess};

/// See the module's text.
#[derive(Debug)]
pub struct Process {
    /// Path of the configuration.
    pub config_path: PathBuf,
    /// When the process was started.
    pub started_at: Instant,
    /// The service manager.
    pub manager: ServiceManager,
    /// The program that runs.
    pub executable: Executable,
    /// The process that hands over to this one, or has done so.
    pub old_process: Option<OldProcess>,
    /// Sockets that were passed at the start; taken by the first change.
    pub activation: RefCell<Option<Activation>>,
    /// The admin socket, once it is open.
    pub admin: OnceCell<SocketHandle>,
    /// Why this process cannot begin to serve; sent to the old process.
    pub start_failure: RefCell<Option<String>>,
}

/// What operations work on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// This process.
    pub process: &'a Process,
    /// What runs in it.
    pub inventory: &'a Inventory,
    /// The workers.
    pub plane: &'a DataPlane,
}

impl Process {
    /// A process that has just been started.
    pub fn new(
        config: &Path,
        manager: ServiceManager,
        executable: Executable,
        old_process: Option<OldProcess>,
        activation: Activation,
    ) -> Self {
        Self {
            config_path: config.to_owned(),
            started_at: Instant::now(),
            manager,
            executable,
            old_process,
            activation: RefCell::new(Some(activation)),
            admin: OnceCell::new(),
            start_failure: RefCell::default(),
        }
    }

    /// The old process, as long as it serves.
    pub fn serving_old_process(&self) -> Option<&OldProcess> {
        self.old_process.as_ref().filter(|old| old.serves())
    }

    /// Returns whether another process serves that is to hand over to this one.
    pub fn is_standby(&self) -> bool {
        self.serving_old_process().is_some()
    }

    /// Waits until this process serves in its own right: at once, unless the old process has to commit first.
    pub async fn has_taken_over(&self) {
        if let Some(old) = self.serving_old_process() {
            old.committed().await;
        }
    }

    /// Waits until the old process has committed the hand-over, if there is one. From then on this process notifies the
    /// service manager, and removes the files of its sockets.
    ///
    /// # Errors
    /// The old process does not hand over; it serves on.
    pub async fn take_over(&self, listeners: &[OpenListener]) -> Result<(), String> {
        let Some(old) = self.serving_old_process() else {
            return Ok(());
        };
        old.request_commit().await?;
        self.manager.mute(false);
        for open in listeners {
            open.socket.set_shared(false);
        }
        if let Some(admin) = self.admin.get() {
            admin.set_shared(false);
        }
        if let Some(activation) = self.activation.take() {
            activation.close_unclaimed(&self.manager);
        }
        old.notify_committed();
        tracing::info!(process = old.pid(), "taken over");
        Ok(())
    }
}
