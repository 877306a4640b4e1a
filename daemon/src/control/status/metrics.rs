//! Measures: what is counted, as the admin socket tells it to whoever scrapes it.

use std::borrow::Cow;

use polyport_host::metrics::MetricKind;

use crate::control::admin::{Family, Kind, Metrics, Sample};
use crate::control::life::Life;
use crate::control::status::history::History;
use crate::control::status::listing::{Facts, services, streams};

/// What is measured.
#[must_use]
pub fn metrics(facts: &Facts<'_>) -> Metrics {
    let life = facts.life;
    let counts = facts.history.counts();
    let family = Family::new;
    let mut families = vec![
        family(
            "polyport_changes_total",
            "Reloads and other changes that were begun, by how they ended.",
            Kind::Counter,
        )
        .with(&[("verdict", "applied")], float(counts.applied))
        .with(&[("verdict", "unchanged")], float(counts.unchanged))
        .with(&[("verdict", "failed")], float(counts.failed)),
        family(
            "polyport_rollbacks_total",
            "Generations that the daemon itself has withdrawn.",
            Kind::Counter,
        )
        .with(&[], float(counts.rolled_back)),
        family(
            "polyport_last_change_failed",
            "1 if the last change failed and was undone.",
            Kind::Gauge,
        )
        .with(&[], f64::from(u8::from(last_failed(facts.history)))),
        family("polyport_streams", "Streams and flows.", Kind::Gauge)
            .with(&[], float(streams(life))),
    ];
    families.extend(of_plugins(life));
    families.extend(of_services(life));
    families.extend(of_instances(life));
    families.extend(by_plugins(life));
    Metrics { families }
}

fn last_failed(history: &History) -> bool {
    let last = history.last();
    last.is_some_and(|last| last.verdict == polyport_api::Verdict::Failed)
}

fn of_plugins(life: &Life) -> Vec<Family> {
    let (mut resident, mut mapped) = (
        Family::new(
            "polyport_plugin_generations_resident",
            "Generations in memory; code is never unmapped.",
            Kind::Gauge,
        ),
        Family::new(
            "polyport_plugin_mapped_bytes",
            "Address space of all generations in memory.",
            Kind::Gauge,
        ),
    );
    let code = life.code.borrow();
    let mut names: Vec<&str> = Vec::new();
    for one in code.all() {
        if !names.contains(&one.generation.name.as_str()) {
            names.push(&one.generation.name);
        }
    }
    for name in names {
        let of_name = || code.all().iter().filter(|one| one.generation.name == name);
        let bytes: u64 = of_name().map(|one| one.generation.mapped_size).sum();
        resident = resident.with(&[("plugin", name)], float(of_name().count() as u64));
        mapped = mapped.with(&[("plugin", name)], float(bytes));
    }
    vec![resident, mapped]
}

fn of_services(life: &Life) -> Vec<Family> {
    let mut streams = Family::new(
        "polyport_service_streams",
        "Streams of a service.",
        Kind::Gauge,
    );
    let mut dropped = Family::new(
        "polyport_datagrams_dropped_by_kernel_total",
        "Datagrams that found the receive buffer of a socket full.",
        Kind::Counter,
    );
    for service in services(life).services {
        let name = service.name.as_str();
        streams = streams.with(&[("service", name)], float(service.streams));
        for listener in &service.listeners {
            if let Some(count) = listener.dropped_by_kernel {
                let labels = [("service", name), ("listener", listener.address.as_str())];
                dropped = dropped.with(&labels, float(count));
            }
        }
    }
    vec![streams, dropped]
}

fn of_instances(life: &Life) -> Vec<Family> {
    let mut panics = Family::new(
        "polyport_plugin_panics_total",
        "Callbacks and hooks of an instance that panicked.",
        Kind::Counter,
    );
    let mut healthy = Family::new(
        "polyport_instance_healthy",
        "1 if the instance says that it is healthy.",
        Kind::Gauge,
    );
    for handle in &life.state().instances {
        let name = handle.hook_thread.instance().name();
        let labels = [
            ("instance", name.instance.as_str()),
            ("plugin", name.plugin.as_str()),
        ];
        panics = panics.with(&labels, float(handle.hook_thread.instance().panics()));
        if let Some(good) = handle.health.is_good() {
            healthy = healthy.with(&labels, f64::from(u8::from(good)));
        }
    }
    vec![panics, healthy]
}

/// What plugins count themselves: `polyport_plugin_PLUGIN_NAME`, by instance and generation.
fn by_plugins(life: &Life) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for handle in life.instances() {
        let instance = handle.hook_thread.instance();
        let name = instance.name();
        let generation = name.generation.to_string();
        for (series, value) in instance.registry().metrics().of(instance.id()) {
            let full = format!("polyport_plugin_{}_{}", name.plugin, series.name);
            let full = full.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_");
            let (kind, value) = match series.kind {
                MetricKind::Counter => (Kind::Counter, float(value)),
                MetricKind::Gauge => (Kind::Gauge, signed(value.cast_signed())),
            };
            let mut labels = vec![
                (Cow::Borrowed("instance"), name.instance.clone()),
                (Cow::Borrowed("generation"), generation.clone()),
            ];
            let own = series.labels.into_iter();
            labels.extend(own.map(|(key, value)| (Cow::Owned(key), value)));
            let sample = Sample { labels, value };
            match families.iter_mut().find(|family| family.name == full) {
                Some(family) => family.samples.push(sample),
                None => {
                    let mut family = Family::new(full, series.help, kind);
                    family.samples.push(sample);
                    families.push(family);
                }
            }
        }
    }
    families
}

/// Exact up to 2^53, as gauges of plugins are taken to be.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn signed(value: i64) -> f64 {
    value as f64
}

/// Exact up to 2^53, and counts stay far below.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(count: u64) -> f64 {
    count as f64
}
