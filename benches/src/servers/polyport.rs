//! polyportd as an operator starts it: a configuration file, its defaults, and one service.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::{Daemon, guard};

/// Writes the configuration into `folder` and gives the command that serves it.
pub(crate) fn command(
    daemon: &Option<Daemon>,
    folder: &Path,
    port: u16,
    workers: u16,
) -> Result<Command> {
    let daemon = daemon.as_ref().context("no daemon was given")?;
    let file = folder.join("polyport.yaml");
    fs::write(&file, configuration(&daemon.plugins, port, workers)?)?;
    let mut command = guard::command(&daemon.program)?;
    command.arg("--config").arg(file);
    Ok(command)
}

/// A JSON string is a YAML string too, whatever the path holds.
fn configuration(plugins: &Path, port: u16, workers: u16) -> Result<String> {
    let plugins = serde_json::to_string(plugins)?;
    Ok(format!(
        "daemon: {{workers: {workers}, plugin-path: [{plugins}]}}\n\
         services:\n  \
           bench:\n    \
             listen: [\"tcp://127.0.0.1:{port}\", \"udp://127.0.0.1:{port}\"]\n    \
             handler: echo\n    \
             timeouts: {{idle: 5m}}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_what_an_operator_writes() {
        let text = configuration(Path::new("/opt/a b"), 7007, 1).unwrap();
        let expected = r#"daemon: {workers: 1, plugin-path: ["/opt/a b"]}
services:
  bench:
    listen: ["tcp://127.0.0.1:7007", "udp://127.0.0.1:7007"]
    handler: echo
    timeouts: {idle: 5m}
"#;
        assert_eq!(text, expected);
    }
}
