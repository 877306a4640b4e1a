//! tally.rs - the reply to `add 5` is `v1 #3 sum 12`: the version of the code, the lines of this
//! connection, the sum of its numbers. Connections migrate to new code with their counts.
//! `TALLY_VERSION=2 cargo build -p polyport-sdk --example tally` makes version 2.

use std::io::{Write as _, read_to_string};

use polyport_sdk::prelude::*;
use polyport_sdk::{MigrateStream, StateReader, StateWriter};

/// One source for all versions of the code.
pub(crate) struct Tally<const VERSION: u32>;

/// A connection. Its exported state is text: `LINES SUM` in version 1, `LINES SUM LARGEST` in version
/// 2, whose code reads both.
#[derive(Default)]
pub(crate) struct Count {
    lines: i64,
    sum: i64,
    largest: i64,
}

impl<const VERSION: u32> Handler for Tally<VERSION> {
    const ID: &'static CStr = c"tally";
    const SUMMARY: &'static CStr = c"adds up the numbers of a connection";
    const STATE_VERSION: u32 = if VERSION < 2 { 1 } else { 2 };
    const STATE_MIN_VERSION: u32 = 1;
    type Config = NoConfig;

    fn create(_: &mut Instance<'_>, _: NoConfig) -> Result<Self> {
        Ok(Self)
    }
}

impl<const VERSION: u32> StreamHandler for Tally<VERSION> {
    type State = Count;

    fn open(&self, _: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<Count> {
        Ok(Count::default())
    }

    // Only complete lines are consumed. The host keeps a partial line, and moves it with the connection.
    fn on_data(&self, it: &mut Count, stream: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        if input.bytes().is_empty() {
            stream.close(Close::Flush, "the peer has ended")?;
        }
        let Some(line) = input.line() else {
            return Ok(input.more());
        };
        let text = String::from_utf8_lossy(line);
        let number = text
            .strip_prefix("add ")
            .and_then(|it| it.trim().parse().ok());
        it.lines += 1;
        it.sum = it.sum.saturating_add(number.unwrap_or(0));
        it.largest = it.largest.max(number.unwrap_or(0));
        let mut reply = format!("v{VERSION} #{} sum {}", it.lines, it.sum);
        if VERSION >= 2 {
            reply += &format!(" largest {}", it.largest);
        }
        stream.write((reply + "\n").as_bytes())?;
        Ok(Used::bytes(line.len()))
    }
}

impl<const VERSION: u32> MigrateStream for Tally<VERSION> {
    fn export_state(&self, it: &Count, _: &mut Stream<'_>, to: &mut StateWriter<'_>) -> Result<()> {
        match Self::STATE_VERSION {
            1 => write!(to, "{} {}", it.lines, it.sum)?,
            _ => write!(to, "{} {} {}", it.lines, it.sum, it.largest)?,
        }
        Ok(())
    }

    fn import_state(
        &self,
        _: &mut Stream<'_>,
        _: &StreamInfo<'_>,
        version: u32,
        from: &mut StateReader<'_>,
    ) -> Result<Count> {
        let text = read_to_string(from)?;
        let numbers: Option<Vec<i64>> = text.split(' ').map(|it| it.parse().ok()).collect();
        let (lines, sum, largest) = match (version, numbers.as_deref()) {
            (1, Some(&[lines, sum])) => (lines, sum, 0),
            (2, Some(&[lines, sum, largest])) => (lines, sum, largest),
            _ => return Err("this is not the state of a tally".into()),
        };
        Ok(Count {
            lines,
            sum,
            largest,
        })
    }
}

/// `TALLY_VERSION` when this was compiled, or 1.
const VERSION: u32 = match option_env!("TALLY_VERSION") {
    Some(text) => match u32::from_str_radix(text, 10) {
        Ok(version) => version,
        Err(_) => 1,
    },
    None => 1,
};

export_plugin! { id: "org.polyport.example.tally-rs", handlers: [Tally<VERSION>] }
