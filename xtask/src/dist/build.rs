//! One build for all packages, with no path of this machine in it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Packing;
use crate::plugins;
use crate::workspace::{Profile, succeed};

impl Packing<'_> {
    /// Builds programs and plugins. Distributions' tools take the debug symbols out, so plugins are sealed by them.
    pub(super) fn build(&self) -> Result<()> {
        let mut build = plugins::build_command(self.workspace, Profile::Release)?;
        build
            .env("CARGO_TARGET_DIR", &self.work)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags()?)
            .env_remove("RUSTFLAGS")
            .env("SOURCE_DATE_EPOCH", &self.epoch);
        succeed(&mut build)
    }

    /// For the compiler; later ones win, so the folder of the build, which may be in that of the sources, follows it.
    fn flags(&self) -> Result<String> {
        let renamed = [
            (self.workspace.root.as_path(), "/usr/src/polyport"),
            (self.work.as_path(), "/usr/src/polyport/target"),
            (&cargo_home()?, "/usr/src/cargo"),
        ];
        let flags = renamed.map(|(from, to)| rename(from, to));
        // What cargo wants between flags, which may have spaces in them.
        Ok(flags.join("\u{1f}"))
    }
}

fn rename(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(home));
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cargo"))
}
