//! What the image's definition and the Kubernetes manifests mean together: the sum of the times of a stop, ports, users,
//! folders, names. Whether each is well-formed by itself is asked by `cargo xtask manifests`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in what it is made of too"
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser as _;
use polyport_config::{Config, Environment, Library, ListenAddress};
use polyport_daemon::control::signals::MARGIN;
use serde_json::Value;

/// What a stop may take beyond all that is bounded: to start the hook, to write the log, to be reaped by a busy node.
const ROOM: Duration = Duration::from_secs(5);

fn file(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(name: &str) -> Value {
    serde_yaml::from_str(&file(&format!("packaging/kubernetes/{name}.yaml"))).unwrap()
}

/// What stands behind a word of the Containerfile, in its last stage.
fn image(word: &str) -> String {
    let text = file("packaging/oci/Containerfile");
    let (_, stage) = text.rsplit_once("\nFROM ").unwrap();
    let joined = stage.replace("\\\n", " ");
    let found = joined
        .lines()
        .find_map(|line| line.trim().strip_prefix(word));
    let words = found.unwrap_or_else(|| panic!("the image has no {word}"));
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn pod() -> Value {
    manifest("deployment")["spec"]["template"]["spec"].clone()
}

fn container() -> Value {
    let containers = &pod()["containers"];
    assert_eq!(containers.as_array().unwrap().len(), 1);
    containers[0].clone()
}

/// The configuration of the `ConfigMap` as the daemon reads it.
fn config() -> Config {
    let folder = tempfile::tempdir().unwrap();
    let data = manifest("configmap")["data"].clone();
    for (name, text) in data.as_object().unwrap() {
        fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
    }
    let variable = |name: &str| {
        let variables = image("ENV ");
        let mut pairs = variables.split(' ').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_owned())
    };
    let environment = Environment {
        variable: &variable,
        plugin_exists: &|_, _| true,
    };
    let loaded = polyport_config::load(&folder.path().join("polyport.yaml"), &environment);
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    loaded.config
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(value.as_u64().unwrap())
}

#[test]
fn the_grace_of_a_pod_outlasts_pre_stop_and_the_whole_stop() {
    let before = seconds(&container()["lifecycle"]["preStop"]["sleep"]["seconds"]);
    let stop = config().daemon.stop_timeout;
    let grace = seconds(&pod()["terminationGracePeriodSeconds"]);
    assert!(
        grace >= before + stop + MARGIN + ROOM,
        "{grace:?} is too short for preStop {before:?}, stop-timeout {stop:?}, the guard's {MARGIN:?} and {ROOM:?} of room"
    );
    // Nodes learn in their own time that the pod has left.
    assert!(before >= Duration::from_secs(5), "{before:?} of preStop");
}

#[test]
fn the_sum_in_the_manual_is_that_of_the_manifests() {
    let manual = file("docs/kubernetes.md");
    let row = |name: &str| {
        let line = manual
            .lines()
            .find(|line| line.starts_with(&format!("| {name} |")));
        let line = line.unwrap_or_else(|| panic!("the manual has no row {name}"));
        let cell = line.split('|').nth(2).unwrap().trim().to_owned();
        Duration::from_secs(cell.trim_end_matches(" s").parse().unwrap())
    };
    let daemon = config().daemon;
    let before = seconds(&container()["lifecycle"]["preStop"]["sleep"]["seconds"]);
    assert_eq!(row("`preStop`"), before);
    assert_eq!(row("`stop-timeout`"), daemon.stop_timeout);
    assert_eq!(row("guard"), MARGIN);
    let sum = before + daemon.stop_timeout + MARGIN;
    assert_eq!(row("**sum**"), sum);
    let grace = seconds(&pod()["terminationGracePeriodSeconds"]);
    assert_eq!(row("`terminationGracePeriodSeconds`"), grace);
}

/// Ports of containers or of a service, as `tcp 7007`.
fn ports(list: &Value, number: &str) -> BTreeSet<String> {
    let ports = list.as_array().unwrap().iter();
    ports
        .map(|port| {
            let protocol = port["protocol"].as_str().unwrap().to_lowercase();
            format!("{protocol} {}", port[number])
        })
        .collect()
}

#[test]
fn the_cluster_exposes_exactly_the_listeners_of_the_configuration() {
    let config = config();
    let of = |(protocol, address): (&str, SocketAddr)| {
        assert!(address.ip().is_unspecified(), "{address} is for one only");
        format!("{protocol} {}", address.port())
    };
    let listeners = config
        .services
        .iter()
        .flat_map(|service| &service.listeners);
    let listened: BTreeSet<String> = listeners
        .map(|listener| match listener.address {
            ListenAddress::Tcp(address) => of(("tcp", address)),
            ListenAddress::Udp(address) => of(("udp", address)),
            ref other => panic!("{other} cannot be reached from outside of the pod"),
        })
        .collect();
    let container = container();
    assert_eq!(listened, ports(&container["ports"], "containerPort"));
    // A service and a policy go by the names of these ports, and by their protocols.
    let named = ports(&container["ports"], "name");
    assert_eq!(
        named,
        ports(&manifest("service")["spec"]["ports"], "targetPort")
    );
    let policy = &manifest("networkpolicy")["spec"]["ingress"][0]["ports"];
    assert_eq!(named, ports(policy, "port"));
}

#[test]
fn the_image_has_the_plugins_that_the_configuration_names() {
    for instance in config().instances {
        let Library::Name(name) = instance.library else {
            panic!("{} is of a file", instance.name);
        };
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../plugins");
        assert!(folder.join(&name).is_dir(), "{name} is not bundled");
    }
}

#[test]
fn everything_selects_the_pods_of_the_deployment() {
    let deployment = manifest("deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for (name, selector) in [
        ("deployment", "/spec/selector/matchLabels"),
        ("service", "/spec/selector"),
        ("poddisruptionbudget", "/spec/selector/matchLabels"),
        ("networkpolicy", "/spec/podSelector/matchLabels"),
    ] {
        let manifest = manifest(name);
        assert_eq!(manifest.pointer(selector), Some(labels), "{name}");
        assert_eq!(&manifest["metadata"]["labels"], labels, "{name}");
    }
    let spread = &pod()["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"];
    assert_eq!(spread, labels);
    // Else the budget would keep a node from ever being emptied.
    let budget = manifest("poddisruptionbudget")["spec"].clone();
    assert!(budget["maxUnavailable"].as_u64().unwrap() >= 1);
}

#[test]
fn probes_ask_what_polyportctl_knows_and_wait_longer_than_it_does() {
    let container = container();
    for (probe, command) in [
        ("startupProbe", "ready"),
        ("readinessProbe", "ready"),
        ("livenessProbe", "live"),
    ] {
        let probe = &container[probe];
        let words: Vec<&str> = probe["exec"]["command"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let asked = polyport_ctl::cli::Arguments::try_parse_from(&words).unwrap();
        assert_eq!((words[0], words[1]), ("polyportctl", command));
        assert!(asked.timeout.unwrap() < seconds(&probe["timeoutSeconds"]));
    }
    let health = image("HEALTHCHECK ");
    let (options, command) = health.split_once(" CMD ").unwrap();
    let words: Vec<String> = serde_json::from_str(command).unwrap();
    polyport_ctl::cli::Arguments::try_parse_from(&words).unwrap();
    assert!(options.contains("--timeout=3s") && words[0].ends_with("/polyportctl"));
    assert_eq!(image("STOPSIGNAL "), "SIGTERM");
}

#[test]
fn containers_run_without_root_and_with_least_privilege() {
    let (pod, container) = (pod(), container());
    let user = pod["securityContext"]["runAsUser"].as_u64().unwrap();
    assert!(user > 0);
    assert_eq!(image("USER "), format!("{user}:{user}"));
    for key in ["runAsGroup", "fsGroup"] {
        assert_eq!(pod["securityContext"][key], user);
    }
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let profile = &pod["securityContext"]["seccompProfile"]["type"];
    assert_eq!(profile, "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let rights = &container["securityContext"];
    assert_eq!(rights["allowPrivilegeEscalation"], false);
    assert_eq!(rights["readOnlyRootFilesystem"], true);
    assert_eq!(rights["capabilities"]["drop"], serde_json::json!(["ALL"]));
    // The capability of the file and that of the container go together: either alone keeps the daemon from starting or
    // is in vain.
    assert_eq!(
        rights["capabilities"]["add"],
        serde_json::json!(["NET_BIND_SERVICE"])
    );
    let recipe = file("packaging/oci/Containerfile");
    assert!(recipe.contains("setcap cap_net_bind_service=+ep /out/usr/bin/polyportd"));
}

#[test]
fn the_daemons_writable_folders_are_mounted() {
    let (pod, container) = (pod(), container());
    let volume_at = |path: &str| {
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["mountPath"] == path);
        let name = &mount.unwrap_or_else(|| panic!("nothing is mounted at {path}"))["name"];
        let mut volumes = pod["volumes"].as_array().unwrap().iter();
        volumes.find(|volume| volume["name"] == *name).unwrap()
    };
    // A `subPath` would never see an edit.
    assert!(!container.to_string().contains("subPath"));
    for pair in image("ENV ").split(' ') {
        let (_, path) = pair.split_once('=').unwrap();
        assert!(volume_at(path)["emptyDir"].is_object(), "{path}");
    }
    let command: Vec<String> = serde_json::from_str(&image("CMD ")).unwrap();
    let path = PathBuf::from(command.last().unwrap());
    let folder = volume_at(path.parent().unwrap().to_str().unwrap());
    let map = manifest("configmap");
    assert_eq!(folder["configMap"]["name"], map["metadata"]["name"]);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(map["data"][name].is_string());
    let socket = config().admin.socket.unwrap();
    assert!(volume_at(socket.parent().unwrap().to_str().unwrap())["emptyDir"].is_object());
}

#[test]
fn versions_and_names_are_those_of_this_repository() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(container()["image"], format!("polyport:{version}"));
    assert_eq!(image("ARG VERSION="), version);
    let recipe = file("packaging/oci/Containerfile");
    assert!(recipe.contains(&format!("--tag polyport:{version} .")));
    let toolchain = file("rust-toolchain.toml");
    let (_, rest) = toolchain.split_once("channel = \"").unwrap();
    let (channel, _) = rest.split_once('"').unwrap();
    assert!(recipe.contains(&format!("ARG RUST_IMAGE=rust:{channel}-")));
    assert!(recipe.contains(&format!("ENV RUSTUP_TOOLCHAIN={channel}\n")));
}

#[test]
fn the_list_for_kustomize_names_every_manifest() {
    let list = manifest("kustomization")["resources"].clone();
    let listed: BTreeSet<String> = serde_json::from_value(list).unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/kubernetes");
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = names.filter(|name| name != "kustomization.yaml").collect();
    assert_eq!(listed, there);
    assert!(there.len() >= 5);
}
