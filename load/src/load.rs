//! The run: one thread and one epoll set, so that a control line is in force the moment that it
//! is read, and no count needs a lock.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::signalfd::SignalFd;

use crate::clients::Clients;
use crate::control::{Control, Order};
use crate::dial::Dial;
use crate::field::Field;
use crate::options::Options;
use crate::poll::Who;
use crate::report::Report;
use crate::sources::Sources;
use crate::streams::Streams;

/// Clients and streams are looked at so often.
const TICK: Duration = Duration::from_millis(1);
/// After the last answer, to count surplus answers.
const SETTLE: Duration = Duration::from_millis(100);

/// The inputs that control a run.
#[derive(Debug)]
pub struct Steering<'a> {
    /// Control lines.
    pub control: Control<'a>,
    /// Signals that end it.
    pub signals: Option<&'a SignalFd>,
}

struct Load<'a, 'io> {
    options: &'a Options,
    field: Field,
    dial: Dial,
    clients: Clients,
    streams: Streams,
    sources: Sources,
    control: Control<'io>,
    signals: Option<&'io SignalFd>,
    acks: &'a mut dyn Write,
    control_is_open: bool,
    /// When `ready` was asked for.
    ready_since: Option<Instant>,
    quiet_since: Option<Instant>,
}

/// Loads the server until the end that the options name; acknowledges control lines on `acks`.
///
/// # Errors
/// This machine cannot run it: too few descriptors, no control lines to wait for.
pub fn run(options: &Options, steering: Steering<'_>, acks: &mut dyn Write) -> Result<Report> {
    raise_descriptor_limit(options)?;
    let mut field = Field::new(options)?;
    let (connect, hold) = if options.has_streams() {
        (options.connect, options.hold)
    } else {
        (0, 0)
    };
    let mut load = Load {
        dial: Dial::new(options).context("--unix")?,
        clients: Clients::new(connect, &field),
        streams: Streams::new(hold, options.ping_every, options.streams, &field),
        sources: Sources::new(options, &field).context("cannot open the sources of datagrams")?,
        control: steering.control,
        signals: steering.signals,
        options,
        acks,
        control_is_open: true,
        ready_since: None,
        quiet_since: None,
        field: {
            field.start();
            field
        },
    };
    load.watch()?;
    load.serve()?;
    load.streams.close(&mut load.field);
    Ok(load.report())
}

impl Load<'_, '_> {
    fn watch(&mut self) -> Result<()> {
        let poll = &self.field.poll;
        if let Some(signals) = self.signals {
            poll.watch_input(signals, Who::Signal)
                .context("cannot wait for signals")?;
        }
        match poll.watch_input(self.control.input(), Who::Control) {
            // A file, or /dev/null: all there is can be read at once.
            Err(Errno::EPERM) => {
                ensure!(
                    !self.options.until_stdin_closes,
                    "stdin is neither a pipe nor a terminal: --until-stdin-closes would end at once"
                );
                while self.control_is_open {
                    self.take_orders()?;
                }
                Ok(())
            }
            // Started without a stdin.
            Err(Errno::EBADF) => Ok(()),
            other => other.context("cannot wait for control lines"),
        }
    }

    fn serve(&mut self) -> Result<()> {
        let mut ticked_at = self.field.now;
        loop {
            let events = self.field.poll.wait()?;
            self.field.now = Instant::now();
            // First what changes the rules.
            if events.contains(&Who::Control) {
                self.take_orders()?;
            }
            for who in events {
                match who {
                    Who::Control => {}
                    Who::Signal => self.take_signal()?,
                    Who::Client(slot) => self.clients.ready(&mut self.field, &self.dial, slot),
                    Who::Stream(slot) => self.streams.ready(&mut self.field, slot),
                    Who::Source(flow) => self.sources.ready(&mut self.field, flow),
                }
            }
            if self.field.now.saturating_duration_since(ticked_at) >= TICK {
                ticked_at = self.field.now;
                self.clients.tick(&mut self.field, &self.dial);
                self.streams.tick(&mut self.field, &self.dial);
                self.answer_ready()?;
            }
            self.sources.tick(&mut self.field);
            if self.is_over() {
                return Ok(());
            }
        }
    }

    fn take_signal(&mut self) -> Result<()> {
        if let Some(signals) = self.signals {
            signals.read_signal().context("cannot read a signal")?;
            self.field.stop();
        }
        Ok(())
    }

    fn take_orders(&mut self) -> Result<()> {
        let read = self
            .control
            .read()
            .context("cannot read the control lines")?;
        for line in read.lines {
            match Order::parse(&line) {
                Ok(order) => self.obey(&order, &line)?,
                Err(fault) => self.say(&format!("error {line}: {fault}"))?,
            }
        }
        if read.is_closed {
            self.control_is_open = false;
            if self.options.until_stdin_closes {
                self.field.stop();
            }
            // A file was never watched.
            self.field.poll.forget(self.control.input()).ok();
        }
        Ok(())
    }

    fn obey(&mut self, order: &Order, line: &str) -> Result<()> {
        match order {
            Order::Announce(label) => self.field.generations.announce(*label),
            Order::Generation(label) => self.field.generations.complete(*label),
            Order::Mark(name) => self.field.mark(name),
            Order::Stop => self.field.stop(),
            Order::Ready => {
                self.ready_since = Some(self.field.now);
                self.clients.forget_answers();
                self.streams.forget_answers();
                self.sources.forget_answers();
                return Ok(());
            }
        }
        self.say(&format!("ok {line}"))
    }

    /// Every client, stream and source has had an answer since it was asked, or will not have one.
    fn answer_ready(&mut self) -> Result<()> {
        let Some(since) = self.ready_since else {
            return Ok(());
        };
        let unanswered = [
            (self.clients.unanswered(), "clients"),
            (self.streams.unanswered(), "streams"),
            (self.sources.unanswered(), "sources"),
        ];
        if unanswered.iter().all(|(count, _)| *count == 0) {
            self.ready_since = None;
            return self.say("ok ready");
        }
        if self.field.is_stopping()
            || self.field.now.saturating_duration_since(since) > self.options.timeout
        {
            self.ready_since = None;
            let some = unanswered.map(|(count, kind)| format!("{count} {kind}"));
            return self.say(&format!(
                "error ready: no answer yet for {}",
                some.join(", ")
            ));
        }
        Ok(())
    }

    fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.acks, "{line}")
            .and_then(|()| self.acks.flush())
            .context("cannot acknowledge a control line")
    }

    fn is_over(&mut self) -> bool {
        let elapsed = self.field.now.saturating_duration_since(self.field.begun);
        if self.options.length.is_some_and(|length| elapsed >= length) {
            self.field.stop();
        }
        let is_quiet = self.field.is_stopping()
            && self.clients.is_quiet()
            && self.streams.is_quiet()
            && self.sources.is_quiet();
        if !is_quiet {
            self.quiet_since = None;
            return false;
        }
        let since = *self.quiet_since.get_or_insert(self.field.now);
        self.field.now.saturating_duration_since(since) >= SETTLE
    }

    fn report(self) -> Report {
        Report::new(self.options, self.field, self.sources.granted_bytes())
    }
}

/// Sockets by the hundreds need more than the usual limit.
fn raise_descriptor_limit(options: &Options) -> Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const OTHERS: u64 = 32;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("no limit of descriptors")?;
    // A replaced source is kept for a while beside its successor.
    let sockets = [
        options.connect,
        options.hold,
        options.sources,
        options.sources,
    ];
    let wanted = sockets.into_iter().map(u64::from).sum::<u64>() + OTHERS;
    ensure!(
        wanted <= hard,
        "{wanted} descriptors are needed and {hard} allowed: raise `ulimit -Hn`, or ask for less"
    );
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the descriptors")?;
    }
    Ok(())
}
