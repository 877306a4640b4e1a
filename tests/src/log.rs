//! The log of a daemon: its lines as they come, read as events.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Event {
    /// `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE`; empty for a line that is no event.
    pub level: String,
    /// The name of the event; for a line that is no event, the line.
    pub message: String,
    /// Its fields, as text; those of the spans around it too.
    pub fields: BTreeMap<String, String>,
    /// The line itself.
    pub line: String,
}

impl Event {
    fn read(line: &str) -> Self {
        let mut event = Self {
            level: String::new(),
            message: line.to_owned(),
            fields: BTreeMap::new(),
            line: line.to_owned(),
        };
        let Ok(Value::Object(object)) = serde_json::from_str(line) else {
            return event;
        };
        for (key, value) in object {
            match (key.as_str(), value) {
                ("fields" | "span", inner) => event.take(inner),
                ("spans", Value::Array(spans)) => {
                    for span in spans {
                        event.take(span);
                    }
                }
                ("level", Value::String(level)) => event.level = level.to_uppercase(),
                (_, value) => event.put(key, &value),
            }
        }
        event.message = event.fields.remove("message").unwrap_or_default();
        event
    }

    fn take(&mut self, object: Value) {
        if let Value::Object(inner) = object {
            for (key, value) in inner {
                self.put(key, &value);
            }
        }
    }

    fn put(&mut self, key: String, value: &Value) {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.fields.entry(key).or_insert(text);
    }

    /// A field, or the empty string.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Returns whether this is the event of that name.
    pub fn is(&self, name: &str) -> bool {
        self.message == name
    }

    /// Returns whether this is the event of that name with that field.
    pub fn has(&self, name: &str, field: &str, value: &str) -> bool {
        self.is(name) && self.field(field) == value
    }
}

#[derive(Default)]
struct Lines {
    lines: Vec<Event>,
    ended: bool,
}

/// The log of one daemon, filled by a thread as it is written.
#[derive(Clone, Default)]
pub struct Log {
    shared: Arc<(Mutex<Lines>, Condvar)>,
}

impl fmt::Debug for Log {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in self.events() {
            writeln!(out, "  {}", event.line)?;
        }
        Ok(())
    }
}

impl Log {
    /// Reads `source` to its end on a thread of its own.
    pub fn follow(source: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let writer = log.clone();
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                writer.push(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
            writer.end();
        });
        log
    }

    fn push(&self, line: &str) {
        let (lines, more) = &*self.shared;
        let event = Event::read(line);
        lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .push(event);
        more.notify_all();
    }

    fn end(&self) {
        let (lines, more) = &*self.shared;
        lines.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        more.notify_all();
    }

    /// All lines so far.
    pub fn events(&self) -> Vec<Event> {
        let (lines, _) = &*self.shared;
        lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .clone()
    }

    /// The events of one name, so far.
    pub fn named(&self, name: &str) -> Vec<Event> {
        let mut events = self.events();
        events.retain(|event| event.is(name));
        events
    }

    /// Returns whether any line so far holds this text.
    pub fn contains(&self, text: &str) -> bool {
        self.events().iter().any(|event| event.line.contains(text))
    }

    /// Waits until the writer has closed its end.
    pub fn wait_end(&self, limit: Duration) {
        let (lines, more) = &*self.shared;
        let guard = lines.lock().unwrap_or_else(PoisonError::into_inner);
        drop(more.wait_timeout_while(guard, limit, |lines| !lines.ended));
    }

    /// The first event that fits, now or within the limit; `None` when none comes or the log ends first.
    pub fn find(&self, limit: Duration, fits: impl Fn(&Event) -> bool) -> Option<Event> {
        let deadline = Instant::now() + limit;
        let (lines, more) = &*self.shared;
        let mut guard = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = 0;
        loop {
            if let Some(event) = guard.lines[seen..].iter().find(|event| fits(event)) {
                return Some(event.clone());
            }
            seen = guard.lines.len();
            let left = deadline.checked_duration_since(Instant::now())?;
            if guard.ended {
                return None;
            }
            guard = more
                .wait_timeout(guard, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The same for an event that must come.
    #[track_caller]
    pub fn wait(&self, what: &str, limit: Duration, fits: impl Fn(&Event) -> bool) -> Event {
        match self.find(limit, fits) {
            Some(event) => event,
            None => panic!("the log did not say within {limit:?}: {what}"),
        }
    }

    /// Waits for a line that holds this text.
    #[track_caller]
    pub fn wait_for(&self, text: &str, limit: Duration) -> Event {
        self.wait(text, limit, |event| event.line.contains(text))
    }

    /// Waits for an event by name.
    #[track_caller]
    pub fn wait_named(&self, name: &str, limit: Duration) -> Event {
        self.wait(name, limit, |event| event.is(name))
    }
}
