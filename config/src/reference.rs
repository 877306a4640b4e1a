//! Every key, declared once: its section, kind, default and what it is for. The check for unknown
//! keys, the defaults, the JSON Schema and the reference texts all come from here. A new key begins
//! here.

/// A map with known keys.
#[derive(Debug)]
pub struct Section {
    /// How a heading names it: `services.NAME.timeouts`; empty for the file as a whole.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub doc: &'static str,
    /// Its keys, in the order in which a reader wants to meet them.
    pub keys: &'static [Entry],
}

/// A key.
#[derive(Debug)]
pub struct Entry {
    /// The key itself.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The value when the key is left out, in its written form.
    pub default: Option<&'static str>,
    /// Whether it must be there.
    pub required: bool,
    /// What it is for, in one line.
    pub doc: &'static str,
}

/// What the value of a key is.
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
    /// Anything: a plugin gives it its meaning.
    Any,
}

impl Kind {
    /// What to write, for the reference and for the help of a fault.
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

const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    doc: &'static str,
) -> Entry {
    Entry {
        name,
        kind,
        default,
        required: false,
        doc,
    }
}

const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Entry {
    Entry {
        name,
        kind,
        default: None,
        required: true,
        doc,
    }
}

/// As many as anyone can mean; a larger number is a slip.
const COUNT_MAX: u64 = 1_000_000_000;

/// A file as a whole.
pub static ROOT: Section = Section {
    name: "",
    doc: "The keys at the top of a file.",
    keys: &[
        key(
            "include",
            Kind::Patterns,
            None,
            "Files to read as well, relative to this one.",
        ),
        key(
            "include-overlay",
            Kind::Paths,
            None,
            "Folders, relative to this file, whose *.yaml are read as well. Of files with one name only that in the earliest folder counts; one that is empty or a link to /dev/null hides the others.",
        ),
        key(
            "when-plugin",
            Kind::Name,
            None,
            "In an included file: skip it, with a warning, when this plugin is missing.",
        ),
        key(
            "daemon",
            Kind::Section(&DAEMON),
            None,
            "The process as a whole.",
        ),
        key(
            "admin",
            Kind::Section(&ADMIN),
            None,
            "Where the daemon is asked and commanded. Only in the main file.",
        ),
        key(
            "log",
            Kind::Section(&LOG),
            None,
            "What is written to stderr, and how.",
        ),
        key(
            "plugins",
            Kind::Named(&PLUGIN),
            None,
            "Instances: handlers with their configuration.",
        ),
        key(
            "services",
            Kind::Named(&SERVICE),
            None,
            "Services: where to listen, and which instance answers.",
        ),
    ],
};

/// `daemon:`
pub static DAEMON: Section = Section {
    name: "daemon",
    doc: "The process as a whole.",
    keys: &[
        key(
            "workers",
            Kind::CountOrAuto(1, 250),
            Some("auto"),
            "Data-plane threads; auto is one for each core.",
        ),
        key(
            "plugin-path",
            Kind::Paths,
            Some("/usr/local/lib/polyport/plugins, /usr/lib/polyport/plugins"),
            "Where plugins are looked for; the first match wins. Only in the main file.",
        ),
        key(
            "state-directory",
            Kind::Path,
            Some("$STATE_DIRECTORY"),
            "Where instances may keep state; needed only when one does.",
        ),
        key(
            "drain-timeout",
            Kind::Duration,
            Some("30s"),
            "How long streams may take to end by themselves when they are asked to.",
        ),
        key(
            "hook-timeout",
            Kind::Duration,
            Some("5s"),
            "How long each hook of a plugin may take.",
        ),
        key(
            "stop-timeout",
            Kind::Duration,
            Some("40s"),
            "How long the whole stop may take, drain and hooks together; at least drain-timeout + hook-timeout.",
        ),
        key(
            "replace-timeout",
            Kind::DurationOrOff,
            Some("off"),
            "How long streams that cannot move stay on code that was replaced; off: until they end by themselves.",
        ),
        key(
            "rollback",
            Kind::Section(&ROLLBACK),
            None,
            "When new code is withdrawn and the code before it serves again.",
        ),
        key(
            "limits",
            Kind::Section(&DAEMON_LIMITS),
            None,
            "What the process may hold at most.",
        ),
    ],
};

/// `daemon.limits:`
pub static DAEMON_LIMITS: Section = Section {
    name: "daemon.limits",
    doc: "What the process may hold at most.",
    keys: &[key(
        "streams",
        Kind::Count(1, COUNT_MAX),
        Some("50000"),
        "Streams open at one time, of all services together.",
    )],
};

/// `daemon.rollback:`
pub static ROLLBACK: Section = Section {
    name: "daemon.rollback",
    doc: "When new code is withdrawn and the code before it serves again.",
    keys: &[
        key(
            "window",
            Kind::Duration,
            Some("60s"),
            "From the swap on: how long new code is watched.",
        ),
        key(
            "failures",
            Kind::CountOrOff(1, 1_000_000),
            Some("5"),
            "Panics and failed health checks in that time; one more withdraws the code. off: it stays.",
        ),
    ],
};

/// `admin:`
pub static ADMIN: Section = Section {
    name: "admin",
    doc: "Where the daemon is asked and commanded. Only in the main file.",
    keys: &[key(
        "socket",
        Kind::SocketOrOff,
        Some("$RUNTIME_DIRECTORY/admin.sock"),
        "The Unix socket of polyportctl; off, or without that variable: there is none.",
    )],
};

/// `log:`
pub static LOG: Section = Section {
    name: "log",
    doc: "What is written to stderr, and how.",
    keys: &[
        key(
            "format",
            Kind::OneOf(&["auto", "text", "json", "journald"]),
            Some("auto"),
            "The form of a line; auto is journald under systemd, else text.",
        ),
        key(
            "level",
            Kind::OneOf(&["error", "warn", "info", "debug", "trace"]),
            Some("info"),
            "The least severe event that is written.",
        ),
    ],
};

/// `plugins.NAME:`
pub static PLUGIN: Section = Section {
    name: "plugins.NAME",
    doc: "An instance: a handler of a plugin with its configuration.",
    keys: &[
        required(
            "library",
            Kind::Library,
            "The plugin: kv finds libpolyport_kv.so or kv.so on the plugin path.",
        ),
        key(
            "handler",
            Kind::Name,
            None,
            "Which handler, when the plugin offers several.",
        ),
        key(
            "after",
            Kind::Names,
            None,
            "Instances that start before this one and stop after it.",
        ),
        key("config", Kind::Any, None, "The plugin's own configuration."),
    ],
};

/// `services.NAME:`
pub static SERVICE: Section = Section {
    name: "services.NAME",
    doc: "A service: where to listen, and which instance answers.",
    keys: &[
        required(
            "listen",
            Kind::Listen,
            "Where to listen; [::] takes IPv4 too. fd://NAME is a socket that the service manager passes under this name.",
        ),
        required(
            "handler",
            Kind::Name,
            "The instance that answers, or a plugin whose default configuration will do.",
        ),
        key(
            "limits",
            Kind::Section(&SERVICE_LIMITS),
            None,
            "What the service may hold at most.",
        ),
        key(
            "timeouts",
            Kind::Section(&TIMEOUTS),
            None,
            "How long its streams may take.",
        ),
    ],
};

/// `services.NAME.limits:`
pub static SERVICE_LIMITS: Section = Section {
    name: "services.NAME.limits",
    doc: "What a service may hold at most.",
    keys: &[key(
        "streams",
        Kind::Count(1, COUNT_MAX),
        None,
        "Streams open at one time; left out, daemon.limits alone counts.",
    )],
};

/// `services.NAME.timeouts:`
pub static TIMEOUTS: Section = Section {
    name: "services.NAME.timeouts",
    doc: "How long the streams of a service may take.",
    keys: &[
        key(
            "first-byte",
            Kind::DurationOrOff,
            Some("off"),
            "From accept to the first byte of the peer.",
        ),
        key(
            "idle",
            Kind::DurationOrOff,
            Some("5m"),
            "Without a byte in either direction.",
        ),
        key(
            "write",
            Kind::Duration,
            Some("30s"),
            "Without progress of a write to the peer.",
        ),
        key(
            "lifetime",
            Kind::DurationOrOff,
            Some("off"),
            "From accept to the end.",
        ),
        key(
            "drain",
            Kind::Duration,
            Some("daemon.drain-timeout"),
            "How long streams may take to end when the service or their listener is taken out.",
        ),
    ],
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
    /// The key of this name, when there is one.
    pub fn key(&self, name: &str) -> Option<&'static Entry> {
        self.keys.iter().find(|entry| entry.name == name)
    }
}
