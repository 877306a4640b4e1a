//! The values of valid files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use polyport_config::{Library, ListenAddress, LogFormat, LogLevel, Rollback, Workers};
use proptest::prelude::*;

use crate::folder::{faults, folder_of, good, load_files, load_with};

#[test]
fn config_empty_file_has_every_default() {
    for text in [
        "",
        "# nothing\n",
        "services:\nplugins:\ndaemon:\nadmin:\nlog:\n",
        "daemon: {rollback: }\n",
        "\u{feff}log:\n",
        "{}",
    ] {
        let config = good(text).config;
        assert_eq!(config.daemon.workers, Workers::Auto);
        assert_eq!(
            config.daemon.plugin_path,
            [
                "/usr/local/lib/polyport/plugins",
                "/usr/lib/polyport/plugins"
            ]
            .map(PathBuf::from)
        );
        assert_eq!(config.daemon.state_directory, None);
        assert_eq!(config.daemon.drain_timeout, Duration::from_secs(30));
        assert_eq!(config.daemon.hook_timeout, Duration::from_secs(5));
        assert_eq!(config.daemon.stop_timeout, Duration::from_secs(40));
        assert_eq!(config.daemon.limits.streams, 50_000);
        assert_eq!(config.daemon.replace_timeout, None);
        let rollback = Rollback {
            window: Duration::from_secs(60),
            failures: 5,
        };
        assert_eq!(config.daemon.rollback, Some(rollback));
        assert_eq!(config.admin.socket, None);
        assert_eq!(
            (config.log.format, config.log.level),
            (LogFormat::Auto, LogLevel::Info)
        );
        assert!(config.instances.is_empty() && config.services.is_empty());
    }
}

#[test]
fn config_three_lines_make_a_service() {
    let config = good("services:\n  echo: {listen: 'tcp://[::]:7', handler: echo}\n").config;
    let service = &config.services[0];
    assert_eq!(
        (service.name.as_str(), service.handler.as_str()),
        ("echo", "echo")
    );
    assert_eq!(service.limits.streams, None);
    assert_eq!(service.timeouts.first_byte, None);
    assert_eq!(service.timeouts.idle, Some(Duration::from_secs(300)));
    assert_eq!(service.timeouts.write, Some(Duration::from_secs(30)));
    assert_eq!(service.timeouts.lifetime, None);
    assert_eq!(service.timeouts.drain, None);
    assert_eq!(service.grace(&config.daemon), Duration::from_secs(30));
    let instance = &config.instances[0];
    assert!(instance.implicit);
    assert_eq!(instance.library, Library::Name("echo".to_owned()));
    assert_eq!(instance.config.to_json(), serde_json::json!({}));
    assert_eq!((instance.position.line, instance.position.column), (2, 43));
}

/// Every key, none with its default.
const EVERY_KEY: &str = "daemon:
  workers: 8
  plugin-path: [plugins, /opt/plugins]
  state-directory: state
  drain-timeout: 1m30s
  hook-timeout: 500ms
  stop-timeout: 1d
  replace-timeout: 10m
  rollback: {window: 2m, failures: 1000000}
  limits: {streams: 7}
admin: {socket: /run/a.sock}
log: {format: json, level: trace}
plugins:
  store: {library: /opt/kv.so, handler: main, config: {a: [1, two, null, true, 2.5]}}
services:
  a:
    listen: [tcp://127.0.0.1:0, 'udp://[::1]:53', unix:///run/a%20b.sock?mode=0660&group=kv, fd://kv.socket]
    handler: store
    limits: {streams: 9}
    timeouts: {first-byte: 1s, idle: off, write: 2s, lifetime: 3s, drain: 4s}
";

#[test]
fn config_takes_every_key_of_the_process() {
    let (loaded, folder) = load_files(&[("main.yaml", EVERY_KEY)], &[]);
    let config = loaded.unwrap().config;
    assert_eq!(config.daemon.workers, Workers::Count(8));
    assert_eq!(
        config.daemon.plugin_path,
        [folder.path().join("plugins"), PathBuf::from("/opt/plugins")]
    );
    assert_eq!(
        config.daemon.state_directory,
        Some(folder.path().join("state"))
    );
    assert_eq!(config.daemon.drain_timeout, Duration::from_secs(90));
    assert_eq!(config.daemon.hook_timeout, Duration::from_millis(500));
    assert_eq!(config.daemon.limits.streams, 7);
    assert_eq!(
        config.daemon.replace_timeout,
        Some(Duration::from_secs(600))
    );
    let rollback = config.daemon.rollback.unwrap();
    assert_eq!(
        (rollback.window, rollback.failures),
        (Duration::from_secs(120), 1_000_000)
    );
    assert_eq!(config.admin.socket, Some("/run/a.sock".into()));
    assert_eq!(
        (config.log.format, config.log.level),
        (LogFormat::Json, LogLevel::Trace)
    );
}

#[test]
fn config_takes_every_key_of_instances_and_services() {
    let config = good(EVERY_KEY).config;
    let store = &config.instances[0];
    assert_eq!(store.library, Library::Path("/opt/kv.so".into()));
    assert_eq!(store.handler.as_deref(), Some("main"));
    assert_eq!(
        store.config.to_json().to_string(),
        r#"{"a":[1,"two",null,true,2.5]}"#
    );
    assert!(!store.implicit);
    let service = &config.services[0];
    let urls: Vec<String> = service
        .listeners
        .iter()
        .map(|l| l.address.to_string())
        .collect();
    assert_eq!(
        urls,
        [
            "tcp://127.0.0.1:0",
            "udp://[::1]:53",
            "unix:///run/a%20b.sock?mode=0660&group=kv",
            "fd://kv.socket"
        ]
    );
    let ListenAddress::Unix(unix) = &service.listeners[2].address else {
        panic!()
    };
    assert_eq!(
        (unix.path.as_path(), unix.mode),
        (Path::new("/run/a b.sock"), Some(0o660))
    );
    assert_eq!(service.limits.streams, Some(9));
    assert_eq!(service.timeouts.first_byte, Some(Duration::from_secs(1)));
    assert_eq!(service.timeouts.idle, None);
    assert_eq!(service.timeouts.lifetime, Some(Duration::from_secs(3)));
    assert_eq!(service.grace(&config.daemon), Duration::from_secs(4));
}

#[test]
fn node_is_found_by_json_pointer() {
    let text = "plugins:\n  a:\n    library: kv\n    config:\n      up: [{host: x}, {host: y}]\n      a/b: 1\n";
    let config = good(text).config;
    let root = &config.instances[0].config;
    let at = |pointer: &str| {
        let position = &root.at_pointer(pointer).position;
        (position.line, position.column)
    };
    assert_eq!(at(""), (5, 7));
    assert_eq!(at("/up/1/host"), (5, 30));
    assert_eq!(at("/up/1/port"), (5, 23));
    assert_eq!(at("/up/9/port"), (5, 11));
    assert_eq!(at("/a~1b"), (6, 12));
    assert_eq!(at("nonsense"), (5, 7));
}

#[test]
fn instance_order_follows_after() {
    let text = "plugins:
  c: {library: kv, after: [a, late]}
  b: {library: kv}
  a: {library: kv, after: [b, b]}
services:
  s: {listen: 'tcp://[::]:7', handler: late}
  t: {listen: 'tcp://[::]:8', handler: late}
";
    let names: Vec<_> = good(text)
        .config
        .instances
        .into_iter()
        .map(|i| i.name)
        .collect();
    assert_eq!(names, ["b", "a", "late", "c"]);
}

#[test]
fn variables_are_expanded() {
    let text = "daemon:
  workers: ${WORKERS:-3}
log:
  level: ${EMPTY:-debug}
plugins:
  a:
    library: kv
    config: {plain: 1}
  b:
    library: kv
    config:
      number: ${PORT}
      text: \"${PORT}\"
      money: 5$ and $$x and $${PORT}
      joined: p${PORT}p${EMPTY}
      zero: ${ZERO:-007}
      yes: ${ZERO:-true}
      ${PORT}: key
";
    let config = good(text).config;
    assert_eq!(config.daemon.workers, Workers::Count(3));
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(
        config.instances[1].config.to_json(),
        serde_json::json!({
            "number": 7007, "text": "7007", "money": "5$ and $x and ${PORT}",
            "joined": "p7007p", "zero": "007", "yes": true, "${PORT}": "key",
        })
    );
}

#[test]
fn daemon_state_directory_defaults_to_the_service_managers() {
    let (loaded, _folder) = load_files(
        &[("a.yaml", "")],
        &[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")],
    );
    assert_eq!(
        loaded.unwrap().config.daemon.state_directory,
        Some("/var/lib/a".into())
    );
}

#[test]
fn admin_socket_defaults_to_the_runtime_directory() {
    let socket = |text: &str| {
        let given = [("RUNTIME_DIRECTORY", "/run/a:/run/b")];
        let (loaded, _folder) = load_files(&[("a.yaml", text)], &given);
        loaded.unwrap().config.admin.socket
    };
    assert_eq!(socket(""), Some("/run/a/admin.sock".into()));
    assert_eq!(socket("admin: {socket: off}\n"), None);
    assert_eq!(socket("admin: {socket: /x}\n"), Some("/x".into()));
}

#[test]
fn daemon_rollback_can_be_off() {
    let config = good("daemon: {rollback: {window: 1s, failures: off}}\n").config;
    assert_eq!(config.daemon.rollback, None);
}

#[test]
fn include_merges_files() {
    let service = |name: &str, port: u16| {
        format!("services: {{{name}: {{listen: 'tcp://[::]:{port}', handler: echo}}}}\n")
    };
    let (loaded, _folder) = load_files(
        &[
            (
                "main.yaml",
                &format!(
                    "include: [conf.d/*.yaml, none.d/*.yaml, more.yaml]\n{}",
                    service("m", 1)
                ),
            ),
            ("conf.d/b.yaml", &service("b", 2)),
            (
                "conf.d/a.yaml",
                &format!(
                    "include: deep/?.yaml\ndaemon: {{workers: 2}}\n{}",
                    service("a", 3)
                ),
            ),
            ("conf.d/deep/x.yaml", &service("x", 4)),
            ("conf.d/.hidden.yaml", "nonsense: 1\n"),
            ("conf.d/c.yaml.bak", "nonsense: 1\n"),
            (
                "conf.d/skipped.yaml",
                "when-plugin: gone\nservices: {z: {listen: '${MISSING}'}}\ninclude: nowhere.yaml\n",
            ),
            (
                "conf.d/taken.yaml",
                &format!("when-plugin: echo\n{}", service("t", 5)),
            ),
            ("more.yaml", ""),
        ],
        &[],
    );
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
    let names: Vec<_> = loaded
        .config
        .services
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(names, ["m", "a", "x", "b", "t"]);
    assert_eq!(loaded.config.daemon.workers, Workers::Count(2));
    assert_eq!(loaded.warnings.len(), 1);
    let warning = loaded.warnings[0].to_string();
    assert!(
        warning.contains(
            "skipped.yaml:1:14: this file is skipped: there is no plugin `gone` in /usr/local/lib"
        ),
        "{warning}"
    );
    assert_eq!(loaded.sources.files().count(), 7);
}

#[test]
fn overlay_reads_the_file_of_the_earliest_folder() {
    let service = |name: &str| {
        format!("services: {{{name}: {{listen: 'unix:///run/{name}.sock', handler: echo}}}}\n")
    };
    let folder = folder_of(&[
        (
            "etc/main.yaml",
            "include-overlay: [conf.d, none.d, ../lib]\n",
        ),
        ("etc/conf.d/20-b.yaml", &service("own-b")),
        ("etc/conf.d/40-off.yaml", ""),
        ("etc/conf.d/50-own.yaml", &service("own")),
        ("lib/10-a.yaml", &service("a")),
        ("lib/20-b.yaml", &service("b")),
        ("lib/30-c.yaml", &service("c")),
        ("lib/40-off.yaml", &service("off")),
        ("lib/60-null.yaml", &service("null")),
        ("lib/notes.txt", "nonsense: 1\n"),
    ]);
    let null = folder.path().join("etc/conf.d/60-null.yaml");
    std::os::unix::fs::symlink("/dev/null", null).unwrap();
    let services = |folder: &tempfile::TempDir| {
        let loaded = load_with(&folder.path().join("etc/main.yaml"), &[], &[]).unwrap();
        let services = loaded.config.services.into_iter();
        services.map(|service| service.name).collect::<Vec<_>>()
    };
    assert_eq!(services(&folder), ["a", "own-b", "c", "own"]);
    // The overlay file is gone: the package's own counts again.
    std::fs::remove_file(folder.path().join("etc/conf.d/20-b.yaml")).unwrap();
    assert_eq!(services(&folder), ["a", "b", "c", "own"]);
}

#[test]
fn include_uses_the_plugin_path_of_the_main_file() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("main.yaml");
    std::fs::write(&main, "include: i.yaml\ndaemon: {plugin-path: here}\n").unwrap();
    std::fs::write(folder.path().join("i.yaml"), "when-plugin: kv\n").unwrap();
    let asked = std::cell::RefCell::new(Vec::new());
    let plugin_exists = |name: &str, path: &[PathBuf]| {
        asked.borrow_mut().push((name.to_owned(), path.to_vec()));
        true
    };
    let environment = polyport_config::Environment {
        variable: &|_| None,
        plugin_exists: &plugin_exists,
    };
    polyport_config::load(&main, &environment).unwrap();
    assert_eq!(
        *asked.borrow(),
        [("kv".to_owned(), vec![folder.path().join("here")])]
    );
}

#[test]
fn overlap_ignores_distinct_addresses() {
    let text = "services:
  a: {handler: echo, listen: ['tcp://0.0.0.0:7', 'tcp://[::1]:7', 'udp://0.0.0.0:7']}
  b: {handler: echo, listen: ['tcp://127.0.0.1:8', 'tcp://127.0.0.2:8', 'tcp://[::]:0', 'tcp://[::]:0']}
";
    assert_eq!(good(text).config.services.len(), 2);
}

#[test]
fn include_failure_causes_no_other_faults() {
    let files = [
        (
            "main.yaml",
            "include: b.yaml\nplugins: {a: {library: kv, after: b}}\n",
        ),
        ("b.yaml", "plugins: [\n"),
    ];
    assert_eq!(
        crate::folder::faults_of(&files).matches("error:").count(),
        1
    );
}

#[test]
fn config_positions_are_no_difference() {
    let text = "services: {a: {handler: echo, listen: 'tcp://[::]:7'}}\n";
    let (old, new) = (good(text).config, good(&format!("\n\n{text}")).config);
    assert_ne!(old, new);
    assert!(old.services[0].means_same(&new.services[0]));
    assert!(old.instances[0].means_same(&new.instances[0]));
    let other = good(&text.replace(":7", ":8")).config;
    assert!(!old.services[0].means_same(&other.services[0]));
}

#[test]
fn yaml_aliases_and_merge_keys_work() {
    let text = "services:
  a: &a {handler: echo, listen: 'tcp://[::]:7', timeouts: &t {idle: 1s}}
  b:
    <<: *a
    listen: tcp://[::]:8
";
    let config = good(text).config;
    assert_eq!(
        config.services[1].timeouts.idle,
        Some(Duration::from_secs(1))
    );
    assert_eq!(config.services[1].listeners.len(), 1);
}

#[test]
fn config_accepts_a_relative_main_file() {
    let (loaded, folder) = load_files(&[("a.yaml", "include: b.yaml\n"), ("b.yaml", "")], &[]);
    assert!(loaded.is_ok());
    assert!(load_with(&folder.path().join("./a.yaml"), &[], &[]).is_ok());
    assert_eq!(faults("include: []\n"), "no fault\n");
}

proptest! {
    #[test]
    fn listen_urls_round_trip(path in "/[ -~]{0,60}[a-z]", name in "[ -9;-~]{0,60}[a-z]", mode in proptest::option::of(0..=0o777u32), ip: std::net::IpAddr, port: u16) {
        let unix = polyport_config::UnixAddress { path: path.into(), mode, group: Some("kv".to_owned()) };
        for address in [
            ListenAddress::Unix(unix.clone()),
            ListenAddress::Unixgram(unix),
            ListenAddress::Tcp((ip, port).into()),
            ListenAddress::Udp((ip, port).into()),
            ListenAddress::Inherited { name },
        ] {
            prop_assert_eq!(polyport_config::listener::parse(&address.to_string()), Ok(address));
        }
    }
}
