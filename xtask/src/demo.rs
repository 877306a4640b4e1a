//! The demonstration: which services it has, its configuration file, and a line to try for each.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The lowest port if none is given.
pub(crate) const PORT_BASE: u16 = 7000;

/// The longest path that a Unix socket can have.
const UNIX_PATH_MAX: usize = 107;

/// One service of the demonstration. Its port is the base plus the port of its RFC.
struct Service {
    name: &'static str,
    handler: &'static str,
    port: u16,
    /// Whether it listens for datagrams too.
    datagrams: bool,
    /// Lines to try: `PORT` stands for the port, `PLUGINS` for the folder of the plugins.
    lines: &'static [&'static str],
}

/// The well-known five, echo once more from forty lines of C, and one to be replaced while it serves.
const SERVICES: &[Service] = &[
    Service {
        name: "echo",
        handler: "echo",
        port: 7,
        datagrams: true,
        lines: &[
            "echo hello | nc -N 127.0.0.1 PORT",
            "echo hello | nc -u -w1 127.0.0.1 PORT",
        ],
    },
    Service {
        name: "discard",
        handler: "discard",
        port: 9,
        datagrams: true,
        lines: &["echo gone | nc -N 127.0.0.1 PORT"],
    },
    Service {
        name: "daytime",
        handler: "daytime",
        port: 13,
        datagrams: true,
        lines: &["nc 127.0.0.1 PORT", "echo | nc -u -w1 127.0.0.1 PORT"],
    },
    Service {
        name: "chargen",
        handler: "chargen",
        port: 19,
        datagrams: true,
        lines: &[
            "nc 127.0.0.1 PORT | head -n 5",
            "echo | nc -u -w1 127.0.0.1 PORT",
        ],
    },
    Service {
        name: "time",
        handler: "time",
        port: 37,
        datagrams: true,
        lines: &[
            "nc 127.0.0.1 PORT | od -An -tu4 --endian=big",
            "echo | nc -u -w1 127.0.0.1 PORT | od -An -tu4 --endian=big",
        ],
    },
    Service {
        name: "echo-in-c",
        handler: "example",
        port: 107,
        datagrams: true,
        lines: &[
            "echo hello | socat - TCP:127.0.0.1:PORT",
            "echo hello | socat - UDP:127.0.0.1:PORT",
        ],
    },
    Service {
        name: "tally",
        handler: "tally",
        port: 108,
        datagrams: false,
        lines: &[
            "nc 127.0.0.1 PORT     # say `add 5`; stay, replace its code from another terminal, and reload:",
            "cc -DVERSION=2 -shared -fPIC -fvisibility=hidden -Iplugin-api/include \\",
            "   -o 'PLUGINS/libpolyport_tally.so' plugin-api/examples/tally.c",
        ],
    },
];

/// A demonstration on chosen ports.
#[derive(Debug)]
pub(crate) struct Demo {
    port_base: u16,
    plugins: PathBuf,
    /// Where echo also listens; `None` when the path would be too long.
    socket: Option<PathBuf>,
    /// Where the daemon is asked; as above.
    admin: Option<PathBuf>,
}

impl Demo {
    /// A demonstration with the plugins of one folder and its socket in another.
    ///
    /// # Errors
    /// The ports would not fit, or one of them is taken.
    pub(crate) fn new(port_base: u16, plugins: PathBuf, folder: &Path) -> Result<Self> {
        let highest = SERVICES
            .iter()
            .map(|service| service.port)
            .max()
            .unwrap_or(0);
        if port_base == 0 || port_base.checked_add(highest).is_none() {
            bail!("--port-base takes 1 to {}", u16::MAX - highest);
        }
        let fits = |path: &PathBuf| path.as_os_str().len() <= UNIX_PATH_MAX;
        let demo = Self {
            port_base,
            plugins,
            socket: Some(folder.join("echo.sock")).filter(fits),
            admin: Some(folder.join("admin.sock")).filter(fits),
        };
        demo.expect_free_ports()?;
        Ok(demo)
    }

    fn port(&self, service: &Service) -> u16 {
        self.port_base.saturating_add(service.port)
    }

    fn expect_free_ports(&self) -> Result<()> {
        for service in SERVICES {
            let port = self.port(service);
            let at = (Ipv4Addr::LOCALHOST, port);
            let tcp = TcpListener::bind(at).err().map(|fault| ("tcp", fault));
            let udp = || UdpSocket::bind(at).err().map(|fault| ("udp", fault));
            if let Some((transport, fault)) = tcp.or_else(udp) {
                bail!(
                    "cannot listen on {transport} port {port} of 127.0.0.1 for {}: {fault}\n\
                     choose another lowest port: cargo xtask run --port-base N  (now {})",
                    service.name,
                    self.port_base
                );
            }
        }
        Ok(())
    }

    /// The configuration file.
    pub(crate) fn configuration(&self) -> String {
        let mut text = format!(
            "# Written by `cargo xtask run`; the next run writes it again.\n\
             daemon:\n  plugin-path: [{}]\n  drain-timeout: 10s\n  stop-timeout: 20s\n\n\
             admin:\n  socket: {}\n\n\
             plugins:\n  example: {{library: echo_c}}   # compiled from plugin-api/examples/echo.c\n\n\
             services:\n",
            quoted(&self.plugins.to_string_lossy()),
            self.admin
                .as_ref()
                .map_or_else(|| "off".to_owned(), |path| quoted(&path.to_string_lossy()))
        );
        for service in SERVICES {
            let listen: Vec<String> = self
                .listens(service)
                .iter()
                .map(|url| quoted(url))
                .collect();
            text += &format!(
                "  {}:\n    listen: [{}]\n    handler: {}\n",
                service.name,
                listen.join(", "),
                service.handler
            );
        }
        text
    }

    /// Lines that ask the daemon itself, with the path of `polyportctl`.
    pub(crate) fn questions(&self, program: &Path, file: &Path) -> String {
        let Some(socket) = &self.admin else {
            return String::new();
        };
        let line = format!("{} --socket '{}'", program.display(), socket.display());
        format!(
            "{line} status\n{line} services\n{line} plan     # after a change of {}\n{line} reload\n",
            file.display()
        )
    }

    /// What listens where, and lines to try.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for service in SERVICES {
            text += &format!(
                "{:<10} {}\n",
                service.name,
                self.listens(service).join("  ")
            );
            let port = self.port(service).to_string();
            for line in service.lines {
                let line = line.replace("PORT", &port);
                let line = line.replace("PLUGINS", &self.plugins.to_string_lossy());
                text += &format!("             {line}\n");
            }
            if let Some(socket) = self.socket_of(service) {
                text += &format!(
                    "             echo hello | nc -N -U '{}'\n",
                    socket.display()
                );
            }
        }
        text
    }

    /// The URLs of a service.
    fn listens(&self, service: &Service) -> Vec<String> {
        let port = self.port(service);
        let mut listen = vec![format!("tcp://127.0.0.1:{port}")];
        if service.datagrams {
            listen.push(format!("udp://127.0.0.1:{port}"));
        }
        listen.extend(
            self.socket_of(service)
                .map(|path| format!("unix://{}", path.display())),
        );
        listen
    }

    /// One service shows that a Unix socket is a listener as any other.
    fn socket_of(&self, service: &Service) -> Option<&Path> {
        self.socket.as_deref().filter(|_| service.name == "echo")
    }
}

/// A double-quoted YAML string, in which a `$` stands for itself.
fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('$', "$$");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(port_base: u16, folder: &str) -> Demo {
        let folder = PathBuf::from(folder);
        Demo {
            port_base,
            plugins: PathBuf::from("/p \"$q\""),
            socket: Some(folder.join("echo.sock")),
            admin: Some(folder.join("admin.sock")),
        }
    }

    #[test]
    fn every_service_is_in_the_file_and_in_the_table() {
        let demo = demo(7000, "/d");
        let (file, table) = (demo.configuration(), demo.table());
        for port in [7007, 7009, 7013, 7019, 7037, 7107] {
            assert!(
                file.contains(&format!("\"tcp://127.0.0.1:{port}\"")),
                "{file}"
            );
            assert!(
                file.contains(&format!("\"udp://127.0.0.1:{port}\"")),
                "{file}"
            );
            assert!(
                table.contains(&format!("udp://127.0.0.1:{port}")),
                "{table}"
            );
        }
        assert!(file.contains("\"tcp://127.0.0.1:7108\""), "{file}");
        assert!(!file.contains("udp://127.0.0.1:7108"), "{file}");
        assert!(
            table.contains("-o '/p \"$q\"/libpolyport_tally.so'"),
            "{table}"
        );
        assert!(file.contains("\"unix:///d/echo.sock\""), "{file}");
        assert!(file.contains(r#"plugin-path: ["/p \"$$q\""]"#), "{file}");
        assert!(!table.contains("PORT"), "{table}");
    }

    #[test]
    fn the_daemon_can_be_asked_where_its_path_fits() {
        let mut demo = demo(7000, "/d");
        let file = demo.configuration();
        assert!(
            file.contains("admin:\n  socket: \"/d/admin.sock\"\n"),
            "{file}"
        );
        let lines = demo.questions(Path::new("/b/polyportctl"), Path::new("/d/p.yaml"));
        assert!(
            lines.starts_with("/b/polyportctl --socket '/d/admin.sock' status\n"),
            "{lines}"
        );
        demo.admin = None;
        assert!(demo.configuration().contains("admin:\n  socket: off\n"));
        assert_eq!(demo.questions(Path::new("/b"), Path::new("/d")), "");
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let (holder, base) = held_port();
        let fault = Demo::new(base, PathBuf::new(), Path::new("/d"))
            .unwrap_err()
            .to_string();
        let port = holder.local_addr().unwrap().port();
        assert!(fault.contains(&format!("tcp port {port}")), "{fault}");
        assert!(fault.contains("--port-base N"), "{fault}");
    }

    /// Listens where the echo service of the returned base would.
    fn held_port() -> (TcpListener, u16) {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let base = holder.local_addr().unwrap().port() - 7;
        (holder, base)
    }

    #[test]
    fn ports_that_do_not_fit_are_refused() {
        for base in [0, 65_500] {
            let fault = Demo::new(base, PathBuf::new(), Path::new("/d")).unwrap_err();
            assert!(fault.to_string().contains("1 to 65427"), "{fault}");
        }
    }
}
