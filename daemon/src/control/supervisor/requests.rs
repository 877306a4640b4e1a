//! Admin requests: listings are answered at once, operations are queued, and a drain may be waited for.

use std::sync::{Arc, Weak};

use polyport_api::{Drained, Outcome, Verdict};
use tokio::sync::{mpsc, oneshot};

use super::Supervisor;
use super::queue::QueuedOperation;
use crate::control::admin::{Answer, Command, Request};
use crate::control::operation::{Operation, outcome};
use crate::control::running::InstanceHandle;
use crate::control::running::services::ServiceQuota;
use crate::control::shutdown::StopReport;
use crate::control::status::Facts;
use crate::control::status::{listing, metrics};
use polyport_data::service::Service;

/// An operator that waits for the end of a drain.
#[derive(Debug)]
pub(super) struct DrainWaiter {
    name: String,
    services: Vec<Weak<Service>>,
    quotas: Vec<ServiceQuota>,
    instance: Option<Weak<InstanceHandle>>,
    /// Set when the operation has ended.
    outcome: Option<Outcome>,
    reply: Option<oneshot::Sender<Answer>>,
}

/// Answers a request, or queues the operation that it asks for.
pub(super) fn reply(supervisor: &mut Supervisor<'_>, request: Request) {
    let Request {
        command,
        peer,
        answer,
    } = request;
    let by = format!("uid {}", peer.uid);
    let operation = match command {
        Command::Plan => Operation::Plan,
        Command::Reload { confirm } => Operation::Reload { confirm },
        Command::Drain { name, wait } => return supervisor.drain(name, wait, by, answer),
        Command::Rollback { plugin } => return supervisor.roll_back(plugin, by, answer),
        Command::Confirm => {
            let outcome = Box::new(supervisor.confirm());
            return drop(answer.send(Answer::Outcome(outcome)));
        }
        Command::Status
        | Command::Services
        | Command::Plugins
        | Command::Metrics
        | Command::Ready => {
            return drop(answer.send(listing(&command, &supervisor.facts())));
        }
    };
    supervisor.enqueue(QueuedOperation::new(operation, by).with_reply(answer));
}

/// The answer to a request that changes nothing.
fn listing(command: &Command, facts: &Facts<'_>) -> Answer {
    match command {
        Command::Services => Answer::Services(listing::services(facts.context)),
        Command::Plugins => Answer::Plugins(listing::plugins(facts.context)),
        Command::Metrics => Answer::Metrics(metrics::metrics(facts)),
        Command::Ready => Answer::Ready(listing::ready(facts)),
        _ => Answer::Status(Box::new(listing::status(facts))),
    }
}

impl Supervisor<'_> {
    /// What listings are made of.
    pub(super) fn facts(&self) -> Facts<'_> {
        let pending = self.confirmation.as_ref();
        Facts {
            context: self.context,
            history: &self.history,
            drained: &self.drained,
            confirm_within_seconds: pending.map(|pending| pending.seconds_left()),
            busy: self.busy,
            stopping: self.interrupted.get(),
        }
    }

    fn confirm(&mut self) -> Outcome {
        let (verdict, reason) = match self.confirmation.take() {
            Some(_) => (Verdict::Applied, "the last reload stays"),
            None => (Verdict::Refused, "no reload waits to be confirmed"),
        };
        outcome(verdict, reason.to_owned())
    }

    fn drain(&mut self, name: String, wait: bool, by: String, reply: oneshot::Sender<Answer>) {
        let state = self.context.inventory.state();
        let config = state.config.as_ref();
        let services = config.map_or_else(Vec::new, |config| {
            config.services.iter().map(|one| one.name.clone()).collect()
        });
        let is_service = services.contains(&name);
        if !is_service && state.instance(&name).is_none() {
            let instances = state.instances.iter();
            let mut known = services;
            known.extend(instances.map(|handle| handle.name().to_owned()));
            known.dedup();
            let reason = format!("there is no service and no instance `{name}`");
            drop(reply.send(Answer::Unknown { reason, known }));
            return;
        }
        let operation = Operation::Drain { name: name.clone() };
        let queued = QueuedOperation::new(operation, by);
        if !wait {
            return self.enqueue(queued.with_reply(reply));
        }
        let is_drained = |service: &&Arc<Service>| {
            if is_service {
                service.name == name
            } else {
                service.instance.name().instance == name
            }
        };
        let drained: Vec<&Arc<Service>> = state.services.iter().filter(is_drained).collect();
        let quotas = drained.iter().filter_map(|one| state.quotas.get(&one.name));
        let instance = state.instance(&name).filter(|_| !is_service);
        self.waiters.push(DrainWaiter {
            services: drained.iter().map(|one| Arc::downgrade(one)).collect(),
            quotas: quotas.cloned().collect(),
            instance: instance.map(Arc::downgrade),
            name,
            outcome: None,
            reply: Some(reply),
        });
        self.enqueue(queued.by_operator());
    }

    fn roll_back(&mut self, plugin: String, by: String, reply: oneshot::Sender<Answer>) {
        let state = self.context.inventory.state();
        if state.generation(&plugin).is_none() {
            let files = state.files.iter();
            let known = files.map(|(file, _)| file.name.clone()).collect();
            let reason = format!("there is no plugin `{plugin}`");
            drop(reply.send(Answer::Unknown { reason, known }));
            return;
        }
        let operation = Operation::Rollback {
            plugin,
            failed: None,
            why: format!("rolled back by {by}"),
        };
        self.enqueue(QueuedOperation::new(operation, by).with_reply(reply));
    }

    /// Records the outcome of a drain for the operator that waits for its end.
    pub(super) fn note_drain(&mut self, name: &str, outcome: &Outcome) {
        let mut waiters = self.waiters.iter_mut().filter(|one| one.name == name);
        if let Some(waiter) = waiters.find(|one| one.outcome.is_none()) {
            waiter.outcome = Some(outcome.clone());
        }
    }

    /// Answers operators whose drain has ended or failed, and forgets those that have disconnected.
    pub(super) fn answer_drains(&mut self) {
        self.waiters.retain_mut(|waiter| {
            let reply = waiter.reply.as_ref();
            if reply.is_none_or(oneshot::Sender::is_closed) {
                return false;
            }
            let Some(outcome) = &waiter.outcome else {
                return true;
            };
            let quotas = waiter.quotas.iter();
            let streams: u64 = quotas.map(|quota| quota.limit.used()).sum();
            let mut services = waiter.services.iter();
            let instance = waiter.instance.as_ref();
            let is_used = services.any(|one| one.strong_count() != 0)
                || instance.is_some_and(|one| one.strong_count() != 0);
            if outcome.verdict.is_success() && (streams != 0 || is_used) {
                return true;
            }
            if let Some(reply) = waiter.reply.take() {
                let drained = Drained {
                    outcome: outcome.clone(),
                    streams,
                };
                drop(reply.send(Answer::Drained(Box::new(drained))));
            }
            false
        });
    }
}

/// Answers requests while the daemon stops: listings as always, and every change is refused. Never returns.
pub async fn reply_while_stopping(
    requests: Option<mpsc::Receiver<Request>>,
    facts: &Facts<'_>,
) -> StopReport {
    let Some(mut requests) = requests else {
        return std::future::pending().await;
    };
    while let Some(request) = requests.recv().await {
        let refused = || outcome(Verdict::Refused, "the daemon stops".to_owned());
        let answer = match &request.command {
            Command::Drain { .. } => Answer::Drained(Box::new(Drained {
                outcome: refused(),
                streams: 0,
            })),
            Command::Plan
            | Command::Reload { .. }
            | Command::Confirm
            | Command::Rollback { .. } => Answer::Outcome(Box::new(refused())),
            other => listing(other, facts),
        };
        drop(request.answer.send(answer));
    }
    std::future::pending().await
}
