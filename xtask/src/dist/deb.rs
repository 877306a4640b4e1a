//! Packages for Debian, by debhelper.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::Packing;
use crate::workspace::succeed;

/// Who makes packages.
pub(super) const MAINTAINER: &str = "Polyport maintainers <maintainers@polyport.example>";

impl Packing<'_> {
    /// Makes the packages for Debian.
    pub(super) fn deb(&self) -> Result<Vec<PathBuf>> {
        let folder = self.fresh("deb")?;
        let source = folder.join("polyport");
        fs::create_dir(&source)?;
        let mut copy = Command::new("cp");
        copy.arg("-r")
            .arg(self.workspace.root.join("packaging/debian"));
        succeed(copy.arg(&source))?;
        fs::write(source.join("debian/changelog"), self.debian_changelog()?)?;
        // What is needed was looked for already; it would ask for a whole build environment.
        let mut build = self.packager("dpkg-buildpackage");
        build
            .current_dir(&source)
            .env("DEB_BUILD_OPTIONS", "nocheck")
            .args([
                "--build=binary",
                "--unsigned-changes",
                "--unsigned-buildinfo",
            ])
            .arg("--no-check-builddeps");
        succeed(&mut build)?;
        self.collect(&folder, "deb")
    }

    /// One entry: what changed for users stands in CHANGELOG.md, which is packaged too.
    fn debian_changelog(&self) -> Result<String> {
        Ok(format!(
            "polyport ({}-{}) unstable; urgency=medium\n\n  \
             * What changed stands in /usr/share/doc/polyport/changelog.gz.\n\n \
             -- {MAINTAINER}  {}\n",
            self.version,
            self.revision,
            self.date("+%a, %d %b %Y %H:%M:%S +0000")?
        ))
    }
}
