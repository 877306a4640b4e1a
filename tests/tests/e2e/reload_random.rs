//! Reloads at random, the same in each run: after each, every socket and stream is where a model has it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use polyport_e2e::damage::Dice;
use polyport_e2e::{Daemon, Draft, Place, SOON, TestPlugin, client, events};
use tempfile::TempDir;

/// Versions of the code that there are.
const VERSIONS: usize = 5;
/// Sockets that services may have.
const PATHS: usize = 6;
const SERVICES: [&str; 4] = ["alder", "beech", "cedar", "elm"];
const INSTANCES: [&str; 2] = ["one", "two"];

/// The model of one service.
#[derive(Clone, Debug, Default, PartialEq)]
struct Service {
    instance: usize,
    paths: Vec<usize>,
    /// Seconds; any change of it touches nothing that a client sees.
    idle: usize,
}

/// The model of the daemon.
#[derive(Clone, Debug, Default)]
struct Model {
    services: BTreeMap<&'static str, Service>,
    versions: [usize; INSTANCES.len()],
}

/// A stream that a client holds.
struct Held {
    path: usize,
    service: &'static str,
    stream: UnixStream,
}

struct Game {
    dice: Dice,
    model: Model,
    dir: TempDir,
    places: [Place; INSTANCES.len()],
    held: Vec<Held>,
    course: Vec<String>,
}

fn stamp(version: usize) -> PathBuf {
    let version = u32::try_from(version).unwrap();
    TestPlugin::new("stamp").version(version).build()
}

fn socket(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("{number}.sock"))
}

impl Model {
    /// The service that listens on a path.
    fn owner(&self, path: usize) -> Option<&'static str> {
        let mut services = self.services.iter();
        services
            .find(|(_, service)| service.paths.contains(&path))
            .map(|(name, _)| *name)
    }

    /// The version that answers streams of a service.
    fn version(&self, service: &str) -> Option<usize> {
        let service = self.services.get(service)?;
        Some(self.versions[service.instance])
    }

    /// The version that answers a stream, `None` when it has to end.
    fn answers(&self, held: &Held) -> Option<usize> {
        self.owner(held.path)?;
        self.version(held.service)
    }

    /// One change of the services.
    fn change(&mut self, dice: &mut Dice) -> String {
        let name = SERVICES[dice.below(SERVICES.len())];
        let free: Vec<usize> = (0..PATHS)
            .filter(|path| self.owner(*path).is_none())
            .collect();
        let others = self.services.len() > 1;
        let Some(service) = self.services.get_mut(name) else {
            let Some(path) = free.first() else {
                return "nothing is free".to_owned();
            };
            let new = Service {
                instance: dice.below(INSTANCES.len()),
                paths: vec![*path],
                idle: 3600,
            };
            self.services.insert(name, new);
            return format!("{name} comes");
        };
        match dice.below(6) {
            0 if others => {
                self.services.remove(name);
                format!("{name} goes")
            }
            1 if service.paths.len() > 1 => {
                service.paths.remove(0);
                format!("{name} listens less")
            }
            2 if !free.is_empty() => {
                service.paths.push(free[dice.below(free.len())]);
                format!("{name} listens more")
            }
            3 => {
                service.instance = 1 - service.instance;
                format!("{name} is answered by another instance")
            }
            4 => {
                service.idle += 1;
                format!("{name} has another timeout")
            }
            _ => self.trade(name, dice),
        }
    }

    /// Two services trade their sockets.
    fn trade(&mut self, name: &'static str, dice: &mut Dice) -> String {
        let other = SERVICES[dice.below(SERVICES.len())];
        let (Some(mine), Some(theirs)) = (self.services.get(name), self.services.get(other)) else {
            return "nobody to trade with".to_owned();
        };
        let (mine, theirs) = (mine.paths.clone(), theirs.paths.clone());
        self.services.entry(name).or_default().paths = theirs;
        self.services.entry(other).or_default().paths = mine;
        format!("{name} and {other} trade")
    }
}

impl Game {
    fn draft(&self, draft: Draft) -> Draft {
        let draft = SERVICES
            .iter()
            .fold(draft, |draft, name| draft.without_service(name));
        self.model
            .services
            .iter()
            .fold(draft, |draft, (name, service)| {
                let urls = service.paths.iter().map(|path| {
                    let path = socket(self.dir.path(), *path);
                    format!("unix://{}", path.display())
                });
                let listen = urls.collect::<Vec<_>>().join(", ");
                let more = format!("timeouts: {{idle: {}s}}", service.idle);
                draft.service(name, &listen, INSTANCES[service.instance], &more)
            })
    }

    /// A step: some changes at once, or new code, or a fault that changes nothing.
    fn step(&mut self, daemon: &mut Daemon) {
        let before = self.model.clone();
        for _ in 0..=self.dice.below(3) {
            let what = self.model.change(&mut self.dice);
            self.course.push(what);
        }
        if self.dice.below(3) == 0 {
            let instance = self.dice.below(INSTANCES.len());
            let version = self.dice.below(VERSIONS) + 1;
            self.model.versions[instance] = version;
            match self.dice.below(2) {
                0 => self.places[instance].rename(&stamp(version)),
                _ => self.places[instance].copy(&stamp(version)),
            }
            self.course
                .push(format!("{} is of version {version}", INSTANCES[instance]));
        }
        if self.dice.below(4) == 0 {
            self.fail(daemon, &before);
        }
        daemon.edit(|draft| self.draft(draft));
        let verdict = daemon.reload();
        let failed = verdict.is(events::RELOAD_FAILED);
        assert!(!failed, "{} after {:?}", verdict.line, self.course);
    }

    /// A reload with the same change and an impossible one.
    fn fail(&mut self, daemon: &mut Daemon, before: &Model) {
        let instance = self.dice.below(INSTANCES.len());
        let good = fs::read(self.places[instance].path()).unwrap();
        if self.dice.below(2) == 0 {
            self.places[instance].write(&good[..good.len() / 2]);
            daemon.edit(|draft| self.draft(draft));
        } else {
            daemon.edit(|draft| self.draft(draft).section("nonsense", "{}"));
        }
        daemon.reload_failed("");
        self.places[instance].write(&good);
        daemon.edit(|draft| draft.without_section("nonsense"));
        self.course.push("a reload fails".to_owned());
        let now = std::mem::replace(&mut self.model, before.clone());
        self.look();
        self.model = now;
    }

    /// Compares every socket and stream with the model.
    fn look(&mut self) {
        for path in 0..PATHS {
            let file = socket(self.dir.path(), path);
            let Some(service) = self.model.owner(path) else {
                let course = &self.course;
                assert!(
                    UnixStream::connect(&file).is_err(),
                    "{path} listens after {course:?}"
                );
                continue;
            };
            let stream = UnixStream::connect(&file).expect("it listens");
            stream.set_read_timeout(Some(SOON)).unwrap();
            self.held.push(Held {
                path,
                service,
                stream,
            });
        }
        let (model, course) = (&self.model, &self.course);
        self.held.retain_mut(|held| {
            let Some(version) = model.answers(held) else {
                let (rest, _) = client::read_to_end(&mut held.stream);
                assert!(
                    rest.is_empty(),
                    "a goodbye that nobody says, after {course:?}"
                );
                return false;
            };
            let sent = held.stream.write_all(b"who\n");
            assert!(
                sent.is_ok(),
                "{} of {} is gone after {course:?}",
                held.path,
                held.service
            );
            let answer = client::read_line(&mut held.stream);
            assert_eq!(
                answer,
                format!("v{version} who"),
                "{} after {course:?}",
                held.service
            );
            true
        });
        // Enough streams for every state, and few enough to be checked.
        let many = self.held.len().saturating_sub(60);
        self.held.drain(..many);
    }
}

/// Plays one game; with `POLYPORT_LONG` in the environment a long one.
#[track_caller]
fn play(seed: u64) {
    let steps = if env::var_os("POLYPORT_LONG").is_some() {
        400
    } else {
        25
    };
    let dir = TempDir::new().unwrap();
    let places = INSTANCES.map(|name| Place::new(dir.path(), name, &stamp(1)));
    let mut game = Game {
        dice: Dice::new(seed),
        model: Model {
            versions: [1; INSTANCES.len()],
            ..Model::default()
        },
        dir,
        places,
        held: Vec::new(),
        course: Vec::new(),
    };
    game.model.change(&mut game.dice);
    let builder = Daemon::builder()
        .allow_error("reload failed")
        .allow_error("configuration");
    let places = game.places.iter().zip(INSTANCES);
    let builder = places.fold(builder, |builder, (place, name)| {
        builder.plugin(name, place.path())
    });
    let mut daemon = builder.draft(|draft| game.draft(draft)).start();
    game.look();
    for _ in 0..steps {
        game.step(&mut daemon);
        game.look();
    }
    drop(game.held);
    daemon.stop();
}

#[test]
fn a_first_game() {
    play(1);
}

#[test]
fn a_second_game() {
    play(2);
}

#[test]
fn a_third_game() {
    play(3);
}
