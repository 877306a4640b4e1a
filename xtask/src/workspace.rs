//! Where the repository and its build output are, and how commands are run in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

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
        let mut metadata = Self {
            root: root.clone(),
            target: PathBuf::new(),
        }
        .cargo();
        metadata.args(["metadata", "--no-deps", "--format-version=1"]);
        let output = metadata.output().context("cannot run cargo")?;
        if !output.status.success() {
            bail!(
                "cargo metadata: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let text = String::from_utf8(output.stdout)?;
        let target = json_string(&text, "target_directory")
            .context("cargo metadata does not name the target directory")?;
        Ok(Self {
            root,
            target: PathBuf::from(target),
        })
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

/// The first string of that name in a JSON text; enough for one path out of cargo's metadata.
pub(crate) fn json_string(text: &str, key: &str) -> Option<String> {
    let marker = format!("\"{key}\":\"");
    let start = text.find(&marker)? + marker.len();
    let mut value = String::new();
    let mut characters = text.get(start..)?.chars();
    loop {
        match characters.next()? {
            '"' => return Some(value),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_taken_out_of_json() {
        let text = r#"{"a":1,"target_directory":"/tmp/a \"b\"\\c","z":""}"#;
        assert_eq!(
            json_string(text, "target_directory").unwrap(),
            r#"/tmp/a "b"\c"#
        );
        assert_eq!(json_string(text, "z").unwrap(), "");
        assert_eq!(json_string(text, "missing"), None);
    }

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["doc", "--no-deps"]);
        assert_eq!(shown(&command), "cargo doc --no-deps");
    }
}
