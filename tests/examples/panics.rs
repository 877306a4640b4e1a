//! A plugin of the tests in Rust: an echo that panics in the callback or hook that its configuration names.

use std::collections::BTreeMap;
use std::time::Duration;

use polyport_sdk::prelude::*;
use polyport_sdk::{
    DrainStream, End, Hook, Moment, Output, Persist, Report, StateReader, StateWriter,
};

struct Panics {
    at: String,
}

impl Panics {
    fn here(&self, place: &str) {
        panic_if(&self.at, place);
    }
}

fn panic_if(at: &str, place: &str) {
    assert!(at != place, "the test plugin panics in {place}");
}

fn place(config: &BTreeMap<String, String>) -> String {
    config.get("at").cloned().unwrap_or_default()
}

impl Handler for Panics {
    const ID: &'static CStr = c"panics";
    const SUMMARY: &'static CStr = c"panics where it is told to";
    const STATE_VERSION: u32 = 1;
    const STATE_MIN_VERSION: u32 = 1;
    type Config = BTreeMap<String, String>;

    fn check(config: &Self::Config, _: &mut Report<'_>) {
        panic_if(&place(config), "check");
    }
    fn create(_: &mut Instance<'_>, config: Self::Config) -> Result<Self> {
        let at = place(&config);
        panic_if(&at, "create");
        Ok(Self { at })
    }
    fn start(&self, _: &mut Hook<'_>) -> Result<()> {
        self.here("start");
        Ok(())
    }
    fn drain(&self, _: &mut Hook<'_>, _: Moment) -> Result<()> {
        self.here("drain");
        Ok(())
    }
    fn stop(&self, _: &mut Hook<'_>) -> Result<()> {
        self.here("stop");
        Ok(())
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.here("destroy");
    }
}

impl Persist for Panics {
    fn save_state(&self, _: &mut Instance<'_>, _: &mut StateWriter<'_>) -> Result<()> {
        self.here("save_state");
        Ok(())
    }
    fn restore_state(&self, _: &mut Instance<'_>, _: u32, _: &mut StateReader<'_>) -> Result<()> {
        self.here("restore_state");
        Ok(())
    }
}

impl StreamHandler for Panics {
    type State = ();

    fn open(&self, _: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<()> {
        self.here("open");
        Ok(())
    }
    fn on_data(&self, (): &mut (), stream: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        self.here("on_data");
        match self.at.as_str() {
            "on_wake" => stream.id().wake(1)?,
            "on_timer" => stream.set_timer(1, Duration::from_millis(1))?,
            "on_writable" => while stream.write(&[0; 65_536])? == Output::Below {},
            _ => drop(stream.echo(input)?),
        }
        Ok(input.all())
    }
    fn on_writable(&self, (): &mut (), _: &mut Stream<'_>) -> Result<()> {
        self.here("on_writable");
        Ok(())
    }
    fn on_wake(&self, (): &mut (), _: &mut Stream<'_>, _: u64) -> Result<()> {
        self.here("on_wake");
        Ok(())
    }
    fn on_timer(&self, (): &mut (), _: &mut Stream<'_>, _: u32) -> Result<()> {
        self.here("on_timer");
        Ok(())
    }
    fn closed(&self, (): (), _: &mut Stream<'_>, _: End) {
        self.here("closed");
    }
}

impl DrainStream for Panics {
    fn on_drain(&self, (): &mut (), stream: &mut Stream<'_>, _: Moment) -> Result<()> {
        self.here("on_drain");
        stream.close(Close::Flush, "drain")
    }
}

impl SocketHandler for Panics {
    type State = ();

    fn open(&self, _: &mut Socket<'_>, _: &SocketInfo<'_>) -> Result<()> {
        Ok(())
    }
    fn on_datagrams(&self, (): &mut (), socket: &mut Socket<'_>, batch: Batch<'_>) -> Result<()> {
        if batch.iter().any(|datagram| datagram.bytes() == b"panic") {
            self.here("on_datagrams");
        }
        socket
            .reply_each(batch, |datagram| Some(datagram.bytes()))
            .map(drop)
    }
}

export_plugin! { id: "org.polyport.test.panics", handlers: [Panics] }
