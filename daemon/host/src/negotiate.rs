//! From the pointer that a plugin's entry returns to tables of our own.
//!
//! A pointer from a plugin is a claim: an address, and what it is said to be. It is read by way of
//! the kernel, so that a wild one is a sentence and not the end of the process, and copied by
//! min(its size, ours) into zeroed memory. After this nobody looks at the plugin's own tables.

use std::collections::BTreeSet;

use polyport_abi::{
    ABI_MAJOR, PP_PF_PANIC_ABORT, PpFlowOps, PpHandler, PpHost, PpPlugin, PpSocketOps, PpStreamOps,
};

use crate::generation::Handler;
use crate::memory::{Claim, Memory, invalid};
use crate::note::Note;
use crate::refusal::{Code, Refusal};

/// What a plugin offers, checked and copied.
#[derive(Debug)]
pub(crate) struct Contract {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) table: PpPlugin,
    pub(crate) handlers: Vec<Handler>,
}

/// Reads what the entry returned, and holds it against the note.
pub(crate) fn negotiate(entry: *const PpPlugin, note: &Note) -> Result<Contract, Refusal> {
    let memory = Memory::of_this_process()?;
    let table: PpPlugin = memory.table(&Claim::new(entry, "the table of the plugin"))?;
    vet_versions(&table)?;
    let id = memory.text(&Claim::new(table.id, "the id of the plugin"), ID_MAX)?;
    let version = memory.text(
        &Claim::new(table.version, "the version of the plugin"),
        ID_MAX,
    )?;
    let license = Claim::new(table.license, "the license of the plugin");
    let license = memory.optional_text(&license, TEXT_MAX)?;
    for (word, said, noted) in [("id", &id, &note.id), ("version", &version, &note.version)] {
        if said != noted {
            return Err(invalid(format!(
                "its {word} is {said} in the table, {noted} in the note"
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

fn vet_versions(table: &PpPlugin) -> Result<(), Refusal> {
    if table.abi_major != ABI_MAJOR {
        let newer = table.abi_major > ABI_MAJOR;
        let code = if newer {
            Code::AbiTooNew
        } else {
            Code::AbiTooOld
        };
        let major = table.abi_major;
        let what = format!("its table is of ABI {major}, this host speaks {ABI_MAJOR}");
        return Err(Refusal::new(code, what));
    }
    let (needs, has) = (table.host_size_required, size_of::<PpHost>());
    if needs as usize > has {
        let what = format!("needs {needs} bytes of pp_host, this host has {has}");
        return Err(Refusal::new(Code::HostTooSmall, what));
    }
    if table.flags & PP_PF_PANIC_ABORT != 0 {
        let what = "is built with panic = \"abort\": a panic would end the daemon";
        return Err(Refusal::new(Code::PanicAbort, what));
    }
    Ok(())
}

fn handlers(memory: &Memory, table: &PpPlugin) -> Result<Vec<Handler>, Refusal> {
    let count = table.n_handlers;
    if count == 0 || count > HANDLERS_MAX {
        return Err(invalid(format!(
            "it offers {count} handlers, not 1 to {HANDLERS_MAX}"
        )));
    }
    let list = Claim::new(table.handlers, "the list of handlers");
    let mut seen = BTreeSet::new();
    let mut handlers = Vec::with_capacity(count);
    for (index, address) in memory.words(&list, count)?.into_iter().enumerate() {
        let handler = handler(memory, address, index)?;
        if !seen.insert(handler.id.clone()) {
            return Err(invalid(format!(
                "two of its handlers are called {}",
                handler.id
            )));
        }
        handlers.push(handler);
    }
    Ok(handlers)
}

fn handler(memory: &Memory, address: u64, index: usize) -> Result<Handler, Refusal> {
    let claim = Claim::at(address, format!("the table of handler {index}"));
    let table: PpHandler = memory.table(&claim)?;
    let id = memory.text(
        &Claim::new(table.id, format!("the id of handler {index}")),
        ID_MAX,
    )?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(plain) {
        return Err(invalid(format!(
            "the id of handler {index}, \"{id}\", is not made of a-z0-9_-"
        )));
    }
    let of = |what: &str| format!("the {what} of handler {id}");
    let summary = memory.optional_text(&Claim::new(table.summary, of("summary")), TEXT_MAX)?;
    let schema = Claim::new(table.config_schema, of("schema"));
    let schema = memory.optional_text(&schema, SCHEMA_MAX)?;
    let stream: Option<PpStreamOps> =
        memory.optional_table(&Claim::new(table.stream, of("stream table")))?;
    let socket: Option<PpSocketOps> =
        memory.optional_table(&Claim::new(table.socket, of("socket table")))?;
    let flow: Option<PpFlowOps> =
        memory.optional_table(&Claim::new(table.flow, of("flow table")))?;
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
