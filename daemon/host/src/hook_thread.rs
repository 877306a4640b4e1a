//! The hook thread of an instance: an OS thread that makes all `[ctl]` calls of the instance, one at a time: hooks, timers,
//! wakes, failed dials.
//!
//! A hook that does not return costs only this thread. The caller goes on after its deadline, and the instance is
//! abandoned.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use polyport_abi::PP_E_UNSUPPORTED;
use tokio::sync::oneshot;

use crate::boundary;
use crate::callbacks::Notice;
use crate::hook_inbox::{DIALS_MAX, HookInbox, Work};
use crate::hooks::{Hook, HookOutput, HookResult};
use crate::id::Id;
use crate::instance::Instance;
use crate::registry::{Completion, Wakeable};
use crate::report::Finding;
use crate::status::{CallbackError, DialFailure, HostError};
use crate::timers::Timers;

/// Why a hook did not end well.
#[derive(Debug, thiserror::Error)]
pub enum HookFault {
    /// It returned or completed with an error.
    #[error("{why}{}", findings.iter().map(|finding| format!("; {}", finding.message)).collect::<String>())]
    Failed {
        /// The error in words, with the plugin's reason.
        why: String,
        /// Its findings.
        findings: Vec<Finding>,
    },
    /// The instance takes no other configuration while it lives; of [`Hook::Reconfigure`] only.
    #[error("takes no new configuration while it lives")]
    Unsupported,
    /// It returned pending and did not complete in time.
    #[error("said that it goes on, and did not complete by its deadline")]
    Late,
    /// It has not returned in time: the instance is abandoned.
    #[error("has not returned by its deadline")]
    Stuck,
    /// An earlier hook of the instance has not returned.
    #[error("not called: an earlier hook has not returned")]
    Abandoned,
}

struct Job {
    hook: Hook,
    op: Id,
    answer: oneshot::Sender<HookResult>,
}

/// See the module's text.
pub struct HookThread {
    instance: Arc<Instance>,
    inbox: Arc<HookInbox<Job>>,
    abandoned: AtomicBool,
}

impl HookThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(instance: Arc<Instance>) -> io::Result<Arc<Self>> {
        let inbox = Arc::new(HookInbox::<Job>::default());
        let wakes = Arc::clone(&inbox) as Arc<dyn Wakeable>;
        instance.registry().set_inbox(instance.id(), Some(wakes));
        let (of_thread, work) = (Arc::clone(&instance), Arc::clone(&inbox));
        let name: String = format!("hook-{}", instance.name().instance)
            .chars()
            .take(15)
            .collect();
        // Not joined: a thread inside a hook that never returns must not hold up anything.
        std::thread::Builder::new()
            .name(name)
            .spawn(move || run(&of_thread, &work))?;
        Ok(Arc::new(Self {
            instance,
            inbox,
            abandoned: AtomicBool::new(false),
        }))
    }

    /// Creates an instance on the calling thread, and starts none: no other hook is called. For simulations.
    ///
    /// # Errors
    /// `create` fails.
    pub fn without_thread(
        instance: Arc<Instance>,
        config: &str,
    ) -> Result<Arc<Self>, CallbackError> {
        let hook = Hook::Create(config.to_owned());
        instance.call(&hook, Id::NONE).map_err(|(error, _)| error)?;
        Ok(Arc::new(Self {
            instance,
            inbox: Arc::default(),
            abandoned: AtomicBool::new(false),
        }))
    }

    /// Takes the failed dials that wait for the instance. For simulations.
    #[must_use]
    pub fn take_failed_dials(&self) -> Vec<(u64, DialFailure)> {
        let next = || match self.inbox.next(Some(Instant::now())) {
            Work::DialFailed(tag, why) => Some((tag, why)),
            _ => None,
        };
        std::iter::from_fn(next).collect()
    }

    /// The instance whose hooks it calls.
    #[must_use]
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// Has a hook not returned?
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Gives the instance up: no hook is called any more, not even a queued one.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.inbox.close();
        let (registry, id) = (self.instance.registry(), self.instance.id());
        registry.set_inbox(id, None);
        registry.end_operations_of(id);
    }

    /// Queues the failure of a dial that the instance made itself.
    pub fn dial_failed(&self, tag: u64, why: DialFailure) {
        if self.inbox.push_dial(tag, why) {
            let name = self.instance.name();
            tracing::warn!(
                instance = name.instance,
                plugin = name.plugin,
                waiting = DIALS_MAX,
                "failed dials are not told to the instance: too many wait for its hooks"
            );
        }
    }

    /// Queues a hook at once. The future ends with the hook, which for a pending one is its completion, or at `deadline`.
    /// After [`Hook::Destroy`] or a failed [`Hook::Create`] no hook is called, and that is no fault.
    ///
    /// # Errors
    /// See [`HookFault`]; after [`HookFault::Stuck`] the instance is abandoned.
    pub fn call(
        &self,
        hook: Hook,
        deadline: Duration,
    ) -> impl Future<Output = Result<HookOutput, HookFault>> + '_ {
        let until = tokio::time::Instant::now() + deadline;
        let may_decline = matches!(hook, Hook::Reconfigure(_));
        let begun = (!self.is_abandoned()).then(|| {
            let registry = self.instance.registry();
            let (op, completed) = registry.begin_operation(self.instance.id());
            let (answer, answered) = oneshot::channel();
            self.inbox.push(Job { hook, op, answer });
            (op, completed, answered)
        });
        async move {
            let (op, completed, answered) = begun.ok_or(HookFault::Abandoned)?;
            let result = self.wait(until, completed, answered, may_decline).await;
            self.instance.registry().end_operation(op);
            result
        }
    }

    async fn wait(
        &self,
        until: tokio::time::Instant,
        completed: oneshot::Receiver<Completion>,
        answered: oneshot::Receiver<HookResult>,
        may_decline: bool,
    ) -> Result<HookOutput, HookFault> {
        let answered = tokio::time::timeout_at(until, answered).await;
        match answered {
            Ok(Ok(Ok(output))) if output.pending => {
                match tokio::time::timeout_at(until, completed).await {
                    Ok(Ok(completion)) => self.ended(completion, output),
                    Ok(Err(_)) if self.is_abandoned() => Err(HookFault::Abandoned),
                    Ok(Err(_)) | Err(_) => Err(HookFault::Late),
                }
            }
            Ok(Ok(Ok(output))) => Ok(output),
            Ok(Ok(Err((CallbackError(PP_E_UNSUPPORTED), _)))) if may_decline => {
                Err(HookFault::Unsupported)
            }
            Ok(Ok(Err((error, findings)))) => Err(HookFault::Failed {
                why: error.to_string(),
                findings,
            }),
            // It was still queued when the instance was given up.
            Ok(Err(_)) if self.is_abandoned() => Err(HookFault::Abandoned),
            Ok(Err(_)) if self.inbox.is_closed() => Ok(HookOutput::default()),
            Ok(Err(_)) | Err(_) => {
                self.abandon();
                Err(HookFault::Stuck)
            }
        }
    }

    fn ended(&self, completion: Completion, output: HookOutput) -> Result<HookOutput, HookFault> {
        let Err(error) = self.instance.check(completion.status) else {
            return Ok(HookOutput {
                pending: false,
                ..output
            });
        };
        let why = match completion.why.as_str() {
            "" => error.to_string(),
            why => format!("{error}: {why}"),
        };
        Err(HookFault::Failed {
            why,
            findings: output.findings,
        })
    }
}

impl std::fmt::Debug for HookThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookThread")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl Wakeable for HookInbox<Job> {
    fn wake(&self, bits: u64) -> Result<(), HostError> {
        self.wake(bits)
    }
}

/// Works until the last hook has been called, or the inbox was closed.
fn run(instance: &Instance, inbox: &HookInbox<Job>) {
    let timers = Timers::default();
    loop {
        let notice = match inbox.next(timers.next()) {
            Work::End => return,
            Work::Hook(job) => {
                if run_hook(instance, inbox, &timers, job) {
                    return;
                }
                continue;
            }
            Work::Wake(bits) => Notice::Wake(bits),
            Work::DialFailed(tag, why) => Notice::DialFailed { tag, why },
            Work::Timer => match timers.due(Instant::now()) {
                Some(key) => Notice::Timer(key),
                None => continue,
            },
        };
        let result = boundary::hook(instance, &timers, || instance.notify_instance(notice));
        if let Err(error) = result {
            tracing::warn!(
                instance = instance.name().instance,
                plugin = instance.name().plugin,
                hook = notice.name(instance.id()),
                reason = %error,
                "hook failed"
            );
        }
    }
}

/// Calls a hook and answers. Returns whether it was the last one.
fn run_hook(instance: &Instance, inbox: &HookInbox<Job>, timers: &Timers, job: Job) -> bool {
    let result = boundary::hook(instance, timers, || instance.call(&job.hook, job.op));
    let is_last = match job.hook {
        Hook::Destroy => true,
        Hook::Create(_) => result.is_err(),
        _ => false,
    };
    // Before the answer: the caller of the last hook relies on it that nothing is called afterwards.
    if is_last {
        inbox.close();
        instance.registry().set_inbox(instance.id(), None);
    }
    if job.answer.send(result).is_err() {
        tracing::warn!(
            instance = instance.name().instance,
            plugin = instance.name().plugin,
            hook = job.hook.name(),
            "hook returned after it was given up"
        );
    }
    is_last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(inbox: &HookInbox<Job>, hook: Hook) -> oneshot::Receiver<HookResult> {
        let (answer, answered) = oneshot::channel();
        let op = Id::NONE;
        inbox.push(Job { hook, op, answer });
        answered
    }

    #[test]
    fn hook_inbox_loses_failed_dials_without_room_and_says_so_once_for_each_overflow() {
        let inbox = HookInbox::<Job>::default();
        let is_first_lost = |tag| inbox.push_dial(tag, DialFailure::Refused);
        for _ in 0..2 {
            for tag in 0..DIALS_MAX as u64 {
                assert!(!is_first_lost(tag));
            }
            assert_eq!([is_first_lost(0), is_first_lost(0)], [true, false]);
            assert!(matches!(inbox.next(None), Work::DialFailed(0, _)));
            assert_eq!([is_first_lost(0), is_first_lost(0)], [false, false]);
            for _ in 0..DIALS_MAX {
                assert!(matches!(inbox.next(None), Work::DialFailed(..)));
            }
        }
    }

    #[test]
    fn hook_inbox_gives_out_nothing_that_waits_once_it_is_closed() {
        let inbox = HookInbox::<Job>::default();
        let mut before = job(&inbox, Hook::Stop);
        inbox.wake(1).unwrap();
        inbox.close();
        let mut after = job(&inbox, Hook::Destroy);
        assert!(matches!(inbox.next(None), Work::End));
        for answered in [&mut before, &mut after] {
            let gone = oneshot::error::TryRecvError::Closed;
            assert_eq!(answered.try_recv().unwrap_err(), gone);
        }
        assert_eq!(inbox.wake(1), Err(HostError::Closing));
    }
}
