//! What the desk answers over the admin socket.

use std::sync::{Arc, Weak};

use polyport_api::{Drained, Outcome, Verdict};
use tokio::sync::oneshot;

use crate::control::admin::{Answer, Command, Request};
use crate::control::operation::Operation;
use crate::control::running::state::{InstanceHandle, ServiceQuota};
use crate::control::shutdown::Course;
use crate::control::status::listing::{self, Facts};
use crate::control::status::metrics;
use crate::control::supervisor::queue::QueuedOperation;
use crate::control::supervisor::{Supervisor, refused};
use polyport_data::service::Service;

/// Somebody who waits until what was drained is gone.
#[derive(Debug)]
pub(super) struct DrainWaiter {
    name: String,
    services: Vec<Weak<Service>>,
    quotas: Vec<ServiceQuota>,
    instance: Option<Weak<InstanceHandle>>,
    outcome: Option<Outcome>,
    answer: Option<oneshot::Sender<Answer>>,
}

/// Answers a request, or has it wait for what it asks for.
pub(super) fn reply(supervisor: &mut Supervisor<'_>, request: Request) {
    let Request {
        command,
        peer,
        answer,
    } = request;
    let by = format!("uid {}", peer.uid);
    let ready = match command {
        Command::Status => Answer::Status(Box::new(listing::status(&supervisor.facts()))),
        Command::Services => Answer::Services(listing::services(supervisor.life)),
        Command::Plugins => Answer::Plugins(listing::plugins(supervisor.life)),
        Command::Metrics => Answer::Metrics(metrics::metrics(&supervisor.facts())),
        Command::Ready => Answer::Ready(listing::ready(&supervisor.facts())),
        Command::Plan => {
            return supervisor
                .enqueue(QueuedOperation::new(Operation::Plan, by).with_reply(answer));
        }
        Command::Reload { confirm } => {
            let queued = QueuedOperation::new(Operation::Reload { confirm }, by);
            return supervisor.enqueue(queued.with_reply(answer));
        }
        Command::Confirm => Answer::Outcome(Box::new(supervisor.confirm())),
        Command::Drain { name, wait } => return supervisor.drain(name, wait, by, answer),
        Command::Rollback { plugin } => return supervisor.roll_back(plugin, by, answer),
    };
    // Who went away is not missed.
    drop(answer.send(ready));
}

impl Supervisor<'_> {
    /// What listings are made of.
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            life: self.life,
            history: &self.history,
            drained: &self.drained,
            confirm_within_seconds: self
                .confirmation
                .as_ref()
                .map(crate::control::supervisor::timers::Confirmation::seconds_left),
            busy: self.busy.is_some(),
            stopping: self.interrupted.get(),
        }
    }

    fn confirm(&mut self) -> Outcome {
        match self.confirmation.take() {
            Some(_) => Outcome {
                verdict: Verdict::Applied,
                ..refused("the last reload stays".to_owned())
            },
            None => refused("no reload waits to be confirmed".to_owned()),
        }
    }

    fn drain(&mut self, name: String, wait: bool, by: String, answer: oneshot::Sender<Answer>) {
        let state = self.life.state();
        let config = state.config.as_ref();
        let services: Vec<&String> = config.map_or_else(Vec::new, |config| {
            config.services.iter().map(|one| &one.name).collect()
        });
        let instances: Vec<&str> = state.instances.iter().map(|handle| handle.name()).collect();
        if !services.contains(&&name) && !instances.contains(&name.as_str()) {
            let mut known: Vec<String> = services.into_iter().cloned().collect();
            known.extend(instances.into_iter().map(str::to_owned));
            known.dedup();
            let reason = format!("there is no service and no instance `{name}`");
            drop(answer.send(Answer::Unknown { reason, known }));
            return;
        }
        let queued = QueuedOperation::new(Operation::Drain { name: name.clone() }, by);
        if !wait {
            return self.enqueue(queued.with_reply(answer));
        }
        let is_service = services.contains(&&name);
        let behind = |service: &&Arc<Service>| {
            if is_service {
                service.name == name
            } else {
                service.instance.name().instance == name
            }
        };
        let drained: Vec<&Arc<Service>> = state.services.iter().filter(behind).collect();
        let quotas = drained.iter().filter_map(|one| state.quotas.get(&one.name));
        let instance = state.instance(&name).filter(|_| !is_service);
        self.waiters.push(DrainWaiter {
            services: drained.iter().map(|one| Arc::downgrade(one)).collect(),
            quotas: quotas.cloned().collect(),
            instance: instance.map(Arc::downgrade),
            name,
            outcome: None,
            answer: Some(answer),
        });
        self.enqueue(queued.by_operator());
    }

    fn roll_back(&mut self, plugin: String, by: String, answer: oneshot::Sender<Answer>) {
        let state = self.life.state();
        let known: Vec<String> = state
            .files
            .iter()
            .map(|(file, _)| file.name.clone())
            .collect();
        if !known.contains(&plugin) {
            let reason = format!("there is no plugin `{plugin}`");
            drop(answer.send(Answer::Unknown { reason, known }));
            return;
        }
        let why = format!("rolled back by {by}");
        let queued = QueuedOperation::new(
            Operation::Rollback {
                plugin,
                failed: None,
                why,
            },
            by,
        );
        self.enqueue(queued.with_reply(answer));
    }

    /// The drain of this name ended so; who waits for its streams waits on if it went well.
    pub(super) fn note_drain(&mut self, name: &str, outcome: &Outcome) {
        let mut waiters = self.waiters.iter_mut().filter(|one| one.name == name);
        if let Some(one) = waiters.find(|one| one.outcome.is_none()) {
            one.outcome = Some(outcome.clone());
        }
    }

    /// Answers those whose drain is over, or failed, or who went away.
    pub(super) fn answer_drains(&mut self) {
        self.waiters.retain_mut(|one| {
            if one.answer.as_ref().is_none_or(oneshot::Sender::is_closed) {
                return false;
            }
            let Some(outcome) = &one.outcome else {
                return true;
            };
            let streams: u64 = one.quotas.iter().map(|room| room.limit.used()).sum();
            let used = one.services.iter().any(|one| one.strong_count() != 0);
            let lives = one
                .instance
                .as_ref()
                .is_some_and(|one| one.strong_count() != 0);
            if outcome.verdict.is_success() && (streams != 0 || used || lives) {
                return true;
            }
            if let Some(answer) = one.answer.take() {
                let drained = Drained {
                    outcome: outcome.clone(),
                    streams,
                };
                drop(answer.send(Answer::Drained(Box::new(drained))));
            }
            false
        });
    }
}

/// Answers while the daemon stops: listings as ever, and no to every change.
pub async fn reply_while_stopping(
    admin: Option<tokio::sync::mpsc::Receiver<Request>>,
    facts: &Facts<'_>,
) -> Course {
    let Some(mut admin) = admin else {
        return std::future::pending().await;
    };
    while let Some(request) = admin.recv().await {
        let no = || refused("the daemon stops".to_owned());
        let answer = match request.command {
            Command::Status => Answer::Status(Box::new(listing::status(facts))),
            Command::Services => Answer::Services(listing::services(facts.life)),
            Command::Plugins => Answer::Plugins(listing::plugins(facts.life)),
            Command::Metrics => Answer::Metrics(metrics::metrics(facts)),
            Command::Ready => Answer::Ready(listing::ready(facts)),
            Command::Drain { .. } => Answer::Drained(Box::new(Drained {
                outcome: no(),
                streams: 0,
            })),
            Command::Plan
            | Command::Reload { .. }
            | Command::Confirm
            | Command::Rollback { .. } => Answer::Outcome(Box::new(no())),
        };
        drop(request.answer.send(answer));
    }
    std::future::pending().await
}
