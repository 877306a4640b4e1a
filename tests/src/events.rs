//! The messages of the daemon's log that mark the steps of its life, and their fields.

/// A plugin's code was loaded: `plugin`, `generation`.
pub const PLUGIN_LOADED: &str = "plugin loaded";
/// `create` succeeded: `instance`, `plugin`, `generation`.
pub const INSTANCE_CREATED: &str = "instance created";
/// `restore_state` succeeded: `instance`.
pub const STATE_RESTORED: &str = "state restored";
/// `start` succeeded: `instance`.
pub const INSTANCE_STARTED: &str = "instance started";
/// A socket is bound: `service`, `address`.
pub const LISTENING: &str = "listening";
/// Everything serves.
pub const READY: &str = "ready";
/// A signal was read: `name`.
pub const SIGNAL: &str = "signal";
/// The shutdown was broadcast.
pub const SHUTDOWN_ANNOUNCED: &str = "shutdown announced";
/// A socket accepts and receives no more: `service`, `address`.
pub const LISTENER_CLOSED: &str = "listener closed";
/// `drain` was called: `instance`.
pub const INSTANCE_DRAIN: &str = "instance drain";
/// The last stream ended by itself.
pub const DRAIN_FINISHED: &str = "drain finished";
/// The grace period ran out first: `streams`.
pub const GRACE_ENDED: &str = "grace ended";
/// `save_state` succeeded: `instance`.
pub const STATE_SAVED: &str = "state saved";
/// `stop` succeeded: `instance`.
pub const INSTANCE_STOPPED: &str = "instance stopped";
/// `destroy` succeeded: `instance`.
pub const INSTANCE_DESTROYED: &str = "instance destroyed";
/// A hook returned an error: `instance`, `hook`, `reason`.
pub const HOOK_FAILED: &str = "hook failed";
/// A hook was pending and did not complete in time: `instance`, `hook`.
pub const HOOK_OVERRAN: &str = "hook overran";
/// A hook did not return: `instance`, `hook`.
pub const INSTANCE_ABANDONED: &str = "instance abandoned";
/// The last line: `exit`.
pub const STOPPED: &str = "stopped";

/// All of the above, for tests that compare the whole life cycle.
pub const LIFE_CYCLE: [&str; 19] = [
    PLUGIN_LOADED,
    INSTANCE_CREATED,
    STATE_RESTORED,
    INSTANCE_STARTED,
    LISTENING,
    READY,
    SIGNAL,
    SHUTDOWN_ANNOUNCED,
    LISTENER_CLOSED,
    INSTANCE_DRAIN,
    DRAIN_FINISHED,
    GRACE_ENDED,
    STATE_SAVED,
    INSTANCE_STOPPED,
    INSTANCE_DESTROYED,
    HOOK_FAILED,
    HOOK_OVERRAN,
    INSTANCE_ABANDONED,
    STOPPED,
];

/// A stream ended: `stream`, `service`, `reason`. Written at level debug.
pub const STREAM_ENDED: &str = "stream ended";
/// A callback takes too long: `plugin`, `generation`, `callback`, `about` (the stream, socket or flow).
pub const CALLBACK_STUCK: &str = "callback takes long: it holds up the other streams of its worker";

/// A reload is in force: `id`, `asked_by`.
pub const RELOAD_APPLIED: &str = "reload applied";
/// A reload changed nothing: `id`, `asked_by`.
pub const RELOAD_UNCHANGED: &str = "reload unchanged";
/// A reload was rolled back: `id`, `reason`, `asked_by`.
pub const RELOAD_FAILED: &str = "reload failed";
/// A new process has taken over: `id`, `reason`, `asked_by`. A reload that hands over logs [`RELOAD_APPLIED`].
pub const HANDED_OVER: &str = "hand-over applied";
/// An upgrade failed: `id`, `reason`, `asked_by`.
pub const HAND_OVER_FAILED: &str = "hand-over failed";
/// An upgrade was refused before it began.
pub const HAND_OVER_REFUSED: &str = "hand-over refused";
/// This process has taken over from another one: `process`.
pub const TAKEN_OVER: &str = "taken over";

/// What a worker did with streams whose instance was replaced: `migrated`, `stayed`, `draining`.
pub const STREAMS_MOVED: &str = "streams moved";
/// A new instance serves under the same name: `instance`, `plugin`, `generation`.
pub const INSTANCE_REPLACED: &str = "instance replaced";
/// A generation was retired, no code of it runs: `plugin`, `generation`.
pub const GENERATION_RETIRED: &str = "generation retired: its code stays mapped";
/// A generation was withdrawn, the one before it serves again: `plugin`, `generation`, `reason`.
pub const GENERATION_WITHDRAWN: &str = "generation withdrawn";

/// Returns whether an event is the outcome of a reload.
#[must_use]
pub fn is_reload_verdict(event: &crate::Event) -> bool {
    [RELOAD_APPLIED, RELOAD_UNCHANGED, RELOAD_FAILED]
        .iter()
        .any(|name| event.is(name))
}

/// Returns whether an event is that of a successful reload.
#[must_use]
pub fn is_good_verdict(event: &crate::Event) -> bool {
    event.is(RELOAD_APPLIED) || event.is(RELOAD_UNCHANGED)
}

/// Returns whether an event is that of a failed reload.
#[must_use]
pub fn is_bad_verdict(event: &crate::Event) -> bool {
    event.is(RELOAD_FAILED)
}

/// A clean stop.
pub const EXIT_CLEAN: i32 = 0;
/// The arguments are wrong.
pub const EXIT_USAGE: i32 = 2;
/// The grace ran out, or a second signal came.
pub const EXIT_FORCED: i32 = 70;
/// A hook of a plugin overran its deadline or failed.
pub const EXIT_HOOK: i32 = 71;
/// A socket could not be bound.
pub const EXIT_BIND: i32 = 73;
/// The configuration, or a plugin that it names, cannot be used.
pub const EXIT_CONFIG: i32 = 78;
