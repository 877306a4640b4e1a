//! `cargo xtask dist`: from a clone to packages in `dist/`. What they hold stands in `packaging/files.list`; here it is
//! built once, and handed to each distribution's own tools.

pub(crate) mod notices;
mod deb;
mod rpm;
mod twice;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::packages::{FOR_DEB, FOR_RPM, ensure};
use crate::plugins;
use crate::workspace::{Profile, Workspace, succeed};

/// What to make.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct DistOptions {
    /// Packages for Debian
    #[arg(long)]
    pub(crate) deb: bool,
    /// Packages for Fedora and its relatives
    #[arg(long)]
    pub(crate) rpm: bool,
    /// The number behind the version: of packages of one release, the higher one is the newer
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) revision: u32,
    /// Make them twice, the second time elsewhere, and compare
    #[arg(long)]
    pub(crate) check: bool,
}

impl DistOptions {
    /// Both kinds if none is named.
    pub(crate) fn makes_deb(&self) -> bool {
        self.deb || !self.rpm
    }

    pub(crate) fn makes_rpm(&self) -> bool {
        self.rpm || !self.deb
    }
}

/// What all packages of one run have in common.
struct Packing<'a> {
    workspace: &'a Workspace,
    /// Where it is built and packed; not where else cargo builds, since the compiler gets other flags.
    work: PathBuf,
    /// Where the packages go.
    into: PathBuf,
    version: String,
    revision: u32,
    /// Seconds since 1970: no package has a later time in it.
    epoch: String,
}

/// Makes the packages in `dist/`.
///
/// # Errors
/// As [`make`].
pub(crate) fn run(workspace: &Workspace, options: &DistOptions) -> Result<()> {
    make(workspace, options, &workspace.root.join("dist"))
}

/// Makes the packages in this folder.
///
/// # Errors
/// A tool is missing, a build fails, or with `check`: the packages of two builds differ.
pub(crate) fn make(workspace: &Workspace, options: &DistOptions, into: &Path) -> Result<()> {
    if options.makes_deb() {
        ensure(FOR_DEB)?;
    }
    if options.makes_rpm() {
        ensure(FOR_RPM)?;
    }
    let packing = Packing {
        workspace,
        work: workspace.target.join("packages"),
        into: into.to_owned(),
        version: version(&workspace.root)?,
        revision: options.revision,
        epoch: epoch(&workspace.root)?,
    };
    let clone = if options.check {
        Some(twice::cloned(&packing)?)
    } else {
        None
    };
    let made = packing.pack(options)?;
    if let Some(clone) = clone {
        twice::check(&packing, &clone, options, &made)?;
    }
    for package in &made {
        println!("{}", package.display());
    }
    Ok(())
}

impl Packing<'_> {
    /// Builds, and makes the packages that are asked for.
    fn pack(&self, options: &DistOptions) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(&self.into).with_context(|| self.into.display().to_string())?;
        self.build()?;
        notices::write(self.workspace, &self.made())?;
        let mut made = Vec::new();
        if options.makes_deb() {
            made.extend(self.deb()?);
        }
        if options.makes_rpm() {
            made.extend(self.rpm()?);
        }
        Ok(made)
    }

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

    /// Where programs and plugins are after [`Self::build`].
    fn built(&self) -> PathBuf {
        self.work.join("release")
    }

    /// Where the files are that are neither built nor in the repository.
    fn made(&self) -> PathBuf {
        self.work.join("made")
    }

    /// An empty folder under [`Self::work`].
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    /// A packager's tool, with what makes its output depend on the sources alone.
    fn packager(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("SOURCE_DATE_EPOCH", &self.epoch)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("POLYPORT_SOURCE", &self.workspace.root)
            .env("POLYPORT_BUILT", self.built())
            .env("POLYPORT_MADE", self.made());
        command
    }

    /// The time of the packages, as `date` writes it.
    fn date(&self, format: &str) -> Result<String> {
        let at = format!("--date=@{}", self.epoch);
        output_of(self.packager("date").args(["--utc", &at, format]))
    }

    /// Copies what a tool made, with this ending, to where packages go.
    fn collect(&self, folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
        let mut collected = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if let (Some(name), true) = (
                path.file_name(),
                path.extension().is_some_and(|end| end == ending),
            ) {
                let to = self.into.join(name);
                fs::copy(&path, &to).with_context(|| to.display().to_string())?;
                collected.push(to);
            }
        }
        if collected.is_empty() {
            bail!("{} has no .{ending}", folder.display());
        }
        collected.sort();
        Ok(collected)
    }
}

/// The version of the workspace: the first one in its manifest.
fn version(root: &Path) -> Result<String> {
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \""));
    let (version, _) = line
        .and_then(|rest| rest.split_once('"'))
        .context("Cargo.toml has no version")?;
    Ok(version.to_owned())
}

/// The time of the last commit, or what the environment says: a source without git needs that.
fn epoch(root: &Path) -> Result<String> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(epoch);
    }
    let mut log = Command::new("git");
    log.current_dir(root).args(["log", "-1", "--format=%ct"]);
    output_of(&mut log).context("outside of git, set SOURCE_DATE_EPOCH")
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

/// What a command prints.
fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let text = String::from_utf8(output.stdout)?.trim().to_owned();
    if !output.status.success() || text.is_empty() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(text)
}
