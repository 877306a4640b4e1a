//! Echo, RFC 862: all input is sent back unchanged: one write for each delivery to a stream, one
//! call for a batch of datagrams.
#![forbid(unsafe_code)]

use polyport_sdk::guard::{LoopGuard, LoopGuardConfig};
use polyport_sdk::prelude::*;
use polyport_sdk::{Metric, MigrateStream, StateReader, StateWriter};

const LOOPS_REFUSED: Metric<'_> = Metric {
    name: c"echo_loops_refused_total",
    help: c"Datagrams not answered, since their source port belongs to a service",
    labels: &[],
};

struct Echo {
    guard: LoopGuard,
}

impl Handler for Echo {
    const ID: &'static CStr = c"echo";
    const SUMMARY: &'static CStr = c"sends back what it gets (RFC 862)";
    const STATE_VERSION: u32 = 1;
    const STATE_MIN_VERSION: u32 = 1;
    type Config = LoopGuardConfig;

    fn create(instance: &mut Instance<'_>, config: LoopGuardConfig) -> Result<Self> {
        Ok(Self {
            guard: LoopGuard::new(instance, &LOOPS_REFUSED, config),
        })
    }
}

impl StreamHandler for Echo {
    type State = ();

    fn open(&self, _: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<()> {
        Ok(())
    }

    // "Once a connection is established any data received is sent back. This continues until the
    // calling user terminates the connection." Once the peer has ended its direction, the last
    // bytes are sent back with the end of ours.
    fn on_data(&self, (): &mut (), stream: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        stream.echo(input)?;
        Ok(input.all())
    }
}

/// A stream has no state, so it migrates without any.
impl MigrateStream for Echo {
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

impl SocketHandler for Echo {
    type State = ();

    fn open(&self, _: &mut Socket<'_>, _: &SocketInfo<'_>) -> Result<()> {
        Ok(())
    }

    fn on_datagrams(&self, (): &mut (), socket: &mut Socket<'_>, batch: Batch<'_>) -> Result<()> {
        let guard = self.guard;
        socket
            .reply_each(batch, |it| guard.allows(&it.from()).then_some(it.bytes()))
            .map(drop)
    }
}

export_plugin! {
    id: "org.polyport.echo",
    handlers: [Echo],
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_sdk::handler_table;
    use polyport_sdk::testing::Driver;

    #[test]
    fn echo_returns_the_bytes_of_a_stream_and_its_end() {
        let mut driver = Driver::new(handler_table!(Echo), "{}").unwrap();
        let stream = driver.open_stream().unwrap();
        assert_eq!(driver.data(stream, b"one ", false).used, 4);
        assert!(driver.host(|host| host.finished.is_empty()));
        assert_eq!(driver.data(stream, b"two", true).used, 3);
        assert_eq!(
            driver.host(|host| host.written.remove(&stream)).unwrap(),
            b"one two"
        );
        assert_eq!(driver.host(|host| host.finished.clone()), [stream]);
        assert!(
            driver.drain_stream(stream).is_none(),
            "the host closes it when it is idle"
        );
    }

    #[test]
    fn echo_migrates_a_stream() {
        let mut old = Driver::new(handler_table!(Echo), "{}").unwrap();
        let mut new = Driver::new(handler_table!(Echo), "{}").unwrap();
        let stream = old.open_stream().unwrap();
        old.data(stream, b"one ", false);
        assert_eq!(old.export_stream(stream).unwrap(), b"");
        let moved = old.migrate_stream(stream, &mut new).unwrap();
        assert_eq!(new.data(moved, b"two", true).used, 3);
        assert_eq!(new.host(|host| host.written[&moved].clone()), b"two");
        assert_eq!(new.host(|host| host.finished.clone()), [moved]);
    }

    #[test]
    fn echo_replies_to_a_batch_by_one_call() {
        let mut driver = Driver::new(handler_table!(Echo), "{}").unwrap();
        let socket = driver.open_socket().unwrap();
        let (peer, chargen) = (
            "192.0.2.1:4000".parse().unwrap(),
            "192.0.2.1:19".parse().unwrap(),
        );
        let batch: [(_, &[u8]); 3] = [(peer, b"a"), (chargen, b"loop"), (peer, b"")];
        assert_eq!(driver.datagrams(socket, &batch), 0);
        let sends = driver.host(|host| std::mem::take(&mut host.sends));
        let sent: Vec<_> = sends[0]
            .iter()
            .map(|it| (it.peer, it.data.as_slice()))
            .collect();
        assert_eq!((sends.len(), sent), (1, vec![(1, &b"a"[..]), (3, b"")]));
        assert_eq!(
            driver.host(|host| host.metric("echo_loops_refused_total")),
            1
        );
    }

    #[test]
    fn echo_replies_to_more_datagrams_than_one_call_takes() {
        let mut driver = Driver::new(handler_table!(Echo), "{}").unwrap();
        let socket = driver.open_socket().unwrap();
        let peer = "[2001:db8::1]:4000".parse().unwrap();
        let payloads: Vec<[u8; 2]> = (0..300_u16).map(u16::to_be_bytes).collect();
        let batch: Vec<_> = payloads.iter().map(|it| (peer, it.as_slice())).collect();
        assert_eq!(driver.datagrams(socket, &batch), 0);
        let sends = driver.host(|host| std::mem::take(&mut host.sends));
        assert_eq!(
            sends.iter().map(Vec::len).collect::<Vec<_>>(),
            [128, 128, 44]
        );
        let sent: Vec<u8> = sends.concat().into_iter().flat_map(|it| it.data).collect();
        assert_eq!(sent, payloads.concat());
    }
}
