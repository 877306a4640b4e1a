//! The table of services.

use polyport_api::Services;
use polyport_api::status::Listener;

use super::bytes;
use crate::table::Table;

/// One row for each service, in it one line for each socket.
#[must_use]
pub fn services(services: &Services) -> String {
    let headings = [
        "SERVICE",
        "INSTANCE",
        "PLUGIN",
        "GENERATION",
        "STREAMS",
        "LISTENERS",
    ];
    let mut table = Table::new(&headings);
    for service in &services.services {
        let most = service.streams_max.map(|most| format!(" of {most}"));
        let listeners: Vec<String> = service.listeners.iter().map(listener).collect();
        table.row([
            service.name.clone(),
            service.instance.clone(),
            service.plugin.clone(),
            service.generation.to_string(),
            format!("{}{}", service.streams, most.unwrap_or_default()),
            listeners.join("\n"),
        ]);
    }
    table.text()
}

/// `udp://[::]:7 (bound, receive buffer 208.0 KiB, 5 dropped by the kernel)`.
fn listener(listener: &Listener) -> String {
    let mut notes = Vec::new();
    if !listener.origin.is_empty() {
        notes.push(listener.origin.clone());
    }
    if let Some(granted) = listener.receive_buffer {
        notes.push(format!("receive buffer {}", bytes(granted)));
    }
    if let Some(dropped) = listener.dropped_by_kernel.filter(|dropped| *dropped > 0) {
        notes.push(format!("{dropped} dropped by the kernel"));
    }
    if notes.is_empty() {
        return listener.address.clone();
    }
    format!("{} ({})", listener.address, notes.join(", "))
}
