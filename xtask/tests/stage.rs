//! What `packaging/files.list` says is what is there: every source exists, every path has its mode, and nothing that is
//! bundled is forgotten.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in what it is made of too"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A folder that is gone afterwards, with a stand-in for each file that a build makes.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("xtask-stage-{name}-{}", std::process::id()));
        for (of, part) in [("built", "built"), ("made", "made")] {
            fs::create_dir_all(folder.join(part)).unwrap();
            for file in sources()
                .iter()
                .filter_map(|path| path.strip_prefix(&format!("{of}/")))
            {
                fs::write(folder.join(part).join(file), "").unwrap();
            }
        }
        Self(folder)
    }

    fn stage(&self, kind: &str, package: &str, destination: &str) -> Output {
        let mut stage = Command::new(root().join("packaging/stage.sh"));
        stage
            .args([kind, package, destination])
            .env("POLYPORT_BUILT", self.0.join("built"))
            .env("POLYPORT_MADE", self.0.join("made"));
        let output = stage.output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && complaint.is_empty(),
            "{complaint}"
        );
        output
    }

    /// Paths with their modes, as they were put below a folder.
    fn staged(&self, kind: &str, package: &str) -> BTreeMap<String, u32> {
        let below = self.0.join(kind).join(package);
        self.stage(kind, package, &below.display().to_string());
        let mut modes = BTreeMap::new();
        walk(&below, &below, &mut modes);
        modes
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn walk(folder: &Path, below: &Path, modes: &mut BTreeMap<String, u32>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.metadata().unwrap();
        let name = path.strip_prefix(below).unwrap().display();
        modes.insert(format!("/{name}"), metadata.permissions().mode() & 0o7777);
        if metadata.is_dir() {
            walk(&path, below, modes);
        }
    }
}

/// The last column of the list.
fn sources() -> Vec<String> {
    let list = fs::read_to_string(root().join("packaging/files.list")).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_whitespace().nth(4).map(str::to_owned))
        .collect()
}

#[test]
fn every_file_of_the_list_is_there_with_its_mode() {
    let scratch = Scratch::new("modes");
    for (kind, plugin_mode, manual) in [("deb", 0o644, ".8"), ("rpm", 0o755, ".8.gz")] {
        let main = scratch.staged(kind, "polyport");
        let echo = "/usr/lib/polyport/plugins/libpolyport_echo.so";
        for (path, mode) in [
            ("/usr/bin/polyportd", 0o755),
            ("/etc/polyport/polyport.yaml", 0o644),
            ("/etc/polyport/conf.d", 0o755),
            ("/usr/lib/systemd/system/polyport.service", 0o644),
            (&format!("/usr/share/man/man8/polyportd{manual}"), 0o644),
            (echo, plugin_mode),
        ] {
            assert_eq!(main.get(path), Some(&mode), "{kind}: {path}");
        }
        let dev = scratch.staged(kind, "dev");
        assert!(dev.contains_key("/usr/include/polyport/polyport.h"));
        for (path, mode) in main.iter().chain(&dev) {
            assert!([0o644, 0o755].contains(mode), "{kind}: {path}: {mode:o}");
        }
    }
}

/// Rpm owns what is listed, and refuses to build with anything else.
#[test]
fn rpm_lists_exactly_the_staged_files() {
    let scratch = Scratch::new("list");
    for package in ["polyport", "dev"] {
        let modes = scratch.staged("rpm", package);
        let told = scratch.stage("rpm", package, "--list").stdout;
        let told = String::from_utf8(told).unwrap();
        for line in told.lines() {
            let (path, mode) = (
                line.split(' ').next_back().unwrap(),
                line.split_once("%attr(").unwrap().1,
            );
            let mode = u32::from_str_radix(mode.get(..4).unwrap(), 8).unwrap();
            assert_eq!(
                modes.get(path.replace('*', ".gz").as_str()),
                Some(&mode),
                "{line}"
            );
        }
        let configuration =
            "%config(noreplace) %attr(0644,root,root) /etc/polyport/polyport.yaml\n";
        assert_eq!(told.contains(configuration), package == "polyport");
    }
}

#[test]
fn nothing_that_is_bundled_is_forgotten() {
    let sources = sources();
    let names = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    let plugins = names("plugins")
        .into_iter()
        .map(|name| format!("built/libpolyport_{name}.so"));
    let manuals = names("packaging/man")
        .into_iter()
        .map(|name| format!("packaging/man/{name}"));
    let completions = names("packaging/completions");
    let completions = completions
        .into_iter()
        .map(|name| format!("packaging/completions/{name}"));
    for wanted in plugins.chain(manuals).chain(completions) {
        assert!(sources.contains(&wanted), "{wanted} is in no package");
    }
}

/// What depends on the interface's number says the one that the headers have.
#[test]
fn the_number_of_the_interface_is_the_same_everywhere() {
    let scratch = Scratch::new("abi");
    scratch.staged("deb", "dev");
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let built = scratch
        .0
        .join("deb/dev/usr/share/pkgconfig/polyport-plugin.pc");
    let text = read(built);
    assert!(!text.contains('@'), "{text}");
    let abi = text
        .lines()
        .find_map(|line| line.strip_prefix("abi="))
        .unwrap();
    for (file, said) in [
        (
            "packaging/debian/control",
            format!("Provides: polyport-abi-{abi}\n"),
        ),
        (
            "packaging/rpm/polyport.spec",
            format!("polyport(abi) = {abi}\n"),
        ),
        (
            "packaging/examples/plugin-package/debian/control",
            format!("polyport-abi-{abi}\n"),
        ),
        (
            "packaging/examples/plugin-package/polyport-plugin-greet.spec",
            format!("polyport(abi) = {abi}\n"),
        ),
        (
            "plugin-api/include/polyport/version.h",
            format!("#define PP_ABI_MAJOR {abi}u\n"),
        ),
    ] {
        assert!(
            read(root().join(file)).contains(&said),
            "{file} does not say {said}"
        );
    }
}
