//! The calls of a reload: a new configuration, freeze, migration of streams.
#![expect(unsafe_code, reason = "it calls the tables as the daemon does")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the handlers are meant to panic, the helpers may"
)]

use std::ffi::CStr;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use polyport_sdk::abi::{self, PpPlugin};
use polyport_sdk::prelude::*;
use polyport_sdk::testing::{Driver, raw_host};
use polyport_sdk::{
    Error, Exclusive, Hook, MigrateStream, StateReader, StateWriter, export_plugin, handler_table,
};

/// Sums the bytes of each stream, up to a configurable bound.
struct Bounded(AtomicU32);

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bound {
    bound: u32,
}

struct Sum(u32);

static DROPPED: AtomicUsize = AtomicUsize::new(0);

impl Drop for Sum {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

impl Handler for Bounded {
    const ID: &'static CStr = c"bounded";
    const SUMMARY: &'static CStr = c"sums up, to a bound";
    const STATE_VERSION: u32 = 1;
    const STATE_MIN_VERSION: u32 = 1;
    type Config = Bound;

    fn create(_: &mut Instance<'_>, config: Bound) -> Result<Self> {
        Ok(Self(AtomicU32::new(config.bound)))
    }

    fn reconfigure(&self, _: &mut Instance<'_>, config: Bound) -> Result<()> {
        match config.bound {
            0 => Err(Error::new("nothing fits")),
            bound => {
                self.0.store(bound, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl Exclusive for Bounded {
    fn freeze(&self, hook: &mut Hook<'_>) -> Result<()> {
        hook.defer()?.finish(Ok(()));
        Ok(())
    }

    fn thaw(&self, _: &mut Hook<'_>) -> Result<()> {
        panic!("still cold");
    }
}

impl StreamHandler for Bounded {
    type State = Sum;

    fn open(&self, _: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<Sum> {
        Ok(Sum(0))
    }

    fn on_data(&self, sum: &mut Sum, _: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        sum.0 += input
            .bytes()
            .iter()
            .map(|byte| u32::from(*byte))
            .sum::<u32>();
        if sum.0 > self.0.load(Ordering::Relaxed) {
            return Err(Error::new("too much"));
        }
        Ok(input.all())
    }
}

impl MigrateStream for Bounded {
    fn export_state(&self, sum: &Sum, _: &mut Stream<'_>, to: &mut StateWriter<'_>) -> Result<()> {
        assert!(sum.0 != 13, "not this one");
        Ok(to.write_all(&sum.0.to_be_bytes())?)
    }

    fn import_state(
        &self,
        _: &mut Stream<'_>,
        info: &StreamInfo<'_>,
        _version: u32,
        from: &mut StateReader<'_>,
    ) -> Result<Sum> {
        assert!(info.migrated());
        let mut sum = [0; 4];
        from.read_exact(&mut sum)?;
        assert!(sum != [0; 4], "not empty ones");
        Ok(Sum(u32::from_be_bytes(sum)))
    }
}

/// Implements none of the optional traits.
struct Plain;

impl Handler for Plain {
    const ID: &'static CStr = c"plain";
    const SUMMARY: &'static CStr = c"nothing";
    type Config = NoConfig;

    fn create(_: &mut Instance<'_>, _: NoConfig) -> Result<Self> {
        Ok(Self)
    }
}

impl StreamHandler for Plain {
    type State = ();

    fn open(&self, _: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<()> {
        Ok(())
    }

    fn on_data(&self, (): &mut (), _: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        Ok(input.all())
    }
}

export_plugin! { id: "org.example.reload", handlers: [Bounded, Plain] }

unsafe extern "C" {
    fn polyport_plugin_v1() -> *const PpPlugin;
}

/// Instances with this bound.
fn bounded<const N: usize>(json: &str) -> [Driver; N] {
    // SAFETY: the macro above defined it, and what it returns is static.
    let plugin = unsafe { &*polyport_plugin_v1() };
    // SAFETY: the table of the tests is static.
    assert_eq!(unsafe { plugin.init.unwrap()(raw_host()) }, abi::PP_OK);
    std::array::from_fn(|_| Driver::new(handler_table!(Bounded), json).unwrap())
}

#[test]
fn reconfigure_applies_or_keeps_the_old_configuration() {
    let [mut driver] = bounded(r#"{"bound": 5}"#);
    let stream = driver.open_stream().unwrap();
    assert_eq!(
        driver.data(stream, &[6], false).used,
        i64::from(abi::PP_E_FAIL)
    );
    driver.reconfigure(r#"{"bound": 50}"#).unwrap();
    let stream = driver.open_stream().unwrap();
    assert_eq!(driver.data(stream, &[6], false).used, 1);
    let (code, findings) = driver.reconfigure(r#"{"bound": 0}"#).unwrap_err();
    assert_eq!(
        (code, &findings[..]),
        (abi::PP_E_FAIL, &[": nothing fits".to_owned()][..])
    );
    let (code, findings) = driver.reconfigure(r#"{"bound": "much"}"#).unwrap_err();
    assert_eq!(code, abi::PP_E_FAIL);
    assert!(findings.concat().starts_with("/bound: "), "{findings:?}");
    assert_eq!(driver.data(stream, &[44], false).used, 1);
    let mut plain = Driver::new(handler_table!(Plain), "{}").unwrap();
    let (code, findings) = plain.reconfigure("{}").unwrap_err();
    assert_eq!((code, findings.len()), (abi::PP_E_UNSUPPORTED, 0));
}

#[test]
fn freeze_can_be_deferred_and_a_panic_of_thaw_is_caught() {
    let [mut driver] = bounded(r#"{"bound": 5}"#);
    assert_eq!(handler_table!(Bounded).flags, abi::PP_HF_EXCLUSIVE);
    assert_eq!(driver.freeze(), abi::PP_S_PENDING);
    let ended = driver.host(|host| host.completed.pop().unwrap());
    assert_eq!(ended.1, abi::PP_OK);
    assert_eq!(driver.thaw(), abi::PP_E_PANIC);
    let plain = handler_table!(Plain);
    assert_eq!(plain.flags, 0);
    assert!(plain.freeze.is_none() && plain.thaw.is_none());
}

#[test]
fn migrate_panic_affects_only_its_own_side() {
    let [mut old, mut new] = bounded(r#"{"bound": 50}"#);
    let stream = old.open_stream().unwrap();
    assert_eq!(old.migrate_stream(stream, &mut new), Err(abi::PP_E_PANIC));
    // The import panicked, so the stream stays.
    assert_eq!(old.data(stream, &[7], false).used, 1);
    let moved = old.migrate_stream(stream, &mut new).unwrap();
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
    assert_eq!(new.data(moved, &[6], false).used, 1);
    // A panic of an export poisons the state: it is leaked.
    assert_eq!(new.export_stream(moved), Err(abi::PP_E_PANIC));
    assert_eq!(
        new.data(moved, &[1], false).used,
        i64::from(abi::PP_E_PANIC)
    );
    assert_eq!(new.end_stream(moved, abi::PP_END_PLUGIN_FAULT), abi::PP_OK);
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
}
