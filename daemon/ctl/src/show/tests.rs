//! Snapshots of the output; `INSTA_UPDATE=always` writes them anew.

use insta::assert_snapshot;
use polyport_api::outcome::FaultLine;
use polyport_api::plan::{InstanceAction, ListenerAction, PluginAction, ServiceAction};
use polyport_api::{Drained, Outcome, Plan, Plugins, Services, Status, Verdict};
use serde_json::{Value, json};

use super::*;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[test]
fn status_of_a_quiet_daemon() {
    let quiet: Status = read(json!({
        "version": "0.1.0", "pid": 4711, "state": "ready", "uptime_seconds": 0,
        "config": "/etc/polyport/polyport.yaml", "streams": 0, "workers": 1,
    }));
    assert_snapshot!(status(&quiet));
}

#[test]
fn status_of_a_busy_daemon() {
    let failed = json!({
        "id": 6, "verdict": "failed", "reason": "handler `kv` refused its configuration",
        "asked_by": "SIGHUP", "seconds_ago": 190,
    });
    let mut busy = json!({
        "version": "0.1.0", "pid": 4711, "state": "reloading", "uptime_seconds": 266_400,
        "config": "/etc/polyport/polyport.yaml", "streams": 1234, "workers": 8,
        "changes": {"applied": 4, "unchanged": 1, "failed": 1, "rolled_back": 1},
        "last_change": {"id": 7, "verdict": "applied", "reason": "", "asked_by": "uid 0", "seconds_ago": 18},
        "last_failure": failed,
        "confirm_within_seconds": 42,
        "drained": ["cache", "store"],
        "warnings": ["generation 3 of kv has panicked 12 times", "9 retired generations take 90 MiB"],
    });
    assert_snapshot!(status(&read(busy.clone())));
    busy["last_change"] = failed;
    assert_eq!(status(&read(busy)).matches("#6").count(), 1);
}

#[test]
fn services_table() {
    let listed: Services = read(json!({"services": [
        {"name": "cache", "instance": "store", "plugin": "kv", "generation": 12, "streams": 3, "streams_max": 10_000,
         "listeners": [{"address": "tcp://0.0.0.0:6379", "origin": "bound"},
                       {"address": "unix:///run/polyport/kv.sock", "origin": "inherited"}]},
        {"name": "echo", "instance": "echo", "plugin": "echo", "generation": 1, "streams": 0,
         "listeners": [{"address": "udp://[::]:7", "origin": "bound", "receive_buffer": 425_984,
                        "dropped_by_kernel": 5}]},
        {"name": "idle", "instance": "echo", "plugin": "echo", "generation": 1, "streams": 0, "listeners": []},
    ]}));
    assert_snapshot!(services(&listed));
    assert_snapshot!(services(&Services::default()), @"SERVICE  INSTANCE  PLUGIN  GENERATION  STREAMS  LISTENERS");
}

#[test]
fn plugins_table_has_every_generation() {
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let generation = |number: u64, state: &str, reason: &str, instances: Value| {
        json!({
            "number": number, "plugin": "kv", "id": "org.example.kv", "version": "1.4", "path": "/x/kv.so",
            "digest": digest, "state": state, "reason": reason, "mapped_bytes": number * 700_000,
            "instances": instances,
        })
    };
    let listed: Plugins = read(json!({"generations": [
        generation(1, "retired", "", json!([])),
        generation(2, "withdrawn", "12 panics in a minute", json!([
            {"name": "store", "handler": "kv", "serving": false, "healthy": false, "panics": 12}])),
        generation(3, "serving", "", json!([
            {"name": "store", "handler": "kv", "serving": true, "healthy": true},
            {"name": "other", "handler": "kv", "serving": true, "panics": 1}])),
    ]}));
    assert_snapshot!(plugins(&listed));
}

fn planned() -> Plan {
    read(json!({
        "listeners": [
            {"address": "tcp://0.0.0.0:7", "service": "echo", "action": "kept"},
            {"address": "tcp://0.0.0.0:70", "service": "gopher", "action": "opened"},
            {"address": "tcp://0.0.0.0:80", "service": "web", "action": "moved", "from": "old"},
            {"address": "udp://0.0.0.0:9", "service": "discard", "action": "closed"},
        ],
        "services": [
            {"name": "cache", "action": "changed", "streams": 3,
             "changes": ["timeouts.idle 5m -> 1m", "limits.streams 100 -> 200"]},
            {"name": "discard", "action": "removed", "streams": 1},
            {"name": "echo", "action": "kept", "streams": 9},
            {"name": "gopher", "action": "added"},
        ],
        "plugins": [
            {"name": "kv", "path": "/x/kv.so", "action": "swapped", "version": "1.5", "digest": "ab12",
             "generation": 4, "note": "this file was withdrawn before"},
            {"name": "gopher", "path": "/x/gopher.so", "action": "loaded", "version": "0.1"},
            {"name": "discard", "path": "/x/discard.so", "action": "retired", "generation": 2},
            {"name": "echo", "path": "/x/echo.so", "action": "unchanged", "generation": 1},
        ],
        "instances": [
            {"name": "store", "plugin": "kv", "action": "replaced", "why": "new code", "streams": 3,
             "fate": "migrate"},
            {"name": "front", "plugin": "proxy", "action": "reconfigured", "why": "its configuration changed"},
            {"name": "gopher", "plugin": "gopher", "action": "added"},
            {"name": "discard", "plugin": "discard", "action": "removed", "streams": 1, "fate": "drain"},
            {"name": "echo", "plugin": "echo", "action": "kept", "streams": 9},
        ],
        "restart": [{"key": "daemon.workers", "why": "threads are made at the start"}],
    }))
}

fn ended(verdict: Verdict, reason: &str) -> Outcome {
    Outcome {
        id: 5,
        verdict,
        reason: reason.to_owned(),
        faults: Vec::new(),
        plan: None,
        milliseconds: 35,
        confirm_within_seconds: None,
    }
}

#[test]
fn plan_shows_added_changed_and_removed() {
    let outcome_of = |plan| Outcome {
        id: 0,
        plan: Some(plan),
        ..ended(Verdict::Planned, "")
    };
    let of_all = outcome_of(planned());
    assert_snapshot!(outcome(&of_all));
    assert_eq!(errors(&of_all), "");
    let text = outcome(&outcome_of(Plan::default()));
    assert_eq!(text, "0 new, 0 changed, 0 gone, 0 kept\nonly planned\n");
}

#[test]
fn plan_only_counts_unchanged_parts() {
    let mut plan = planned();
    plan.restart.clear();
    plan.listeners
        .retain(|step| step.action == ListenerAction::Kept);
    plan.services
        .retain(|step| step.action == ServiceAction::Kept);
    plan.plugins
        .retain(|step| step.action == PluginAction::Unchanged);
    plan.instances
        .retain(|step| step.action == InstanceAction::Kept);
    let unchanged = Outcome {
        plan: Some(plan),
        ..ended(Verdict::Unchanged, "nothing is new")
    };
    let text = "0 new, 0 changed, 0 gone, 4 kept\nunchanged in 35 ms (change 5): nothing is new\n";
    assert_eq!(outcome(&unchanged), text);
}

#[test]
fn errors_have_every_fault() {
    let fault = |error, place: &str, message: &str, help: &str| FaultLine {
        error,
        place: place.to_owned(),
        message: message.to_owned(),
        help: help.to_owned(),
    };
    let failed = Outcome {
        faults: vec![
            fault(
                true,
                "/etc/polyport/polyport.yaml:3:5",
                "`lisen` is no key here",
                "write `listen`",
            ),
            fault(false, "", "no service is open to others", ""),
        ],
        ..ended(Verdict::Failed, "the configuration cannot be used")
    };
    assert_eq!(outcome(&failed), "");
    assert_snapshot!(errors(&failed));
}

#[test]
fn outcome_shows_a_pending_confirmation() {
    let applied = Outcome {
        confirm_within_seconds: Some(60),
        ..ended(Verdict::Applied, "")
    };
    let text = "applied in 35 ms (change 5)\nit is undone in 1m unless: polyportctl confirm\n";
    assert_eq!(outcome(&applied), text);
}

#[test]
fn drained_shows_remaining_streams() {
    let of = |verdict, streams| Drained {
        outcome: ended(verdict, "so it is"),
        streams,
    };
    let text = drained(&of(Verdict::Applied, 2));
    assert_eq!(
        text,
        "applied in 35 ms (change 5): so it is\n2 streams still there\n"
    );
    assert!(drained(&of(Verdict::Applied, 0)).ends_with("\nno stream is left\n"));
    assert_eq!(drained(&of(Verdict::Refused, 2)), "");
}

#[test]
fn durations_have_two_units_and_sizes_one_digit() {
    for (seconds, text) in [
        (0, "0s"),
        (7, "7s"),
        (60, "1m"),
        (310, "5m 10s"),
        (86_405, "1d"),
        (97_200, "1d 3h"),
    ] {
        assert_eq!(span(seconds), text);
    }
    for (number, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
    ] {
        assert_eq!(bytes(number), text);
    }
}
