//! The names (`FDNAME=`) under which listening sockets are in the store of the service manager, so that they outlive a
//! crash.
//!
//! The name is made of the address, so that the next process finds its socket again: `polyport/`, the scheme, and the
//! address or path with all but letters, digits and `-_./[]` escaped as `%` and two hexadecimal digits, such as
//! `polyport/tcp/127.0.0.1%3A7007` and `polyport/unix/run/polyport/echo.sock`. A name that would be longer than the
//! manager takes is cut, and a `~` and a hash of the whole replace its end. The names are stable: a later version must
//! find what an earlier one stored.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use polyport_config::ListenAddress;
use sha2::{Digest as _, Sha256};

/// Prefix of all names.
const PREFIX: &str = "polyport/";
/// Longest name that the service manager takes.
const NAME_BYTES_MAX: usize = 255;
/// Bytes of the hash in a cut name.
const HASH_BYTES: usize = 16;

/// The name for a listener of this address. `None` if it is not stored: the kernel would choose another port next time,
/// or the service manager has the socket of its unit already.
pub fn fdstore_name(address: &ListenAddress) -> Option<String> {
    let whole = match address {
        ListenAddress::Tcp(at) if at.port() != 0 => escaped("tcp/", at.to_string().as_bytes()),
        ListenAddress::Udp(at) if at.port() != 0 => escaped("udp/", at.to_string().as_bytes()),
        ListenAddress::Unix(at) => escaped("unix", at.path.as_os_str().as_bytes()),
        ListenAddress::Unixgram(at) => escaped("unixgram", at.path.as_os_str().as_bytes()),
        ListenAddress::Tcp(_) | ListenAddress::Udp(_) | ListenAddress::Inherited { .. } => {
            return None;
        }
    };
    Some(shortened(whole))
}

/// The name under which a bound listener is passed to the new process in an upgrade: its name in the store or, if the
/// kernel chose the port, its [`ephemeral_name`]. `None` for a socket of a unit.
pub fn handover_name(address: &ListenAddress, service: &str) -> Option<String> {
    fdstore_name(address).or_else(|| ephemeral_name(address, service))
}

/// The name for a port that the kernel chose for a service: the new process knows the service, but not the port.
pub fn ephemeral_name(address: &ListenAddress, service: &str) -> Option<String> {
    let (scheme, at) = match address {
        ListenAddress::Tcp(at) => ("tcp/", at),
        ListenAddress::Udp(at) => ("udp/", at),
        _ => return None,
    };
    let name = || shortened(escaped(scheme, format!("{at}/{service}").as_bytes()));
    (at.port() == 0).then(name)
}

/// Returns whether [`fdstore_name`] makes such names: a socket of that name was bound by the daemon.
pub fn is_fdstore_name(name: &str) -> bool {
    let schemes = ["tcp/", "udp/", "unix/", "unixgram/"];
    name.strip_prefix(PREFIX)
        .is_some_and(|rest| schemes.iter().any(|scheme| rest.starts_with(scheme)))
}

fn escaped(scheme: &str, address: &[u8]) -> String {
    let mut name = format!("{PREFIX}{scheme}");
    for byte in address {
        if byte.is_ascii_alphanumeric() || b"-_./[]".contains(byte) {
            name.push(char::from(*byte));
        } else {
            // Writing to a string never fails.
            write!(name, "%{byte:02X}").unwrap_or_default();
        }
    }
    name
}

fn shortened(mut name: String) -> String {
    if name.len() > NAME_BYTES_MAX {
        let hash = Sha256::digest(&name);
        // All of it is ASCII.
        name.truncate(NAME_BYTES_MAX - 1 - 2 * HASH_BYTES);
        name.push('~');
        for byte in hash.iter().take(HASH_BYTES) {
            write!(name, "{byte:02x}").unwrap_or_default();
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_config::listener::parse;

    fn name(url: &str) -> Option<String> {
        fdstore_name(&parse(url).unwrap())
    }

    #[test]
    fn fdstore_name_is_made_of_the_address_and_stable() {
        for (url, wanted) in [
            ("tcp://127.0.0.1:7007", "polyport/tcp/127.0.0.1%3A7007"),
            ("udp://[::]:53", "polyport/udp/[%3A%3A]%3A53"),
            ("unix:///run/a/x.sock", "polyport/unix/run/a/x.sock"),
            (
                "unix:///run/a/x.sock?mode=0660",
                "polyport/unix/run/a/x.sock",
            ),
            (
                "unixgram:///run/x%20~%25%3A",
                "polyport/unixgram/run/x%20%7E%25%3A",
            ),
            ("unix:///run/%C3%BC", "polyport/unix/run/%C3%BC"),
        ] {
            let name = name(url).unwrap();
            assert_eq!(name, wanted);
            assert!(is_fdstore_name(&name));
        }
    }

    #[test]
    fn fdstore_has_no_name_for_what_cannot_be_found_again() {
        for url in ["tcp://127.0.0.1:0", "udp://[::1]:0", "fd://web"] {
            assert_eq!(name(url), None, "{url}");
        }
    }

    #[test]
    fn fdstore_handover_name_has_the_service_of_an_ephemeral_port() {
        let maybe = |url: &str, service: &str| handover_name(&parse(url).unwrap(), service);
        let handed = |url: &str, service: &str| maybe(url, service).unwrap();
        assert_eq!(
            handed("tcp://127.0.0.1:7", "a"),
            "polyport/tcp/127.0.0.1%3A7"
        );
        let (one, other) = (
            handed("tcp://127.0.0.1:0", "a"),
            handed("tcp://127.0.0.1:0", "b"),
        );
        assert_eq!(one, "polyport/tcp/127.0.0.1%3A0/a");
        assert_ne!(one, other);
        assert!(is_fdstore_name(&one));
        assert_eq!(maybe("fd://web", "a"), None);
    }

    #[test]
    fn fdstore_name_that_is_long_is_cut_and_unique() {
        let long = |last: &str| name(&format!("unix:///{}{last}", "%01".repeat(100))).unwrap();
        let (first, second) = (long("a"), long("b"));
        assert_eq!(first.len(), NAME_BYTES_MAX);
        assert_ne!(first, second);
        assert!(first.starts_with("polyport/unix/%01%01") && is_fdstore_name(&first));
        assert!(
            first.ends_with("~995b91a6826855157340c885619c44e9"),
            "{first}"
        );
        let allowed = |byte: u8| (b' '..127).contains(&byte) && byte != b':';
        assert!(first.bytes().all(allowed));
    }

    #[test]
    fn fdstore_names_of_others_are_told_apart() {
        for other in [
            "",
            "unknown",
            "polyport.socket",
            "polyport/",
            "polyport/x",
            "tcp/1",
        ] {
            assert!(!is_fdstore_name(other), "{other}");
        }
    }
}
