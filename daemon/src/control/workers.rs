//! The data side as control sees it: doors to post to, counts to read, threads to join.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Weak};

use polyport_host::boundary::Sighting;
use polyport_host::directory::Directory;
use polyport_host::hub::hub;
use polyport_host::status::Refuse;
use tokio::sync::{Mutex, mpsc};

use crate::common::pass::{Gate, Pass};
use crate::common::shutdown::Signal as Shutdown;
use crate::data::accept::Listener;
use crate::data::engine::{Ceding, Door, Mail};
use crate::data::service::Service;
use crate::data::snapshot::Snapshot;
use crate::data::watchdog::Watchdog;
use crate::data::worker::{self, Post, Worker};

/// Doors and directories, made before any plugin may ask for them.
#[derive(Debug)]
pub struct Doors {
    doors: Arc<[Arc<Door>]>,
    directories: Vec<Arc<Directory>>,
}

impl Doors {
    /// For so many workers; tells the hub, so that plugins can wake what will live there.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new(workers: u8) -> io::Result<Self> {
        let doors: io::Result<Vec<_>> = (0..workers).map(|_| Door::new()).collect();
        let doors: Arc<[Arc<Door>]> = doors?.into();
        let directories: Vec<_> = (0..workers)
            .zip(&*doors)
            .map(|(number, door)| {
                let door = Arc::clone(door);
                Arc::new(Directory::new(number, Box::new(move || door.ring())))
            })
            .collect();
        hub().set_directories(directories.clone());
        Ok(Self { doors, directories })
    }

    /// How many workers there are to be.
    #[must_use]
    pub fn count(&self) -> u8 {
        u8::try_from(self.doors.len()).unwrap_or(u8::MAX)
    }

    /// Lets instances dial: each on one worker, by its number. `of_instance` makes what a dial counts against.
    pub fn take_dials(
        &self,
        of_instance: impl Fn(u32) -> Option<Arc<Service>> + Send + Sync + 'static,
    ) {
        let doors = Arc::clone(&self.doors);
        hub().set_dialler(Box::new(move |instance, dial| {
            let service = of_instance(instance).ok_or(Refuse::Gone)?;
            let door = doors
                .get(instance as usize % doors.len().max(1))
                .ok_or(Refuse::Closing)?;
            door.post(Mail::Dial(service, dial)).map_err(|_| {
                if door.is_closed() {
                    Refuse::Closing
                } else {
                    Refuse::Full
                }
            })
        }));
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Workers {
    doors: Arc<[Arc<Door>]>,
    workers: RefCell<Vec<Worker>>,
    watchdog: RefCell<Option<Watchdog>>,
    /// Locked by the one who waits.
    ended: Mutex<mpsc::Receiver<(u8, io::Result<()>)>>,
    /// To close what a stuck worker holds on to.
    listeners: RefCell<Vec<Weak<Listener>>>,
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(doors: &Doors, shutdown: &Shutdown) -> io::Result<Self> {
        let Doors { doors, directories } = doors;
        let doors = Arc::clone(doors);
        let (ended, told) = mpsc::channel(doors.len().max(1));
        let mut workers = Vec::new();
        for (directory, (door, number)) in directories.iter().zip(doors.iter().zip(0_u8..)) {
            workers.push(worker::start(Post {
                number,
                directory: Arc::clone(directory),
                door: Arc::clone(door),
                neighbours: Arc::clone(&doors),
                watch: shutdown.watch(),
                ended: ended.clone(),
            })?);
        }
        let watched = workers
            .iter()
            .map(|worker| (worker.watched, Arc::clone(&worker.door)));
        let watchdog = RefCell::new(Some(Watchdog::start(watched)?));
        Ok(Self {
            doors,
            workers: RefCell::new(workers),
            watchdog,
            ended: Mutex::new(told),
            listeners: RefCell::default(),
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.doors.len()
    }

    /// Lets all workers serve this from now on. The gate's passes are back when each does so, or has ended.
    #[must_use]
    pub fn swap(&self, snapshot: &Arc<Snapshot>) -> Gate {
        let mut listeners = self.listeners.borrow_mut();
        listeners.retain(|known| known.strong_count() != 0);
        for (listener, _) in &snapshot.listeners {
            let is_new =
                |known: &Weak<Listener>| !std::ptr::eq(known.as_ptr(), &raw const **listener);
            if listeners.iter().all(is_new) {
                listeners.push(Arc::downgrade(listener));
            }
        }
        self.tell(|pass| Mail::Snapshot(Arc::clone(snapshot), pass))
    }

    /// Calls nothing of these instances any more until they are released; so it is once the gate's passes are back.
    #[must_use]
    pub fn hold(&self, instances: &Arc<[u32]>) -> Gate {
        self.tell(|pass| Mail::Hold(Arc::clone(instances), pass))
    }

    /// Goes on with these instances.
    #[must_use]
    pub fn release(&self, instances: &Arc<[u32]>) -> Gate {
        self.tell(|pass| Mail::Release(Arc::clone(instances), pass))
    }

    /// Leaves those who come to nobody, to this process again, or to another one; so it is once the gate's passes are
    /// back.
    #[must_use]
    pub fn cede(&self, ceding: &Ceding) -> Gate {
        self.tell(|pass| Mail::Cede(ceding.clone(), pass))
    }

    /// Posts a letter to every worker; one that has ended has nothing to do.
    fn tell(&self, letter: impl Fn(Pass) -> Mail) -> Gate {
        let gate = Gate::new();
        for door in &*self.doors {
            drop(door.post(letter(gate.pass())));
        }
        gate
    }

    /// Waits until a worker ends, and says why if it was not the shutdown.
    pub async fn ended(&self) -> (u8, io::Result<()>) {
        match self.ended.lock().await.recv().await {
            Some(ended) => ended,
            // Workers hold the senders, so all have ended and were told of before.
            None => std::future::pending().await,
        }
    }

    /// Is there no worker that is not stuck in a callback?
    #[must_use]
    pub fn are_all_stuck(&self) -> bool {
        self.doors.iter().all(|door| door.is_stuck())
    }

    /// Waits until every worker has closed its listeners.
    pub async fn listeners_closed(&self) {
        for door in &*self.doors {
            door.listeners_closed().await;
        }
    }

    /// Streams and draining sockets that live now.
    #[must_use]
    pub fn live(&self) -> usize {
        self.doors.iter().map(|door| door.live()).sum()
    }

    /// Closes listeners that a stuck worker still holds.
    pub fn refuse_all(&self) {
        for listener in self.listeners.borrow().iter().filter_map(Weak::upgrade) {
            listener.refuse();
        }
    }

    /// Lets no worker enter a plugin any more. Those that still run are given up.
    pub fn halt(&self) {
        let workers = self.workers.borrow();
        workers.iter().for_each(|worker| worker.watched.halt());
    }

    /// The calls that workers are inside of right now.
    #[must_use]
    pub fn inside(&self) -> Vec<Sighting> {
        let workers = self.workers.borrow();
        workers
            .iter()
            .filter_map(|worker| worker.watched.look())
            .collect()
    }

    /// Joins the threads that have ended; says whether all have.
    #[must_use]
    pub fn join(&self) -> bool {
        let watchdog = self.watchdog.take();
        if let Some(watchdog) = watchdog {
            watchdog.end();
        }
        let mut workers = self.workers.borrow_mut();
        let ended = workers.extract_if(.., |worker| worker.thread.is_finished());
        ended.for_each(|worker| drop(worker.thread.join()));
        workers.is_empty()
    }
}
