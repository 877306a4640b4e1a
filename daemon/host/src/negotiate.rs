//! From the pointer that a plugin's entry returns to tables of the host's own: checked, compared with the note, and
//! copied. Afterwards nothing reads the plugin's own tables.

use std::collections::BTreeSet;

use polyport_abi::{PpHandler, PpPlugin};

use crate::generation::Handler;
use crate::load_error::LoadError;
use crate::note::{Note, check_abi};
use crate::tables::{PluginMemory, invalid};

/// What a plugin offers, checked and copied.
#[derive(Debug)]
pub(crate) struct Contract {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) table: PpPlugin,
    pub(crate) handlers: Vec<Handler>,
}

/// Reads what the entry returned, and compares it with the note.
///
/// # Safety
/// `entry` is what the entry of a plugin returned: null, or as the header asks.
pub(crate) unsafe fn negotiate(entry: *const PpPlugin, note: &Note) -> Result<Contract, LoadError> {
    // SAFETY: by this function's contract the table and all that it points to are as the header asks.
    let memory = unsafe { PluginMemory::trusted() };
    let table = memory.table(entry, "the table of the plugin")?;
    let what = format!("its table is of ABI {}", table.abi_major);
    check_abi(
        table.abi_major,
        table.host_size_required,
        table.flags,
        &what,
    )?;
    let id = memory.text(table.id, ID_MAX, "the id of the plugin")?;
    let version = memory.text(table.version, ID_MAX, "the version of the plugin")?;
    let license = memory.optional_text(table.license, TEXT_MAX, "the license of the plugin")?;
    for (word, found, in_note) in [("id", &id, &note.id), ("version", &version, &note.version)] {
        if found != in_note {
            return Err(invalid(format!(
                "its {word} is {found} in the table, {in_note} in the note"
            )));
        }
    }
    let handlers = handlers(&memory, &table)?;
    Ok(Contract {
        id,
        version,
        license,
        table,
        handlers,
    })
}

fn handlers(memory: &PluginMemory, plugin: &PpPlugin) -> Result<Vec<Handler>, LoadError> {
    let count = plugin.n_handlers;
    if count == 0 || count > HANDLERS_MAX {
        return Err(invalid(format!(
            "it offers {count} handlers, not 1 to {HANDLERS_MAX}"
        )));
    }
    let list = memory.list(plugin.handlers, count);
    let list = list.ok_or_else(|| invalid("the list of handlers is a null pointer"))?;
    let mut ids = BTreeSet::new();
    let mut handlers = Vec::with_capacity(count);
    for (index, from) in list.iter().enumerate() {
        let handler = handler(memory, *from, index)?;
        if !ids.insert(handler.id.clone()) {
            return Err(invalid(format!(
                "two of its handlers are called {}",
                handler.id
            )));
        }
        handlers.push(handler);
    }
    Ok(handlers)
}

fn handler(
    memory: &PluginMemory,
    from: *const PpHandler,
    index: usize,
) -> Result<Handler, LoadError> {
    let table = memory.table(from, &format!("the table of handler {index}"))?;
    let id = memory.text(table.id, ID_MAX, &format!("the id of handler {index}"))?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(plain) {
        return Err(invalid(format!(
            "the id of handler {index}, \"{id}\", is not made of a-z0-9_-"
        )));
    }
    let of = |what: &str| format!("the {what} of handler {id}");
    let summary = memory.optional_text(table.summary, TEXT_MAX, &of("summary"))?;
    let schema = memory.optional_text(table.config_schema, SCHEMA_MAX, &of("schema"))?;
    let stream = memory.optional_table(table.stream, &of("stream table"))?;
    let socket = memory.optional_table(table.socket, &of("socket table"))?;
    let flow = memory.optional_table(table.flow, &of("flow table"))?;
    if flow.is_some() && socket.is_none() {
        return Err(invalid(format!(
            "handler {id} has flows and no socket table"
        )));
    }
    let (state_version, state_min_version) = (table.state_version, table.state_min_version);
    if state_min_version > state_version {
        return Err(invalid(format!(
            "handler {id} writes state of version {state_version} and reads from {state_min_version} on"
        )));
    }
    Ok(Handler {
        summary: summary.unwrap_or_default(),
        schema,
        flags: table.flags,
        state_version,
        state_min_version,
        table,
        stream,
        socket,
        flow,
        id,
    })
}

const HANDLERS_MAX: usize = 64;
const ID_MAX: usize = 64;
const TEXT_MAX: usize = 1024;
const SCHEMA_MAX: usize = 256 << 10;
