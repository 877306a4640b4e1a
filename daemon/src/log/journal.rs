//! The native protocol of the journal: each event is one datagram of fields, so that `journalctl POLYPORT_SERVICE=web`
//! finds it.

use std::fmt::Debug;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::log::writer::LogWriter;

/// The socket of the journal.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// Most bytes of a value: an entry has to fit into a datagram.
const VALUE_MAX: usize = 16 << 10;
/// How long the write of an entry blocks while the journal does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes to the journal; each write is one entry.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Socket {
    /// Connects once, to check that the journal runs.
    ///
    /// # Errors
    /// It does not run.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(path)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let path = path.to_owned();
        Ok(Self { socket, path })
    }
}

impl Write for Socket {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        // By path each time, so that a restarted journal is found.
        self.socket.send_to(entry, &self.path)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Turns events into entries.
#[derive(Debug)]
pub(super) struct Journal(pub(super) Arc<LogWriter>);

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry {
            bytes: Vec::with_capacity(256),
            message: String::new(),
            fields: String::new(),
        };
        entry.put("PRIORITY", priority(*event.metadata().level()));
        entry.put("SYSLOG_IDENTIFIER", "polyportd");
        event.record(&mut entry);
        self.0.push(entry.complete());
    }
}

/// The priority of syslog.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

struct Entry {
    bytes: Vec<u8>,
    message: String,
    /// All fields as text, because `journalctl` and `systemctl status` show only the message.
    fields: String,
}

impl Entry {
    fn complete(mut self) -> Vec<u8> {
        let message = format!("{}{}", self.message, self.fields);
        self.put("MESSAGE", &message);
        self.bytes
    }

    /// Name, length, value: a value may contain line breaks.
    fn put(&mut self, name: &str, value: &str) {
        let end = value.floor_char_boundary(VALUE_MAX);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(b'\n');
        self.bytes.extend_from_slice(&(end as u64).to_le_bytes());
        self.bytes.extend(value.bytes().take(end));
        self.bytes.push(b'\n');
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => {
                self.fields += &format!(" {name}={value}");
                let upper = name.to_ascii_uppercase();
                let plain = upper.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
                self.put(&format!("POLYPORT_{plain}"), value);
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    /// Parses an entry as the journal does.
    fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut fields = Vec::new();
        while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
            let (name, rest) = (&entry[..end], &entry[end + 1..]);
            let (length, rest) = rest.split_first_chunk::<8>().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            fields.push((text(name), text(&rest[..length])));
            assert_eq!(rest[length], b'\n');
            entry = &rest[length + 1..];
        }
        assert!(entry.is_empty());
        fields
    }

    fn logged(log: impl FnOnce()) -> Vec<(String, String)> {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("journal");
        let journal = UnixDatagram::bind(&path).unwrap();
        journal
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let lines = LogWriter::start(Socket::open(&path).unwrap()).unwrap();
        let layer = tracing_subscriber::registry().with(Journal(lines));
        tracing::subscriber::with_default(layer, log);
        let mut entry = vec![0; 1 << 18];
        let length = journal.recv(&mut entry).unwrap();
        fields(&entry[..length])
    }

    #[test]
    fn journal_entry_has_the_fields_of_its_event() {
        let found = logged(|| {
            let error = io::Error::other("it\nbroke");
            tracing::warn!(service = "web", plugin.size = 7, %error, "two\nlines");
        });
        let wanted = [
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "polyportd"),
            ("POLYPORT_SERVICE", "web"),
            ("POLYPORT_PLUGIN_SIZE", "7"),
            ("POLYPORT_ERROR", "it\nbroke"),
            (
                "MESSAGE",
                "two\nlines service=web plugin.size=7 error=it\nbroke",
            ),
        ];
        assert_eq!(
            found,
            wanted.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn journal_value_is_cut_before_the_entry_is_too_large() {
        let found = logged(|| tracing::error!("{}", "ä".repeat(VALUE_MAX)));
        assert_eq!(found[2].1.len(), VALUE_MAX);
    }

    #[test]
    fn journal_that_does_not_run_is_an_error() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("journal");
        assert!(Socket::open(&path).is_err());
        drop(UnixDatagram::bind(&path).unwrap());
        assert!(Socket::open(&path).is_err(), "no process listens");
    }
}
