//! From a plugin's name to its file: `kv` is `libpolyport_kv.so` or `kv.so` on the plugin path.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::load_error::{ErrorCode, LoadError};

/// A plugin that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file: of the first directory that has one.
    pub path: PathBuf,
    /// Files of the same name in later directories, to be logged.
    pub shadowed: Vec<PathBuf>,
}

/// Finds a plugin by name on `plugin_path`, or takes a path (anything with a slash) as it is.
///
/// # Errors
/// `not-found`, listing the directories and the nearest name that exists.
pub fn find(name_or_path: &str, plugin_path: &[PathBuf]) -> Result<Found, LoadError> {
    if name_or_path.contains('/') {
        let path = PathBuf::from(name_or_path);
        return if path.exists() {
            Ok(Found {
                path,
                shadowed: Vec::new(),
            })
        } else {
            Err(LoadError::new(ErrorCode::NotFound, "no such file").of(name_or_path))
        };
    }
    let files = [
        format!("{PREFIX}{name_or_path}{SUFFIX}"),
        format!("{name_or_path}{SUFFIX}"),
    ];
    let mut places = plugin_path
        .iter()
        .flat_map(|directory| files.iter().map(move |file| directory.join(file)))
        .filter(|path| !name_or_path.is_empty() && path.exists());
    match places.next() {
        Some(path) => Ok(Found {
            path,
            shadowed: places.collect(),
        }),
        None => Err(not_found(name_or_path, plugin_path)),
    }
}

/// All names that `find` finds, sorted, each once.
#[must_use]
pub fn names(plugin_path: &[PathBuf]) -> Vec<String> {
    let entries = plugin_path
        .iter()
        .filter_map(|directory| directory.read_dir().ok());
    let files = entries
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let plugins = files.filter(|path| path.extension().is_some_and(|end| end == "so"));
    plugins
        .map(|path| name_of(&path))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The short name of a plugin file: `kv` for `/lib/libpolyport_kv.so` and for `kv.so`.
#[must_use]
pub fn name_of(path: &Path) -> String {
    let file = path
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let stem = file.strip_suffix(SUFFIX).unwrap_or(&file);
    stem.strip_prefix(PREFIX).unwrap_or(stem).to_owned()
}

fn not_found(name: &str, plugin_path: &[PathBuf]) -> LoadError {
    let searched: Vec<_> = plugin_path
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let searched = match searched.is_empty() {
        true => "daemon.plugin-path is empty".to_owned(),
        false => format!("searched {}", searched.join(", ")),
    };
    let near = names(plugin_path)
        .into_iter()
        .map(|other| (strsim::levenshtein(name, &other), other))
        .min()
        .filter(|(distance, other)| *distance <= 1.max(other.chars().count() / 3))
        .map(|near| match near {
            (0, _) => "; a link of that name leads nowhere".to_owned(),
            (_, other) => format!("; did you mean \"{other}\"?"),
        })
        .unwrap_or_default();
    LoadError::new(
        ErrorCode::NotFound,
        format!("no plugin \"{name}\" ({searched}){near}"),
    )
}

const PREFIX: &str = "libpolyport_";
const SUFFIX: &str = ".so";

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::write(path, "").unwrap();
    }

    #[test]
    fn plugin_path_takes_the_first_directory_and_lists_the_others() {
        let room = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| room.path().join(name));
        for directory in [&first, &second] {
            std::fs::create_dir(directory).unwrap();
        }
        touch(&first.join("kv.so"));
        touch(&second.join("libpolyport_kv.so"));
        let found = find("kv", &[first.clone(), second.clone()]).unwrap();
        assert_eq!(found.path, first.join("kv.so"));
        assert_eq!(found.shadowed, [second.join("libpolyport_kv.so")]);
        let absolute = first.join("kv.so");
        assert_eq!(
            find(absolute.to_str().unwrap(), &[]).unwrap().path,
            absolute
        );
    }

    #[test]
    fn plugin_path_names_the_places_and_the_nearest_name_of_a_missing_plugin() {
        let room = tempfile::tempdir().unwrap();
        touch(&room.path().join("libpolyport_echo.so"));
        touch(&room.path().join("kv.so"));
        let path = [room.path().to_owned(), PathBuf::from("/nowhere")];
        let error = find("ecoh", &path).unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound);
        assert!(error.what().contains("/nowhere"), "{error}");
        assert!(
            find("eco", &path)
                .unwrap_err()
                .what()
                .ends_with("did you mean \"echo\"?")
        );
        assert!(
            !find("proxy", &path)
                .unwrap_err()
                .what()
                .contains("did you mean")
        );
        assert_eq!(names(&path), ["echo", "kv"]);
        std::os::unix::fs::symlink("gone.so", room.path().join("loop.so")).unwrap();
        let lost = find("loop", &path).unwrap_err();
        assert!(lost.what().ends_with("leads nowhere"), "{lost}");
    }
}
