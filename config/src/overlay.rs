//! Overlay folders: of files with the same name, only that of the earliest folder is read. So a package's file is
//! overridden without changing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::faults::Fault;
use crate::node::Position;
use crate::pattern::matching;

/// A link to this file hides the files of its name in later folders.
const NULL_DEVICE: &str = "/dev/null";

/// The `*.yaml` files of all folders, sorted by name. A missing folder is empty.
pub(crate) fn files<'a>(
    folders: impl Iterator<Item = (PathBuf, &'a Position)>,
) -> Result<Vec<(PathBuf, &'a Position)>, Fault> {
    let mut by_name = BTreeMap::new();
    for (folder, position) in folders {
        for file in matching(&folder.join("*.yaml"), position)? {
            if let Some(name) = file.file_name() {
                by_name.entry(name.to_owned()).or_insert((file, position));
            }
        }
    }
    let wanted = |(file, _): &(PathBuf, &Position)| {
        file.read_link()
            .map_or(true, |target| target != Path::new(NULL_DEVICE))
    };
    Ok(by_name.into_values().filter(wanted).collect())
}
