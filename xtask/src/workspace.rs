//! Where the repository and its build output are, and how commands are run in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The repository that the tasks work on.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds, whichever way it was told.
    pub(crate) target: PathBuf,
}

/// How things are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build, with debug assertions.
    Dev,
    /// Quick to run.
    Release,
}

impl Profile {
    /// The folder under the target directory.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }

    /// The name that cargo knows it by.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }
}

impl Workspace {
    /// Asks cargo where things are.
    ///
    /// # Errors
    /// Cargo cannot be run, or cannot read the workspace.
    pub(crate) fn find() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .parent()
            .context("xtask is not inside the workspace")?
            .to_owned();
        let mut found = Self {
            root,
            target: PathBuf::new(),
        };
        let metadata = found.metadata(&["--no-deps"])?;
        let target = metadata.get("target_directory").and_then(Value::as_str);
        found.target = target
            .context("cargo metadata names no target directory")?
            .into();
        Ok(found)
    }

    /// What cargo knows of the workspace and, unless told otherwise, of its dependencies.
    ///
    /// # Errors
    /// Cargo cannot be run, or cannot read the workspace.
    pub(crate) fn metadata(&self, options: &[&str]) -> Result<Value> {
        let mut metadata = self.cargo();
        metadata.args(["metadata", "--locked", "--format-version=1"]);
        let output = metadata
            .args(options)
            .output()
            .context("cannot run cargo")?;
        if !output.status.success() {
            let fault = String::from_utf8_lossy(&output.stderr);
            bail!("cargo metadata: {}", fault.trim());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Where a profile's files are built.
    pub(crate) fn built(&self, profile: Profile) -> PathBuf {
        self.target.join(profile.folder())
    }

    /// A cargo command in the root of the workspace, with the cargo that started us.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO");
        let mut command = Command::new(cargo.as_deref().unwrap_or_else(|| OsStr::new("cargo")));
        command.current_dir(&self.root);
        command
    }
}

/// Prints the command, runs it, and fails when it fails.
///
/// # Errors
/// It cannot be run, or it ended with anything but 0.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let line = shown(command);
    eprintln!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["doc", "--no-deps"]);
        assert_eq!(shown(&command), "cargo doc --no-deps");
    }
}
