//! Listen addresses: the URLs under `listen:`.

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use crate::faults::quoted;
use crate::nearest::nearest;
use crate::node::Position;
use crate::units::UnitError;

/// A listen address with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: ListenAddress,
    /// The position of its URL.
    pub position: Position,
}

/// A listen address. `Display` prints the URL form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `tcp://ADDRESS:PORT`; `[::]` takes IPv4 too; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// `udp://ADDRESS:PORT`, likewise.
    Udp(SocketAddr),
    /// `unix:///path`: a stream socket.
    Unix(UnixAddress),
    /// `unixgram:///path`: a datagram socket.
    Unixgram(UnixAddress),
    /// `fd://NAME`: a socket that the service manager passes under this name (`LISTEN_FDNAMES`). Whether it is for
    /// streams or datagrams is known only at run time.
    Inherited {
        /// 1 to 255 printable ASCII characters, no colon among them.
        name: String,
    },
}

/// A socket in the file system, and its access rights.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixAddress {
    /// Absolute, at most 107 bytes.
    pub path: PathBuf,
    /// The mode bits, at most 0777; `None`: by the umask.
    pub mode: Option<u32>,
    /// The group; `None`: that of the process.
    pub group: Option<String>,
}

/// The maximum length of a socket path in bytes.
pub(crate) const UNIX_PATH_MAX: usize = 107;

impl fmt::Display for ListenAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "tcp://{address}"),
            Self::Udp(address) => write!(out, "udp://{address}"),
            Self::Unix(address) => write!(out, "unix://{address}"),
            Self::Unixgram(address) => write!(out, "unixgram://{address}"),
            Self::Inherited { name } => {
                out.write_str("fd://")?;
                encode(name.as_bytes(), b"-_.~", out)
            }
        }
    }
}

impl fmt::Display for UnixAddress {
    /// Prints the path, percent-encoded, and the query.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode(self.path.as_os_str().as_bytes(), b"/-_.~", out)?;
        let mode = self.mode.map(|mode| format!("mode={mode:04o}"));
        let group = self.group.as_ref().map(|group| format!("group={group}"));
        let query: Vec<String> = mode.into_iter().chain(group).collect();
        if query.is_empty() {
            Ok(())
        } else {
            write!(out, "?{}", query.join("&"))
        }
    }
}

/// Prints bytes percent-encoded.
fn encode(bytes: &[u8], plain: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || plain.contains(byte) {
            write!(out, "{}", char::from(*byte))?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}

/// Reads one URL.
///
/// # Errors
/// The problem, and what to write instead.
pub fn parse(url: &str) -> Result<ListenAddress, UnitError> {
    const SCHEMES: [&str; 5] = ["tcp", "udp", "unix", "unixgram", "fd"];
    let Some((scheme, rest)) = url.split_once("://") else {
        return wrong(
            url,
            "has no scheme",
            format!("write tcp://{url} or udp://{url}"),
        );
    };
    match scheme {
        "tcp" => Ok(ListenAddress::Tcp(socket(url, rest)?)),
        "udp" => Ok(ListenAddress::Udp(socket(url, rest)?)),
        "unix" => Ok(ListenAddress::Unix(unix(url, rest)?)),
        "unixgram" => Ok(ListenAddress::Unixgram(unix(url, rest)?)),
        "fd" => Ok(ListenAddress::Inherited {
            name: passed_name(url, rest)?,
        }),
        _ => {
            let help = match nearest(scheme, SCHEMES) {
                Some(near) => format!("did you mean {near}://?"),
                None => "the schemes are tcp, udp, unix, unixgram and fd".to_owned(),
            };
            wrong(url, "has an unknown scheme", help)
        }
    }
}

fn wrong<T>(url: &str, message: &str, help: impl Into<String>) -> Result<T, UnitError> {
    Err(UnitError {
        message: format!("{} {message}", quoted(url)),
        help: help.into(),
    })
}

/// Reads `ADDRESS:PORT` or `[ADDRESS]:PORT`.
fn socket(url: &str, text: &str) -> Result<SocketAddr, UnitError> {
    let form = "write ADDRESS:PORT, such as 0.0.0.0:7007, 127.0.0.1:7007 or [::]:7007";
    if text.contains(['/', '?', '#', '@']) {
        return wrong(url, "has more than an address and a port", form);
    }
    let Some((host, port)) = text
        .rsplit_once(':')
        .filter(|(host, _)| host.starts_with('[') == host.ends_with(']'))
    else {
        return wrong(url, "has no port", form);
    };
    let digits = !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit());
    let Some(port) = port.parse::<u16>().ok().filter(|_| digits) else {
        return wrong(url, "has no port from 0 to 65535 at its end", form);
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match (bracketed, host) {
        (Some(inner), _) => match format!("[{inner}]:{port}").parse::<SocketAddr>() {
            Ok(address) => Ok(address),
            Err(_) => wrong(url, "has no IPv6 address within [ ]", form),
        },
        (None, "" | "*") => wrong(
            url,
            "names no address",
            format!("write [::]:{port} for every address"),
        ),
        (None, host) if host.contains(':') => wrong(
            url,
            "has an IPv6 address without [ ]",
            format!("write [{host}]:{port}"),
        ),
        (None, host) => match host.parse::<Ipv4Addr>() {
            Ok(address) => Ok(SocketAddr::from((address, port))),
            Err(_) => {
                let help = "a listener is bound to an address: 127.0.0.1 or [::1] for this \
                            machine, 0.0.0.0 or [::] for every interface";
                wrong(url, "has a host name, or no valid address", help)
            }
        },
    }
}

/// Reads `/path?mode=0660&group=NAME`.
fn unix(url: &str, text: &str) -> Result<UnixAddress, UnitError> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let path = unix_path(url, path)?;
    let mut address = UnixAddress {
        path,
        mode: None,
        group: None,
    };
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name {
            "mode" if address.mode.is_none() => address.mode = Some(mode(url, value)?),
            "group" if address.group.is_none() => address.group = Some(group(url, value)?),
            "mode" | "group" => return wrong(url, &format!("has {name} twice"), "keep one"),
            _ => {
                let help = match nearest(name, ["mode", "group"]) {
                    Some(near) => format!("did you mean {near}=?"),
                    None => "after ? there may be mode= and group=".to_owned(),
                };
                return wrong(url, &format!("has the unknown part {}", quoted(name)), help);
            }
        }
    }
    Ok(address)
}

fn unix_path(url: &str, text: &str) -> Result<PathBuf, UnitError> {
    let Some(bytes) = decoded(text) else {
        return wrong(
            url,
            "has a % without two hexadecimal digits",
            "write %25 for a % itself",
        );
    };
    if !bytes.starts_with(b"/") {
        let help = "write unix:///run/polyport/NAME.sock, with three slashes";
        return wrong(url, "has no absolute path", help);
    }
    if bytes.ends_with(b"/") {
        return wrong(url, "names a directory", "add the name of the socket");
    }
    if bytes.contains(&0) {
        return wrong(url, "has a zero byte in its path", "take the %00 out");
    }
    if bytes.len() > UNIX_PATH_MAX {
        let message = format!("has a path of {} bytes", bytes.len());
        return wrong(
            url,
            &message,
            format!("the kernel takes at most {UNIX_PATH_MAX}"),
        );
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

fn mode(url: &str, text: &str) -> Result<u32, UnitError> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => wrong(
            url,
            "has no valid mode",
            "write three or four octal digits: mode=0660",
        ),
    }
}

fn group(url: &str, text: &str) -> Result<String, UnitError> {
    let ordinary = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.');
    if (1..=32).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(ordinary) {
        return Ok(text.to_owned());
    }
    wrong(
        url,
        "has no valid group",
        "write the name of a group or its number: group=polyport",
    )
}

/// Reads the name of a passed socket (`FileDescriptorName=`).
fn passed_name(url: &str, text: &str) -> Result<String, UnitError> {
    const NAME_MAX: usize = 255;
    let form = "write fd://NAME, the FileDescriptorName= of the socket unit";
    if text.is_empty() {
        return wrong(url, "names no socket", form);
    }
    if text.contains(['/', '?', '#']) {
        return wrong(url, "has more than a name", form);
    }
    let ordinary = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b':';
    let name = decoded(text).and_then(|bytes| String::from_utf8(bytes).ok());
    match name.filter(|name| name.len() <= NAME_MAX && name.as_bytes().iter().all(ordinary)) {
        Some(name) if name.bytes().all(|c| c.is_ascii_digit()) => {
            let help = "sockets are known by their names, not their numbers: give it one by FileDescriptorName=";
            wrong(url, "has a number for a name", help)
        }
        Some(name) => Ok(name),
        None => {
            let help = "such names are printable ASCII without a colon, at most 255 characters; write %25 for a % itself";
            wrong(url, "has a name that no service manager gives", help)
        }
    }
}

/// Decodes percent-encoding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    Some(bytes)
}
