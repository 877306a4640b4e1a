//! A configuration as a test writes it: before the start, and again for each reload.

use std::fmt::Write as _;
use std::path::Path;

/// The parts of a configuration. A name that is set again replaces its earlier value.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    daemon: Vec<String>,
    sections: Vec<(String, String)>,
    plugins: Vec<(String, String)>,
    services: Vec<(String, String)>,
    whole: Option<String>,
    is_quiet: bool,
}

impl Draft {
    /// Sets the text of the whole configuration.
    #[must_use]
    pub fn whole(mut self, yaml: impl Into<String>) -> Self {
        self.whole = Some(yaml.into());
        self
    }

    /// A line under `daemon:`.
    #[must_use]
    pub fn set(mut self, line: impl Into<String>) -> Self {
        let line = line.into();
        let key = |line: &str| line.split(':').next().map(str::to_owned);
        self.daemon.retain(|other| key(other) != key(&line));
        self.daemon.push(line);
        self
    }

    /// A section at the top level.
    #[must_use]
    pub fn section(mut self, name: &str, body: &str) -> Self {
        put(&mut self.sections, name, body.to_owned());
        self
    }

    /// Removes that section.
    #[must_use]
    pub fn without_section(mut self, section: &str) -> Self {
        self.sections.retain(|(name, _)| name != section);
        self
    }

    /// An instance of a plugin file, with more keys, such as `config: {a: 1}, after: [b]`.
    #[must_use]
    pub fn plugin(mut self, instance: &str, library: &Path, more: &str) -> Self {
        let comma = if more.is_empty() { "" } else { ", " };
        let body = format!("{{library: {}{comma}{more}}}", library.display());
        put(&mut self.plugins, instance, body);
        self
    }

    /// Removes that instance.
    #[must_use]
    pub fn without_plugin(mut self, instance: &str) -> Self {
        self.plugins.retain(|(name, _)| name != instance);
        self
    }

    /// A service: its name, its listeners (between them a comma and a space), its instance, and more
    /// keys, such as `timeouts: {idle: 1s}`.
    #[must_use]
    pub fn service(mut self, name: &str, listen: &str, handler: &str, more: &str) -> Self {
        let comma = if more.is_empty() { "" } else { ", " };
        let listen = listen
            .split(", ")
            .map(|url| format!("\"{url}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let body = format!("{{listen: [{listen}], handler: {handler}{comma}{more}}}");
        put(&mut self.services, name, body);
        self
    }

    /// Removes that service.
    #[must_use]
    pub fn without_service(mut self, service: &str) -> Self {
        self.services.retain(|(name, _)| name != service);
        self
    }

    /// A log without level debug, for tests with many streams.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.is_quiet = true;
        self
    }

    /// The text of the configuration.
    #[must_use]
    pub fn yaml(&self) -> String {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let level = if self.is_quiet { "info" } else { "debug" };
        let mut text = format!("log: {{format: json, level: {level}}}\n");
        for (name, body) in &self.sections {
            writeln!(text, "{name}: {body}").unwrap();
        }
        let sections = [("plugins", &self.plugins), ("services", &self.services)];
        if !self.daemon.is_empty() {
            text.push_str("daemon:\n");
        }
        for line in &self.daemon {
            writeln!(text, "  {line}").unwrap();
        }
        for (section, entries) in sections.iter().filter(|(_, entries)| !entries.is_empty()) {
            writeln!(text, "{section}:").unwrap();
            for (name, body) in *entries {
                writeln!(text, "  {name}: {body}").unwrap();
            }
        }
        text
    }
}

fn put(entries: &mut Vec<(String, String)>, name: &str, body: String) {
    match entries.iter_mut().find(|(other, _)| other == name) {
        Some((_, old)) => *old = body,
        None => entries.push((name.to_owned(), body)),
    }
}
