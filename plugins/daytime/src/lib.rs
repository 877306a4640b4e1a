//! Daytime, RFC 867: date and time as a line of text, in UTC.
#![forbid(unsafe_code)]

mod proto;

use std::time::{SystemTime, UNIX_EPOCH};

use polyport_sdk::guard::{LoopGuard, LoopGuardConfig};
use polyport_sdk::prelude::*;
use polyport_sdk::{Datagram, Metric};

const LOOPS_REFUSED: Metric<'_> = Metric {
    name: c"daytime_loops_refused_total",
    help: c"Datagrams not answered, since their source port belongs to a service",
    labels: &[],
};

struct Daytime {
    guard: LoopGuard,
}

impl Handler for Daytime {
    const ID: &'static CStr = c"daytime";
    const SUMMARY: &'static CStr = c"tells date and time as text (RFC 867)";
    type Config = LoopGuardConfig;

    fn create(instance: &mut Instance<'_>, config: LoopGuardConfig) -> Result<Self> {
        Ok(Self {
            guard: LoopGuard::new(instance, &LOOPS_REFUSED, config),
        })
    }
}

impl StreamHandler for Daytime {
    type State = ();

    // "Once a connection is established the current date and time is sent out the connection as a
    // ascii character string (and any data received is thrown away). The service closes the
    // connection after sending the quote."
    fn open(&self, stream: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<()> {
        stream.write(now().as_bytes())?;
        stream.close(Close::Flush, "answered")
    }

    fn on_data(&self, (): &mut (), _: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        Ok(input.all())
    }
}

impl SocketHandler for Daytime {
    type State = ();

    fn open(&self, _: &mut Socket<'_>, _: &SocketInfo<'_>) -> Result<()> {
        Ok(())
    }

    fn on_datagrams(&self, (): &mut (), socket: &mut Socket<'_>, batch: Batch<'_>) -> Result<()> {
        let line = now();
        let answer = |it: Datagram<'_>| self.guard.allows(&it.from()).then_some(line.as_bytes());
        socket.reply_each(batch, answer).map(drop)
    }
}

fn now() -> String {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    proto::line(since_1970.as_secs())
}

export_plugin! {
    id: "org.polyport.daytime",
    handlers: [Daytime],
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_sdk::handler_table;
    use polyport_sdk::testing::Driver;

    #[test]
    fn daytime_sends_one_line_and_closes() {
        let mut driver = Driver::new(handler_table!(Daytime), "{}").unwrap();
        let stream = driver.open_stream().unwrap();
        let line = driver.host(|host| host.written.remove(&stream)).unwrap();
        assert!(line.ends_with(b"-UTC\r\n"));
        assert!(driver.host(|host| host.closed.contains_key(&stream)));
    }

    #[test]
    fn daytime_replies_one_line_to_each_datagram() {
        let config = r#"{"refuse-privileged-source-ports": true}"#;
        let mut driver = Driver::new(handler_table!(Daytime), config).unwrap();
        let socket = driver.open_socket().unwrap();
        let (client, service) = (
            "192.0.2.1:4000".parse().unwrap(),
            "192.0.2.1:53".parse().unwrap(),
        );
        assert_eq!(
            driver.datagrams(socket, &[(client, b""), (service, b"what?")]),
            0
        );
        let sent = driver.host(|host| host.sends.concat());
        assert_eq!(sent.len(), 1);
        assert!(sent[0].data.ends_with(b"-UTC\r\n"));
        assert_eq!(
            driver.host(|host| host.metric("daytime_loops_refused_total")),
            1
        );
    }
}
