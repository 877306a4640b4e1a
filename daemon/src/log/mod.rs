//! The log: text, JSON or the journal; set up once. Lines go through a bounded queue to one writer thread, so that a
//! closed, full or unread log neither ends the daemon nor blocks another thread.

mod journal;
pub mod writer;

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use polyport_config::{LogFormat, LogLevel};
use polyport_host::services::set_log_level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use journal::Journal;

use writer::LogWriter;

/// How long the end of the process waits for lines that are not written yet.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue and its thread.
static WRITER: OnceLock<Arc<LogWriter>> = OnceLock::new();

/// Changes the level.
static LEVEL: OnceLock<Handle<LevelFilter, Registry>> = OnceLock::new();

/// Waits until all lines are written, for at most a second.
pub fn finish() {
    if let Some(lines) = WRITER.get() {
        lines.finish(FINISH_TIMEOUT);
    }
}

/// Sets the log up for the whole process, plugins included.
pub fn start(format: LogFormat, level: LogLevel) {
    let (filter, of_plugins) = threshold(level);
    set_log_level(of_plugins);
    let socket = wants_journal(format).then(|| journal::Socket::open(Path::new(journal::SOCKET)));
    let (lines, layer, missing) = match socket {
        Some(Ok(socket)) => (LogWriter::start(socket), Form::Journal, None),
        Some(Err(error)) => (LogWriter::start(io::stderr()), Form::Text, Some(error)),
        None if format == LogFormat::Json => (LogWriter::start(io::stderr()), Form::Json, None),
        None => (LogWriter::start(io::stderr()), Form::Text, None),
    };
    let lines = match lines {
        Ok(lines) => lines,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: no log: {error}"));
            return;
        }
    };
    // A second call, as in tests, keeps the first set-up.
    if WRITER.set(Arc::clone(&lines)).is_ok() {
        let (filter, handle) = reload::Layer::new(filter);
        let layer = layer.layer(lines).with_filter(filter);
        drop(tracing_subscriber::registry().with(layer).try_init());
        drop(LEVEL.set(handle));
        if let Some(error) = missing {
            tracing::warn!(%error, path = journal::SOCKET, "no journal: the log is text on stderr");
        }
    }
}

/// Changes the level, for plugins too.
pub fn set_level(level: LogLevel) {
    let (filter, of_plugins) = threshold(level);
    set_log_level(of_plugins);
    // It fails only if the subscriber is gone.
    if let Some(handle) = LEVEL.get() {
        drop(handle.reload(filter));
    }
}

/// A level for the log and for plugins.
fn threshold(level: LogLevel) -> (LevelFilter, u32) {
    match level {
        LogLevel::Error => (LevelFilter::ERROR, 1),
        LogLevel::Warn => (LevelFilter::WARN, 2),
        LogLevel::Info => (LevelFilter::INFO, 3),
        LogLevel::Debug => (LevelFilter::DEBUG, 4),
        LogLevel::Trace => (LevelFilter::TRACE, 5),
    }
}

fn wants_journal(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => polyport_sys::process::is_journal(io::stderr().as_fd()),
        LogFormat::Journald => true,
        LogFormat::Text | LogFormat::Json => false,
    }
}

/// The format of a line.
#[derive(Debug, Clone, Copy)]
enum Form {
    Text,
    Json,
    Journal,
}

impl Form {
    fn layer(self, lines: Arc<LogWriter>) -> Box<dyn Layer<Registry> + Send + Sync> {
        if let Self::Journal = self {
            return Journal(lines).boxed();
        }
        let plain = tracing_subscriber::fmt::layer()
            .with_writer(lines)
            .with_ansi(false)
            .log_internal_errors(false);
        match self {
            Self::Json => plain
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .boxed(),
            Self::Text | Self::Journal => plain.with_target(false).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No other test of this process may depend on the level.
    #[test]
    fn log_level_is_changed_while_it_runs() {
        let seen = || {
            (
                LevelFilter::current(),
                tracing::enabled!(tracing::Level::DEBUG),
            )
        };
        start(LogFormat::Text, LogLevel::Info);
        assert_eq!(seen(), (LevelFilter::INFO, false));
        set_level(LogLevel::Debug);
        assert_eq!(seen(), (LevelFilter::DEBUG, true));
        set_level(LogLevel::Error);
        assert_eq!(seen(), (LevelFilter::ERROR, false));
    }
}
