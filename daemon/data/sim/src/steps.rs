//! One step of a run: something that happens outside of the worker.

use std::sync::Arc;
use std::time::Duration;

use polyport_host::host_api::{Dial, DialTarget};
use polyport_sys::PeerAddress;

use crate::connections::{self};
use crate::control::{self};
use crate::counts::{Kind, Work};
use crate::datagrams;
use crate::driver::{Accepted, Command, Standby};
use crate::handler::dials;
use crate::model;
use crate::phases;
use crate::reload;
use crate::simulation::Simulation;

const MS: u64 = 1_000_000;

#[derive(Debug, Clone, Copy)]
enum Step {
    Adopt,
    Connect,
    PeerSends,
    PeerEnds,
    PeerCloses,
    PeerReads,
    DatagramSends,
    DatagramAnswers,
    DatagramReads,
    DatagramCloses,
    Wake,
    Time,
    Renew,
    Replace,
    ReplaceAndLeave,
    ReplacePaused,
    Remove,
    Leave,
    Pause,
    Resume,
    InstanceDial,
    Suspend,
    Reclaim,
    HandOff,
    Drain,
    Force,
}

const STEPS: &[(u64, Step)] = &[
    (60, Step::Adopt),
    (20, Step::Connect),
    (240, Step::PeerSends),
    (25, Step::PeerEnds),
    (15, Step::PeerCloses),
    (120, Step::PeerReads),
    (120, Step::DatagramSends),
    (20, Step::DatagramAnswers),
    (60, Step::DatagramReads),
    (2, Step::DatagramCloses),
    (80, Step::Wake),
    (60, Step::Time),
    (12, Step::Renew),
    (14, Step::Replace),
    (10, Step::ReplaceAndLeave),
    (10, Step::ReplacePaused),
    (3, Step::Remove),
    (5, Step::Leave),
    (14, Step::Pause),
    (30, Step::Resume),
    (6, Step::InstanceDial),
    (4, Step::Suspend),
    (14, Step::Reclaim),
    (1, Step::HandOff),
    (1, Step::Drain),
    (1, Step::Force),
];

/// Something happens; `inside`: while a callback about this object runs, so it is mostly about that object.
pub(crate) fn outside(sim: &mut Simulation, inside: Option<u64>) {
    let Some(step) = sim.random.weighted(STEPS) else {
        return;
    };
    match step {
        Step::Time if inside.is_some() => {}
        Step::Adopt => adopt(sim),
        Step::Connect => connect(sim),
        Step::PeerSends | Step::PeerEnds | Step::PeerCloses | Step::PeerReads => {
            peer(sim, step, inside);
        }
        Step::DatagramSends
        | Step::DatagramAnswers
        | Step::DatagramReads
        | Step::DatagramCloses => {
            datagram(sim, step, inside);
        }
        Step::Wake => wake(sim, inside),
        Step::Time => time(sim),
        _ => control(sim, step),
    }
}

fn any_service(sim: &mut Simulation) -> usize {
    sim.random.index(sim.control.services.len())
}

/// Another worker gives a connection.
fn adopt(sim: &mut Simulation) {
    let place = any_service(sim);
    let buffers = [0, 1, 8 << 10, 32 << 10];
    let buffers = (
        sim.random.pick(&buffers).unwrap_or(0),
        sim.random.pick(&buffers).unwrap_or(0),
    );
    let Some(of) = sim.control.services.get(place) else {
        return;
    };
    let (Some(service), Some(listener)) = (&of.service, &of.listener) else {
        return;
    };
    let Some(permit) = service.permits.take() else {
        return;
    };
    let (service, listener) = (Arc::clone(service), Arc::clone(listener));
    let stateful = sim
        .actors
        .get(of.actor)
        .is_some_and(|one| one.traits.stateful);
    let Ok((socket, far)) = connections::pair(buffers) else {
        return;
    };
    let keys = (sim.random.next(), sim.random.next());
    let number = sim.peers.add(far, keys);
    let by_address = stateful && sim.random.chance(50);
    let peer = match u16::try_from(number + 1) {
        Ok(port) if by_address => PeerAddress::Ip(([10, 0, 0, 1], port).into()),
        _ => control::connection_name(number),
    };
    sim.trace.step(
        "adopt",
        &[("connection", number as u64), ("service", place as u64)],
    );
    let accepted = Accepted {
        socket,
        peer,
        listener,
        service,
        permit,
    };
    sim.remote.send(Command::Adopt(Box::new(accepted)));
    if sim.random.chance(50) {
        let len = sim.random.index(2000);
        connections::peer_sends(sim, number, len);
    }
}

/// Somebody connects to a listener.
fn connect(sim: &mut Simulation) {
    let place = any_service(sim);
    let number = sim.peers.connections.len();
    let Some(of) = sim
        .control
        .services
        .get(place)
        .filter(|of| of.listener.is_some())
    else {
        return;
    };
    let name = format!("{}-{number}", sim.peers.names);
    if let Ok(Some(socket)) = connections::connect_to(&of.path, &name) {
        let keys = (sim.random.next(), sim.random.next());
        sim.peers.add(socket, keys);
        sim.trace.step(
            "connect",
            &[("connection", number as u64), ("service", place as u64)],
        );
    }
}

fn peer(sim: &mut Simulation, step: Step, inside: Option<u64>) {
    let inside = inside.and_then(|id| sim.objects.get(&id)?.stream.connection);
    let alive = sim.peers.connections.iter().enumerate();
    let alive: Vec<usize> = alive
        .filter(|(_, one)| one.socket.is_some())
        .map(|(number, _)| number)
        .collect();
    let any = sim.random.pick(&alive);
    let Some(number) = inside.filter(|_| sim.random.chance(80)).or(any) else {
        return;
    };
    match step {
        Step::PeerSends => {
            let ended = sim.peers.connections.get(number).is_some_and(|one| one.fin);
            let most = sim
                .random
                .pick(&[10, 300, 300, 3000, 3000, 70_000])
                .unwrap_or(1);
            let len = sim.random.between(1, most);
            if !ended {
                connections::peer_sends(sim, number, usize::try_from(len).unwrap_or(1));
            }
        }
        Step::PeerEnds => connections::peer_ends(sim, number),
        Step::PeerCloses => connections::peer_closes(sim, number),
        _ => {
            let most = sim.random.pick(&[100, 4000, 100_000, 1 << 20]).unwrap_or(1);
            connections::peer_reads(sim, number, most);
        }
    }
}

fn datagram(sim: &mut Simulation, step: Step, inside: Option<u64>) {
    let object = inside.and_then(|id| sim.objects.get(&id));
    let (of_peer, of_port) = object.map_or((None, None), |one| (one.peer, one.port));
    let peer = of_peer.unwrap_or_else(|| sim.random.index(sim.peers.datagram.len()));
    match step {
        Step::DatagramSends => {
            let port = of_port.unwrap_or_else(|| sim.random.index(sim.control.services.len()));
            let path = sim
                .control
                .port_path(port)
                .map(std::path::Path::to_path_buf);
            let count = sim.random.between(1, 3);
            let Some(path) = path else { return };
            for _ in 0..count {
                let len = sim.random.index(100);
                datagrams::datagram_sends(sim, peer, port, &path, len);
            }
        }
        Step::DatagramAnswers => {
            let known = sim
                .peers
                .datagram
                .get(peer)
                .map_or(0, |one| one.dialled.len());
            if known != 0 {
                let place = sim.random.index(known);
                datagrams::datagram_answers(sim, peer, place);
            }
        }
        Step::DatagramReads => {
            let most = sim.random.index(12);
            datagrams::datagram_reads(sim, peer, most);
        }
        _ => {
            if let Some(one) = sim.peers.datagram.get_mut(peer) {
                one.socket = None;
                sim.trace
                    .step("datagram peer closes", &[("peer", peer as u64)]);
                let of_it = |one: &crate::object::Object| one.peer == Some(peer);
                sim.count_all(Work::Reset, of_it);
            }
        }
    }
}

fn wake(sim: &mut Simulation, inside: Option<u64>) {
    let kind = sim.random.pick(&Kind::ALL).unwrap_or(Kind::Stream);
    let all = sim.open_objects(kind);
    let any = sim.random.pick(&all);
    let Some(id) = inside.filter(|_| sim.random.chance(80)).or(any) else {
        return;
    };
    let bits = 1 << sim.random.below(16);
    let taken = sim.remote.wake(id, bits);
    sim.count(Work::Wake, id);
    let Some(object) = sim.objects.get_mut(&id) else {
        return;
    };
    let (number, open) = (object.number, object.is_open());
    if taken {
        object.maybe_woken |= object.woken & bits;
        object.woken |= bits;
    }
    sim.trace.step(
        "wake",
        &[("object", number), ("bits", bits), ("taken", taken.into())],
    );
    let stateless = model::is_stateless(sim, id);
    // An open that has not returned may be refused yet.
    if !taken && stateless {
        // Its end is not notified.
        model::ended_silently(sim, id);
    } else if !taken && open && sim.running != id {
        sim.violate(format!(
            "a wake of object {number} is refused, though it lives"
        ));
    }
}

fn time(sim: &mut Simulation) {
    let most = sim.random.pick(&[2, 30, 30, 300, 300, 3000]).unwrap_or(1);
    let nanos = sim.random.below(most * MS) + 1;
    sim.remote.clock.advance(nanos);
    sim.trace.step("time", &[("nanos", nanos)]);
}

fn control(sim: &mut Simulation, step: Step) {
    if sim.control.phase.is_some() {
        if matches!(step, Step::Force) && sim.random.chance(20) {
            phases::announce(sim, None);
        }
        return;
    }
    let place = any_service(sim);
    let actor = sim.control.services.get(place).map_or(0, |of| of.actor);
    match step {
        Step::Suspend if !sim.control.handed_off => phases::standby(sim, Standby::Suspend),
        Step::Reclaim if sim.control.suspended && !sim.control.handed_off => {
            phases::standby(sim, Standby::Resume);
        }
        Step::HandOff if sim.control.suspended && !sim.control.handed_off => hand_off(sim),
        Step::Drain if sim.random.chance(30) => {
            let grace = sim.random.below(3000) * MS;
            phases::announce(sim, Some(grace));
        }
        Step::Force if sim.random.chance(10) => phases::announce(sim, None),
        Step::Pause => {
            let mut actors = vec![actor];
            let any = sim.random.index(sim.actors.len());
            let other = sim.random.chance(20).then_some(any);
            actors.extend(other.filter(|other| *other != actor));
            phases::pause(sim, &actors);
        }
        Step::Resume => {
            let pauses = sim.control.pauses.len();
            if pauses != 0 {
                let pause = sim.random.index(pauses);
                phases::resume(sim, pause);
            }
        }
        Step::InstanceDial => instance_dial(sim, actor),
        Step::Leave => {
            let old: Vec<usize> = (0..sim.actors.len())
                .filter(|one| sim.control.services.iter().all(|of| of.actor != *one))
                .collect();
            if let Some(old) = sim.random.pick(&old) {
                let now = sim.now();
                let until = sim
                    .random
                    .chance(60)
                    .then(|| now + sim.random.below(2000) * MS);
                reload::retire(sim, old, until);
                reload::send_snapshot(sim);
            }
        }
        // A snapshot of control that the worker has handed over is none any more.
        _ if sim.control.handed_off => {}
        Step::Renew => reload::renew(sim, place),
        Step::Replace => reload::replace(sim, place, None),
        Step::ReplaceAndLeave => {
            let now = sim.now();
            let until = sim
                .random
                .chance(60)
                .then(|| now + sim.random.below(2000) * MS);
            reload::replace(sim, place, Some(until));
        }
        Step::ReplacePaused => {
            // As a reload does when state has to go over.
            phases::pause(sim, &[actor]);
            reload::replace(sim, place, Some(None));
            let pause = sim.control.pauses.len() - 1;
            if sim.random.chance(70) {
                phases::resume(sim, pause);
            }
        }
        Step::Remove if sim.random.chance(40) => reload::remove(sim, place),
        _ => {}
    }
}

/// Another process takes over for good: the paused instances go with it.
fn hand_off(sim: &mut Simulation) {
    let pause = sim.control.pauses.first();
    let gone = pause
        .map(|pause| Arc::clone(&pause.instances))
        .unwrap_or_default();
    let until = sim.now() + sim.random.below(2000) * MS;
    let until = sim.remote.clock.instant(until);
    phases::standby(sim, Standby::HandOff { gone, until });
}

/// An instance dials by itself.
fn instance_dial(sim: &mut Simulation, actor: usize) {
    let (kind, path, slot, tag) = dials::choose_dial(sim);
    let path = {
        use std::os::unix::ffi::OsStringExt as _;
        std::ffi::OsString::from_vec(path).into()
    };
    let target = if kind == polyport_abi::PP_DIAL_UNIX {
        DialTarget::Unix(path)
    } else {
        DialTarget::Unixgram(path)
    };
    let Some(of) = sim.control.services.first() else {
        return;
    };
    let Some(service) = control::service(sim, "", actor, of) else {
        return;
    };
    let dial = Dial {
        target,
        timeout: Duration::from_secs(10),
        tag,
    };
    dials::add_dial(sim, 0, tag, slot);
    if let Some(dial) = sim.dials.get_mut(&tag) {
        dial.actor = actor;
    }
    sim.trace
        .step("instance dials", &[("actor", actor as u64), ("tag", tag)]);
    sim.remote.send(Command::Dial(service, dial));
}
