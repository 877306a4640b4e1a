//! Failures of handlers: panics are caught, logged and leave no half-changed state behind.
#![expect(unsafe_code, reason = "it calls the tables as the daemon does")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the handlers are meant to panic, the helpers may"
)]

use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use polyport_sdk::abi::{self, PpPlugin};
use polyport_sdk::prelude::*;
use polyport_sdk::testing::{DataResult, Driver, raw_host};
use polyport_sdk::{
    DrainStream, End, Error, Hook, Mailbox, Operation, Status, export_plugin, handler_table,
    mailbox,
};

/// Acts on its input.
struct Puppet;

static DROPPED: AtomicUsize = AtomicUsize::new(0);

struct Remembered {
    inbox: polyport_sdk::Inbox<u32>,
    outbox: Mailbox<u32>,
}

impl Drop for Remembered {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

impl Handler for Puppet {
    const ID: &'static CStr = c"puppet";
    const SUMMARY: &'static CStr = c"does what the bytes say";
    type Config = NoConfig;

    fn create(_: &mut Instance<'_>, _: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn on_timer(&self, _: &mut Instance<'_>, key: u32) -> Result<()> {
        panic!("timer {key}");
    }
}

impl StreamHandler for Puppet {
    type State = Remembered;

    fn open(&self, stream: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<Remembered> {
        let (outbox, inbox) = mailbox(stream, 1, 2);
        Ok(Remembered { inbox, outbox })
    }

    fn on_data(&self, st: &mut Remembered, s: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        match input.bytes() {
            b"panic" => panic!("asked to: {}", 7),
            b"payload" => std::panic::panic_any(DropBomb),
            b"fail" => return Err(Error::new("asked to")),
            b"full" => return Err(Status::FULL.into()),
            b"want" => return Ok(Used::none().want(9)),
            b"post" => st.outbox.post(5).map_err(|_| Error::new("not posted"))?,
            b"reserve" => {
                let mut room = s.reserve(8)?;
                assert_eq!(room.put(b"reserved beyond"), 8);
                room.commit_last()?;
            }
            bytes => drop(s.write(bytes)?),
        }
        Ok(input.all())
    }

    fn on_wake(&self, st: &mut Remembered, s: &mut Stream<'_>, bits: u64) -> Result<()> {
        while let Some(n) = st.inbox.take() {
            s.write(format!("{bits}:{n};").as_bytes())?;
        }
        Ok(())
    }
}

/// A panic whose payload panics when it is dropped.
struct DropBomb;

impl Drop for DropBomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// Defers its hooks.
struct Late;

impl Handler for Late {
    const ID: &'static CStr = c"late";
    const SUMMARY: &'static CStr = c"ends its hooks later";
    type Config = NoConfig;

    fn create(_: &mut Instance<'_>, _: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn start(&self, hook: &mut Hook<'_>) -> Result<()> {
        let op: Operation = hook.defer()?;
        std::thread::spawn(move || op.finish(Ok(())))
            .join()
            .map_err(|_| Error::new("no thread"))
    }

    fn stop(&self, hook: &mut Hook<'_>) -> Result<()> {
        drop(hook.defer()?);
        Ok(())
    }
}

impl StreamHandler for Late {
    type State = ();

    fn open(&self, _: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<()> {
        Ok(())
    }
    fn on_data(&self, (): &mut (), _: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        Ok(input.all())
    }
}

impl DrainStream for Late {
    fn on_drain(&self, (): &mut (), s: &mut Stream<'_>, _: polyport_sdk::Moment) -> Result<()> {
        s.close(Close::Flush, "drained")
    }
}

export_plugin! {
    id: "org.example.boundary",
    handlers: [Puppet, Late],
}

unsafe extern "C" {
    fn polyport_plugin_v1() -> *const PpPlugin;
}

/// The initialised plugin: from here on panics are recorded instead of printed.
fn plugin() -> &'static PpPlugin {
    // SAFETY: the macro above defined it, and what it returns is static.
    let plugin = unsafe { &*polyport_plugin_v1() };
    // SAFETY: the table of the tests is static.
    assert_eq!(unsafe { plugin.init.unwrap()(raw_host()) }, abi::PP_OK);
    plugin
}

fn puppet() -> Driver {
    plugin();
    Driver::new(handler_table!(Puppet), "{}").unwrap()
}

#[test]
fn panic_is_logged_with_its_location_and_leaks_the_state() {
    let mut driver = puppet();
    for bytes in [&b"panic"[..], b"payload"] {
        let stream = driver.open_stream().unwrap();
        let dropped = DROPPED.load(Ordering::Relaxed);
        assert_eq!(
            driver.data(stream, bytes, false).used,
            i64::from(abi::PP_E_PANIC)
        );
        assert_eq!(
            driver.data(stream, b"more", false).used,
            i64::from(abi::PP_E_PANIC)
        );
        let line = driver.host(|host| host.logged.pop()).unwrap();
        assert_eq!((line.who, line.level), (stream, abi::PP_LOG_ERROR));
        assert!(
            line.text.starts_with("on_data panicked at "),
            "{}",
            line.text
        );
        assert!(line.text.contains("tests/boundary.rs:"), "{}", line.text);
        assert_eq!(
            line.text.ends_with(": asked to: 7"),
            bytes == b"panic",
            "{}",
            line.text
        );
        assert!(driver.host(|host| host.logged.is_empty() && host.written.is_empty()));
        assert_eq!(
            driver.end_stream(stream, abi::PP_END_PLUGIN_FAULT),
            abi::PP_OK
        );
        assert_eq!(DROPPED.load(Ordering::Relaxed), dropped);
    }
    let stream = driver.open_stream().unwrap();
    assert_eq!(driver.data(stream, b"others go on", false).used, 12);
}

#[test]
fn panic_of_a_hook_is_caught() {
    let plugin = plugin();
    // SAFETY: the tables are static.
    let handlers = unsafe { std::slice::from_raw_parts(plugin.handlers, plugin.n_handlers) };
    // SAFETY: as are the handlers.
    let table = unsafe { &*handlers[0] };
    let id = 77 << 32;
    let mut this = std::ptr::null_mut();
    let create = table.create.unwrap();
    // SAFETY: no text is the empty configuration; `this` is ours.
    let code = unsafe { create(id, std::ptr::null(), std::ptr::null_mut(), &raw mut this) };
    assert_eq!(code, abi::PP_OK);
    // SAFETY: `create` made the instance, `destroy` ends it.
    unsafe {
        assert_eq!(table.on_timer.unwrap()(this, 3), abi::PP_E_PANIC);
        assert_eq!(table.destroy.unwrap()(this), abi::PP_OK);
    }
}

#[test]
fn error_with_a_reason_is_logged() {
    let mut driver = puppet();
    let stream = driver.open_stream().unwrap();
    assert_eq!(
        driver.data(stream, b"full", false).used,
        i64::from(abi::PP_E_FULL)
    );
    assert!(driver.host(|host| host.logged.is_empty()));
    assert_eq!(
        driver.data(stream, b"fail", false).used,
        i64::from(abi::PP_E_FAIL)
    );
    assert_eq!(
        driver.host(|host| host.logged.pop()).unwrap().text,
        "on_data: asked to"
    );
    assert_eq!(
        driver.data(stream, b"want", false),
        DataResult { used: 0, want: 9 }
    );
}

#[test]
fn reserve_writes_in_place() {
    let mut driver = puppet();
    let stream = driver.open_stream().unwrap();
    assert_eq!(driver.data(stream, b"reserve", false).used, 7);
    assert_eq!(
        driver.host(|host| host.written.remove(&stream)).unwrap(),
        b"reserved"
    );
    assert_eq!(driver.host(|host| host.finished.clone()), [stream]);
}

#[test]
fn mailbox_wakes_and_returns_messages_when_closed() {
    let mut driver = puppet();
    let stream = driver.open_stream().unwrap();
    for _ in 0..2 {
        assert_eq!(driver.data(stream, b"post", false).used, 4);
    }
    assert_eq!(
        driver.data(stream, b"post", false).used,
        i64::from(abi::PP_E_FAIL),
        "bound is 2"
    );
    assert_eq!(
        driver.host(|host| host.woken.clone()),
        [(stream, 1)],
        "one wake-up for both"
    );
    assert_eq!(driver.wake_stream(stream, 1), abi::PP_OK);
    assert_eq!(
        driver.host(|host| host.written.remove(&stream)).unwrap(),
        b"1:5;1:5;"
    );
    driver.host(|host| host.gone.push(stream));
    assert_eq!(
        driver.data(stream, b"post", false).used,
        i64::from(abi::PP_E_FAIL)
    );
    driver.host(|host| host.woken.clear());
    assert_eq!(driver.end_stream(stream, End::DONE.code()), abi::PP_OK);
}

#[test]
fn hook_can_be_deferred() {
    plugin();
    let table = handler_table!(Late);
    let (op, mut this) = ((78 << 32) | 1, std::ptr::null_mut());
    let (create, report) = (table.create.unwrap(), std::ptr::null_mut());
    // SAFETY: no text is the empty configuration; `this` is ours and is ended below.
    unsafe {
        assert_eq!(
            create(78 << 32, std::ptr::null(), report, &raw mut this),
            abi::PP_OK
        );
        assert_eq!(table.start.unwrap()(this, op), abi::PP_S_PENDING);
        assert_eq!(table.stop.unwrap()(this, op), abi::PP_S_PENDING);
        assert_eq!(table.drain.unwrap()(this, op, 0), abi::PP_OK);
        assert_eq!(table.destroy.unwrap()(this), abi::PP_OK);
    }
}

#[test]
fn table_has_callbacks_of_implemented_traits_only() {
    let (puppet, late) = (handler_table!(Puppet), handler_table!(Late));
    // SAFETY: the tables are static.
    let (puppets, lates) = unsafe { (&*puppet.stream, &*late.stream) };
    assert!(puppets.on_drain.is_none() && lates.on_drain.is_some());
    assert!(puppets.export_state.is_none() && puppets.import_state.is_none());
    assert!(puppet.socket.is_null() && puppet.flow.is_null());
    assert!(puppet.save_state.is_none() && puppet.freeze.is_none());
    // SAFETY: the schema is a static text.
    let schema = unsafe { CStr::from_ptr(puppet.config_schema) }
        .to_str()
        .unwrap();
    assert!(schema.contains("\"title\":\"NoConfig\""), "{schema}");
    let findings = Driver::new(puppet, r#"{"typo": 1}"#).unwrap_err();
    assert_eq!(
        findings,
        ["/typo: unknown field `typo`, there are no fields"]
    );
}
