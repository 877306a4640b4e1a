//! `cargo xtask manifests`: the image's definition and the Kubernetes manifests, before linters that know these formats
//! and bring all schemas with them. What the files mean together is held by `tests/kubernetes.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace::{Workspace, succeed};

/// The linters, with their exact versions.
const WANTED: &str = "packaging/linters.txt";
const IMAGE: &str = "packaging/oci/Containerfile";
const MANIFESTS: &str = "packaging/kubernetes";
/// It is for a tool beside the cluster, which has no schema for it.
const NOT_FOR_THE_CLUSTER: &str = "kustomization.yaml";
/// The first that sleeps by itself in `preStop`, and the newest that the validator knows.
const KUBERNETES: &[&str] = &["1.30", "1.37"];
/// What a dead network may take.
const PATIENCE_SECONDS: &str = "300";

/// Lints the image's definition and validates every manifest.
///
/// # Errors
/// A linter found something, or there is none though there should be.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let linters = Linters {
        folder: workspace.target.join("linters"),
    };
    if let Err(fault) = linters.install(workspace) {
        if linters.must_be_here() {
            return Err(fault);
        }
        eprintln!("SKIPPED: {IMAGE} and {MANIFESTS} are not linted: {fault:#}");
        return Ok(());
    }
    succeed(linters.program("hadolint").arg(workspace.root.join(IMAGE)))?;
    let manifests = manifests(&workspace.root.join(MANIFESTS))?;
    for version in KUBERNETES {
        for manifest in &manifests {
            let (passed, said) = linters.validate(version, manifest)?;
            if !passed {
                bail!("Kubernetes {version} refuses it: {said}");
            }
        }
        linters.prove_that_it_refuses(version, &manifests)?;
    }
    println!(
        "manifests: the image's definition is well, and {} manifests are for Kubernetes {}",
        manifests.len(),
        KUBERNETES.join(" and ")
    );
    Ok(())
}

/// The files that a cluster is given, in order.
fn manifests(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let is_yaml = path.extension().is_some_and(|ending| ending == "yaml");
        if is_yaml && !path.ends_with(NOT_FOR_THE_CLUSTER) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Programs in an environment of their own.
struct Linters {
    folder: PathBuf,
}

impl Linters {
    /// Installs what is wanted, unless exactly that is here.
    fn install(&self, workspace: &Workspace) -> Result<()> {
        let wanted = fs::read_to_string(workspace.root.join(WANTED)).context(WANTED)?;
        let stamp = self.folder.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        let mut environment = Command::new("python3");
        environment.args(["-m", "venv", "--clear"]);
        succeed(environment.arg(&self.folder)).context(
            "python3 makes no environment; on Debian: sudo apt-get install python3-venv",
        )?;
        let mut install = self.pip();
        install.args(["install", "--quiet", "--no-deps", "--requirement", WANTED]);
        succeed(install.current_dir(&workspace.root))
            .context("the linters cannot be installed; is the registry reachable?")?;
        fs::write(&stamp, wanted).context("what was installed cannot be noted")
    }

    /// In continuous integration they are part of the proof, unless their registry is out of reach.
    fn must_be_here(&self) -> bool {
        if std::env::var_os("CI").is_none_or(|value| value != "true") {
            return false;
        }
        let has_pip = self.folder.join("bin/pip").exists();
        let mut fetch = self.pip();
        fetch
            .args(["download", "--quiet", "--no-deps", "pip", "--dest"])
            .arg(self.folder.join("reached"));
        fetch.stdin(Stdio::null()).stderr(Stdio::null());
        !has_pip || fetch.status().is_ok_and(|status| status.success())
    }

    fn pip(&self) -> Command {
        let mut command = Command::new("timeout");
        command
            .arg(PATIENCE_SECONDS)
            .arg(self.folder.join("bin/pip"));
        command.arg("--disable-pip-version-check");
        command
    }

    fn program(&self, name: &str) -> Command {
        Command::new(self.folder.join("bin").join(name))
    }

    /// Whether a manifest is valid, and what was said of it. A kind without a schema is a mere warning to the validator,
    /// and so has not passed here.
    fn validate(&self, version: &str, manifest: &Path) -> Result<(bool, String)> {
        let mut validate = self.program("kubernetes-validate");
        validate.args(["--strict", "--kubernetes-version", version]);
        let output = validate
            .arg(manifest)
            .stdin(Stdio::null())
            .output()
            .context("the validator cannot be run")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        let passed = output.status.success() && said.contains("passed for resource");
        Ok((passed, said))
    }

    /// A key of the first manifest that has one is misspelt: a validator that takes it takes everything.
    fn prove_that_it_refuses(&self, version: &str, manifests: &[PathBuf]) -> Result<()> {
        let broken = self.folder.join("broken.yaml");
        for manifest in manifests {
            let text = fs::read_to_string(manifest)?;
            let misspelt = text.replace("readOnlyRootFilesystem", "readOnlyRootFileSystem");
            if misspelt != text {
                fs::write(&broken, misspelt)?;
                let (passed, said) = self.validate(version, &broken)?;
                if passed || !said.contains("readOnlyRootFileSystem") {
                    bail!("the validator of Kubernetes {version} takes a misspelt key: {said}");
                }
                return Ok(());
            }
        }
        bail!("no manifest has the key by which the validator is tried")
    }
}
