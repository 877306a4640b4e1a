//! What the desk answers over the admin socket.

use std::sync::{Arc, Weak};

use polyport_api::{Drained, Outcome, Verdict};
use tokio::sync::oneshot;

use super::asked::Asked;
use super::{Desk, refused};
use crate::control::admin::{Answer, Command, Request};
use crate::control::listing::{self, Facts};
use crate::control::measures;
use crate::control::stop::Course;
use crate::control::wish::Wish;
use crate::control::world::{Held, Room};
use polyport_data::service::Service;

/// Somebody who waits until what was drained is gone.
#[derive(Debug)]
pub(super) struct Waiting {
    name: String,
    services: Vec<Weak<Service>>,
    rooms: Vec<Room>,
    instance: Option<Weak<Held>>,
    outcome: Option<Outcome>,
    answer: Option<oneshot::Sender<Answer>>,
}

/// Answers a request, or has it wait for what it asks for.
pub(super) fn reply(desk: &mut Desk<'_>, request: Request) {
    let Request {
        command,
        peer,
        answer,
    } = request;
    let by = format!("uid {}", peer.uid);
    let ready = match command {
        Command::Status => Answer::Status(Box::new(listing::status(&desk.facts()))),
        Command::Services => Answer::Services(listing::services(desk.life)),
        Command::Plugins => Answer::Plugins(listing::plugins(desk.life)),
        Command::Metrics => Answer::Metrics(measures::metrics(&desk.facts())),
        Command::Ready => Answer::Ready(listing::ready(&desk.facts())),
        Command::Plan => return desk.want(Asked::new(Wish::Plan, by).for_whom(answer)),
        Command::Reload { confirm } => {
            let asked = Asked::new(Wish::Reload { confirm }, by);
            return desk.want(asked.for_whom(answer));
        }
        Command::Confirm => Answer::Outcome(Box::new(desk.confirm())),
        Command::Drain { name, wait } => return desk.drain(name, wait, by, answer),
        Command::Rollback { plugin } => return desk.roll_back(plugin, by, answer),
    };
    // Who went away is not missed.
    drop(answer.send(ready));
}

impl Desk<'_> {
    /// What listings are made of.
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            life: self.life,
            history: &self.history,
            drained: &self.drained,
            confirm_within_seconds: self
                .confirmation
                .as_ref()
                .map(super::clock::Confirmation::seconds_left),
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
        let world = self.life.world();
        let config = world.config.as_ref();
        let services: Vec<&String> = config.map_or_else(Vec::new, |config| {
            config.services.iter().map(|one| &one.name).collect()
        });
        let instances: Vec<&str> = world.instances.iter().map(|held| held.name()).collect();
        if !services.contains(&&name) && !instances.contains(&name.as_str()) {
            let mut known: Vec<String> = services.into_iter().cloned().collect();
            known.extend(instances.into_iter().map(str::to_owned));
            known.dedup();
            let reason = format!("there is no service and no instance `{name}`");
            drop(answer.send(Answer::Unknown { reason, known }));
            return;
        }
        let asked = Asked::new(Wish::Drain { name: name.clone() }, by);
        if !wait {
            return self.want(asked.for_whom(answer));
        }
        let is_service = services.contains(&&name);
        let behind = |service: &&Arc<Service>| {
            if is_service {
                service.name == name
            } else {
                service.instance.name().instance == name
            }
        };
        let drained: Vec<&Arc<Service>> = world.services.iter().filter(behind).collect();
        let rooms = drained.iter().filter_map(|one| world.rooms.get(&one.name));
        let instance = world.instance(&name).filter(|_| !is_service);
        self.waiting.push(Waiting {
            services: drained.iter().map(|one| Arc::downgrade(one)).collect(),
            rooms: rooms.cloned().collect(),
            instance: instance.map(Arc::downgrade),
            name,
            outcome: None,
            answer: Some(answer),
        });
        self.want(asked.by_hand());
    }

    fn roll_back(&mut self, plugin: String, by: String, answer: oneshot::Sender<Answer>) {
        let world = self.life.world();
        let known: Vec<String> = world
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
        let asked = Asked::new(
            Wish::Rollback {
                plugin,
                failed: None,
                why,
            },
            by,
        );
        self.want(asked.for_whom(answer));
    }

    /// The drain of this name ended so; who waits for its streams waits on if it went well.
    pub(super) fn note_drain(&mut self, name: &str, outcome: &Outcome) {
        let mut waiting = self.waiting.iter_mut().filter(|one| one.name == name);
        if let Some(one) = waiting.find(|one| one.outcome.is_none()) {
            one.outcome = Some(outcome.clone());
        }
    }

    /// Answers those whose drain is over, or failed, or who went away.
    pub(super) fn answer_drains(&mut self) {
        self.waiting.retain_mut(|one| {
            if one.answer.as_ref().is_none_or(oneshot::Sender::is_closed) {
                return false;
            }
            let Some(outcome) = &one.outcome else {
                return true;
            };
            let streams: u64 = one.rooms.iter().map(|room| room.limit.used()).sum();
            let used = one.services.iter().any(|one| one.strong_count() != 0);
            let lives = one
                .instance
                .as_ref()
                .is_some_and(|one| one.strong_count() != 0);
            if outcome.verdict.is_good() && (streams != 0 || used || lives) {
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
            Command::Metrics => Answer::Metrics(measures::metrics(facts)),
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
