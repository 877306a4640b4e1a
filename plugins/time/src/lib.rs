//! Time, RFC 868: the time as a binary number.
#![forbid(unsafe_code)]

mod proto;

use std::time::{SystemTime, UNIX_EPOCH};

use polyport_sdk::guard::{LoopGuard, LoopGuardConfig};
use polyport_sdk::prelude::*;
use polyport_sdk::{Datagram, Metric};

const LOOPS_REFUSED: Metric<'_> = Metric {
    name: c"time_loops_refused_total",
    help: c"Datagrams not answered, since their source port belongs to a service",
    labels: &[],
};

struct Time {
    guard: LoopGuard,
}

impl Handler for Time {
    const ID: &'static CStr = c"time";
    const SUMMARY: &'static CStr = c"tells the time as a number (RFC 868)";
    type Config = LoopGuardConfig;

    fn create(instance: &mut Instance<'_>, config: LoopGuardConfig) -> Result<Self> {
        Ok(Self {
            guard: LoopGuard::new(instance, &LOOPS_REFUSED, config),
        })
    }
}

impl StreamHandler for Time {
    type State = ();

    // RFC 868 in its own steps: "S: Listen on port 37 (45 octal). [...] S: Send the time as a 32
    // bit binary number. [...] S: Close the connection."
    fn open(&self, stream: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<()> {
        stream.write(&now())?;
        stream.close(Close::Flush, "answered")
    }

    fn on_data(&self, (): &mut (), _: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        Ok(input.all())
    }
}

impl SocketHandler for Time {
    type State = ();

    fn open(&self, _: &mut Socket<'_>, _: &SocketInfo<'_>) -> Result<()> {
        Ok(())
    }

    fn on_datagrams(&self, (): &mut (), socket: &mut Socket<'_>, batch: Batch<'_>) -> Result<()> {
        let number = now();
        let answer = |it: Datagram<'_>| self.guard.allows(&it.from()).then_some(number.as_slice());
        socket.reply_each(batch, answer).map(drop)
    }
}

fn now() -> [u8; 4] {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    proto::answer(since_1970.as_secs())
}

export_plugin! {
    id: "org.polyport.time",
    handlers: [Time],
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_sdk::handler_table;
    use polyport_sdk::testing::Driver;

    #[test]
    fn time_sends_one_number_and_closes() {
        let mut driver = Driver::new(handler_table!(Time), "{}").unwrap();
        let stream = driver.open_stream().unwrap();
        assert_eq!(
            driver
                .host(|host| host.written.remove(&stream))
                .unwrap()
                .len(),
            4
        );
        assert!(driver.host(|host| host.closed.contains_key(&stream)));
    }

    #[test]
    fn time_replies_one_number_to_each_datagram() {
        let config = r#"{"refuse-privileged-source-ports": true}"#;
        let mut driver = Driver::new(handler_table!(Time), config).unwrap();
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
        assert_eq!(sent[0].data.len(), 4);
        assert_eq!(
            driver.host(|host| host.metric("time_loops_refused_total")),
            1
        );
    }
}
