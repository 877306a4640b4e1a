//! All keys, each declared once with section, kind, default and doc. The check for unknown keys,
//! the defaults, the JSON Schema and the reference texts are derived from it. Add a new key here
//! first.

/// A map with known keys.
#[derive(Debug)]
pub struct Section {
    /// Its heading: `services.NAME.timeouts`; empty for the file as a whole.
    pub name: &'static str,
    /// Its purpose, in one sentence.
    pub doc: &'static str,
    /// Its keys in reading order.
    pub keys: &'static [Entry],
}

/// A key.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// The default, in its written form.
    pub default: Option<&'static str>,
    /// Whether it is required.
    pub required: bool,
    /// Its purpose, in one line.
    pub doc: &'static str,
}

/// The kind of a key's value.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A map with known keys.
    Section(&'static Section),
    /// A map from names to maps with known keys.
    Named(&'static Section),
    /// A duration above zero.
    Duration,
    /// A duration above zero, or `off`.
    DurationOrOff,
    /// A whole number between two bounds, both included.
    Count(u64, u64),
    /// Such a number, or `auto`.
    CountOrAuto(u64, u64),
    /// Such a number, or `off`.
    CountOrOff(u64, u64),
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// The name of an instance, a handler or a plugin.
    Name,
    /// One name or a list of them.
    Names,
    /// The name of a plugin, or an absolute path.
    Library,
    /// A directory.
    Path,
    /// One directory or a list of them.
    Paths,
    /// The absolute path of a Unix socket, or `off`.
    SocketOrOff,
    /// One listen URL or a list of them.
    Listen,
    /// One file pattern or a list of them.
    Patterns,
    /// Any value: defined by a plugin.
    Any,
}

impl Kind {
    /// The expected form, for the reference and the help of a fault.
    pub fn form(&self) -> String {
        match self {
            Self::Section(_) => "a map".to_owned(),
            Self::Named(_) => "a map of names".to_owned(),
            Self::Duration => "a duration: 500ms, 30s, 5m, 24h, 1m30s".to_owned(),
            Self::DurationOrOff => "a duration (500ms, 30s, 5m, 24h) or off".to_owned(),
            Self::Count(least, most) => format!("a whole number from {least} to {most}"),
            Self::CountOrAuto(least, most) => {
                format!("auto, or a whole number from {least} to {most}")
            }
            Self::CountOrOff(least, most) => {
                format!("off, or a whole number from {least} to {most}")
            }
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Name => "a name".to_owned(),
            Self::Names => "a name or a list of names".to_owned(),
            Self::Library => "the name of a plugin, or an absolute path".to_owned(),
            Self::Path => "a directory".to_owned(),
            Self::Paths => "a directory or a list of directories".to_owned(),
            Self::SocketOrOff => "an absolute path, or off".to_owned(),
            Self::Listen => "a URL or a list of URLs: tcp://ADDRESS:PORT, udp://ADDRESS:PORT, \
                 unix:///path, unixgram:///path, fd://NAME"
                .to_owned(),
            Self::Patterns => {
                "a file name or a list of file names; * and ? in the last part".to_owned()
            }
            Self::Any => "what the plugin asks for".to_owned(),
        }
    }
}

/// Declares a section: its name and doc, then each key with kind, default and doc. The default is a
/// text, `required`, or `none`.
macro_rules! section {
    ($section:literal, $about:literal; $($name:literal: $kind:expr, $default:tt, $doc:literal;)+) => {
        Section {
            name: $section,
            doc: $about,
            keys: &[$(Entry {
                name: $name,
                kind: $kind,
                default: section!(@default $default),
                required: section!(@required $default),
                doc: $doc,
            }),+],
        }
    };
    (@default required) => { None };
    (@default none) => { None };
    (@default $text:literal) => { Some($text) };
    (@required required) => { true };
    (@required $other:tt) => { false };
}

/// Above any meaningful count.
const COUNT_MAX: u64 = 1_000_000_000;

/// The top level of a file.
pub static ROOT: Section = section! {
    "", "The keys at the top of a file.";
    "include": Kind::Patterns, none,
        "Files to read as well, relative to this one.";
    "include-overlay": Kind::Paths, none,
        "Folders, relative to this file, whose *.yaml are read as well. Of files with one name only that in the earliest folder counts; one that is empty or a link to /dev/null hides the others.";
    "when-plugin": Kind::Name, none,
        "In an included file: skip it, with a warning, when this plugin is missing.";
    "daemon": Kind::Section(&DAEMON), none,
        "The process as a whole.";
    "admin": Kind::Section(&ADMIN), none,
        "Where the daemon is asked and commanded. Only in the main file.";
    "log": Kind::Section(&LOG), none,
        "What is written to stderr, and how.";
    "plugins": Kind::Named(&PLUGIN), none,
        "Instances: handlers with their configuration.";
    "services": Kind::Named(&SERVICE), none,
        "Services: where to listen, and which instance answers.";
};

/// `daemon:`
pub static DAEMON: Section = section! {
    "daemon", "The process as a whole.";
    "workers": Kind::CountOrAuto(1, 250), "auto",
        "Data-plane threads; auto is one for each core.";
    "plugin-path": Kind::Paths, "/usr/local/lib/polyport/plugins, /usr/lib/polyport/plugins",
        "Where plugins are looked for; the first match wins. Only in the main file.";
    "state-directory": Kind::Path, "$STATE_DIRECTORY",
        "Where instances may keep state; needed only when one does.";
    "drain-timeout": Kind::Duration, "30s",
        "How long streams may take to end by themselves when they are asked to.";
    "hook-timeout": Kind::Duration, "5s",
        "How long each hook of a plugin may take.";
    "stop-timeout": Kind::Duration, "40s",
        "How long the whole stop may take, drain and hooks together; at least drain-timeout + hook-timeout.";
    "replace-timeout": Kind::DurationOrOff, "off",
        "How long streams that cannot move stay on code that was replaced; off: until they end by themselves.";
    "rollback": Kind::Section(&ROLLBACK), none,
        "When new code is withdrawn and the code before it serves again.";
    "limits": Kind::Section(&DAEMON_LIMITS), none,
        "What the process may hold at most.";
};

/// `daemon.limits:`
pub static DAEMON_LIMITS: Section = section! {
    "daemon.limits", "What the process may hold at most.";
    "streams": Kind::Count(1, COUNT_MAX), "50000",
        "Streams open at one time, of all services together.";
};

/// `daemon.rollback:`
pub static ROLLBACK: Section = section! {
    "daemon.rollback", "When new code is withdrawn and the code before it serves again.";
    "window": Kind::Duration, "60s",
        "From the swap on: how long new code is watched.";
    "failures": Kind::CountOrOff(1, 1_000_000), "5",
        "Panics and failed health checks in that time; one more withdraws the code. off: it stays.";
};

/// `admin:`
pub static ADMIN: Section = section! {
    "admin", "Where the daemon is asked and commanded. Only in the main file.";
    "socket": Kind::SocketOrOff, "$RUNTIME_DIRECTORY/admin.sock",
        "The Unix socket of polyportctl; off, or without that variable: there is none.";
};

/// `log:`
pub static LOG: Section = section! {
    "log", "What is written to stderr, and how.";
    "format": Kind::OneOf(&["auto", "text", "json", "journald"]), "auto",
        "The form of a line; auto is journald under systemd, else text.";
    "level": Kind::OneOf(&["error", "warn", "info", "debug", "trace"]), "info",
        "The least severe event that is written.";
};

/// `plugins.NAME:`
pub static PLUGIN: Section = section! {
    "plugins.NAME", "An instance: a handler of a plugin with its configuration.";
    "library": Kind::Library, required,
        "The plugin: kv finds libpolyport_kv.so or kv.so on the plugin path.";
    "handler": Kind::Name, none,
        "Which handler, when the plugin offers several.";
    "after": Kind::Names, none,
        "Instances that start before this one and stop after it.";
    "config": Kind::Any, none,
        "The plugin's own configuration.";
};

/// `services.NAME:`
pub static SERVICE: Section = section! {
    "services.NAME", "A service: where to listen, and which instance answers.";
    "listen": Kind::Listen, required,
        "Where to listen; [::] takes IPv4 too. fd://NAME is a socket that the service manager passes under this name.";
    "handler": Kind::Name, required,
        "The instance that answers, or a plugin whose default configuration will do.";
    "limits": Kind::Section(&SERVICE_LIMITS), none,
        "What the service may hold at most.";
    "timeouts": Kind::Section(&TIMEOUTS), none,
        "How long its streams may take.";
};

/// `services.NAME.limits:`
pub static SERVICE_LIMITS: Section = section! {
    "services.NAME.limits", "What a service may hold at most.";
    "streams": Kind::Count(1, COUNT_MAX), none,
        "Streams open at one time; left out, daemon.limits alone counts.";
};

/// `services.NAME.timeouts:`
pub static TIMEOUTS: Section = section! {
    "services.NAME.timeouts", "How long the streams of a service may take.";
    "first-byte": Kind::DurationOrOff, "off",
        "From accept to the first byte of the peer.";
    "idle": Kind::DurationOrOff, "5m",
        "Without a byte in either direction.";
    "write": Kind::Duration, "30s",
        "Without progress of a write to the peer.";
    "lifetime": Kind::DurationOrOff, "off",
        "From accept to the end.";
    "drain": Kind::Duration, "daemon.drain-timeout",
        "How long streams may take to end when the service or their listener is taken out.";
};

/// All sections, in the order of the reference.
pub static SECTIONS: [&Section; 10] = [
    &ROOT,
    &DAEMON,
    &DAEMON_LIMITS,
    &ROLLBACK,
    &ADMIN,
    &LOG,
    &PLUGIN,
    &SERVICE,
    &SERVICE_LIMITS,
    &TIMEOUTS,
];

impl Section {
    /// The key with this name.
    pub fn key(&self, name: &str) -> Option<&'static Entry> {
        self.keys.iter().find(|entry| entry.name == name)
    }
}
