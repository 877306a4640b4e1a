//! What a reload asks of plugins: state of streams and flows from one generation to another, another configuration
//! for a living instance, freeze and thaw.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test support outside of test functions"
)]

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use common::{Workshop, staged};
use polyport_abi::{PP_E_FULL, PP_E_PANIC, PP_E_UNSUPPORTED, PP_END_DONE, PP_END_MIGRATED};
use polyport_host::callbacks::{Info, Notice};
use polyport_host::datagram::FlowInfo;
use polyport_host::generation::{Generation, load};
use polyport_host::hook_thread::{HookFault, HookThread};
use polyport_host::hooks::{Hook, HookOutput};
use polyport_host::id::{Id, Kind};
use polyport_host::instance::{Instance, InstanceError};
use polyport_host::registry::registry;
use polyport_host::services::host_table;
use polyport_host::status::CallbackError;
use polyport_host::stream::{Address, DialOrigin, StreamInfo};
use polyport_host::transfer::{STATE_MAX, TransferMode, flow_transfer, stream_transfer};

const TIMEOUT: Duration = Duration::from_secs(10);

fn generation(workshop: &Workshop, macros: &[&str]) -> Arc<Generation> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugins/transfer.c");
    let flags: Vec<_> = macros.iter().map(|text| format!("-D{text}")).collect();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let path = workshop.compile(source.as_ref(), "libpolyport_transfer.so", &flags);
    load(staged(&path), 1, host_table()).unwrap()
}

/// An instance of the transfer with these macros; the handler has no `create`.
fn instance(workshop: &Workshop, macros: &[&str]) -> Arc<Instance> {
    of(&generation(workshop, macros))
}

fn of(generation: &Arc<Generation>) -> Arc<Instance> {
    let handler = generation.handlers[0].clone();
    Instance::new(registry(), "heir", Arc::clone(generation), handler).unwrap()
}

const STREAM: Id = Id::new(Kind::Stream, 0, 1, 1);
const FLOW: Id = Id::new(Kind::Flow, 0, 2, 1);
const INFO: Info<'_> = Info::Stream(StreamInfo {
    local: Address::None,
    remote: Address::Unix,
    dialled: None,
    service: "heirs",
    listener: "unix:/run/heirs",
});

fn flow_info() -> Info<'static> {
    let ip = |port| Address::Ip(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    Info::Flow(FlowInfo {
        socket: Id::new(Kind::Socket, 0, 3, 1),
        local: ip(7),
        remote: ip(9),
    })
}

#[test]
fn transfer_of_a_stream_to_another_generation_and_to_another_instance() {
    let workshop = Workshop::new();
    let old = instance(&workshop, &[]);
    let new = instance(&workshop, &["VERSION=2"]);
    let state = old.open(STREAM, &INFO).unwrap();
    old.data(STREAM, state, b"12345", false).unwrap();
    assert_eq!(stream_transfer(&old, &new), TransferMode::State);
    let bytes = old.export_state(STREAM, state).unwrap();
    assert_eq!(bytes, 5_u32.to_ne_bytes());
    let moved = new.import_state(STREAM, &INFO, 1, &bytes).unwrap();
    // The old side goes on unchanged until its `closed`.
    let taken = old.data(STREAM, state, b"6", false).unwrap();
    assert_eq!(taken.want, 6);
    old.notify(STREAM, state, Notice::Closed(PP_END_MIGRATED))
        .unwrap();
    let taken = new.data(STREAM, moved, b"67", false).unwrap();
    assert_eq!((taken.used, taken.want), (2, 7));

    let again = of(new.generation());
    assert_eq!(stream_transfer(&new, &again), TransferMode::State);
    let bytes = new.export_state(STREAM, moved).unwrap();
    let last = again.import_state(STREAM, &INFO, 2, &bytes).unwrap();
    new.notify(STREAM, moved, Notice::Closed(PP_END_MIGRATED))
        .unwrap();
    again
        .notify(STREAM, last, Notice::Closed(PP_END_DONE))
        .unwrap();
    assert_eq!([old.panics(), new.panics(), again.panics()], [0; 3]);
}

#[test]
fn transfer_of_a_flow_to_another_generation() {
    let workshop = Workshop::new();
    let (old, new) = (instance(&workshop, &[]), instance(&workshop, &[]));
    assert_eq!(flow_transfer(&old, &new), TransferMode::State);
    let state = old.open(FLOW, &flow_info()).unwrap();
    let bytes = old.export_state(FLOW, state).unwrap();
    let moved = new.import_state(FLOW, &flow_info(), 1, &bytes).unwrap();
    old.notify(FLOW, state, Notice::Closed(PP_END_MIGRATED))
        .unwrap();
    assert_eq!(new.export_state(FLOW, moved).unwrap(), bytes);
    new.notify(FLOW, moved, Notice::Closed(PP_END_DONE))
        .unwrap();
}

#[test]
fn transfer_mode_follows_from_names_versions_and_tables() {
    let workshop = Workshop::new();
    let make = |macros: &[&str]| instance(&workshop, macros);
    let first = make(&[]);
    for (macros, carry) in [
        (&["VERSION=4", "OLDEST=1"][..], TransferMode::State),
        (&["VERSION=4", "OLDEST=2"], TransferMode::None),
        (&["NAME=\"other\""], TransferMode::None),
        (&["PLUGIN=\"org.example.other\""], TransferMode::None),
        (&["STATELESS"], TransferMode::None),
    ] {
        let next = make(macros);
        assert_eq!(stream_transfer(&first, &next), carry, "{macros:?}");
        assert_eq!(flow_transfer(&first, &next), carry, "{macros:?}");
    }
    let newer = make(&["VERSION=2"]);
    assert_eq!(stream_transfer(&newer, &first), TransferMode::None);
    let (one, other) = (make(&["STATELESS"]), make(&["STATELESS", "VERSION=9"]));
    assert_eq!(stream_transfer(&one, &other), TransferMode::Stateless);
    assert_eq!(flow_transfer(&one, &other), TransferMode::Stateless);
    assert_eq!(stream_transfer(&one, &first), TransferMode::None);
    let state = one.open(STREAM, &INFO).unwrap();
    let none = CallbackError(PP_E_UNSUPPORTED);
    assert_eq!(one.export_state(STREAM, state), Err(none));
    assert_eq!(one.import_state(STREAM, &INFO, 1, b""), Err(none));
}

#[test]
fn transfer_export_that_fails_panics_or_is_too_large_gives_nothing() {
    let workshop = Workshop::new();
    let large = format!(
        "EXPORT=static char much[{STATE_MAX}];out->write(out,much,sizeof much);\
         out->write(out,much,1);return PP_OK"
    );
    for (export, error, panics) in [
        ("EXPORT=return PP_E_FAIL", -9, 0),
        ("EXPORT=return PP_E_PANIC", PP_E_PANIC, 1),
        (&large, PP_E_FULL, 0),
    ] {
        let old = instance(&workshop, &[export]);
        let state = old.open(STREAM, &INFO).unwrap();
        assert_eq!(old.export_state(STREAM, state), Err(CallbackError(error)));
        let state = old.open(FLOW, &flow_info()).unwrap();
        assert_eq!(old.export_state(FLOW, state), Err(CallbackError(error)));
        assert_eq!(old.panics(), 2 * panics);
    }
    let most = format!(
        "EXPORT=static char much[{STATE_MAX}];out->write(out,much,sizeof much);return PP_OK"
    );
    let old = instance(&workshop, &[&most]);
    let state = old.open(STREAM, &INFO).unwrap();
    let bytes = old.export_state(STREAM, state).unwrap();
    assert_eq!(bytes.len(), STATE_MAX);
}

#[test]
fn transfer_import_returns_failures_and_gets_the_flags_of_dialled_streams() {
    let workshop = Workshop::new();
    let new = instance(&workshop, &["IMPORT=if(version==7)return PP_E_PANIC"]);
    let four = 5_u32.to_ne_bytes();
    assert!(new.import_state(STREAM, &INFO, 1, &four).is_ok());
    assert!(new.import_state(STREAM, &INFO, 1, &four[1..]).is_err());
    assert!(new.import_state(FLOW, &flow_info(), 1, b"12345").is_err());
    assert_eq!(new.panics(), 0);
    let panicked = Err(CallbackError(PP_E_PANIC));
    assert_eq!(new.import_state(STREAM, &INFO, 7, &four), panicked);
    assert_eq!(new.import_state(FLOW, &flow_info(), 7, &four), panicked);
    assert_eq!(new.panics(), 2);
    // The plugin says unsupported to any flag but PP_INFO_MIGRATED.
    let (parent, tag) = (STREAM, 1);
    let Info::Stream(stream) = INFO else {
        unreachable!()
    };
    let info = Info::Stream(StreamInfo {
        dialled: Some(DialOrigin { parent, tag }),
        ..stream
    });
    let refused = new.import_state(STREAM, &info, 1, &four);
    assert_eq!(refused, Err(CallbackError(PP_E_UNSUPPORTED)));
}

fn call_all(
    instance: Arc<Instance>,
    hooks: impl IntoIterator<Item = Hook>,
) -> Vec<Result<HookOutput, HookFault>> {
    let hook_thread = HookThread::start(instance).unwrap();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().unwrap();
    let create = Hook::Create("{}".to_owned());
    runtime.block_on(async {
        hook_thread.call(create, TIMEOUT).await.unwrap();
        let mut results = Vec::new();
        for hook in hooks {
            results.push(hook_thread.call(hook, TIMEOUT).await);
        }
        hook_thread.call(Hook::Destroy, TIMEOUT).await.unwrap();
        results
    })
}

#[test]
fn reconfigure_succeeds_fails_with_a_reason_or_is_unsupported() {
    let workshop = Workshop::new();
    let ask = |macros: &[&str]| {
        let instance = instance(&workshop, macros);
        assert_eq!(instance.can_reconfigure(), !macros.is_empty());
        let results = call_all(instance, [Hook::Reconfigure("{\"size\":1}".to_owned())]);
        results.into_iter().next().unwrap()
    };
    let taken = ask(&["RECONFIGURE=return PP_OK"]).unwrap();
    assert_eq!(taken.findings[0].pointer, "/size");
    assert_eq!(taken.findings[0].message, "{\"size\":1}");
    let refused = ask(&["RECONFIGURE=return PP_E_FAIL"]).unwrap_err();
    assert_eq!(refused.to_string(), "failed; {\"size\":1}");
    let unsupported = "RECONFIGURE=return PP_E_UNSUPPORTED";
    for macros in [&[][..], &[unsupported]] {
        let declined = ask(macros).unwrap_err();
        assert!(matches!(declined, HookFault::Unsupported), "{declined:?}");
    }
}

#[test]
fn freeze_and_thaw_are_called_where_a_handler_has_them() {
    let workshop = Workshop::new();
    let plain = instance(&workshop, &[]);
    assert!(!plain.is_exclusive());
    for result in call_all(plain, [Hook::Freeze, Hook::Thaw]) {
        assert!(!result.unwrap().pending);
    }
    let exclusive = instance(&workshop, &["FREEZE=return PP_E_UNSUPPORTED"]);
    assert!(exclusive.is_exclusive());
    let results = call_all(Arc::clone(&exclusive), [Hook::Freeze, Hook::Thaw]);
    let said: Vec<_> = results
        .into_iter()
        .map(|result| result.unwrap_err().to_string())
        .collect();
    assert_eq!(said, ["said unsupported", "panicked: too cold"]);
    assert_eq!(exclusive.panics(), 1);
    let frozen = instance(
        &workshop,
        &["FREEZE=return host->complete(op,PP_OK,0),PP_S_PENDING"],
    );
    let results = call_all(frozen, [Hook::Freeze]);
    assert!(!results[0].as_ref().unwrap().pending);
}

#[test]
fn generation_gets_instances_until_it_is_retired() {
    let workshop = Workshop::new();
    let generation = generation(&workshop, &[]);
    call_all(of(&generation), []);
    call_all(of(&generation), []);
    assert!(!generation.is_retired());
    generation.retire().unwrap();
    assert!(generation.is_retired());
    let handler = generation.handlers[0].clone();
    let late = Instance::new(registry(), "late", generation, handler);
    assert_eq!(late.err(), Some(InstanceError::Retired));
}

#[test]
fn stage_closes_a_copy_that_is_not_loaded() {
    let workshop = Workshop::new();
    let path = workshop.zoo("nobody_loads_this", &[]);
    let open = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        let targets = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        let ours = |target: &std::path::PathBuf| {
            target
                .to_string_lossy()
                .contains("polyport:nobody_loads_this")
        };
        targets.filter(ours).count()
    };
    let staged = staged(&path);
    assert_eq!(open(), 1);
    drop(staged);
    assert_eq!(open(), 0);
}
