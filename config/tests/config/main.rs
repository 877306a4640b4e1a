//! The crate by its public interface: files in, values or faults out.

mod differences;
mod examples;
mod folder;
mod hostile;
mod messages;
mod values;
