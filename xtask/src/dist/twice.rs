//! The proof that packages depend on the sources alone: made again from a clone, under other paths, and compared.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{DistOptions, Packing};
use crate::workspace::{Workspace, succeed};

/// A clone of the last commit, made before anything else: what is changed meanwhile is not in it.
///
/// # Errors
/// There is something that is not committed, or git fails.
pub(super) fn cloned(first: &Packing<'_>) -> Result<Workspace> {
    let mut status = Command::new("git");
    status.current_dir(&first.workspace.root).args([
        "status",
        "--porcelain",
        "--untracked-files=no",
    ]);
    let output = status.output().context("cannot run git")?;
    if !output.status.success() || !output.stdout.is_empty() {
        bail!("commit first: what is compared with is a clone of the last commit");
    }
    let folder = first.fresh("again")?;
    let root = folder.join("source");
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet", "--depth=1"]);
    clone.arg(format!("file://{}", first.workspace.root.display()));
    succeed(clone.arg(&root))?;
    Ok(Workspace {
        root,
        target: folder.join("target"),
    })
}

/// Makes the packages again from the clone.
///
/// # Errors
/// A build fails, or the packages differ: they are named.
pub(super) fn check(
    first: &Packing<'_>,
    clone: &Workspace,
    options: &DistOptions,
    made: &[PathBuf],
) -> Result<()> {
    let second = Packing {
        workspace: clone,
        work: clone.target.join("work"),
        into: clone.target.join("dist"),
        version: first.version.clone(),
        revision: first.revision,
        epoch: first.epoch.clone(),
    };
    let again = second.pack(options)?;
    compare(made, &again)
}

fn compare(made: &[PathBuf], again: &[PathBuf]) -> Result<()> {
    let mut different = Vec::new();
    for (one, other) in made.iter().zip(again) {
        if one.file_name() != other.file_name() || fs::read(one)? != fs::read(other)? {
            different.push(format!("{} and {}", one.display(), other.display()));
        }
    }
    if made.len() != again.len() || !different.is_empty() {
        bail!("two builds differ: {}", different.join("; "));
    }
    println!(
        "{} packages were made twice, with the same bytes",
        made.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_differs_is_found() {
        let folder = std::env::temp_dir().join(format!("xtask-twice-{}", std::process::id()));
        let file = |part: &str, text: &str| {
            fs::create_dir_all(folder.join(part)).unwrap();
            let path = folder.join(part).join("a.deb");
            fs::write(&path, text).unwrap();
            path
        };
        let (one, same, other) = (file("1", "ab"), file("2", "ab"), file("3", "ac"));
        compare(std::slice::from_ref(&one), &[same]).unwrap();
        let fault = compare(std::slice::from_ref(&one), &[other])
            .unwrap_err()
            .to_string();
        assert!(fault.contains("two builds differ"), "{fault}");
        assert!(compare(&[one], &[]).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
