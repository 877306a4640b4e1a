//! The keeper of an instance: an OS thread of its own that makes all its [ctl] calls, one at a time.
//!
//! A hook that does not return takes only this thread with it: the instance is abandoned, and whoever asked goes
//! on after the deadline. The keeper also holds the instance's timers and brings its wakes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::boundary;
use crate::desk::HookDesk;
use crate::hooks::{Hook, HookOutput};
use crate::hub::{Completion, Inbox, hub};
use crate::id::Id;
use crate::instance::Instance;
use crate::report::Finding;
use crate::status::{DialFailure, Misstep, Refuse};

/// Most timers an instance may have, and most failed dials that wait for it.
const PENDING_MAX: usize = 1024;

/// Why a hook did not end well.
#[derive(Debug)]
pub enum HookFault {
    /// It said so; with its reason and what it reported.
    Failed {
        /// In words.
        why: String,
        /// What it reported.
        findings: Vec<Finding>,
    },
    /// It said pending and did not complete in time.
    Late,
    /// It has not returned in time: the instance is abandoned.
    Stuck,
    /// An earlier hook of the instance has not returned.
    Abandoned,
}

impl std::fmt::Display for HookFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed { why, findings } => {
                f.write_str(why)?;
                for finding in findings {
                    write!(f, "; {}", finding.message)?;
                }
                Ok(())
            }
            Self::Late => f.write_str("said that it goes on, and did not complete by its deadline"),
            Self::Stuck => f.write_str("has not returned by its deadline"),
            Self::Abandoned => f.write_str("not called: an earlier hook has not returned"),
        }
    }
}

type Answer = Result<HookOutput, (Misstep, Vec<Finding>)>;

struct Job {
    hook: Hook,
    op: Id,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Tray {
    jobs: VecDeque<Job>,
    woken: u64,
    dials_failed: VecDeque<(u64, DialFailure)>,
    closed: bool,
}

#[derive(Default)]
struct KeeperInbox {
    tray: Mutex<Tray>,
    arrived: Condvar,
}

/// See the module's text.
pub struct Keeper {
    instance: Arc<Instance>,
    inbox: Arc<KeeperInbox>,
    abandoned: AtomicBool,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(instance: Arc<Instance>) -> io::Result<Arc<Self>> {
        let inbox = Arc::new(KeeperInbox::default());
        hub().set_inbox(instance.index(), Some(Arc::clone(&inbox) as Arc<dyn Inbox>));
        let (of_thread, tray) = (Arc::clone(&instance), Arc::clone(&inbox));
        let name: String = format!("hook-{}", instance.name().instance)
            .chars()
            .take(15)
            .collect();
        // Not joined: a thread inside a hook that never returns must not hold up anything.
        std::thread::Builder::new()
            .name(name)
            .spawn(move || keep(&of_thread, &tray))?;
        Ok(Arc::new(Self {
            instance,
            inbox,
            abandoned: AtomicBool::new(false),
        }))
    }

    /// The instance it keeps.
    #[must_use]
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// Has a hook not returned?
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Gives the instance up: no hook is called any more, not even one that waits already.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.inbox.give_up();
        hub().set_inbox(self.instance.index(), None);
    }

    /// Tells the instance that a dial of its own failed.
    pub fn dial_failed(&self, tag: u64, why: DialFailure) {
        let mut tray = self.inbox.tray();
        if tray.dials_failed.len() < PENDING_MAX {
            tray.dials_failed.push_back((tag, why));
            self.inbox.arrived.notify_one();
        }
    }

    /// Begins a hook at once, and waits until it has ended, also if it said pending; at most `deadline`.
    ///
    /// # Errors
    /// See [`HookFault`]; after [`HookFault::Stuck`] the instance is abandoned.
    pub fn call(
        &self,
        hook: Hook,
        deadline: Duration,
    ) -> impl Future<Output = Result<HookOutput, HookFault>> + '_ {
        let until = tokio::time::Instant::now() + deadline;
        let last = matches!(hook, Hook::Destroy);
        let begun = (!self.is_abandoned()).then(|| {
            let (op, completed) = hub().begin_operation();
            let (answer, answered) = oneshot::channel();
            self.inbox.push(Job { hook, op, answer });
            (op, completed, answered)
        });
        async move {
            let (op, completed, answered) = begun.ok_or(HookFault::Abandoned)?;
            let result = self.wait(until, completed, answered).await;
            hub().end_operation(op);
            if last {
                self.inbox.close();
                hub().set_inbox(self.instance.index(), None);
            }
            result
        }
    }

    async fn wait(
        &self,
        until: tokio::time::Instant,
        completed: oneshot::Receiver<Completion>,
        answered: oneshot::Receiver<Answer>,
    ) -> Result<HookOutput, HookFault> {
        let answered = tokio::time::timeout_at(until, answered).await;
        match answered {
            Ok(Ok(Ok(output))) if output.pending => {
                match tokio::time::timeout_at(until, completed).await {
                    Ok(Ok(completion)) => ended(completion, output),
                    Ok(Err(_)) | Err(_) => Err(HookFault::Late),
                }
            }
            Ok(Ok(Ok(output))) => Ok(output),
            Ok(Ok(Err((misstep, findings)))) => Err(HookFault::Failed {
                why: misstep.to_string(),
                findings,
            }),
            // It was still to be called when the instance was given up.
            Ok(Err(_)) if self.is_abandoned() => Err(HookFault::Abandoned),
            Ok(Err(_)) | Err(_) => {
                self.abandon();
                Err(HookFault::Stuck)
            }
        }
    }
}

fn ended(completion: Completion, output: HookOutput) -> Result<HookOutput, HookFault> {
    if completion.status >= 0 {
        return Ok(HookOutput {
            pending: false,
            ..output
        });
    }
    let why = match completion.why.as_str() {
        "" => Misstep(completion.status).to_string(),
        why => format!("{}: {why}", Misstep(completion.status)),
    };
    Err(HookFault::Failed {
        why,
        findings: output.findings,
    })
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl KeeperInbox {
    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        let mut tray = self.tray();
        // Who gave the instance up may have been faster: then the job is dropped, and its caller told by that.
        if !tray.closed {
            tray.jobs.push_back(job);
            self.arrived.notify_one();
        }
    }

    fn close(&self) {
        self.tray().closed = true;
        self.arrived.notify_one();
    }

    /// Closes it and drops what waits.
    fn give_up(&self) {
        let mut tray = self.tray();
        tray.closed = true;
        let jobs = std::mem::take(&mut tray.jobs);
        drop(tray);
        self.arrived.notify_one();
        drop(jobs);
    }

    /// Waits for the next thing to do, until `until`.
    fn next(&self, until: Option<Instant>) -> Work {
        let mut tray = self.tray();
        loop {
            if let Some(job) = tray.jobs.pop_front() {
                return Work::Hook(job);
            }
            if tray.closed {
                return Work::End;
            }
            if let Some((tag, why)) = tray.dials_failed.pop_front() {
                return Work::DialFailed(tag, why);
            }
            if tray.woken != 0 {
                return Work::Wake(std::mem::take(&mut tray.woken));
            }
            tray = match until {
                None => self
                    .arrived
                    .wait(tray)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Work::Timer;
                    }
                    self.arrived
                        .wait_timeout(tray, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

impl Inbox for KeeperInbox {
    fn wake(&self, bits: u64) -> Result<(), Refuse> {
        let mut tray = self.tray();
        if tray.closed {
            return Err(Refuse::Closing);
        }
        tray.woken |= bits;
        self.arrived.notify_one();
        Ok(())
    }
}

enum Work {
    Hook(Job),
    Wake(u64),
    DialFailed(u64, DialFailure),
    Timer,
    End,
}

/// The thread's whole life.
fn keep(instance: &Instance, inbox: &KeeperInbox) {
    let timers = Timers::default();
    loop {
        let result = match inbox.next(timers.next()) {
            Work::End => return,
            Work::Hook(job) => {
                let called =
                    boundary::hook(instance.id(), &timers, || instance.call(&job.hook, job.op));
                if job.answer.send(called).is_err() {
                    tracing::warn!(
                        instance = instance.name().instance,
                        plugin = instance.name().plugin,
                        hook = job.hook.name(),
                        "hook returned after it was given up"
                    );
                }
                continue;
            }
            Work::Wake(bits) => (
                "on_wake",
                boundary::hook(instance.id(), &timers, || instance.wake(bits)),
            ),
            Work::DialFailed(tag, why) => {
                let call = || instance.dial_failed(tag, why);
                (
                    "on_dial_failed",
                    boundary::hook(instance.id(), &timers, call),
                )
            }
            Work::Timer => match timers.due() {
                Some(key) => (
                    "on_timer",
                    boundary::hook(instance.id(), &timers, || instance.timer(key)),
                ),
                None => continue,
            },
        };
        if let (hook, Err(misstep)) = result {
            tracing::warn!(
                instance = instance.name().instance,
                plugin = instance.name().plugin,
                hook,
                reason = %misstep,
                "hook failed"
            );
        }
    }
}

struct Timer {
    key: u32,
    at: Instant,
    period: Option<Duration>,
}

/// The instance's timers; touched by its own thread only.
#[derive(Default)]
struct Timers(RefCell<Vec<Timer>>);

impl Timers {
    fn next(&self) -> Option<Instant> {
        self.0.borrow().iter().map(|timer| timer.at).min()
    }

    /// Takes the key of one timer that is due; a periodic one is set again.
    fn due(&self) -> Option<u32> {
        let now = Instant::now();
        let mut timers = self.0.borrow_mut();
        let place = timers.iter().position(|timer| timer.at <= now)?;
        let timer = timers.get_mut(place)?;
        let key = timer.key;
        match timer.period {
            Some(period) => timer.at = now + period,
            None => drop(timers.swap_remove(place)),
        }
        Some(key)
    }
}

impl HookDesk for Timers {
    fn timer_set(&self, key: u32, after: Duration, period: Option<Duration>) -> Result<(), Refuse> {
        let mut timers = self.0.borrow_mut();
        timers.retain(|timer| timer.key != key);
        if timers.len() >= PENDING_MAX {
            return Err(Refuse::Full);
        }
        let at = Instant::now().checked_add(after).ok_or(Refuse::Invalid)?;
        timers.push(Timer { key, at, period });
        Ok(())
    }

    fn timer_cancel(&self, key: u32) {
        self.0.borrow_mut().retain(|timer| timer.key != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(inbox: &KeeperInbox, hook: Hook) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let op = Id::NONE;
        inbox.push(Job { hook, op, answer });
        answered
    }

    #[test]
    fn a_closed_inbox_ends_after_what_waits() {
        let inbox = KeeperInbox::default();
        let _answered = job(&inbox, Hook::Destroy);
        inbox.close();
        assert!(matches!(inbox.next(None), Work::Hook(_)));
        assert!(matches!(inbox.next(None), Work::End));
    }

    #[test]
    fn nothing_that_waits_is_called_once_the_instance_is_given_up() {
        let inbox = KeeperInbox::default();
        let mut before = job(&inbox, Hook::Stop);
        inbox.wake(1).unwrap();
        inbox.give_up();
        let mut after = job(&inbox, Hook::Destroy);
        assert!(matches!(inbox.next(None), Work::End));
        for answered in [&mut before, &mut after] {
            let gone = oneshot::error::TryRecvError::Closed;
            assert_eq!(answered.try_recv().unwrap_err(), gone);
        }
        assert_eq!(inbox.wake(1), Err(Refuse::Closing));
    }
}
