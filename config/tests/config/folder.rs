//! Shared helpers: files in a temporary directory, and functions that load them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "only tests call this"
)]

use std::path::Path;

use polyport_config::{Environment, Faults, Loaded, load};

/// Loads a file with the given environment and plugins.
pub(crate) fn load_with(
    path: &Path,
    variables: &[(&str, &str)],
    plugins: &[&str],
) -> Result<Loaded, Faults> {
    let variable = |name: &str| {
        variables
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let plugin_exists = |name: &str, _: &[std::path::PathBuf]| plugins.contains(&name);
    load(
        path,
        &Environment {
            variable: &variable,
            plugin_exists: &plugin_exists,
        },
    )
}

/// A temporary directory with some files.
pub(crate) fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// Writes files to a temporary directory and loads the first one.
pub(crate) fn load_files(
    files: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> (Result<Loaded, Faults>, tempfile::TempDir) {
    let folder = folder_of(files);
    let loaded = load_with(&folder.path().join(files[0].0), variables, &["echo"]);
    (loaded, folder)
}

/// The printed faults of some files; the first file is the main one.
pub(crate) fn faults_of(files: &[(&str, &str)]) -> String {
    let (loaded, folder) = load_files(
        files,
        &[("PORT", "7007"), ("EMPTY", ""), ("SECRET", "hunter2")],
    );
    let text = loaded.map_or_else(|faults| faults.to_string(), |_| "no fault\n".to_owned());
    text.replace(&format!("{}/", folder.path().display()), "")
}

/// The faults of one file.
pub(crate) fn faults(text: &str) -> String {
    faults_of(&[("main.yaml", text)])
}

/// The values of one valid file.
pub(crate) fn good(text: &str) -> Loaded {
    let (loaded, _folder) = load_files(&[("main.yaml", text)], &[("PORT", "7007"), ("EMPTY", "")]);
    loaded.unwrap_or_else(|faults| panic!("{faults}"))
}
