//! The command line: what is loaded, how much, for how long, and what counts as right.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, ValueEnum};

/// Loads a server and counts, exactly, what went wrong: connections that were refused, reset or
/// broken, long-lived streams that ended, datagrams that were lost, and answers that came from
/// the wrong generation of the server's code.
///
/// The server must send back what it is sent: any echo service does. The tool is made for the
/// moments in which servers fail: a reload, an upgrade, a restart.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "polyport-load",
    version,
    after_long_help = CONTROL,
    group = ArgGroup::new("end").required(true),
    group = ArgGroup::new("target").required(true).multiple(true),
)]
pub struct Options {
    /// Load this TCP address; may be given again, clients take turns
    #[arg(long, value_name = "ADDR", value_parser = address, group = "target")]
    pub tcp: Vec<SocketAddr>,
    /// Load this Unix stream socket; may be given again
    #[arg(long, value_name = "PATH", group = "target")]
    pub unix: Vec<PathBuf>,
    /// Load this UDP address; may be given again, sources take turns
    #[arg(long, value_name = "ADDR", value_parser = address, group = "target")]
    pub udp: Vec<SocketAddr>,

    /// Clients that connect, ask once, check the answer, close, and begin again at once
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub connect: u32,
    /// Streams that stay open and ping
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub hold: u32,
    /// How often each of these streams pings
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = duration)]
    pub ping_every: Duration,
    /// Datagrams a second, by all sources together
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub rate: u32,
    /// Sockets that send datagrams; to the server each is a flow
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub sources: u32,
    /// Replace each source by a new one when it is so old, so that new flows begin
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub flow_life: Option<Duration>,

    /// Run for so long
    #[arg(long = "for", value_name = "TIME", value_parser = duration, group = "end")]
    pub length: Option<Duration>,
    /// Run until the script that writes control lines closes its end, or says `stop`
    #[arg(long, group = "end")]
    pub until_stdin_closes: bool,
    /// An answer that has not come by then is a loss
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub timeout: Duration,

    /// What an answer looks like
    #[arg(long, value_enum, default_value_t = Reply::Echo)]
    pub reply: Reply,
    /// Which generation may answer the datagrams of one source
    #[arg(long, value_enum, value_name = "RULE", default_value_t = Rule::Exact)]
    pub flows: Rule,
    /// Which generation may answer the pings of one long-lived stream
    #[arg(long, value_enum, value_name = "RULE", default_value_t = Rule::Ordered)]
    pub streams: Rule,

    /// Lost datagrams that do not make the run a failure: what a control run lost
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub allow_lost: u64,
    /// Receive buffer to ask for, for each source
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub receive_buffer: usize,
    /// Print the report as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// What an answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reply {
    /// What was sent
    Echo,
    /// `vN ` before what was sent, N being the generation of the code that answers
    Stamp,
}

/// Which generation may answer, beside the one rule that holds always: what began after
/// `generation N` is answered by N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// Each message by itself: the generation that is complete, or one announced since
    Exact,
    /// An older generation may go on with what it began, but none comes back
    Ordered,
    /// The generation that gave the first answer gives all
    Pinned,
}

const CONTROL: &str = "\
Control lines, read from stdin; each is acknowledged on stdout (`ok generation 7`) once it is in force:
  announce N      a swap to generation N begins: from now on N may answer, too
  generation N    the swap is complete: whatever begins from now on is answered by N and no other
  expect N        the same as generation
  mark NAME       a new phase: the report counts each by itself
  ready           acknowledged when every client, stream and source has had an answer since
  stop            begin nothing more, wait for what is on its way, report, end

Exit code: 0 if nothing went wrong, 1 if something did, 2 if the tool could not run.

Example, around a reload:
  (echo announce 2; systemctl reload my-server; echo generation 2; sleep 10; echo stop) |
    polyport-load --tcp localhost:7 --udp localhost:7 --reply stamp --until-stdin-closes

TIME is a number with a unit: 50ms, 30s, 2m.";

impl Options {
    /// Whether there is anything to connect to.
    #[must_use]
    pub fn has_streams(&self) -> bool {
        !self.tcp.is_empty() || !self.unix.is_empty()
    }

    /// What the parser cannot see: numbers that do not go together.
    ///
    /// # Errors
    /// Says which.
    pub fn check(&self) -> Result<(), String> {
        if self.timeout.is_zero() || self.ping_every.is_zero() {
            return Err("--timeout and --ping-every must be more than 0".to_owned());
        }
        if self.flow_life.is_some_and(|life| life.is_zero()) {
            return Err("--flow-life must be more than 0".to_owned());
        }
        let streams = u64::from(self.connect) + u64::from(self.hold);
        if self.has_streams() && streams == 0 && self.udp.is_empty() {
            return Err("--connect 0 and --hold 0 leave nothing to do".to_owned());
        }
        if !self.udp.is_empty() && (self.rate == 0) != (self.sources == 0) {
            return Err("--rate and --sources: both or neither".to_owned());
        }
        if !self.has_streams() && self.rate == 0 {
            return Err("--rate 0 leaves nothing to do".to_owned());
        }
        Ok(())
    }
}

/// An address, by number or by name.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|fault| format!("ADDRESS:PORT is wanted: {fault}"))?;
    found.next().ok_or_else(|| "no such host".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "a number with a unit is wanted: 50ms, 30s, 2m".to_owned();
    let digits = text
        .find(|each: char| !each.is_ascii_digit())
        .ok_or_else(wanted)?;
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wanted)?;
    let number: u64 = number.parse().map_err(|_| wanted())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wanted()),
    };
    number
        .checked_mul(millis)
        .filter(|millis| *millis <= 366 * 24 * 3_600_000)
        .map(Duration::from_millis)
        .ok_or_else(|| "more than a year".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        let words = std::iter::once("polyport-load").chain(line.split_whitespace());
        let options = Options::try_parse_from(words).map_err(|fault| fault.to_string())?;
        options.check().map(|()| options)
    }

    #[test]
    fn the_whole_line_is_read() {
        let line = "--tcp 127.0.0.1:7 --unix /x --udp [::1]:7 --connect 64 --hold 200 --ping-every 50ms \
                    --rate 5000 --sources 40 --for 30s --reply stamp --flows pinned --json";
        let options = parsed(line).unwrap();
        assert_eq!(options.length, Some(Duration::from_secs(30)));
        assert_eq!((options.connect, options.hold), (64, 200));
        assert_eq!(options.flows, Rule::Pinned);
        assert_eq!(options.streams, Rule::Ordered);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "",
            "--tcp 127.0.0.1:7",
            "--for 1s",
            "--tcp 127.0.0.1:7 --for 1s --until-stdin-closes",
            "--tcp 127.0.0.1 --for 1s",
            "--tcp 127.0.0.1:7 --for 10",
            "--tcp 127.0.0.1:7 --for 1y",
            "--tcp 127.0.0.1:7 --for 99999999999h",
            "--tcp 127.0.0.1:7 --for 1s --connect 0 --hold 0",
            "--udp 127.0.0.1:7 --for 1s --rate 0",
            "--udp 127.0.0.1:7 --for 1s --rate 0 --sources 0",
            "--tcp 127.0.0.1:7 --for 1s --timeout 0s",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
