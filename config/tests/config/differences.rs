//! Differences between two readings, as lines of a plan.

use polyport_config::{Config, ListenAddress, listener, reference};

use crate::folder::good;

fn config(text: &str) -> Config {
    good(text).config
}

#[test]
fn differences_name_each_key_of_a_service() {
    let old = config(
        "services: {a: {handler: echo, listen: ['tcp://[::]:7', 'udp://[::]:7'], timeouts: {idle: 5m}}}\n",
    );
    let new = config(
        "services: {a: {handler: discard, listen: ['udp://[::]:7', 'tcp://[::]:8', 'fd://a b'],
          limits: {streams: 100},
          timeouts: {idle: 1m, first-byte: 1s, write: 2s, lifetime: 3s, drain: 4s}}}\n",
    );
    let lines = old.services[0].differences(&new.services[0]);
    assert_eq!(
        lines,
        [
            "listen +tcp://[::]:8 +fd://a%20b -tcp://[::]:7",
            "handler echo -> discard",
            "limits.streams none -> 100",
            "timeouts.first-byte off -> 1s",
            "timeouts.idle 5m -> 1m",
            "timeouts.write 30s -> 2s",
            "timeouts.lifetime off -> 3s",
            "timeouts.drain daemon.drain-timeout -> 4s",
        ]
    );
    assert!(!old.services[0].means_same(&new.services[0]));
    let back = new.services[0].differences(&old.services[0]);
    assert_eq!(back[0], "listen +tcp://[::]:7 -tcp://[::]:8 -fd://a%20b");
    assert_eq!(back[2], "limits.streams 100 -> none");
}

#[test]
fn differences_are_empty_for_the_same_meaning() {
    let text = "services: {a: {handler: echo, listen: ['tcp://[::]:7', 'udp://[::]:7']}}\n";
    let (old, new) = (config(text), config(&format!("\n\n{text}")));
    assert!(old.services[0].differences(&new.services[0]).is_empty());
    assert!(old.instances[0].differences(&new.instances[0]).is_empty());
    assert!(old.differences(&new).is_empty() && old.restart_needed(&new).is_empty());
    let turned =
        config("services: {a: {handler: echo, listen: ['udp://[::]:7', 'tcp://[::]:7']}}\n");
    assert_eq!(
        old.services[0].differences(&turned.services[0]),
        ["listen reordered"]
    );
}

#[test]
fn differences_hide_the_configuration_of_an_instance() {
    let old =
        config("plugins: {a: {library: kv, config: {password: hunter2}}, b: {library: kv}}\n");
    let new = config(
        "plugins: {b: {library: kv}, a: {library: /opt/kv.so, handler: main, after: [b], config: {password: hunter3}}}\n",
    );
    let of = |config: &Config| {
        let mut all = config.instances.iter();
        all.find(|instance| instance.name == "a").unwrap().clone()
    };
    let lines = of(&old).differences(&of(&new));
    assert_eq!(
        lines,
        [
            "library kv -> /opt/kv.so",
            "handler the only one -> main",
            "after [] -> [b]",
            "config changed",
        ]
    );
}

/// A configuration with every key of the process.
const WHOLE: &str = "daemon:
  workers: 2
  plugin-path: [/a, /b]
  state-directory: /s
  drain-timeout: 1s
  hook-timeout: 2s
  stop-timeout: 3s
  replace-timeout: 4s
  rollback: {failures: off}
  limits: {streams: 9}
admin: {socket: /run/x}
log: {format: json, level: debug}
";

#[test]
fn differences_name_each_key_of_the_process() {
    let (old, new) = (config(""), config(WHOLE));
    assert_eq!(
        old.differences(&new),
        [
            "daemon.workers auto -> 2",
            "daemon.plugin-path [/usr/local/lib/polyport/plugins, /usr/lib/polyport/plugins] -> [/a, /b]",
            "daemon.state-directory none -> /s",
            "daemon.drain-timeout 30s -> 1s",
            "daemon.hook-timeout 5s -> 2s",
            "daemon.stop-timeout 40s -> 3s",
            "daemon.replace-timeout off -> 4s",
            "daemon.rollback 5 in 1m -> off",
            "daemon.limits.streams 50000 -> 9",
            "admin.socket off -> /run/x",
            "log.format auto -> json",
            "log.level info -> debug",
        ]
    );
}

/// A declared key without a comparison would change unnoticed.
#[test]
fn differences_compare_every_declared_key() {
    let (old, new) = (config(""), config(WHOLE));
    let process = old.differences(&new);
    for (section, path) in [
        (&reference::DAEMON, "daemon."),
        (&reference::DAEMON_LIMITS, "daemon.limits."),
        (&reference::ADMIN, "admin."),
        (&reference::LOG, "log."),
    ] {
        for key in section.keys.iter().filter(|key| key.name != "limits") {
            let key = format!("{path}{} ", key.name);
            assert!(process.iter().any(|line| line.starts_with(&key)), "{key}");
        }
    }
    let old = config("services: {a: {handler: x, listen: 'tcp://[::]:7'}}\n");
    let new = config(
        "services: {a: {handler: y, listen: 'tcp://[::]:8', limits: {streams: 1},
          timeouts: {first-byte: 7s, idle: 7s, write: 7s, lifetime: 7s, drain: 7s}}}\n",
    );
    let service = old.services[0].differences(&new.services[0]);
    for (section, path) in [
        (&reference::SERVICE, ""),
        (&reference::SERVICE_LIMITS, "limits."),
        (&reference::TIMEOUTS, "timeouts."),
    ] {
        let leaves = section.keys.iter();
        for key in leaves.filter(|key| !["limits", "timeouts"].contains(&key.name)) {
            let key = format!("{path}{} ", key.name);
            assert!(service.iter().any(|line| line.starts_with(&key)), "{key}");
        }
    }
}

#[test]
fn differences_explain_keys_that_need_a_restart() {
    let keys = |old: &Config, new: &Config| -> Vec<String> {
        let all = old.restart_needed(new);
        assert!(all.iter().all(|(_, why)| !why.is_empty()));
        all.into_iter().map(|(key, _)| key).collect()
    };
    let (empty, whole) = (config(""), config(WHOLE));
    let all = [
        "daemon.workers",
        "daemon.state-directory",
        "admin.socket",
        "log.format",
    ];
    assert_eq!(keys(&empty, &whole), all);
    assert_eq!(keys(&whole, &empty), all);
    let lines = empty.differences(&whole);
    for key in all {
        assert!(
            lines.iter().any(|one| one.starts_with(&format!("{key} "))),
            "{key}"
        );
    }
    let live = config(
        "daemon: {drain-timeout: 1s, plugin-path: /a, limits: {streams: 1}}\nlog: {level: warn}\n",
    );
    assert!(keys(&empty, &live).is_empty());
}

#[test]
fn overlap_matches_what_cannot_be_bound_together() {
    let address = |url: &str| -> ListenAddress { listener::parse(url).unwrap() };
    let all = [
        ("tcp://0.0.0.0:7", "tcp://127.0.0.1:7", true),
        ("tcp://[::]:7", "tcp://127.0.0.1:7", true),
        ("tcp://[::]:7", "tcp://0.0.0.0:7", true),
        ("tcp://[::]:7", "tcp://[::1]:7", true),
        ("tcp://[::ffff:127.0.0.1]:7", "tcp://127.0.0.1:7", true),
        ("tcp://0.0.0.0:7", "tcp://[::1]:7", false),
        ("tcp://127.0.0.1:7", "tcp://127.0.0.2:7", false),
        ("tcp://127.0.0.1:7", "tcp://127.0.0.1:8", false),
        ("tcp://127.0.0.1:7", "udp://127.0.0.1:7", false),
        ("tcp://[::]:0", "tcp://[::]:0", false),
        ("unix:///run/x", "unixgram:////run/x?mode=0600", true),
        ("unix:///run/x", "unix:///run/y", false),
        ("fd://a", "fd://a", true),
        ("fd://a", "fd://b", false),
        ("fd://a", "unix:///a", false),
    ];
    for (one, other, expected) in all {
        let (one, other) = (address(one), address(other));
        assert_eq!(one.overlaps(&other), expected, "{one} and {other}");
        assert_eq!(other.overlaps(&one), expected, "{other} and {one}");
    }
}
