//! The demonstration: which services it has, its configuration file, and a line to try for each.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The lowest port if none is given.
pub(crate) const PORT_BASE: u16 = 7000;

/// The longest path that a Unix socket can have.
const UNIX_PATH_MAX: usize = 107;

/// A line `NAME PORT LISTENERS HANDLER` for each service, and below it lines to try.
const SERVICES: &str = include_str!("demo.txt");

/// One service of the demonstration.
#[derive(Debug)]
struct Service {
    name: &'static str,
    handler: &'static str,
    /// The lowest port plus the port of its RFC.
    port: u16,
    /// URLs.
    listen: Vec<String>,
    lines: Vec<String>,
}

/// A demonstration on chosen ports.
#[derive(Debug)]
pub(crate) struct Demo {
    plugins: PathBuf,
    services: Vec<Service>,
    /// The admin socket; `None` when the path would be too long.
    admin: Option<PathBuf>,
}

impl Demo {
    /// A demonstration with the plugins of one folder and its socket in another.
    ///
    /// # Errors
    /// The ports would not fit, or one of them is taken.
    pub(crate) fn new(port_base: u16, plugins: PathBuf, folder: &Path) -> Result<Self> {
        let fits = |path: &PathBuf| path.as_os_str().len() <= UNIX_PATH_MAX;
        let socket = Some(folder.join("echo.sock")).filter(fits);
        let services = services(port_base, &plugins, socket.as_deref())?;
        expect_free_ports(port_base, &services)?;
        Ok(Self {
            plugins,
            services,
            admin: Some(folder.join("admin.sock")).filter(fits),
        })
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
        for service in &self.services {
            let listen: Vec<String> = service.listen.iter().map(|url| quoted(url)).collect();
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
        for service in &self.services {
            text += &format!("{:<10} {}\n", service.name, service.listen.join("  "));
            for line in &service.lines {
                text += &format!("             {line}\n");
            }
        }
        text
    }
}

/// Reads the table for these ports; a service whose socket has no path listens on none.
fn services(port_base: u16, plugins: &Path, socket: Option<&Path>) -> Result<Vec<Service>> {
    let socket = socket.map(Path::display);
    let mut services: Vec<Service> = Vec::new();
    for line in SERVICES.lines() {
        if let (Some(line), Some(service)) = (line.strip_prefix("  "), services.last_mut()) {
            let line = line.replace("PORT", &service.port.to_string());
            let line = line.replace("PLUGINS", &plugins.to_string_lossy());
            match &socket {
                Some(path) => service
                    .lines
                    .push(line.replace("SOCKET", &path.to_string())),
                None if line.contains("SOCKET") => {}
                None => service.lines.push(line),
            }
            continue;
        }
        let [name, port, kinds, handler] = line.split(' ').collect::<Vec<_>>()[..] else {
            bail!("demo.txt: {line}");
        };
        let port = port_base
            .checked_add(port.parse()?)
            .filter(|_| port_base > 0);
        let port = port.context("--port-base is too low or too high for all ports")?;
        let url = |kind| match (kind, &socket) {
            ("unix", path) => path.as_ref().map(|path| format!("unix://{path}")),
            _ => Some(format!("{kind}://127.0.0.1:{port}")),
        };
        services.push(Service {
            name,
            handler,
            port,
            listen: kinds.split(',').filter_map(url).collect(),
            lines: Vec::new(),
        });
    }
    Ok(services)
}

fn expect_free_ports(port_base: u16, services: &[Service]) -> Result<()> {
    for Service { name, port, .. } in services {
        let at = (Ipv4Addr::LOCALHOST, *port);
        let tcp = TcpListener::bind(at).err().map(|fault| ("tcp", fault));
        let udp = || UdpSocket::bind(at).err().map(|fault| ("udp", fault));
        if let Some((transport, fault)) = tcp.or_else(udp) {
            bail!(
                "cannot listen on {transport} port {port} of 127.0.0.1 for {name}: {fault}\n\
                 choose another lowest port: cargo xtask run --port-base N  (now {port_base})",
            );
        }
    }
    Ok(())
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
        let (folder, plugins) = (PathBuf::from(folder), PathBuf::from("/p \"$q\""));
        Demo {
            services: services(port_base, &plugins, Some(&folder.join("echo.sock"))).unwrap(),
            plugins,
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
            assert!(fault.to_string().contains("--port-base"), "{fault}");
        }
    }
}
