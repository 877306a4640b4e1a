//! Metrics of the daemon and of its plugins.

use std::borrow::Cow;

use polyport_host::metrics::MetricKind;

use super::Facts;
use super::history::History;
use super::listing::{services, streams};
use crate::control::admin::{Family, Kind, Metrics, Sample};
use crate::control::process::Context;
use crate::control::running::Inventory;

/// All metrics.
pub fn metrics(facts: &Facts<'_>) -> Metrics {
    let context = facts.context;
    let inventory = context.inventory;
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
            .with(&[], float(streams(inventory))),
    ];
    families.extend(plugin_families(inventory));
    families.extend(service_families(context));
    families.extend(instance_families(inventory));
    families.extend(plugins_own_families(inventory));
    Metrics { families }
}

fn last_failed(history: &History) -> bool {
    let last = history.last();
    last.is_some_and(|last| last.verdict == polyport_api::Verdict::Failed)
}

fn plugin_families(inventory: &Inventory) -> Vec<Family> {
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
    let code = inventory.code.borrow();
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

fn service_families(context: Context<'_>) -> Vec<Family> {
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
    for service in services(context).services {
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

fn instance_families(inventory: &Inventory) -> Vec<Family> {
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
    for handle in &inventory.state().instances {
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

/// Metrics that plugins define: `polyport_plugin_PLUGIN_NAME`, by instance and generation.
fn plugins_own_families(inventory: &Inventory) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for handle in inventory.instances() {
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

/// Exact up to 2^53, as is assumed of gauges of plugins.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn signed(value: i64) -> f64 {
    value as f64
}

/// Exact up to 2^53; counts stay far below.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(count: u64) -> f64 {
    count as f64
}
