//! Packages for Fedora and its relatives, by rpmbuild.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::Packing;
use super::deb::MAINTAINER;
use crate::workspace::succeed;

impl Packing<'_> {
    /// Makes the packages.
    pub(super) fn rpm(&self) -> Result<Vec<PathBuf>> {
        let folder = self.fresh("rpm")?;
        for each in ["BUILD/polyport", "out"] {
            fs::create_dir_all(folder.join(each))?;
        }
        let root = &self.workspace.root;
        let kept = root.join("packaging/rpm/polyport.spec");
        let mut spec = fs::read_to_string(&kept).with_context(|| kept.display().to_string())?;
        spec += &self.rpm_changelog()?;
        let file = folder.join("polyport.spec");
        fs::write(&file, spec)?;

        let text = |path: PathBuf| path.display().to_string();
        let mut build = self.packager("rpmbuild");
        build.current_dir(&folder).arg("-bb");
        for (name, value) in [
            ("_topdir", text(folder.clone())),
            ("_rpmdir", text(folder.join("out"))),
            (
                "_build_name_fmt",
                "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned(),
            ),
            ("buildsubdir", "polyport".to_owned()),
            // The same bytes wherever and whenever it is made.
            ("_buildhost", "polyport.example".to_owned()),
            ("use_source_date_epoch_as_buildtime", "1".to_owned()),
            ("clamp_mtime_to_source_date_epoch", "1".to_owned()),
            ("polyport_source", text(root.clone())),
            ("polyport_built", text(self.built())),
            ("polyport_made", text(self.made())),
            ("polyport_version", self.version.clone()),
            ("polyport_revision", self.revision.to_string()),
        ] {
            build.arg("--define").arg(format!("{name} {value}"));
        }
        succeed(build.arg(&file))?;
        self.collect(&folder.join("out"), "rpm")
    }

    fn rpm_changelog(&self) -> Result<String> {
        Ok(format!(
            "%changelog\n* {} {MAINTAINER} - {}-{}\n- What changed stands in CHANGELOG.md.\n",
            self.date("+%a %b %d %Y")?,
            self.version,
            self.revision
        ))
    }
}
