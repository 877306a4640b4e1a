//! What an operator reads: each fault once, as it is printed.

use insta::assert_snapshot;

use crate::folder::{faults, faults_of, load_files};

#[test]
fn keys() {
    assert_snapshot!(faults("servces: {}\n"), @r"
    error: main.yaml:1:1: unknown key `servces`
      help: did you mean `services`?
    ");
    assert_snapshot!(faults("workers: 4\n"), @r"
    error: main.yaml:1:1: unknown key `workers`
      help: `workers` belongs under `daemon`
    ");
    assert_snapshot!(faults("tls: {}\nroutes: {}\n"), @r"
    error: main.yaml:1:1: unknown key `tls`
      help: known keys are include, include-overlay, when-plugin, daemon, admin, log, plugins, services
    error: main.yaml:2:1: unknown key `routes`
      help: known keys are include, include-overlay, when-plugin, daemon, admin, log, plugins, services
    ");
    assert_snapshot!(faults("services:\n  a:\n    listen: tcp://[::]:7\n    handler: echo\n    time_outs: {}\n    routes: []\n    limits: {memory: 1}\n"), @r"
    error: main.yaml:5:5: unknown key `time_outs` in `services.a`
      help: did you mean `timeouts`?
    error: main.yaml:6:5: unknown key `routes` in `services.a`
      help: known keys are listen, handler, limits, timeouts
    error: main.yaml:7:14: unknown key `memory` in `services.a.limits`
      help: known keys are streams
    ");
    assert_snapshot!(faults("log: {level: info}\nlog: {format: text}\nservices:\n  a: {handler: b, listen: 'tcp://[::]:7', handler: c}\n"), @r"
    error: main.yaml:2:1: `log` is given twice; first at main.yaml:1:1
      help: keep one of the two
    error: main.yaml:4:43: `handler` is given twice; first at main.yaml:4:7
      help: keep one of the two
    ");
    assert_snapshot!(faults("services:\n  Big Name: {}\n"), @r"
    error: main.yaml:2:3: `Big Name` is no name
      help: names are lower-case letters, digits, `-` and `_`, begin with a letter or a digit, and have at most 63 characters
    ");
    assert_snapshot!(faults("services: [echo]\ndaemon: 5\n"), @r"
    error: main.yaml:1:11: `services` must be a map of names, but is a list
      help: write `services:` and below it `NAME:`
    error: main.yaml:2:9: `daemon` must be a map, but is a number
      help: its keys are workers, plugin-path, state-directory, drain-timeout, hook-timeout, stop-timeout, replace-timeout, rollback, limits
    ");
    assert_snapshot!(faults("services:\n  echo:\nplugins:\n  x: {}\n"), @r"
    error: main.yaml:2:7: `services.echo` lacks the key `listen`
      help: add `listen:`: a URL or a list of URLs: tcp://ADDRESS:PORT, udp://ADDRESS:PORT, unix:///path, unixgram:///path, fd://NAME
    error: main.yaml:2:7: `services.echo` lacks the key `handler`
      help: add `handler:`: a name
    error: main.yaml:4:6: `plugins.x` lacks the key `library`
      help: add `library:`: the name of a plugin, or an absolute path
    ");
    assert_snapshot!(faults("when-plugin: echo\n"), @r"
    error: main.yaml:1:14: `when-plugin` is for included files
      help: take it out of the main file
    ");
    assert_snapshot!(faults("- a\n"), @r"
    error: main.yaml:1:1: a configuration is a map, but this is a list
      help: begin with `services:` or another section
    ");
}

#[test]
fn scalars() {
    assert_snapshot!(faults("daemon:\n  workers: 0\n  drain-timeout: 30\n  hook-timeout: 5sec\n  stop-timeout: 0s\n  limits: {streams: many}\n"), @r"
    error: main.yaml:2:12: `daemon.workers` cannot be 0
      help: write auto, or a whole number from 1 to 250
    error: main.yaml:3:18: `daemon.drain-timeout`: `30` has no unit
      help: write 30s for seconds, or 30ms, 30m, 30h
    error: main.yaml:4:17: `daemon.hook-timeout`: `5sec` has an unknown unit
      help: write 30s, 500ms, 5m, 24h, 1d or 1m30s
    error: main.yaml:5:17: `daemon.stop-timeout` is zero
      help: write a duration: 500ms, 30s, 5m, 24h, 1m30s
    error: main.yaml:6:21: `daemon.limits.streams` cannot be `many`
      help: write a whole number from 1 to 1000000000, without quotes
    ");
    assert_snapshot!(faults("daemon: {workers: 251}\n"), @r"
    error: main.yaml:1:19: `daemon.workers` cannot be 251
      help: write auto, or a whole number from 1 to 250
    ");
    assert_snapshot!(faults("daemon: {workers: 1.5}\n"), @r"
    error: main.yaml:1:19: `daemon.workers` cannot be a number with a fraction
      help: write auto, or a whole number from 1 to 250
    ");
    assert_snapshot!(faults("daemon: {workers: '4'}\n"), @r"
    error: main.yaml:1:19: `daemon.workers` cannot be `4`
      help: write auto, or a whole number from 1 to 250, without quotes
    ");
    assert_snapshot!(faults("daemon: {hook-timeout: }\n"), @r"
    error: main.yaml:1:22: `daemon.hook-timeout` has no value
      help: write a duration: 500ms, 30s, 5m, 24h, 1m30s, or leave the key out
    ");
    assert_snapshot!(faults("daemon: {hook-timeout: [5s]}\n"), @r"
    error: main.yaml:1:24: `daemon.hook-timeout` cannot be a list
      help: write a duration: 500ms, 30s, 5m, 24h, 1m30s
    ");
    assert_snapshot!(faults("daemon: {drain-timeout: 1m}\n"), @r"
    error: main.yaml:1:25: `daemon.stop-timeout` (40s) is shorter than `daemon.drain-timeout` (1m) and `daemon.hook-timeout` (5s) together
      help: set stop-timeout to 1m5s or more, or the other two to less
    ");
    assert_snapshot!(faults("daemon: {hook-timeout: 11s}\n"), @r"
    error: main.yaml:1:24: `daemon.stop-timeout` (40s) is shorter than `daemon.drain-timeout` (30s) and `daemon.hook-timeout` (11s) together
      help: set stop-timeout to 41s or more, or the other two to less
    ");
    assert_eq!(faults("daemon: {hook-timeout: 10s}\n"), "no fault\n");
    assert_snapshot!(faults("daemon: {plugin-path: ['', 5]}\n"), @r"
    error: main.yaml:1:24: `daemon.plugin-path` is empty
      help: write a directory or a list of directories
    error: main.yaml:1:28: `daemon.plugin-path` cannot be a number
      help: put it in quotes to make it text
    ");
    assert_snapshot!(faults("log: {format: jsn, level: loud}\n"), @r"
    error: main.yaml:1:15: `log.format` cannot be `jsn`
      help: did you mean `json`? it is one of auto, text, json, journald
    error: main.yaml:1:27: `log.level` cannot be `loud`
      help: write one of error, warn, info, debug, trace
    ");
    assert_snapshot!(faults("services:\n  a:\n    listen: tcp://[::]:7\n    handler: echo\n    timeouts: {write: off, idle: 0s, lifetime: no}\n"), @r"
    error: main.yaml:5:23: `services.a.timeouts.write`: `off` is no duration
      help: write 30s, 500ms, 5m, 24h, 1d or 1m30s
    error: main.yaml:5:34: `services.a.timeouts.idle` is zero
      help: write a duration (500ms, 30s, 5m, 24h) or off
    error: main.yaml:5:48: `services.a.timeouts.lifetime`: `no` is no duration
      help: write 30s, 500ms, 5m, 24h, 1d or 1m30s, or off
    ");
}

/// The faults of one listen URL, without the place.
fn listen(url: &str) -> String {
    let text = faults(&format!(
        "services: {{a: {{handler: echo, listen: '{url}'}}}}\n"
    ));
    text.replace("error: main.yaml:1:39: ", "")
}

#[test]
fn listen_urls() {
    assert_snapshot!(listen("0.0.0.0:7"), @r"
    `0.0.0.0:7` has no scheme
      help: write tcp://0.0.0.0:7 or udp://0.0.0.0:7
    ");
    assert_snapshot!(listen("tpc://0.0.0.0:7"), @r"
    `tpc://0.0.0.0:7` has an unknown scheme
      help: did you mean tcp://?
    ");
    assert_snapshot!(listen("http://0.0.0.0:80"), @r"
    `http://0.0.0.0:80` has an unknown scheme
      help: the schemes are tcp, udp, unix, unixgram and fd
    ");
    assert_snapshot!(listen("tcp://localhost:7"), @r"
    `tcp://localhost:7` has a host name, or no valid address
      help: a listener is bound to an address: 127.0.0.1 or [::1] for this machine, 0.0.0.0 or [::] for every interface
    ");
    assert_snapshot!(listen("tcp://:7"), @r"
    `tcp://:7` names no address
      help: write [::]:7 for every address
    ");
    assert_snapshot!(listen("tcp://::1:7"), @r"
    `tcp://::1:7` has an IPv6 address without [ ]
      help: write [::1]:7
    ");
    assert_snapshot!(listen("tcp://[::g]:7"), @r"
    `tcp://[::g]:7` has no IPv6 address within [ ]
      help: write ADDRESS:PORT, such as 0.0.0.0:7007, 127.0.0.1:7007 or [::]:7007
    ");
    assert_snapshot!(listen("tcp://0.0.0.0"), @r"
    `tcp://0.0.0.0` has no port
      help: write ADDRESS:PORT, such as 0.0.0.0:7007, 127.0.0.1:7007 or [::]:7007
    ");
    assert_snapshot!(listen("tcp://0.0.0.0:65536"), @r"
    `tcp://0.0.0.0:65536` has no port from 0 to 65535 at its end
      help: write ADDRESS:PORT, such as 0.0.0.0:7007, 127.0.0.1:7007 or [::]:7007
    ");
    assert_snapshot!(listen("tcp://0.0.0.0:+7"), @r"
    `tcp://0.0.0.0:+7` has no port from 0 to 65535 at its end
      help: write ADDRESS:PORT, such as 0.0.0.0:7007, 127.0.0.1:7007 or [::]:7007
    ");
    assert_snapshot!(listen("tcp://0.0.0.0:7/path"), @r"
    `tcp://0.0.0.0:7/path` has more than an address and a port
      help: write ADDRESS:PORT, such as 0.0.0.0:7007, 127.0.0.1:7007 or [::]:7007
    ");
}

#[test]
fn listen_paths() {
    assert_snapshot!(listen("unix://run/x.sock"), @r"
    `unix://run/x.sock` has no absolute path
      help: write unix:///run/polyport/NAME.sock, with three slashes
    ");
    assert_snapshot!(listen("unix:///run/"), @r"
    `unix:///run/` names a directory
      help: add the name of the socket
    ");
    assert_snapshot!(listen("unix:///run/x?mod=0660"), @r"
    `unix:///run/x?mod=0660` has the unknown part `mod`
      help: did you mean mode=?
    ");
    assert_snapshot!(listen("unix:///run/x?mode=999"), @r"
    `unix:///run/x?mode=999` has no valid mode
      help: write three or four octal digits: mode=0660
    ");
    assert_snapshot!(listen("unix:///run/x?group="), @r"
    `unix:///run/x?group=` has no valid group
      help: write the name of a group or its number: group=polyport
    ");
    assert_snapshot!(listen("unix:///run/x%2"), @r"
    `unix:///run/x%2` has a % without two hexadecimal digits
      help: write %25 for a % itself
    ");
    assert_snapshot!(listen(&format!("unix:///{}", "x".repeat(107))), @r"
    `unix:///xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` has a path of 108 bytes
      help: the kernel takes at most 107
    ");
    assert_snapshot!(faults("services: {a: {handler: echo, listen: []}}\n"), @r"
    error: main.yaml:1:39: `listen` is an empty list
      help: name at least one address, such as tcp://[::]:7007
    ");
}

#[test]
fn listen_names() {
    assert_snapshot!(listen("fd://3"), @r"
    `fd://3` has a number for a name
      help: sockets are known by their names, not their numbers: give it one by FileDescriptorName=
    ");
    assert_snapshot!(listen("fd://"), @r"
    `fd://` names no socket
      help: write fd://NAME, the FileDescriptorName= of the socket unit
    ");
    assert_snapshot!(listen("fd:///run/x"), @r"
    `fd:///run/x` has more than a name
      help: write fd://NAME, the FileDescriptorName= of the socket unit
    ");
    assert_snapshot!(listen("fd://a:b"), @r"
    `fd://a:b` has a name that no service manager gives
      help: such names are printable ASCII without a colon, at most 255 characters; write %25 for a % itself
    ");
    assert_snapshot!(listen("fd://a%0A"), @r"
    `fd://a%0A` has a name that no service manager gives
      help: such names are printable ASCII without a colon, at most 255 characters; write %25 for a % itself
    ");
    assert_snapshot!(listen("fd://a%C3%BC"), @r"
    `fd://a%C3%BC` has a name that no service manager gives
      help: such names are printable ASCII without a colon, at most 255 characters; write %25 for a % itself
    ");
    assert_snapshot!(listen("fd://%33"), @r"
    `fd://%33` has a number for a name
      help: sockets are known by their names, not their numbers: give it one by FileDescriptorName=
    ");
    assert_snapshot!(listen(&format!("fd://{}", "x".repeat(256))), @r"
    `fd://xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` has a name that no service manager gives
      help: such names are printable ASCII without a colon, at most 255 characters; write %25 for a % itself
    ");
}

#[test]
fn admin() {
    assert_snapshot!(faults("admin: {socket: admin.sock}\n"), @r"
    error: main.yaml:1:17: `admin.socket`: `admin.sock` is no absolute path
      help: write one that begins with /, such as /run/polyport/admin.sock, or off
    ");
    assert_snapshot!(faults("admin: {socket: 'unix:///run/admin.sock'}\n"), @r"
    error: main.yaml:1:17: `admin.socket`: `unix:///run/admin.sock` is a URL
      help: write the path alone: /run/polyport/admin.sock
    ");
    assert_snapshot!(faults("admin: {socket: /run/polyport/}\n"), @r"
    error: main.yaml:1:17: `admin.socket`: `/run/polyport/` names a directory
      help: add the name of the socket
    ");
    assert_snapshot!(faults("admin: {socket: \"/run/a\\0b\"}\n"), @r"
    error: main.yaml:1:17: `admin.socket`: `/run/a\u{0}b` has a zero byte
      help: take it out
    ");
    assert_snapshot!(faults("admin: {socket: no, http: 1}\n"), @r"
    error: main.yaml:1:17: `admin.socket`: `no` is no absolute path
      help: write one that begins with /, such as /run/polyport/admin.sock, or off
    error: main.yaml:1:21: unknown key `http` in `admin`
      help: known keys are socket
    ");
    assert_snapshot!(faults("admin: {socket: [/run/x]}\n"), @r"
    error: main.yaml:1:17: `admin.socket` cannot be a list
      help: write an absolute path, or off
    ");
    assert_snapshot!(faults(&format!("admin: {{socket: /{}}}\n","x".repeat(107))), @r"
    error: main.yaml:1:17: `admin.socket`: `/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` has 108 bytes
      help: the kernel takes at most 107
    ");
    let text = "admin: {socket: /run/x}
services: {a: {handler: echo, listen: ['unix:///run//x', 'unixgram:///run/x?mode=0600', 'unix:///run/y']}}
";
    assert_snapshot!(faults(text), @r"
    error: main.yaml:2:40: unix:///run//x is where the admin socket is, by main.yaml:1:17
      help: choose another path here, or for `admin.socket`
    error: main.yaml:2:58: unixgram:///run/x?mode=0600 cannot be bound beside unix:///run//x at main.yaml:2:40
      help: take one of the two out
    error: main.yaml:2:58: unixgram:///run/x?mode=0600 is where the admin socket is, by main.yaml:1:17
      help: choose another path here, or for `admin.socket`
    ");
    let service = "services: {a: {handler: echo, listen: 'unix:///run/polyport/admin.sock'}}\n";
    let variables = [("RUNTIME_DIRECTORY", "/run/polyport")];
    let (loaded, folder) = load_files(&[("main.yaml", service)], &variables);
    let said = loaded.unwrap_err().to_string();
    assert_snapshot!(said.replace(&format!("{}/", folder.path().display()), ""), @r"
    error: main.yaml:1:39: unix:///run/polyport/admin.sock is where the admin socket is by default
      help: choose another path here, or for `admin.socket`
    ");
    assert_snapshot!(faults_of(&[
        ("main.yaml", "include: a.yaml\n"),
        ("a.yaml", "admin: {socket: /run/x}\n"),
    ]), @r"
    error: a.yaml:1:1: `admin` is in an included file
      help: move it to the main file: a file that is dropped in must not decide who commands the daemon
    ");
}

#[test]
fn the_variable_of_the_admin_socket_may_be_of_no_use() {
    let long = format!("/{}", "x".repeat(100));
    for bad in ["run/polyport", long.as_str()] {
        let (loaded, _folder) = load_files(&[("main.yaml", "")], &[("RUNTIME_DIRECTORY", bad)]);
        let loaded = loaded.unwrap();
        assert_eq!(loaded.config.admin.socket, None);
        let warning = loaded.warnings.first().unwrap().to_string();
        assert!(
            warning.contains("main.yaml: there is no admin socket: `"),
            "{warning}"
        );
    }
}

#[test]
fn replacing_code() {
    assert_snapshot!(faults("daemon: {replace-timeout: never, rollback: {window: 0s, failures: 0}}\n"), @r"
    error: main.yaml:1:27: `daemon.replace-timeout`: `never` is no duration
      help: write 30s, 500ms, 5m, 24h, 1d or 1m30s, or off
    error: main.yaml:1:53: `daemon.rollback.window` is zero
      help: write a duration: 500ms, 30s, 5m, 24h, 1m30s
    error: main.yaml:1:67: `daemon.rollback.failures` cannot be 0
      help: write off, or a whole number from 1 to 1000000
    ");
    assert_snapshot!(faults("daemon: {rollback: {failures: none, windw: 1s}}\n"), @r"
    error: main.yaml:1:31: `daemon.rollback.failures` cannot be `none`
      help: write off, or a whole number from 1 to 1000000, without quotes
    error: main.yaml:1:37: unknown key `windw` in `daemon.rollback`
      help: did you mean `window`?
    ");
    assert_snapshot!(faults("daemon: {rollback: {failures: 1000001}}\n"), @r"
    error: main.yaml:1:31: `daemon.rollback.failures` cannot be 1000001
      help: write off, or a whole number from 1 to 1000000
    ");
    assert_snapshot!(faults("daemon: {rollback: off}\n"), @r"
    error: main.yaml:1:20: `daemon.rollback` must be a map, but is text
      help: its keys are window, failures
    ");
    assert_snapshot!(faults("services: {a: {handler: echo, listen: 'tcp://[::]:7', timeouts: {drain: off}}}\n"), @r"
    error: main.yaml:1:73: `services.a.timeouts.drain`: `off` is no duration
      help: write 30s, 500ms, 5m, 24h, 1d or 1m30s
    ");
}

#[test]
fn conflicts() {
    let services = "services:
  a: {handler: echo, listen: ['tcp://127.0.0.1:7', 'udp://0.0.0.0:7', 'unix:///x']}
  b: {handler: echo, listen: ['tcp://0.0.0.0:7', 'udp://[::]:7', 'unixgram:////x?mode=0600']}
  c: {handler: echo, listen: ['tcp://127.0.0.1:7', 'fd://a', 'fd://%61']}
";
    assert_snapshot!(faults(services), @r"
    error: main.yaml:3:31: tcp://0.0.0.0:7 cannot be bound beside tcp://127.0.0.1:7 at main.yaml:2:31
      help: one address covers the other: take one of the two out
    error: main.yaml:3:50: udp://[::]:7 cannot be bound beside udp://0.0.0.0:7 at main.yaml:2:52
      help: [::] takes IPv4 too: take the other one out, or name specific addresses in both
    error: main.yaml:3:66: unixgram:////x?mode=0600 cannot be bound beside unix:///x at main.yaml:2:71
      help: take one of the two out
    error: main.yaml:4:31: tcp://127.0.0.1:7 cannot be bound beside tcp://127.0.0.1:7 at main.yaml:2:31
      help: take one of the two out
    error: main.yaml:4:62: fd://a is one socket, and taken at main.yaml:4:52
      help: take one of the two out
    ");
}

#[test]
fn instances() {
    assert_snapshot!(faults("plugins:\n  a: {library: libpolyport_kv.so}\n  b: {library: ./kv.so}\n  c: {library: K V}\n  d: {library: 5}\n"), @r"
    error: main.yaml:2:16: `libpolyport_kv.so` is neither the name of a plugin nor an absolute path
      help: write `kv`, which is looked up on daemon.plugin-path, or an absolute path
    error: main.yaml:3:16: `./kv.so` is neither the name of a plugin nor an absolute path
      help: write an absolute path, or a name that is looked up on daemon.plugin-path
    error: main.yaml:4:16: `K V` is neither the name of a plugin nor an absolute path
      help: names are lower-case letters, digits, `-` and `_`
    error: main.yaml:5:16: `plugins.d.library` cannot be a number
      help: put it in quotes to make it text
    ");
    assert_snapshot!(faults("plugins:\n  store: {library: kv}\n  b: {library: kv, after: [stoer]}\n  c: {library: kv, after: zebra}\n"), @r"
    error: main.yaml:3:28: `after` names `stoer`, which is no instance
      help: did you mean `store`?
    error: main.yaml:4:27: `after` names `zebra`, which is no instance
      help: add `zebra:` under `plugins:`, or take it out of `after`
    ");
    assert_snapshot!(faults("plugins:\n  a: {library: kv, after: b}\n  b: {library: kv, after: [c]}\n  c: {library: kv, after: [b]}\n  d: {library: kv, after: d}\n"), @r"
    error: main.yaml:3:3: `after` goes round in a circle: b -> c -> b
      help: take one of these out of an `after`
    error: main.yaml:5:3: `after` goes round in a circle: d -> d
      help: take one of these out of an `after`
    ");
}

#[test]
fn variables() {
    assert_snapshot!(faults("log: {level: \"${LEVEL}\"}\n"), @r"
    error: main.yaml:1:14: the environment has no `LEVEL`
      help: set it, or write ${LEVEL:-default}
    ");
    assert_snapshot!(faults("log: {level: \"${LEVEL\", format: \"${A B}\"}\n"), @r"
    error: main.yaml:1:14: `${` without its `}`
      help: write ${NAME} or ${NAME:-default}, or $$ for a $
    error: main.yaml:1:33: `${A B}` is no variable
      help: write ${NAME} or ${NAME:-default}, or $$ for a $
    ");
    assert_snapshot!(faults("daemon:\n  workers: ${EMPTY}\n"), @r"
    error: main.yaml:2:12: `daemon.workers` cannot be ``
      help: write auto, or a whole number from 1 to 250, without quotes
    ");
    assert_snapshot!(faults("daemon:\n  workers: \"${PORT}\"\n"), @r"
    error: main.yaml:2:12: `daemon.workers` cannot be `7007`
      help: write auto, or a whole number from 1 to 250, without quotes
    ");
}

#[test]
fn includes() {
    let echo =
        "services: {echo: {handler: echo, listen: 'tcp://127.0.0.1:7'}}\nlog: {level: info}\n";
    assert_snapshot!(faults_of(&[
        ("main.yaml", "include: conf.d/*.yaml\nlog: {level: info}\n"),
        ("conf.d/a.yaml", echo),
        ("conf.d/b.yaml", "services:\n  echo: {}\n"),
    ]), @r"
    error: conf.d/a.yaml:2:7: `level` is given twice; first at main.yaml:2:7
      help: keep one of the two
    error: conf.d/b.yaml:2:3: `echo` is given twice; first at conf.d/a.yaml:1:12
      help: keep one of the two
    ");
    assert_snapshot!(faults_of(&[("main.yaml", "include: [gone.yaml, '*/x.yaml', 5]\n")]), @r"
    error: main.yaml:1:11: there is no file gone.yaml
    error: main.yaml:1:22: `*/x.yaml` has * or ? in the name of a folder
      help: use them in the last part only: conf.d/*.yaml
    error: main.yaml:1:34: `include` cannot be a number
      help: put it in quotes to make it text
    ");
    assert_snapshot!(faults_of(&[("main.yaml", "include: *.yaml\n")]), @r#"
    error: main.yaml:1:10: an alias refers to an anchor that is not there
      help: a value that begins with * needs quotes: "*.yaml"
    "#);
    assert_snapshot!(faults_of(&[
        ("main.yaml", "include: a.yaml\n"),
        ("a.yaml", "include: b.yaml\n"),
        ("b.yaml", "include: a.yaml\n"),
    ]), @r"
    error: b.yaml:1:10: files include each other: a.yaml -> b.yaml -> a.yaml
      help: take one of these includes out
    ");
    assert_snapshot!(faults_of(&[("main.yaml", "include: [a.yaml, '?.yaml']\n"), ("a.yaml", "")]), @r"
    error: main.yaml:1:19: a.yaml is included twice; first at main.yaml:1:11
      help: keep one of the two
    ");
    assert_snapshot!(faults_of(&[
        ("main.yaml", "include: a.yaml\n"),
        ("a.yaml", "when-plugin: [echo]\ndaemon: {plugin-path: /x}\nlog: 5\n"),
    ]), @r"
    error: a.yaml:1:14: `when-plugin` names no plugin
      help: write the name of one plugin: when-plugin: kv
    error: a.yaml:2:10: `daemon.plugin-path` is in an included file
      help: move it to the main file: it decides which included files are skipped
    error: a.yaml:3:6: `log` must be a map, but is a number
      help: its keys are format, level
    ");
}

#[test]
fn overlays() {
    assert_snapshot!(faults_of(&[
        ("main.yaml", "include: 'a/*.yaml'\ninclude-overlay: [a, 'b*', 5]\n"),
        ("a/x.yaml", "include-overlay: {}\n"),
    ]), @r"
    error: main.yaml:2:22: `b*/*.yaml` has * or ? in the name of a folder
      help: use them in the last part only: conf.d/*.yaml
    error: main.yaml:2:28: `include-overlay` cannot be a number
      help: put it in quotes to make it text
    error: a/x.yaml:1:18: `include-overlay` cannot be a map
      help: write a directory or a list of directories
    ");
    // Laid over each other, files do not become one: a key is still in one file only.
    assert_snapshot!(faults_of(&[
        ("main.yaml", "include-overlay: [a, b]\n"),
        ("a/1.yaml", "log: {level: info}\n"),
        ("b/1.yaml", "this one: is not read\n"),
        ("b/2.yaml", "log: {level: debug}\n"),
    ]), @r"
    error: b/2.yaml:1:7: `level` is given twice; first at a/1.yaml:1:7
      help: keep one of the two
    ");
}

#[test]
fn text_that_is_no_yaml() {
    assert_snapshot!(faults("services:\n\techo: 1\n"), @r"
    error: main.yaml:2:2: this is no YAML: tabs disallowed within this context (block indentation)
      help: indent with spaces
    ");
    assert_snapshot!(faults("a: b: c\n"), @r"
    error: main.yaml:1:5: this is no YAML: mapping values are not allowed in this context
      help: a value with a colon and a space in it needs quotes; keys of one map begin in one column
    ");
    assert_snapshot!(faults("services: {a: {listen: [tcp://[::]:7]}}\n"), @r#"
    error: main.yaml:1:31: this is no YAML: while parsing a flow mapping, did not find expected ',' or '}'
      help: within [ ] an address with [ ] needs quotes: ["tcp://[::]:7007"]
    "#);
    assert_snapshot!(faults("log: {level: ${LEVEL}}\n"), @r#"
    error: main.yaml:1:15: this is no YAML: while parsing a flow mapping, did not find expected ',' or '}'
      help: within [ ] and { } a value with ${ } needs quotes: ["${NAME}"]
    "#);
    assert_snapshot!(faults("log: 'text\n"), @r"
    error: main.yaml:2:1: this is no YAML: invalid indentation in multiline quoted scalar
      help: look for a missing quote or bracket, or a wrong indentation, here or just above
    ");
    assert_snapshot!(faults("log: *x\n"), @r#"
    error: main.yaml:1:6: an alias refers to an anchor that is not there
      help: a value that begins with * needs quotes: "*.yaml"
    "#);
    assert_snapshot!(faults("log: &x [*x]\n"), @r"
    error: main.yaml:1:10: an alias refers to itself
      help: write the value out
    ");
    assert_snapshot!(faults("log: {}\n---\nlog: {}\n"), @r"
    error: main.yaml:3:1: a second document begins here
      help: a file is one document: take the `---` out, or use `include:`
    ");
    assert_snapshot!(faults("~: 1\n"), @r"
    error: main.yaml:1:1: a key cannot be empty
      help: write a name before the colon
    ");
    assert_snapshot!(faults("[a]: 1\n"), @r"
    error: main.yaml:1:1: a key must be plain text
      help: write NAME: VALUE
    ");
    assert_snapshot!(faults("log: !odd x\n"), @r"
    error: main.yaml:1:11: this is no YAML: unsupported tag `!odd`
      help: a value that begins with ! needs quotes
    ");
}

#[test]
fn one_run_finds_all_in_the_order_of_the_file() {
    let text = "services:
  echo:
    listen: [tcp://localhost:7, tcp://127.0.0.1:7007]
    handler: Echo
    timeouts: {idle: 5 minutes}
daemon:
  drain-timeout: 2m
  wrokers: 4
";
    assert_snapshot!(faults(text), @r"
    error: main.yaml:3:14: `tcp://localhost:7` has a host name, or no valid address
      help: a listener is bound to an address: 127.0.0.1 or [::1] for this machine, 0.0.0.0 or [::] for every interface
    error: main.yaml:4:14: `Echo` is no name
      help: names are lower-case letters, digits, `-` and `_`, begin with a letter or a digit, and have at most 63 characters
    error: main.yaml:5:22: `services.echo.timeouts.idle`: `5 minutes` has an unknown unit
      help: write 30s, 500ms, 5m, 24h, 1d or 1m30s, or off
    error: main.yaml:7:18: `daemon.stop-timeout` (40s) is shorter than `daemon.drain-timeout` (2m) and `daemon.hook-timeout` (5s) together
      help: set stop-timeout to 2m5s or more, or the other two to less
    error: main.yaml:8:3: unknown key `wrokers` in `daemon`
      help: did you mean `workers`?
    ");
}

#[test]
fn a_terminal_shows_the_line() {
    let text = "log:\n  levle: info\ndaemon: {workers: 0}\n";
    let (loaded, folder) = load_files(&[("main.yaml", text)], &[]);
    let faults = loaded.unwrap_err();
    let drawn = faults.render(faults.sources(), false);
    assert_snapshot!(drawn.replace(&format!("{}/", folder.path().display()), ""), @r"
    error: unknown key `levle` in `log`
     --> main.yaml:2:3
      |
    2 |   levle: info
      |   ^^^^^
      |
      = help: did you mean `level`?

    error: `daemon.workers` cannot be 0
     --> main.yaml:3:19
      |
    3 | daemon: {workers: 0}
      |                   ^
      |
      = help: write auto, or a whole number from 1 to 250
    ");
    assert!(faults.render(faults.sources(), true).contains("\x1b["));
}

#[test]
fn a_secret_is_never_shown() {
    let text = "plugins:
  a: {library: kv, config: {password: hunter2}, after: gone}
  b:
    library: kv
    after: [gone]
    config:
      password: hunter2
  c: {library: kv, pasword: hunter2}
  d:
    library: kv
    confg: {password: hunter2}
    token: hunter2
plugin: {a: {config: {password: hunter2}}}
";
    let broken = format!("{text}  }}\n");
    let twice = format!("{text}plugins: {{a: {{config: {{password: hunter2}}}}}}\n");
    for text in [text, &broken, &twice] {
        let (loaded, folder) = load_files(&[("main.yaml", text)], &[]);
        let faults = loaded.unwrap_err();
        let all = format!(
            "{faults}{faults:?}{}",
            faults.render(faults.sources(), false)
        );
        assert!(!all.contains("hunter2"), "{all}");
        drop(folder);
    }
    let (loaded, _folder) = load_files(
        &[(
            "main.yaml",
            "plugins: {a: {library: kv, config: {password: hunter2}}}\n",
        )],
        &[],
    );
    assert!(!format!("{:?}", loaded.unwrap()).contains("hunter2"));
}
