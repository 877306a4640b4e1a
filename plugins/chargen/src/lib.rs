//! Chargen, RFC 864: an endless text for a stream, a few characters for a datagram.
#![forbid(unsafe_code)]

mod config;
mod proto;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Write as _, read_to_string};

use polyport_sdk::guard::{LoopGuard, LoopGuardConfig};
use polyport_sdk::prelude::*;
use polyport_sdk::{
    Datagram, DrainStream, Metric, MigrateStream, Moment, Output, Report, StateReader, StateWriter,
    Status,
};

use config::Config;
use proto::{Random, Text};

const LOOPS_REFUSED: Metric<'_> = Metric {
    name: c"chargen_loops_refused_total",
    help: c"Datagrams not answered, since their source port belongs to a service",
    labels: &[],
};

struct Chargen {
    guard: LoopGuard,
    amplification_max: usize,
}

impl Handler for Chargen {
    const ID: &'static CStr = c"chargen";
    const SUMMARY: &'static CStr = c"sends characters without end (RFC 864)";
    const STATE_VERSION: u32 = 1;
    const STATE_MIN_VERSION: u32 = 1;
    type Config = Config;

    fn check(config: &Config, report: &mut Report<'_>) {
        if config.amplification_max > Config::AMPLIFICATION_MAX {
            let most = Config::AMPLIFICATION_MAX;
            report.error(
                "/amplification-max",
                format_args!("at most {most}, which is no bound"),
            );
        }
    }

    fn create(instance: &mut Instance<'_>, config: Config) -> Result<Self> {
        let Config {
            amplification_max,
            refuse_privileged_source_ports,
        } = config;
        let guard = LoopGuardConfig {
            refuse_privileged_source_ports,
        };
        let guard = LoopGuard::new(instance, &LOOPS_REFUSED, guard);
        Ok(Self {
            guard,
            amplification_max,
        })
    }
}

/// Writes until the output is above the high watermark. Lines that the host did not accept are
/// written again by the next call.
fn fill(text: &mut Text, stream: &mut Stream<'_>) -> Result<()> {
    loop {
        match stream.write(text.piece()) {
            Ok(output) => {
                text.advance();
                if output == Output::AboveHigh {
                    return Ok(());
                }
            }
            Err(full) if full.status() == Status::FULL => return Ok(()),
            Err(other) => return Err(other),
        }
    }
}

impl StreamHandler for Chargen {
    type State = Text;

    // "Once a connection is established a stream of data is sent out the connection (and any data
    // received is thrown away). This continues until the calling user terminates the connection."
    fn open(&self, stream: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<Text> {
        let mut text = Text::default();
        fill(&mut text, stream)?;
        Ok(text)
    }

    /// A peer that has ended its own direction may still read: the stream ends only when our
    /// direction does.
    fn on_data(&self, _: &mut Text, _: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        Ok(input.all())
    }

    fn on_writable(&self, text: &mut Text, stream: &mut Stream<'_>) -> Result<()> {
        fill(text, stream)
    }
}

/// The stream is never idle, so it needs the callback: it ends after a complete line.
impl DrainStream for Chargen {
    fn on_drain(&self, _: &mut Text, stream: &mut Stream<'_>, _: Moment) -> Result<()> {
        stream.close(Close::Flush, "drained")
    }
}

/// State of version 1: the number of the next line, in decimal.
impl MigrateStream for Chargen {
    fn export_state(
        &self,
        text: &Text,
        _: &mut Stream<'_>,
        to: &mut StateWriter<'_>,
    ) -> Result<()> {
        Ok(write!(to, "{}", text.line())?)
    }

    fn import_state(
        &self,
        _: &mut Stream<'_>,
        _: &StreamInfo<'_>,
        _: u32,
        from: &mut StateReader<'_>,
    ) -> Result<Text> {
        let line = read_to_string(from)?.parse().ok().and_then(Text::at);
        line.ok_or_else(|| "there is no such line".into())
    }
}

impl SocketHandler for Chargen {
    type State = Random;

    fn open(&self, _: &mut Socket<'_>, _: &SocketInfo<'_>) -> Result<Random> {
        Ok(Random(RandomState::new().build_hasher().finish()))
    }

    fn on_datagrams(
        &self,
        random: &mut Random,
        socket: &mut Socket<'_>,
        batch: Batch<'_>,
    ) -> Result<()> {
        let answer = |it: Datagram<'_>| {
            let allowed = self.guard.allows(&it.from());
            allowed.then(|| proto::datagram(it.bytes().len(), self.amplification_max, random))
        };
        socket.reply_each(batch, answer).map(drop)
    }
}

export_plugin! {
    id: "org.polyport.chargen",
    handlers: [Chargen],
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_sdk::handler_table;
    use polyport_sdk::testing::Driver;

    const PIECE: usize = 16 * 74;

    #[test]
    fn chargen_fills_a_stream_to_the_watermark() {
        let mut driver = Driver::new(handler_table!(Chargen), "{}").unwrap();
        driver.host(|host| host.high = 10_000);
        let stream = driver.open_stream().unwrap();
        let mut out = Vec::new();
        for _ in 0..5 {
            let written = driver.host(|host| host.written[&stream].clone());
            assert!(written.len() > 10_000 && written.len() <= 10_000 + PIECE);
            out.extend(written);
            assert_eq!(driver.writable(stream), 0);
        }
        let lines: Vec<&[u8]> = out.chunks(74).collect();
        assert!(lines.windows(2).all(|pair| pair[0][1..72] == pair[1][..71]));
        assert_eq!(driver.data(stream, b"ignored", true).used, 7);
        assert!(driver.host(|host| host.closed.is_empty()));
        assert_eq!(driver.drain_stream(stream), Some(0));
        assert!(driver.host(|host| host.closed.contains_key(&stream)));
    }

    #[test]
    fn chargen_repeats_lines_that_were_not_accepted() {
        let mut driver = Driver::new(handler_table!(Chargen), "{}").unwrap();
        driver.host(|host| host.bound = 3 * PIECE);
        let stream = driver.open_stream().unwrap();
        let first = driver.host(|host| host.written[&stream].clone());
        assert_eq!(first.len(), 3 * PIECE);
        assert_eq!(driver.writable(stream), 0);
        let second = driver.host(|host| host.written[&stream].clone());
        assert_eq!(first[first.len() - 73..][..71], second[..71]);
    }

    #[test]
    fn chargen_continues_with_the_next_line_after_migration() {
        let mut old = Driver::new(handler_table!(Chargen), "{}").unwrap();
        let mut new = Driver::new(handler_table!(Chargen), "{}").unwrap();
        old.host(|host| host.high = 3 * PIECE);
        new.host(|host| host.high = 3 * PIECE);
        let stream = old.open_stream().unwrap();
        let first = old.host(|host| host.written[&stream].clone());
        let moved = old.migrate_stream(stream, &mut new).unwrap();
        assert!(
            new.host(|host| host.written.is_empty()),
            "the output of the old code is still on its way"
        );
        assert_eq!(new.writable(moved), 0);
        let second = new.host(|host| host.written[&moved].clone());
        assert_eq!(first[first.len() - 73..][..71], second[..71]);
        for rubbish in [&b"95"[..], b"-1", b"", b"x", b"18446744073709551616"] {
            assert!(new.import_stream(1, rubbish).is_err(), "{rubbish:?}");
        }
    }

    #[test]
    fn chargen_does_not_amplify_datagrams() {
        let mut driver = Driver::new(handler_table!(Chargen), "{}").unwrap();
        let socket = driver.open_socket().unwrap();
        let (peer, echo) = (
            "192.0.2.1:4000".parse().unwrap(),
            "192.0.2.1:7".parse().unwrap(),
        );
        assert_eq!(
            driver.datagrams(socket, &[(peer, b""), (echo, b"loop"), (peer, b"abc")]),
            0
        );
        let sent = driver.host(|host| host.sends.concat());
        assert_eq!(sent.iter().map(|it| it.peer).collect::<Vec<_>>(), [1, 3]);
        assert!(sent[0].data.is_empty() && sent[1].data.len() <= 9);
        assert_eq!(
            driver.host(|host| host.metric("chargen_loops_refused_total")),
            1
        );
    }

    #[test]
    fn chargen_refuses_an_amplification_bound_without_effect() {
        let findings = Driver::new(handler_table!(Chargen), r#"{"amplification-max": 513}"#);
        assert_eq!(
            findings.unwrap_err(),
            ["/amplification-max: at most 512, which is no bound"]
        );
    }
}
