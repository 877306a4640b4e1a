//! Folders of configuration files laid over each other: of files with one name, only that in the earliest folder is
//! read. So what a package brings is overridden without a change to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::faults::Fault;
use crate::node::Place;
use crate::pattern::matching;

/// What stands for a file that is not wanted: a link to it hides those of its name in later folders.
const NOTHING: &str = "/dev/null";

/// The `*.yaml` files of some folders, sorted by name, wherever they are. A folder that is not there is empty.
pub(crate) fn files<'a>(
    folders: impl Iterator<Item = (PathBuf, &'a Place)>,
) -> Result<Vec<(PathBuf, &'a Place)>, Fault> {
    let mut by_name = BTreeMap::new();
    for (folder, place) in folders {
        for file in matching(&folder.join("*.yaml"), place)? {
            if let Some(name) = file.file_name() {
                by_name.entry(name.to_owned()).or_insert((file, place));
            }
        }
    }
    let wanted = |(file, _): &(PathBuf, &Place)| {
        file.read_link()
            .map_or(true, |target| target != Path::new(NOTHING))
    };
    Ok(by_name.into_values().filter(wanted).collect())
}
