//! Builds the daemon with its plugins and gathers the plugins in one folder, as an installation
//! has them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::{Profile, Workspace, succeed};

/// The plugin path of a build: where [`gather`] puts plugins.
pub(crate) fn folder(workspace: &Workspace, profile: Profile) -> PathBuf {
    workspace.built(profile).join("plugins")
}

/// Names of the bundled plugins: the folders of `plugins/`.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn bundled(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("plugins");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Builds the two programs and the bundled plugins, gathers the plugins, and seals them.
///
/// # Errors
/// A build fails, or a file cannot be written.
pub(crate) fn build(workspace: &Workspace, profile: Profile) -> Result<()> {
    succeed(&mut build_command(workspace, profile)?)?;
    gather(workspace, profile)?;
    seal(workspace, profile)
}

/// What builds the two programs and the bundled plugins.
///
/// # Errors
/// The plugins cannot be listed.
pub(crate) fn build_command(workspace: &Workspace, profile: Profile) -> Result<Command> {
    let mut build = workspace.cargo();
    build.args([
        "build",
        "--locked",
        "--profile",
        profile.name(),
        "--package",
        "polyportd",
        "--package",
        "polyportctl",
    ]);
    for name in bundled(workspace)? {
        build.args(["--package", &format!("polyport-{name}")]);
    }
    Ok(build)
}

/// Writes the hash of each gathered plugin into it, as a package does: every damage is then refused.
fn seal(workspace: &Workspace, profile: Profile) -> Result<()> {
    let mut seal = Command::new(workspace.built(profile).join("polyportd"));
    seal.arg("seal");
    for entry in fs::read_dir(folder(workspace, profile))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "so") {
            seal.arg(path);
        }
    }
    succeed(&mut seal)
}

/// Copies the built plugins into the folder and compiles the examples in C beside them.
///
/// # Errors
/// A plugin is not built, or a file cannot be written.
pub(crate) fn gather(workspace: &Workspace, profile: Profile) -> Result<()> {
    let folder = folder(workspace, profile);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // The daemon refuses plugins that others may write to when it runs as root.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    for name in bundled(workspace)? {
        let file = format!("libpolyport_{name}.so");
        let built = workspace.built(profile).join(&file);
        install(&built, &folder.join(&file))?;
    }
    for (source, name) in [("echo.c", "echo_c"), ("tally.c", "tally")] {
        let file = format!("libpolyport_{name}.so");
        let built = workspace.built(profile).join(&file);
        compile(workspace, &format!("plugin-api/examples/{source}"), &built)?;
        install(&built, &folder.join(&file))?;
    }
    Ok(())
}

/// Compiles a plugin in C against the headers alone.
fn compile(workspace: &Workspace, source: &str, into: &Path) -> Result<()> {
    succeed(&mut compiler(&workspace.root, source, into))
}

fn compiler(root: &Path, source: &str, into: &Path) -> Command {
    let mut compile = Command::new("cc");
    compile
        .current_dir(root)
        .args([
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-O2",
            "-shared",
            "-fPIC",
            "-fvisibility=hidden",
        ])
        .args(["-Iplugin-api/include", "-o"])
        .arg(into)
        .arg(source);
    compile
}

/// Copies under another name and renames: a daemon that reads the folder never sees half a file.
fn install(from: &Path, to: &Path) -> Result<()> {
    let part = to.with_extension("so.part");
    fs::copy(from, &part).with_context(|| format!("cannot copy {}", from.display()))?;
    fs::set_permissions(&part, fs::Permissions::from_mode(0o644))?;
    fs::rename(&part, to).with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugins_in_the_documents_compile_without_a_warning() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for document in ["README.md", "docs/plugin-author.md"] {
            let text = fs::read_to_string(root.join(document)).unwrap();
            let (_, rest) = text.split_once("```c\n").unwrap();
            let (code, _) = rest.split_once("```").unwrap();
            let source = std::env::temp_dir().join(format!("xtask-{}.c", std::process::id()));
            fs::write(&source, code).unwrap();
            let mut compile = compiler(root, &source.to_string_lossy(), Path::new("/dev/null"));
            let output = compile.arg("-Werror").output().unwrap();
            fs::remove_file(&source).unwrap();
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}: {complaint}");
        }
    }
}
