//! The supervisor: the one task that owns the state. Its events are signals, admin requests, the end of workers and
//! timers; it executes one operation at a time.

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

use super::Exit;
use super::admin::Request;
use super::apply::ApplyError;
use super::auto_rollback::{Canary, Confirmation};
use super::desired::DesiredState;
use super::desired::load::ValidConfig;
use super::operation::{Operation, OperationResult, execute, outcome};
use super::process::Context;
use super::running::InstanceHandle;
use super::running::retire::Retirements;
use super::signals::{Signals, StopBudget, name_of};
use super::status::history::History;
use super::upgrade::NewProcess;
use polyport_common::wait_group::{WaitGroup, wait_group};

use queue::{QUEUE_MAX, Queue, QueuedOperation};
use requests::{DrainWaiter, reply};
use timers::{ReloadDebounce, Timers};

/// The requester of rollbacks of code that fails as a canary.
const BY_CANARY: &str = "the daemon: the new code fails";

/// See the module's text.
#[derive(Debug)]
pub struct Supervisor<'a> {
    context: Context<'a>,
    budget: &'a StopBudget,
    /// Requests of the admin socket, if there is one.
    requests: Option<mpsc::Receiver<Request>>,
    queue: Queue,
    history: History,
    retirements: Retirements,
    /// What operators took out of service.
    drained: Vec<String>,
    /// Operators that wait for the end of a drain.
    waiters: Vec<DrainWaiter>,
    /// Set while the last reload is not confirmed.
    confirmation: Option<Confirmation>,
    reload_debounce: ReloadDebounce,
    canaries: Vec<Canary>,
    timers: Timers,
    /// Set when the daemon is to stop.
    interrupted: Rc<Cell<bool>>,
    /// The process that serves now in place of this one.
    new_process: Option<NewProcess>,
    /// An operation is executed.
    busy: bool,
    /// A token exists while health hooks are called.
    health_checks: WaitGroup,
}

/// What is left when the supervisor has ended.
#[derive(Debug)]
pub struct Finished {
    /// The past changes.
    pub history: History,
    /// Requests of the admin socket.
    pub requests: Option<mpsc::Receiver<Request>>,
    /// The process that serves now in place of this one.
    pub new_process: Option<NewProcess>,
    /// The daemon is to stop.
    pub interrupted: bool,
}

/// An operation that is executed.
struct InProgress<'a> {
    queued: QueuedOperation,
    /// What ran before. It holds no listener open.
    before: Option<DesiredState>,
    /// Return to it unless the operation is confirmed within this time.
    confirm: Option<Duration>,
    result: Pin<Box<dyn Future<Output = OperationResult> + 'a>>,
}

enum Event {
    Executed(Box<OperationResult>),
    Signal(Option<Signal>),
    Request(Option<Request>),
    WorkerEnded(u8, std::io::Result<()>),
    Destroyed(Arc<InstanceHandle>),
    Timer,
}

impl<'a> Supervisor<'a> {
    /// The first operation starts what was validated.
    pub fn new(
        context: Context<'a>,
        budget: &'a StopBudget,
        requests: Option<mpsc::Receiver<Request>>,
        valid: ValidConfig,
        reload_requested: bool,
    ) -> Self {
        let mut queue = Queue::default();
        let start = Operation::Start(Box::new(valid));
        // An empty queue has room.
        drop(queue.push(QueuedOperation::new(start, "start")));
        let mut reload_debounce = ReloadDebounce::default();
        if reload_requested {
            reload_debounce.request();
        }
        Self {
            context,
            budget,
            requests,
            queue,
            history: History::default(),
            retirements: Retirements::new(),
            drained: Vec::new(),
            waiters: Vec::new(),
            confirmation: None,
            reload_debounce,
            canaries: Vec::new(),
            timers: Timers::new(&context.process.manager),
            interrupted: Rc::default(),
            new_process: None,
            busy: false,
            health_checks: wait_group(),
        }
    }

    /// Serves until the daemon is to stop. Returns the exit code if it stops because something failed.
    pub async fn run(&mut self, signals: &mut Signals) -> Option<Exit> {
        let mut running: Option<InProgress<'a>> = None;
        loop {
            if running.is_none() {
                if self.interrupted.get() {
                    return None;
                }
                if self.reload_debounce.take() {
                    let reload = Operation::Reload { confirm: None };
                    self.enqueue(QueuedOperation::new(reload, "SIGHUP"));
                }
                running = self.begin_next();
            }
            // A reload waits for the end of the present operation.
            let debounce = running.is_none().then_some(&self.reload_debounce);
            let wake = self.timers.next(self.polls(), debounce);
            let event = tokio::select! {
                result = executed(running.as_mut()) => Event::Executed(Box::new(result)),
                signal = signals.recv() => Event::Signal(signal),
                request = next_request(self.requests.as_mut()) => Event::Request(request),
                (number, result) = self.context.plane.worker_ended() => {
                    Event::WorkerEnded(number, result)
                }
                handle = self.retirements.next_destroyed() => Event::Destroyed(handle),
                () = tokio::time::sleep_until(wake.into()) => Event::Timer,
            };
            match event {
                Event::Executed(result) => {
                    if let Some(done) = running.take()
                        && let Some(exit) = self.finish(done, *result)
                    {
                        return exit;
                    }
                }
                Event::Signal(None) => return Some(Exit::Internal),
                Event::Signal(Some(signal)) => {
                    if self.on_signal(signal) {
                        // The second signal to stop: the present operation is broken off.
                        return None;
                    }
                }
                Event::Request(Some(request)) => reply(self, request),
                Event::Request(None) => self.requests = None,
                Event::WorkerEnded(number, result) => {
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
                Event::Destroyed(handle) => {
                    self.context.inventory.forget(&handle, self.context.plane);
                    report::release_code(self, running.is_some());
                }
                Event::Timer => self.on_timer(),
            }
        }
    }

    /// Refuses what is queued. Retiring instances are left to the stop.
    pub async fn close(mut self) -> Finished {
        let reason = match &self.new_process {
            Some(_) => "another process of the daemon serves now: ask again",
            None => "the daemon stops",
        };
        for queued in self.queue.take_all() {
            self.refuse(queued, reason.to_owned());
        }
        self.retirements.cancel().await;
        Finished {
            history: self.history,
            requests: self.requests,
            new_process: self.new_process,
            interrupted: self.interrupted.get(),
        }
    }

    /// Handles a signal; returns whether it is the second one to stop.
    fn on_signal(&mut self, signal: Signal) -> bool {
        match signal {
            Signal::Term | Signal::Int => {
                tracing::info!(name = name_of(signal), "signal");
                return self.interrupted.replace(true);
            }
            Signal::Hup => {
                tracing::info!(name = "HUP", "signal");
                self.reload_debounce.request();
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

    /// Begins the next operation that can begin.
    fn begin_next(&mut self) -> Option<InProgress<'a>> {
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
                    // The service manager waits for the end of a reload only after it was notified of its begin.
                    self.context.process.manager.reloading();
                    self.refuse(queued, reason);
                }
                _ => return Some(self.begin(queued, operation)),
            }
        }
    }

    fn begin(&mut self, queued: QueuedOperation, operation: Operation) -> InProgress<'a> {
        let confirm = match &operation {
            Operation::Reload { confirm } => *confirm,
            _ => None,
        };
        let id = match &operation {
            Operation::Plan => 0,
            _ => self.history.begin(),
        };
        if !matches!(operation, Operation::Plan | Operation::Start(_)) {
            self.context.process.manager.reloading();
        }
        self.busy = true;
        let interrupted = Rc::clone(&self.interrupted);
        let context = self.context;
        InProgress {
            queued,
            before: DesiredState::of_running(&context.inventory.state()),
            confirm,
            result: Box::pin(async move { execute(context, operation, id, &interrupted).await }),
        }
    }

    /// Queues an operation, or refuses it when the queue is full.
    fn enqueue(&mut self, queued: QueuedOperation) {
        if let Err(queued) = self.queue.push(queued) {
            let reason = format!("{QUEUE_MAX} changes wait already; ask again later");
            self.refuse(*queued, reason);
        }
    }

    fn refuse(&mut self, queued: QueuedOperation, reason: String) {
        self.answer(queued, outcome(Verdict::Refused, reason));
    }

    /// Reports an outcome to the log, the service manager and the requesters.
    fn answer(&mut self, queued: QueuedOperation, outcome: Outcome) {
        report::report(self.context, &queued, &outcome);
        if let Some(name) = &queued.drains {
            self.note_drain(name, &outcome);
        }
        queued.answer(outcome);
    }

    /// Handles the end of an operation. Returns `Some` if the daemon stops: with the exit code if something failed.
    fn finish(&mut self, done: InProgress<'a>, result: OperationResult) -> Option<Option<Exit>> {
        self.busy = false;
        let InProgress {
            mut queued,
            before,
            confirm,
            ..
        } = done;
        let mut outcome = result.outcome;
        if result.retry {
            self.retry_return(&mut queued);
        }
        let changed = outcome.verdict == Verdict::Applied;
        let drained = self.drained.clone();
        if let Some(applied) = result.applied {
            report::on_applied(self, &queued, before.as_ref(), applied);
        }
        if changed && let Some(within) = confirm {
            self.confirmation = before.map(|before| Confirmation::new(within, before, drained));
            outcome.confirm_within_seconds = Some(within.as_secs());
        }
        self.reload_debounce.note_change();
        self.history.note(&outcome, &queued.by);
        if queued.what == "start" {
            if let Some(error) = result.error {
                report::report(self.context, &queued, &outcome);
                return Some(self.start_failed(&error));
            }
            report::report(self.context, &queued, &outcome);
            tracing::info!("ready");
            queued.answer(outcome);
        } else {
            self.answer(queued, outcome);
        }
        self.new_process = result.new_process;
        if self.new_process.is_some() {
            return Some(None);
        }
        report::release_code(self, false);
        None
    }

    fn start_failed(&self, error: &ApplyError) -> Option<Exit> {
        match error {
            ApplyError::Interrupted => None,
            _ if self.interrupted.get() => {
                tracing::warn!(reason = %error, "the start would have failed, had it not been broken off");
                None
            }
            _ => {
                let failure = &self.context.process.start_failure;
                failure.replace(Some(error.to_string()));
                tracing::error!(reason = %error, "the daemon cannot start");
                Some(error.exit())
            }
        }
    }
}

async fn executed(running: Option<&mut InProgress<'_>>) -> OperationResult {
    match running {
        Some(running) => running.result.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn next_request(requests: Option<&mut mpsc::Receiver<Request>>) -> Option<Request> {
    match requests {
        Some(requests) => requests.recv().await,
        None => std::future::pending().await,
    }
}
