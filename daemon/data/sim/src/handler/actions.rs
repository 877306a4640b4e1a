//! What handlers ask of the host in the middle of a callback.

use polyport_abi as abi;
use polyport_abi::{PpId, PpSlice, PpStatus};

use super::{attribute, dials, host, output, transfer};
use crate::counts::{Kind, Work};
use crate::object::Effect;
use crate::simulation::{Simulation, with};
use crate::steps;

const MS: u64 = 1_000_000;

/// One thing to ask for.
#[derive(Debug, Clone, Copy)]
enum Action {
    Write,
    Reserve,
    Fin,
    Close(u32),
    Reads,
    Watermarks,
    TimerSet,
    TimerCancel,
    Dial,
    Send,
    Attribute,
    Wake,
    /// Something happens outside while the callback runs.
    Outside,
}

const ACTIONS: &[(u64, Action)] = &[
    (24, Action::Write),
    (4, Action::Reserve),
    (3, Action::Fin),
    (2, Action::Close(abi::PP_CLOSE_FLUSH)),
    (1, Action::Close(abi::PP_CLOSE_NOW)),
    (1, Action::Close(abi::PP_CLOSE_RESET)),
    (6, Action::Reads),
    (6, Action::Watermarks),
    (8, Action::TimerSet),
    (4, Action::TimerCancel),
    (7, Action::Dial),
    (12, Action::Send),
    (3, Action::Attribute),
    (5, Action::Wake),
    (14, Action::Outside),
];

/// Acts at random: nothing in half of the callbacks.
pub(crate) fn act(id: PpId) {
    let actions = with(|sim| {
        if sim.calm {
            return Vec::new();
        }
        let count = sim.random.weighted(&[(50, 0), (30, 1), (15, 2), (5, 4)]);
        (0..count.unwrap_or(0))
            .filter_map(|_| sim.random.weighted(ACTIONS))
            .collect()
    });
    for action in actions {
        let target = with(|sim| target(sim, id));
        perform(id, target, action);
    }
}

/// Reads are on, and our direction ends: a stream that is settled ends with its peer.
pub(crate) fn settle(id: PpId) {
    if with(|sim| {
        sim.objects
            .get(&id)
            .is_some_and(|one| one.kind == Kind::Stream)
    }) {
        set_reads(id, true);
        output::write(id, id, 0, true);
    }
}

fn perform(id: PpId, target: PpId, action: Action) {
    let (kind, len) = with(|sim| {
        let object = sim.objects.get(&target);
        // A stream without state may have come from an unknown peer, whose bytes nobody can check.
        let known =
            object.filter(|one| one.kind != Kind::Stream || one.stream.connection.is_some());
        (known.map(|one| one.kind), output::write_len(sim))
    });
    match (action, kind) {
        (Action::Write, Some(Kind::Stream)) => output::write(id, target, len, false),
        (Action::Reserve, Some(Kind::Stream)) => output::reserve(id, target, len.min(4000)),
        (Action::Fin, Some(Kind::Stream)) => output::write(id, target, len.min(100), true),
        (Action::Close(how), Some(Kind::Stream)) => close(target, how),
        (Action::Close(_), Some(_)) => close(target, abi::PP_CLOSE_FLUSH),
        (Action::Reads, Some(Kind::Stream)) => {
            set_reads(target, with(|sim| sim.random.chance(65)));
        }
        (Action::Watermarks, Some(Kind::Stream)) => set_watermarks(target),
        (Action::TimerSet, Some(_)) => timer_set(target),
        (Action::TimerCancel, Some(_)) => timer_cancel(target),
        // An export only reads: what it dials would be answered to the new side.
        (Action::Dial, Some(_)) if !with(|sim| sim.exporting) => dials::dial(target),
        (Action::Send | Action::Write, Some(Kind::Socket | Kind::Flow)) => output::send(target, 0),
        (Action::Attribute, Some(_)) => look(target),
        (Action::Wake, Some(_)) => wake(target),
        (Action::Outside, _) => with(|sim| steps::outside(sim, Some(id))),
        _ => {}
    }
}

/// Itself, or now and then another member of the group.
pub(crate) fn target(sim: &mut Simulation, id: u64) -> u64 {
    // A member of the group may have been exported already, or be imported next.
    if !sim.random.chance(25) || sim.exporting {
        return id;
    }
    let group = sim.objects.get(&id).map(|one| one.group);
    let staged = sim.importing.is_some();
    let members = sim.objects.values().filter(|one| {
        one.is_open() && Some(one.group) == group && !(staged && one.kind == Kind::Stream)
    });
    let members: Vec<u64> = members.map(|one| one.id).collect();
    sim.random.pick(&members).unwrap_or(id)
}

/// Is a refusal allowed? All others are violations.
pub(crate) fn check_status(
    sim: &mut Simulation,
    what: &str,
    id: u64,
    status: PpStatus,
    allowed: &[PpStatus],
) {
    let number = sim.objects.get(&id).map_or(0, |one| one.number);
    sim.trace.step(
        what,
        &[
            ("object", number),
            ("status", i64::from(status).cast_unsigned()),
        ],
    );
    if status < 0 && !allowed.contains(&status) {
        sim.violate(format!("{what} about object {number} gives {status}"));
    }
}

/// What any call about an object may be refused for.
const GONE: &[PpStatus] = &[abi::PP_E_GONE, abi::PP_E_FULL];

/// Closes.
pub(crate) fn close(target: PpId, how: u32) {
    let why = PpSlice {
        ptr: std::ptr::null(),
        len: 0,
    };
    // SAFETY: one slice, lent for this call; inside of a callback.
    let status = unsafe { (host().close)(target, how, &raw const why) };
    with(|sim| {
        check_status(
            sim,
            "close",
            target,
            status,
            &[abi::PP_E_GONE, abi::PP_E_DENIED, abi::PP_E_FULL],
        );
        if status >= 0 {
            let work = match how {
                abi::PP_CLOSE_FLUSH => Work::CloseFlush,
                abi::PP_CLOSE_NOW => Work::CloseNow,
                _ => Work::CloseReset,
            };
            sim.count(work, target);
            transfer::effect(sim, target, Effect::Close(how));
        }
    });
}

fn set_reads(target: PpId, on: bool) {
    // SAFETY: inside of a callback.
    let status = unsafe { (host().set_reads)(target, on.into()) };
    with(|sim| {
        check_status(sim, "set_reads", target, status, GONE);
        if status >= 0 {
            sim.count(Work::Reads, target);
            transfer::effect(sim, target, Effect::Reads(on));
        }
    });
}

fn set_watermarks(target: PpId) {
    let (low, high) = with(|sim| {
        let low = sim.random.below(2000);
        (low, low + 1 + sim.random.below(20_000))
    });
    let (low, high) = (
        usize::try_from(low).unwrap_or(0),
        usize::try_from(high).unwrap_or(1),
    );
    // SAFETY: inside of a callback.
    let status = unsafe { (host().set_watermarks)(target, low, high) };
    with(|sim| {
        check_status(sim, "set_watermarks", target, status, GONE);
        if status >= 0 {
            sim.count(Work::Watermarks, target);
            if sim.importing.is_some() {
                transfer::effect(sim, target, Effect::Watermarks);
            }
        }
    });
}

fn timer_set(target: PpId) {
    let (key, after, period) = with(|sim| {
        let key = sim.random.below(4);
        let after = sim.random.below(300) * MS;
        let periodic = sim.random.chance(20);
        let period = if periodic {
            sim.random.between(1, 200) * MS
        } else {
            0
        };
        (u32::try_from(key).unwrap_or(0), after, period)
    });
    // SAFETY: inside of a callback.
    let status = unsafe { (host().timer_set)(target, key, after, period) };
    with(|sim| {
        check_status(
            sim,
            "timer_set",
            target,
            status,
            &[abi::PP_E_GONE, abi::PP_E_FULL, abi::PP_E_CLOSING],
        );
        if status >= 0 {
            sim.count(Work::TimerSet, target);
            transfer::effect(sim, target, Effect::TimerSet(target, key, after, period));
        }
    });
}

fn timer_cancel(target: PpId) {
    let key = with(|sim| u32::try_from(sim.random.below(4)).unwrap_or(0));
    // SAFETY: inside of a callback.
    let status = unsafe { (host().timer_cancel)(target, key) };
    with(|sim| {
        check_status(sim, "timer_cancel", target, status, GONE);
        if status >= 0 {
            sim.count(Work::TimerCancel, target);
            transfer::effect(sim, target, Effect::TimerCancel(target, key));
        }
    });
}

fn wake(target: PpId) {
    let bits = with(|sim| 1 << sim.random.below(8));
    // SAFETY: may be called from anywhere.
    let status = unsafe { (host().wake)(target, bits) };
    with(|sim| {
        check_status(sim, "wake", target, status, GONE);
        if status >= 0 {
            sim.count(Work::WakeCall, target);
            if let Some(object) = sim.objects.get_mut(&target) {
                object.maybe_woken |= object.woken & bits;
                object.woken |= bits;
            }
        }
    });
}

fn look(target: PpId) {
    let service = attribute(target, c"service");
    with(|sim| {
        let status = service.as_ref().err().copied().unwrap_or(0);
        check_status(sim, "attribute", target, status, GONE);
        if status >= 0 {
            sim.count(Work::Attribute, target);
        }
    });
}

/// The last word about something that lives on elsewhere: nothing may be done with it any more.
pub(crate) fn as_stranger(id: PpId) {
    if !with(|sim| sim.random.chance(30)) {
        return;
    }
    // SAFETY: inside of a callback.
    let statuses = unsafe {
        [
            (host().set_reads)(id, 0),
            (host().timer_set)(id, 9, 1, 0),
            (host().close)(id, abi::PP_CLOSE_NOW, std::ptr::null()),
        ]
    };
    if statuses != [abi::PP_E_GONE; 3] {
        with(|sim| {
            sim.violate(format!(
                "the old side may still act after its last word: {statuses:?}"
            ));
        });
    }
}

/// The last word about something that has ended: nothing that is asked for lives on.
pub(crate) fn after_end(id: PpId) {
    if !with(|sim| sim.random.chance(15)) {
        return;
    }
    // SAFETY: inside of a callback.
    let (write, timer) = unsafe {
        let nothing = PpSlice {
            ptr: std::ptr::null(),
            len: 0,
        };
        (
            (host().write)(id, &raw const nothing, 1, 0),
            (host().timer_set)(id, 9, MS, 0),
        )
    };
    if write >= 0 {
        with(|sim| sim.violate(format!("an ended object takes a write: {write}")));
    }
    // A socket may still set one; it ends with the socket.
    let _unused = timer;
}
