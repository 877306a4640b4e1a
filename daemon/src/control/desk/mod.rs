//! The desk: one task owns the state. Signals, the admin socket, the end of workers and the clock are its events; it
//! has one wish carried out at a time.

mod after;
mod asked;
mod clock;
mod replies;

pub use replies::reply_while_stopping;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_api::{Outcome, Verdict};
use polyport_sys::signals::Signal;
use tokio::sync::mpsc;

use super::Exit;
use super::admin::Request;
use super::change::ChangeFault;
use super::history::History;
use super::leave::Leavers;
use super::life::Life;
use super::signals::{Signals, StopBudget, name_of};
use super::succession::Successor;
use super::target::Target;
use super::trial::Trial;
use super::vet::Checked;
use super::wish::{Ended, Wish, carry_out};
use polyport_common::wait_group::{WaitGroup, wait_group};

use asked::{Asked, QUEUE_MAX, Queue};
use clock::{Clock, Confirmation, HangUps};
use replies::{Waiting, reply};

/// See the module's text.
#[derive(Debug)]
pub struct Desk<'a> {
    life: &'a Life,
    budget: &'a StopBudget,
    admin: Option<mpsc::Receiver<Request>>,
    queue: Queue,
    history: History,
    leavers: Leavers,
    /// What operators took out of service.
    drained: Vec<String>,
    /// Who waits for a drain.
    waiting: Vec<Waiting>,
    confirmation: Option<Confirmation>,
    hang_ups: HangUps,
    trials: Vec<Trial>,
    clock: Clock,
    /// Set when the daemon is to stop.
    interrupted: Rc<Cell<bool>>,
    /// Who serves now in the place of this process.
    successor: Option<Successor>,
    /// Something is carried out.
    busy: Option<&'static str>,
    /// A pass is out while instances are asked whether they are healthy.
    asking_health: WaitGroup,
}

/// Who asks for the rollback of code that fails on trial.
const BY_TRIAL: &str = "the daemon: the new code fails";
/// What a closed desk leaves.
#[derive(Debug)]
pub struct Closed {
    /// What became of the changes.
    pub history: History,
    /// Who still asks.
    pub admin: Option<mpsc::Receiver<Request>>,
    /// Who serves now in the place of this process.
    pub successor: Option<Successor>,
    /// The daemon was told to stop.
    pub interrupted: bool,
}

/// What is carried out.
struct Running<'a> {
    asked: Asked,
    /// What served before; without its sockets, so that none is held open.
    before: Option<Target>,
    /// It may be gone back to unless this is confirmed in time.
    confirm: Option<Duration>,
    ends: Pin<Box<dyn Future<Output = Ended> + 'a>>,
}

/// What happened.
enum Event {
    Ended(Box<Ended>),
    Signal(Option<Signal>),
    Request(Option<Request>),
    Worker(u8, std::io::Result<()>),
    Gone(Arc<super::world::Held>),
    Tick,
}

impl<'a> Desk<'a> {
    /// Opens; the first wish is to start with what was checked.
    #[must_use]
    pub fn new(
        life: &'a Life,
        budget: &'a StopBudget,
        admin: Option<mpsc::Receiver<Request>>,
        checked: Checked,
        hung_up: bool,
    ) -> Self {
        let mut queue = Queue::default();
        // There is room in an empty one.
        drop(queue.put(Asked::new(Wish::Start(Box::new(checked)), "start")));
        let mut hang_ups = HangUps::default();
        if hung_up {
            hang_ups.hear();
        }
        Self {
            life,
            budget,
            admin,
            queue,
            history: History::default(),
            leavers: Leavers::new(),
            drained: Vec::new(),
            waiting: Vec::new(),
            confirmation: None,
            hang_ups,
            trials: Vec::new(),
            clock: Clock::new(&life.manager),
            interrupted: Rc::default(),
            successor: None,
            busy: None,
            asking_health: wait_group(),
        }
    }

    /// Serves until told to stop. `None`: in order; else how the process ends because something failed.
    pub async fn serve(&mut self, signals: &mut Signals) -> Option<Exit> {
        let mut running: Option<Running<'a>> = None;
        loop {
            if running.is_none() {
                if self.interrupted.get() {
                    return None;
                }
                if self.hang_ups.take() {
                    let wish = Wish::Reload { confirm: None };
                    self.want(Asked::new(wish, "SIGHUP"));
                }
                running = self.begin();
            }
            // While something runs they wait for its end.
            let hang_ups = running.is_none().then_some(&self.hang_ups);
            let wake = self.clock.next(self.waits_closely(), hang_ups);
            let event = tokio::select! {
                ended = carried_out(running.as_mut()) => Event::Ended(Box::new(ended)),
                signal = signals.recv() => Event::Signal(signal),
                request = asked_for(self.admin.as_mut()) => Event::Request(request),
                (number, result) = self.life.worker_ended() => Event::Worker(number, result),
                held = self.leavers.gone() => Event::Gone(held),
                () = tokio::time::sleep_until(wake.into()) => Event::Tick,
            };
            match event {
                Event::Ended(ended) => {
                    if let Some(done) = running.take()
                        && let Some(exit) = self.ended(done, *ended)
                    {
                        return exit;
                    }
                }
                Event::Signal(None) => return Some(Exit::Internal),
                Event::Signal(Some(signal)) => {
                    let again = self.hear(signal);
                    if again {
                        // Asked twice: what runs now is left to the deadlines of the stop.
                        return None;
                    }
                }
                Event::Request(Some(request)) => reply(self, request),
                Event::Request(None) => self.admin = None,
                Event::Worker(number, result) => {
                    let reason = result
                        .err()
                        .map_or_else(|| "it ended".to_owned(), |error| error.to_string());
                    tracing::error!(
                        worker = number,
                        reason,
                        "a worker has failed; the daemon stops"
                    );
                    return Some(Exit::Internal);
                }
                Event::Gone(held) => {
                    self.life.forget(&held);
                    self.sweep(running.is_some());
                }
                Event::Tick => self.tick(),
            }
        }
    }

    /// The daemon stops: what still waits is told, and instances that leave are the stop's affair.
    pub async fn close(mut self) -> Closed {
        let reason = match &self.successor {
            Some(_) => "another process of the daemon serves now: ask again",
            None => "the daemon stops",
        };
        for asked in self.queue.take_all() {
            self.refuse(asked, reason.to_owned());
        }
        self.leavers.end().await;
        Closed {
            history: self.history,
            admin: self.admin,
            successor: self.successor,
            interrupted: self.interrupted.get(),
        }
    }

    /// Is the first change not made yet?
    fn is_starting(&self) -> bool {
        self.life.world().number == 0
    }

    /// Hears a signal; says whether the stop is asked for a second time.
    fn hear(&mut self, signal: Signal) -> bool {
        match signal {
            Signal::Term | Signal::Int => {
                tracing::info!(name = name_of(signal), "signal");
                return self.interrupted.replace(true);
            }
            Signal::Hup => {
                tracing::info!(name = "HUP", "signal");
                self.hang_ups.hear();
            }
            Signal::Usr2 => {
                tracing::info!(name = "USR2", "signal");
                self.want(Asked::new(Wish::HandOver, "SIGUSR2"));
            }
            Signal::Usr1 => tracing::info!(
                name = "USR1",
                "signal: nothing is bound to it in this version"
            ),
        }
        false
    }

    /// Begins the next wish that can be begun.
    fn begin(&mut self) -> Option<Running<'a>> {
        loop {
            let mut asked = self.queue.take()?;
            let Some(wish) = asked.wish.take() else {
                continue;
            };
            let reloads = matches!(wish, Wish::Reload { .. } | Wish::HandOver);
            match &self.confirmation {
                Some(pending) if asked.is_by_hand() || reloads => {
                    let reason = format!(
                        "the last reload waits to be confirmed for {} s more: `polyportctl confirm`, or wait until it \
                         is undone",
                        pending.seconds_left()
                    );
                    // Who waits for the end of a reload hears of its begin.
                    self.life.manager.reloading();
                    self.refuse(asked, reason);
                }
                _ => return Some(self.run(asked, wish)),
            }
        }
    }

    /// Puts a wish in the queue, or says that there is no room.
    fn want(&mut self, asked: Asked) {
        if let Err(asked) = self.queue.put(asked) {
            let reason = format!("{QUEUE_MAX} changes wait already; ask again later");
            self.refuse(*asked, reason);
        }
    }

    /// Says no to a wish.
    fn refuse(&mut self, asked: Asked, reason: String) {
        let outcome = refused(reason);
        self.tell(&asked, &outcome);
        if let Some(name) = &asked.drains {
            self.note_drain(name, &outcome);
        }
        asked.answer(outcome);
    }

    fn run(&mut self, asked: Asked, wish: Wish) -> Running<'a> {
        let confirm = match &wish {
            Wish::Reload { confirm } => *confirm,
            _ => None,
        };
        let id = match &wish {
            Wish::Plan => 0,
            _ => self.history.begin(),
        };
        if !matches!(wish, Wish::Plan | Wish::Start(_)) {
            self.life.manager.reloading();
        }
        self.busy = Some(asked.what);
        let interrupted = Rc::clone(&self.interrupted);
        let life = self.life;
        Running {
            asked,
            before: life.world().as_target(),
            confirm,
            ends: Box::pin(async move { carry_out(life, wish, id, &interrupted).await }),
        }
    }

    /// A wish is carried out. `Some`: the daemon cannot go on, or was told not to.
    fn ended(&mut self, running: Running<'a>, ended: Ended) -> Option<Option<Exit>> {
        self.busy = None;
        let Running {
            mut asked,
            before,
            confirm,
            ..
        } = running;
        let Ended {
            mut outcome,
            applied,
            fault,
            may_follow,
            successor,
        } = ended;
        if may_follow {
            self.go_back_later(&mut asked);
        }
        let changed = outcome.verdict == Verdict::Applied;
        let drained = self.drained.clone();
        if let Some(applied) = applied {
            self.settle(&asked, before.as_ref(), applied);
        }
        if changed && let Some(within) = confirm {
            self.confirmation = before.map(|back| Confirmation::new(within, back, drained));
            outcome.confirm_within_seconds = Some(within.as_secs());
        }
        self.hang_ups.note_change();
        self.history.note(&outcome, &asked.by);
        self.tell(&asked, &outcome);
        if let Some(name) = &asked.drains {
            self.note_drain(name, &outcome);
        }
        if asked.what == "start" {
            if let Some(fault) = fault {
                return Some(self.not_started(&fault));
            }
            tracing::info!("ready");
        }
        asked.answer(outcome);
        self.successor = successor;
        if self.successor.is_some() {
            return Some(None);
        }
        self.sweep(false);
        None
    }

    /// The start failed, or was broken off.
    fn not_started(&self, fault: &ChangeFault) -> Option<Exit> {
        match fault {
            ChangeFault::Interrupted => None,
            _ if self.interrupted.get() => {
                tracing::warn!(reason = %fault, "the start would have failed, had it not been broken off");
                None
            }
            _ => {
                self.life.failure.replace(Some(fault.to_string()));
                tracing::error!(reason = %fault, "the daemon cannot start");
                Some(fault.exit())
            }
        }
    }
}

/// A refusal as an outcome.
fn refused(reason: String) -> Outcome {
    Outcome {
        id: 0,
        verdict: Verdict::Refused,
        reason,
        faults: Vec::new(),
        plan: None,
        milliseconds: 0,
        confirm_within_seconds: None,
    }
}

async fn carried_out(running: Option<&mut Running<'_>>) -> Ended {
    match running {
        Some(running) => running.ends.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn asked_for(admin: Option<&mut mpsc::Receiver<Request>>) -> Option<Request> {
    match admin {
        Some(admin) => admin.recv().await,
        None => std::future::pending().await,
    }
}
