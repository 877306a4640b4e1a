//! Discard, RFC 863: all input is dropped, and nothing is sent.
#![forbid(unsafe_code)]

use polyport_sdk::prelude::*;
use polyport_sdk::{MigrateStream, StateReader, StateWriter};

struct Discard;

impl Handler for Discard {
    const ID: &'static CStr = c"discard";
    const SUMMARY: &'static CStr = c"throws away what it gets (RFC 863)";
    const STATE_VERSION: u32 = 1;
    const STATE_MIN_VERSION: u32 = 1;
    type Config = NoConfig;

    fn create(_: &mut Instance<'_>, _: NoConfig) -> Result<Self> {
        Ok(Self)
    }
}

impl StreamHandler for Discard {
    type State = ();

    fn open(&self, _: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<()> {
        Ok(())
    }

    // "Once a connection is established any data received is thrown away. No response is sent. This
    // continues until the calling user terminates the connection."
    fn on_data(&self, (): &mut (), stream: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        if input.fin() {
            stream.close(Close::Flush, "the peer has ended")?;
        }
        Ok(input.all())
    }
}

/// A stream has no state, so it migrates without any.
impl MigrateStream for Discard {
    fn export_state(&self, (): &(), _: &mut Stream<'_>, _: &mut StateWriter<'_>) -> Result<()> {
        Ok(())
    }

    fn import_state(
        &self,
        _: &mut Stream<'_>,
        _: &StreamInfo<'_>,
        _: u32,
        _: &mut StateReader<'_>,
    ) -> Result<()> {
        Ok(())
    }
}

impl SocketHandler for Discard {
    type State = ();

    fn open(&self, _: &mut Socket<'_>, _: &SocketInfo<'_>) -> Result<()> {
        Ok(())
    }

    fn on_datagrams(&self, (): &mut (), _: &mut Socket<'_>, _: Batch<'_>) -> Result<()> {
        Ok(())
    }
}

export_plugin! {
    id: "org.polyport.discard",
    handlers: [Discard],
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_sdk::handler_table;
    use polyport_sdk::testing::Driver;

    #[test]
    fn discard_sends_nothing_and_closes_at_the_end() {
        let mut driver = Driver::new(handler_table!(Discard), "{}").unwrap();
        let stream = driver.open_stream().unwrap();
        assert_eq!(driver.data(stream, b"lost", false).used, 4);
        assert!(driver.host(|host| host.closed.is_empty()));
        assert_eq!(driver.data(stream, b"", true).used, 0);
        assert!(driver.host(|host| host.closed.contains_key(&stream) && host.written.is_empty()));

        let socket = driver.open_socket().unwrap();
        assert_eq!(
            driver.datagrams(socket, &[("192.0.2.1:9".parse().unwrap(), b"lost")]),
            0
        );
        assert!(driver.host(|host| host.sends.is_empty()));
    }

    #[test]
    fn discard_migrates_a_stream() {
        let mut old = Driver::new(handler_table!(Discard), "{}").unwrap();
        let mut new = Driver::new(handler_table!(Discard), "{}").unwrap();
        let stream = old.open_stream().unwrap();
        let moved = old.migrate_stream(stream, &mut new).unwrap();
        assert_eq!(new.data(moved, b"lost", true).used, 4);
        assert!(new.host(|host| host.closed.contains_key(&moved)));
    }
}
