//! The log: text, JSON or the journal; set up once. A closed or full log never ends the daemon, and one that nobody
//! reads never holds up a worker: lines go through a bounded queue to a thread that writes them, and are dropped
//! when the queue is full.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use polyport_config::{LogFormat, LogLevel};
use polyport_host::services::set_log_level;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// Lines that wait to be written.
const LINES_MAX: usize = 16_384;

/// Ends the writing thread when it is dropped.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Writes what waits, for at most a second; what is logged afterwards is lost.
pub fn finish() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Sets the log up as configured, for the whole process; plugins see the same level.
pub fn start(format: LogFormat, level: LogLevel) {
    let (filter, of_plugins) = match level {
        LogLevel::Error => (LevelFilter::ERROR, 1),
        LogLevel::Warn => (LevelFilter::WARN, 2),
        LogLevel::Info => (LevelFilter::INFO, 3),
        LogLevel::Debug => (LevelFilter::DEBUG, 4),
        LogLevel::Trace => (LevelFilter::TRACE, 5),
    };
    set_log_level(of_plugins);
    // A second call, as tests make it, keeps the first set-up.
    drop(
        tracing_subscriber::registry()
            .with(layer(format).with_filter(filter))
            .try_init(),
    );
}

fn layer(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let journal = match format {
        LogFormat::Auto => polyport_sys::process::is_journal(io::stderr().as_fd()),
        LogFormat::Journald => true,
        LogFormat::Text | LogFormat::Json => false,
    };
    if journal && let Ok(layer) = tracing_journald::layer() {
        return layer.with_field_prefix(Some("POLYPORT".to_owned())).boxed();
    }
    // With its defaults the writer panics when it cannot write; this way the line is lost, and the daemon lives.
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES_MAX)
        .lossy(true)
        .finish(io::stderr());
    WRITER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .replace(guard);
    let plain = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        .log_internal_errors(false);
    match format {
        LogFormat::Json => plain
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
        _ => plain.with_target(false).boxed(),
    }
}
