//! The table of plugins.

use polyport_api::Plugins;
use polyport_api::status::{Generation, GenerationState, Instance};

use super::{bytes, count};
use crate::table::Table;

/// One row for each generation, in it one line for each instance.
#[must_use]
pub fn plugins(plugins: &Plugins) -> String {
    let headings = [
        "GENERATION",
        "PLUGIN",
        "VERSION",
        "STATE",
        "MAPPED",
        "SHA-256",
        "INSTANCES",
    ];
    let mut table = Table::new(&headings);
    for generation in &plugins.generations {
        let instances: Vec<String> = generation.instances.iter().map(instance).collect();
        table.row([
            generation.number.to_string(),
            generation.plugin.clone(),
            generation.version.clone(),
            state(generation.state).to_owned(),
            bytes(generation.mapped_bytes),
            generation.digest.chars().take(12).collect(),
            instances.join("\n"),
        ]);
    }
    let mut text = table.text();
    for generation in &plugins.generations {
        text.push_str(&why(generation));
    }
    text
}

fn state(state: GenerationState) -> &'static str {
    match state {
        GenerationState::Serving => "serving",
        GenerationState::Leaving => "leaving",
        GenerationState::Standby => "standby",
        GenerationState::Retired => "retired",
        GenerationState::Withdrawn => "withdrawn",
    }
}

/// `store (kv), unhealthy, 2 panics`.
fn instance(instance: &Instance) -> String {
    let mut text = format!("{} ({})", instance.name, instance.handler);
    if !instance.serving {
        text.push_str(", leaving");
    }
    if instance.healthy == Some(false) {
        text.push_str(", unhealthy");
    }
    if instance.panics > 0 {
        text.push_str(", ");
        text.push_str(&count(instance.panics, "panic"));
    }
    text
}

fn why(generation: &Generation) -> String {
    if generation.reason.is_empty() {
        return String::new();
    }
    let (number, word) = (generation.number, state(generation.state));
    format!("generation {number} is {word}: {}\n", generation.reason)
}
