//! The `admin:` section: the admin socket.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::document::Environment;
use crate::faults::{Fault, quoted};
use crate::listener::{ListenAddress, UNIX_PATH_MAX};
use crate::node::Position;
use crate::reference;
use crate::service::Service;
use crate::table::{Findings, Table};

/// The admin socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// The path of the Unix socket, absolute, at most 107 bytes; `None`: no socket.
    pub socket: Option<PathBuf>,
}

/// The section while it is read, with the position of its path.
pub(crate) struct Draft {
    pub(crate) admin: Admin,
    position: Option<Position>,
}

/// Reads the section; an absent one has its defaults.
pub(crate) fn check(
    root: &Table<'_>,
    environment: &Environment<'_>,
    found: &mut Findings,
) -> Draft {
    let table = root.table("admin", &reference::ADMIN, found);
    let mut draft = Draft {
        admin: Admin::default(),
        position: None,
    };
    if table.node("socket").is_none() {
        draft.admin.socket = of_runtime_directory(root.position, environment, found);
    } else if let Some((text, position)) = table.text("socket", found) {
        let path = Some(PathBuf::from(text)).filter(|_| text != "off");
        draft.admin.socket = path.filter(|path| fits(path, position, found));
        draft.position = Some(position.clone());
    }
    draft
}

/// The socket in the directory that the service manager made.
fn of_runtime_directory(
    file: &Position,
    environment: &Environment<'_>,
    found: &mut Findings,
) -> Option<PathBuf> {
    let path = environment
        .directory("RUNTIME_DIRECTORY")?
        .join("admin.sock");
    if path.is_absolute() && path.as_os_str().len() <= UNIX_PATH_MAX {
        return Some(path);
    }
    let message = format!(
        "there is no admin socket: {} from $RUNTIME_DIRECTORY is not absolute, or longer than {UNIX_PATH_MAX} bytes",
        quoted(&path.to_string_lossy())
    );
    let help = "set `admin.socket` to a path, or to off";
    found
        .warnings
        .push(Fault::warning(file.clone(), message).with_help(help));
    None
}

/// Records why a path cannot be that of a socket; returns whether it can.
fn fits(path: &Path, position: &Position, found: &mut Findings) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let name = quoted(&path.to_string_lossy());
    let (message, help) = match bytes {
        _ if bytes.starts_with(b"unix:") => {
            let help = "write the path alone: /run/polyport/admin.sock".to_owned();
            (format!("`admin.socket`: {name} is a URL"), help)
        }
        _ if !bytes.starts_with(b"/") => {
            let help = "write one that begins with /, such as /run/polyport/admin.sock, or off";
            let message = format!("`admin.socket`: {name} is no absolute path");
            (message, help.to_owned())
        }
        _ if bytes.contains(&0) => {
            let help = "take it out".to_owned();
            (format!("`admin.socket`: {name} has a zero byte"), help)
        }
        _ if bytes.ends_with(b"/") => {
            let help = "add the name of the socket".to_owned();
            (format!("`admin.socket`: {name} names a directory"), help)
        }
        _ if bytes.len() > UNIX_PATH_MAX => {
            let message = format!("`admin.socket`: {name} has {} bytes", bytes.len());
            (message, format!("the kernel takes at most {UNIX_PATH_MAX}"))
        }
        _ => return true,
    };
    found.error(position, message, help);
    false
}

impl Draft {
    /// Records each listener at the path of the admin socket.
    pub(crate) fn refuse_listeners(&self, services: &[(Service, Position)], found: &mut Findings) {
        let Some(socket) = &self.admin.socket else {
            return;
        };
        for listener in services.iter().flat_map(|(service, _)| &service.listeners) {
            let (ListenAddress::Unix(unix) | ListenAddress::Unixgram(unix)) = &listener.address
            else {
                continue;
            };
            if unix.path == *socket {
                let address = &listener.address;
                let message = match &self.position {
                    Some(position) => {
                        format!("{address} is where the admin socket is, by {position}")
                    }
                    None => format!("{address} is where the admin socket is by default"),
                };
                let help = "choose another path here, or for `admin.socket`";
                found.error(&listener.position, message, help);
            }
        }
    }
}
