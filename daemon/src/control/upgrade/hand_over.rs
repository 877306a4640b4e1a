//! The hand-over, in the old process. Until the new process serves, every step is rolled back when one fails.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_config::ListenAddress;

use super::messages::Message;
use super::new_process::{HandOverError, NewProcess};
use super::{ADMIN, Executable};
use crate::control::admin::SocketHandle;
use crate::control::data_plane::DataPlane;
use crate::control::listen::bind::ListenSocket;
use crate::control::listen::fdstore::handover_name;
use crate::control::running::fence::Fence;
use crate::control::running::{InstanceHandle, Inventory, OpenListener};
use crate::control::service_manager::ServiceManager;
use polyport_data::Standby;

/// How long the new process may take until it is ready to serve.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may then take to serve, while no process does.
const SERVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long workers may take to stop accepting; one that is stuck in a callback does not.
const SUSPEND_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a wait is checked for an interrupt.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);
/// Name of a socket that has none.
const UNNAMED: &str = "unknown";

/// Checks that everything of this process can go over to another one.
///
/// # Errors
/// Why not, with what to do.
pub fn can_hand_over(inventory: &Inventory) -> Result<(), String> {
    if inventory.store.borrow().is_some() {
        return Ok(());
    }
    match inventory.instances().iter().find(|one| keeps_state(one)) {
        None => Ok(()),
        Some(handle) => Err(format!(
            "the state of instance `{}` cannot go over to another process: set daemon.state-directory, or restart and \
             lose it",
            handle.name()
        )),
    }
}

/// A hand-over under way.
#[derive(Debug)]
pub struct HandOver<'a> {
    inventory: &'a Inventory,
    plane: &'a DataPlane,
    manager: &'a ServiceManager,
    admin: Option<&'a SocketHandle>,
    /// Set when the daemon is to stop.
    interrupted: &'a Cell<bool>,
    until: Instant,
    /// Pauses instances whose state goes over, or of which only one may exist.
    fence: Fence,
    fenced: Arc<[u32]>,
    /// Workers neither accept nor receive.
    suspended: bool,
}

impl<'a> HandOver<'a> {
    /// Not begun yet.
    pub fn new(
        inventory: &'a Inventory,
        plane: &'a DataPlane,
        manager: &'a ServiceManager,
        interrupted: &'a Cell<bool>,
    ) -> Self {
        Self {
            inventory,
            plane,
            manager,
            admin: None,
            interrupted,
            until: Instant::now() + READY_TIMEOUT,
            fence: Fence::default(),
            fenced: Arc::default(),
            suspended: false,
        }
    }

    /// Hands over to what is at the executable's path now. On success the new process serves, and this one does not.
    ///
    /// # Errors
    /// Why not, in one sentence; this process serves as before.
    pub async fn run(
        mut self,
        executable: &Executable,
        admin: Option<&'a SocketHandle>,
    ) -> Result<NewProcess, String> {
        self.admin = admin;
        self.manager.extend(READY_TIMEOUT + SERVE_TIMEOUT);
        let path = executable.path().display();
        tracing::info!(%path, "hand-over begins");
        let started = self.descriptors();
        let started = started.and_then(|passed| NewProcess::start(executable, passed));
        let mut new = started.map_err(|error| format!("{path} cannot be started: {error}"))?;
        self.until = Instant::now() + READY_TIMEOUT;
        match self.exchange(&mut new).await {
            Ok(()) => {
                new.release();
                Ok(new)
            }
            Err(error) => {
                let reason = new.end(error).await;
                self.roll_back().await;
                Err(reason)
            }
        }
    }

    async fn exchange(&mut self, new: &mut NewProcess) -> Result<(), HandOverError> {
        self.expect(new, &Message::Loaded).await?;
        let directory = self.save_state().await?;
        new.send(&Message::Saved(directory)).await?;
        self.expect(new, &Message::Ready).await?;
        self.suspend().await?;
        self.until = self.until.min(Instant::now() + SERVE_TIMEOUT);
        new.send(&Message::Serve).await?;
        self.expect(new, &Message::Serving).await?;
        self.commit(new).await
    }

    /// The descriptors for the new process, with their names.
    fn descriptors(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let mut passed = Vec::new();
        for open in &self.inventory.state().listeners {
            let socket = match &open.socket {
                ListenSocket::Streams(listener) => listener.socket.as_fd().try_clone_to_owned()?,
                ListenSocket::Datagrams(listener) => {
                    listener.socket.as_fd().try_clone_to_owned()?
                }
            };
            passed.push((name_of(open), socket));
        }
        if let Some(admin) = self.admin {
            passed.push((ADMIN.to_owned(), admin.descriptor()?));
        }
        Ok(passed)
    }

    /// Waits for a message.
    async fn expect(&self, new: &mut NewProcess, expected: &Message) -> Result<(), HandOverError> {
        loop {
            match tokio::time::timeout(INTERRUPT_POLL, new.receive()).await {
                Ok(Some(Message::Failed(reason))) => return Err(HandOverError::Failed(reason)),
                Ok(Some(message)) if message == *expected => return Ok(()),
                Ok(Some(message)) => return Err(HandOverError::Unknown(message.to_string())),
                Ok(None) => return Err(HandOverError::Closed),
                Err(_) if self.interrupted.get() => {
                    let reason = "interrupted: the daemon is told to stop";
                    return Err(HandOverError::Local(reason.to_owned()));
                }
                Err(_) if Instant::now() >= self.until => {
                    let limit = if self.suspended {
                        SERVE_TIMEOUT
                    } else {
                        READY_TIMEOUT
                    };
                    return Err(HandOverError::Late(limit));
                }
                Err(_) => {}
            }
        }
    }

    /// Fences what cannot run in two processes, and saves its state for the new one. Returns the state directory.
    async fn save_state(&mut self) -> Result<Option<String>, HandOverError> {
        let limit = self.inventory.hook_timeout.get();
        let state = self.inventory.state();
        let is_exclusive = |handle: &Arc<InstanceHandle>| {
            let serves = state.instances.iter().any(|one| Arc::ptr_eq(one, handle));
            serves && handle.hook_thread.instance().is_exclusive()
        };
        let all = self.inventory.instances();
        let fenced = all
            .iter()
            .filter(|one| keeps_state(one) || is_exclusive(one));
        let fenced: Vec<_> = fenced.collect();
        if fenced.is_empty() {
            return Ok(None);
        }
        self.fenced = fenced.iter().map(|handle| handle.index()).collect();
        let pausing = self
            .fence
            .pause(Arc::clone(&self.fenced), &state, self.plane, limit);
        pausing.await?;
        for handle in fenced.iter().rev().filter(|one| is_exclusive(one)) {
            self.fence.freeze(handle, limit).await?;
        }
        let store = self.inventory.store.borrow().clone();
        let mut saved = false;
        for handle in fenced.iter().filter(|one| keeps_state(one)) {
            let state = self.fence.save(handle, store.clone(), limit).await?;
            saved |= state.is_some();
        }
        let directory = store.filter(|_| saved);
        Ok(directory.map(|store| store.directory().display().to_string()))
    }

    /// Stops accepting and receiving: of two processes that read one socket both would answer.
    async fn suspend(&mut self) -> Result<(), HandOverError> {
        self.suspended = true;
        let suspended = self.plane.standby(&Standby::Suspend);
        let suspended = tokio::time::timeout(SUSPEND_TIMEOUT, suspended.wait()).await;
        suspended.map_err(|_| {
            let reason = "a worker is held up by a callback, so that it cannot let go of its sockets; the log names a \
                          callback that takes long";
            HandOverError::Local(reason.to_owned())
        })
    }

    /// The new process serves. From here on only its death can fail the hand-over.
    async fn commit(&mut self, new: &NewProcess) -> Result<(), HandOverError> {
        // The service manager accepts notifications of the main process only, so it changes before the first of them.
        self.manager.main_process(new.pid());
        if let Err(error) = new.send(&Message::Committed).await {
            self.manager.main_process(std::process::id());
            return Err(error);
        }
        self.manager.mute(true);
        for handle in self.inventory.instances() {
            handle.give_up_state();
        }
        for open in &self.inventory.state().listeners {
            open.socket.set_shared(true);
        }
        if let Some(admin) = self.admin {
            admin.set_shared(true);
        }
        let standby = Standby::HandOff {
            gone: Arc::clone(&self.fenced),
            until: Instant::now() + self.inventory.drain_timeout.get(),
        };
        // A worker that is stuck applies it when its callback returns.
        drop(self.plane.standby(&standby));
        self.inventory.drop_listeners();
        Ok(())
    }

    async fn roll_back(&mut self) {
        if self.suspended {
            drop(self.plane.standby(&Standby::Resume));
        }
        for open in &self.inventory.state().listeners {
            // The new process may have set the mode and group of another configuration.
            if let Err(reason) = open.socket.set_access(&open.address) {
                tracing::warn!(reason, "the hand-over is undone, but for this");
            }
        }
        let limit = self.inventory.hook_timeout.get();
        self.fence.roll_back(self.plane, limit).await;
        self.inventory.refresh_dials(self.plane);
    }
}

fn name_of(open: &OpenListener) -> String {
    if let ListenAddress::Inherited { name } = &open.address {
        return name.clone();
    }
    // The new process finds a socket of a unit by its address.
    let bound = !open.socket.is_inherited();
    let name = bound.then(|| handover_name(&open.address, &open.service));
    name.flatten().unwrap_or_else(|| UNNAMED.to_owned())
}

fn keeps_state(handle: &InstanceHandle) -> bool {
    handle.is_started() && handle.owns_state() && handle.hook_thread.instance().keeps_state()
}
