//! The desk: one task owns the state. Signals, the admin socket, the end of workers and the clock are its events; it
//! has one wish carried out at a time.

mod queue;
mod requests;
mod timers;
mod report;

pub use requests::reply_while_stopping;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_api::{Outcome, Verdict};
use polyport_sys::signals::Signal;
use tokio::sync::mpsc;

use crate::control::Exit;
use crate::control::admin::Request;
use crate::control::apply::ApplyError;
use crate::control::auto_rollback::Canary;
use crate::control::desired::DesiredState;
use crate::control::desired::load::ValidConfig;
use crate::control::life::Life;
use crate::control::operation::{Operation, OperationResult, execute};
use crate::control::running::retire::Retirements;
use crate::control::signals::{Signals, StopBudget, name_of};
use crate::control::status::history::History;
use crate::control::upgrade::NewProcess;
use polyport_common::wait_group::{WaitGroup, wait_group};

use queue::{QUEUE_MAX, Queue, QueuedOperation};
use requests::{DrainWaiter, reply};
use timers::{Confirmation, ReloadDebounce, Timers};

/// See the module's text.
#[derive(Debug)]
pub struct Supervisor<'a> {
    life: &'a Life,
    budget: &'a StopBudget,
    admin: Option<mpsc::Receiver<Request>>,
    queue: Queue,
    history: History,
    retirements: Retirements,
    /// What operators took out of service.
    drained: Vec<String>,
    /// Who waits for a drain.
    waiters: Vec<DrainWaiter>,
    confirmation: Option<Confirmation>,
    reload_debounce: ReloadDebounce,
    canaries: Vec<Canary>,
    timers: Timers,
    /// Set when the daemon is to stop.
    interrupted: Rc<Cell<bool>>,
    /// Who serves now in the place of this process.
    new_process: Option<NewProcess>,
    /// Something is carried out.
    busy: Option<&'static str>,
    /// A pass is out while instances are asked whether they are healthy.
    health_checks: WaitGroup,
}

/// Who asks for the rollback of code that fails on trial.
const BY_CANARY: &str = "the daemon: the new code fails";
/// What a closed desk leaves.
#[derive(Debug)]
pub struct Finished {
    /// What became of the changes.
    pub history: History,
    /// Who still asks.
    pub admin: Option<mpsc::Receiver<Request>>,
    /// Who serves now in the place of this process.
    pub new_process: Option<NewProcess>,
    /// The daemon was told to stop.
    pub interrupted: bool,
}

/// What is carried out.
struct InProgress<'a> {
    queued: QueuedOperation,
    /// What served before; without its sockets, so that none is held open.
    before: Option<DesiredState>,
    /// It may be gone back to unless this is confirmed in time.
    confirm: Option<Duration>,
    ends: Pin<Box<dyn Future<Output = OperationResult> + 'a>>,
}

/// What happened.
enum Event {
    OperationResult(Box<OperationResult>),
    Signal(Option<Signal>),
    Request(Option<Request>),
    Worker(u8, std::io::Result<()>),
    Gone(Arc<crate::control::running::state::InstanceHandle>),
    Tick,
}

impl<'a> Supervisor<'a> {
    /// Opens; the first wish is to start with what was checked.
    #[must_use]
    pub fn new(
        life: &'a Life,
        budget: &'a StopBudget,
        admin: Option<mpsc::Receiver<Request>>,
        checked: ValidConfig,
        reload_requested: bool,
    ) -> Self {
        let mut queue = Queue::default();
        // There is room in an empty one.
        drop(queue.push(QueuedOperation::new(
            Operation::Start(Box::new(checked)),
            "start",
        )));
        let mut reload_debounce = ReloadDebounce::default();
        if reload_requested {
            reload_debounce.receive();
        }
        Self {
            life,
            budget,
            admin,
            queue,
            history: History::default(),
            retirements: Retirements::new(),
            drained: Vec::new(),
            waiters: Vec::new(),
            confirmation: None,
            reload_debounce,
            canaries: Vec::new(),
            timers: Timers::new(&life.manager),
            interrupted: Rc::default(),
            new_process: None,
            busy: None,
            health_checks: wait_group(),
        }
    }

    /// Serves until told to stop. `None`: in order; else how the process ends because something failed.
    pub async fn serve(&mut self, signals: &mut Signals) -> Option<Exit> {
        let mut running: Option<InProgress<'a>> = None;
        loop {
            if running.is_none() {
                if self.interrupted.get() {
                    return None;
                }
                if self.reload_debounce.take() {
                    let operation = Operation::Reload { confirm: None };
                    self.enqueue(QueuedOperation::new(operation, "SIGHUP"));
                }
                running = self.begin();
            }
            // While something runs they wait for its end.
            let reload_debounce = running.is_none().then_some(&self.reload_debounce);
            let wake = self.timers.next(self.waits_closely(), reload_debounce);
            let event = tokio::select! {
                ended = carried_out(running.as_mut()) => Event::OperationResult(Box::new(ended)),
                signal = signals.recv() => Event::Signal(signal),
                request = asked_for(self.admin.as_mut()) => Event::Request(request),
                (number, result) = self.life.worker_ended() => Event::Worker(number, result),
                handle = self.retirements.gone() => Event::Gone(handle),
                () = tokio::time::sleep_until(wake.into()) => Event::Tick,
            };
            match event {
                Event::OperationResult(ended) => {
                    if let Some(done) = running.take()
                        && let Some(exit) = self.ended(done, *ended)
                    {
                        return exit;
                    }
                }
                Event::Signal(None) => return Some(Exit::Internal),
                Event::Signal(Some(signal)) => {
                    let again = self.receive(signal);
                    if again {
                        // QueuedOperation twice: what runs now is left to the deadlines of the stop.
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
                Event::Gone(handle) => {
                    self.life.forget(&handle);
                    self.sweep(running.is_some());
                }
                Event::Tick => self.tick(),
            }
        }
    }

    /// The daemon stops: what still waits is told, and instances that leave are the stop's affair.
    pub async fn close(mut self) -> Finished {
        let reason = match &self.new_process {
            Some(_) => "another process of the daemon serves now: ask again",
            None => "the daemon stops",
        };
        for queued in self.queue.take_all() {
            self.refuse(queued, reason.to_owned());
        }
        self.retirements.end().await;
        Finished {
            history: self.history,
            admin: self.admin,
            new_process: self.new_process,
            interrupted: self.interrupted.get(),
        }
    }

    /// Is the first change not made yet?
    fn is_starting(&self) -> bool {
        self.life.state().number == 0
    }

    /// Hears a signal; says whether the stop is asked for a second time.
    fn receive(&mut self, signal: Signal) -> bool {
        match signal {
            Signal::Term | Signal::Int => {
                tracing::info!(name = name_of(signal), "signal");
                return self.interrupted.replace(true);
            }
            Signal::Hup => {
                tracing::info!(name = "HUP", "signal");
                self.reload_debounce.receive();
            }
            Signal::Usr2 => {
                tracing::info!(name = "USR2", "signal");
                self.enqueue(QueuedOperation::new(Operation::HandOver, "SIGUSR2"));
            }
            Signal::Usr1 => tracing::info!(
                name = "USR1",
                "signal: nothing is bound to it in this version"
            ),
        }
        false
    }

    /// Begins the next wish that can be begun.
    fn begin(&mut self) -> Option<InProgress<'a>> {
        loop {
            let mut queued = self.queue.take()?;
            let Some(operation) = queued.operation.take() else {
                continue;
            };
            let reloads = matches!(operation, Operation::Reload { .. } | Operation::HandOver);
            match &self.confirmation {
                Some(pending) if queued.is_by_operator() || reloads => {
                    let reason = format!(
                        "the last reload waits to be confirmed for {} s more: `polyportctl confirm`, or wait until it \
                         is undone",
                        pending.seconds_left()
                    );
                    // Who waits for the end of a reload hears of its begin.
                    self.life.manager.reloading();
                    self.refuse(queued, reason);
                }
                _ => return Some(self.run(queued, operation)),
            }
        }
    }

    /// Puts a wish in the queue, or says that there is no room.
    fn enqueue(&mut self, queued: QueuedOperation) {
        if let Err(queued) = self.queue.push(queued) {
            let reason = format!("{QUEUE_MAX} changes wait already; ask again later");
            self.refuse(*queued, reason);
        }
    }

    /// Says no to a wish.
    fn refuse(&mut self, queued: QueuedOperation, reason: String) {
        let outcome = refused(reason);
        self.report(&queued, &outcome);
        if let Some(name) = &queued.drains {
            self.note_drain(name, &outcome);
        }
        queued.answer(outcome);
    }

    fn run(&mut self, queued: QueuedOperation, operation: Operation) -> InProgress<'a> {
        let confirm = match &operation {
            Operation::Reload { confirm } => *confirm,
            _ => None,
        };
        let id = match &operation {
            Operation::Plan => 0,
            _ => self.history.begin(),
        };
        if !matches!(operation, Operation::Plan | Operation::Start(_)) {
            self.life.manager.reloading();
        }
        self.busy = Some(queued.what);
        let interrupted = Rc::clone(&self.interrupted);
        let life = self.life;
        InProgress {
            queued,
            before: life.state().as_target(),
            confirm,
            ends: Box::pin(async move { execute(life, operation, id, &interrupted).await }),
        }
    }

    /// A wish is carried out. `Some`: the daemon cannot go on, or was told not to.
    fn ended(&mut self, running: InProgress<'a>, ended: OperationResult) -> Option<Option<Exit>> {
        self.busy = None;
        let InProgress {
            mut queued,
            before,
            confirm,
            ..
        } = running;
        let OperationResult {
            mut outcome,
            applied,
            fault,
            may_follow,
            new_process,
        } = ended;
        if may_follow {
            self.retry_return(&mut queued);
        }
        let changed = outcome.verdict == Verdict::Applied;
        let drained = self.drained.clone();
        if let Some(applied) = applied {
            self.committed(&queued, before.as_ref(), applied);
        }
        if changed && let Some(within) = confirm {
            self.confirmation = before.map(|back| Confirmation::new(within, back, drained));
            outcome.confirm_within_seconds = Some(within.as_secs());
        }
        self.reload_debounce.note_change();
        self.history.note(&outcome, &queued.by);
        self.report(&queued, &outcome);
        if let Some(name) = &queued.drains {
            self.note_drain(name, &outcome);
        }
        if queued.what == "start" {
            if let Some(fault) = fault {
                return Some(self.not_started(&fault));
            }
            tracing::info!("ready");
        }
        queued.answer(outcome);
        self.new_process = new_process;
        if self.new_process.is_some() {
            return Some(None);
        }
        self.sweep(false);
        None
    }

    /// The start failed, or was broken off.
    fn not_started(&self, fault: &ApplyError) -> Option<Exit> {
        match fault {
            ApplyError::Interrupted => None,
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

async fn carried_out(running: Option<&mut InProgress<'_>>) -> OperationResult {
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
