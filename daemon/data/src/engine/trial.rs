//! An import on trial: what new code asks for while it takes a stream or a flow over is only noted, and done when it has
//! taken it. So an import that fails leaves everything where it was, and one that dials does so in its own name.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::time::Duration;

use polyport_host::host_api::{CloseHow, Dial, HostApi, Level};
use polyport_host::id::Id;
use polyport_host::status::HostError;
use polyport_host::stream::DialOrigin;

use super::Engine;
use super::dial::{Later, refused};
use super::stream::{Flag, Stream};
use super::table::Entity;

/// Most that one import may ask for; output is bounded by its bytes.
const WISHES_MAX: usize = 2048;

/// The import that runs.
#[derive(Debug)]
pub(super) struct Trial {
    /// Whom it takes over; none while none runs.
    of: Cell<Id>,
    wishes: RefCell<Vec<Wish>>,
}

impl Default for Trial {
    fn default() -> Self {
        Self {
            of: Cell::new(Id::NONE),
            wishes: RefCell::default(),
        }
    }
}

/// What new code asked for.
#[derive(Debug)]
pub(super) enum Wish {
    Write(Id, Vec<u8>),
    End(Id),
    Reads(Id, bool),
    Watermarks(Id, usize, usize),
    Close(Id, CloseHow, String),
    SetTimer(Id, u32, Duration, Option<Duration>),
    CancelTimer(Id, u32),
    Dial(Id, Dial),
    /// It was told that there is no room, and waits for `on_writable`.
    Writable(Id),
}

impl Engine {
    /// Runs an import; what it asked for comes with what it took.
    pub(super) fn on_trial<T, E>(
        &self,
        id: Id,
        import: impl FnOnce() -> Result<T, E>,
    ) -> Result<(T, Vec<Wish>), E> {
        self.trial.of.set(id);
        let taken = import();
        self.trial.of.set(Id::NONE);
        let wishes = self.trial.wishes.take();
        taken.map(|taken| (taken, wishes))
    }

    /// Is it an import that asks?
    #[inline]
    pub(super) fn is_tried(&self, caller: Id) -> bool {
        caller == self.trial.of.get()
    }

    pub(super) fn wish(&self, wish: Wish) -> Result<(), HostError> {
        let mut wishes = self.trial.wishes.borrow_mut();
        if wishes.len() >= WISHES_MAX {
            return Err(HostError::Full);
        }
        wishes.push(wish);
        Ok(())
    }

    /// Notes output that there is room for.
    pub(super) fn wish_output(
        &self,
        stream: &Stream,
        pieces: &[IoSlice<'_>],
        fin: bool,
    ) -> Result<Level, HostError> {
        let id = stream.id;
        let mut wishes = self.trial.wishes.borrow_mut();
        // Both or none.
        if wishes.len() + 2 > WISHES_MAX {
            return Err(HostError::Full);
        }
        if !matches!(wishes.last(), Some(Wish::Write(of, _)) if *of == id) {
            wishes.push(Wish::Write(id, Vec::new()));
        }
        if let Some(Wish::Write(_, bytes)) = wishes.last_mut() {
            pieces
                .iter()
                .for_each(|piece| bytes.extend_from_slice(piece));
        }
        let waiting = self.output_of(stream) + output_in(&wishes, id).unwrap_or(0);
        if fin {
            wishes.push(Wish::End(id));
        }
        Ok(if waiting > stream.high.get() as usize {
            Level::AboveHigh
        } else {
            Level::Below
        })
    }

    /// How much output of a stream is noted; none is taken after a noted end.
    pub(super) fn wished_output(&self, stream: Id) -> Result<usize, HostError> {
        output_in(&self.trial.wishes.borrow(), stream)
    }

    /// How many timers of an owner are noted.
    pub(super) fn wished_timers(&self, owner: Id) -> usize {
        let wishes = self.trial.wishes.borrow();
        let of_it = |wish: &&Wish| matches!(wish, Wish::SetTimer(id, ..) if *id == owner);
        wishes.iter().filter(of_it).count()
    }

    /// Does what an import asked for, now that what it took is its own.
    pub(super) fn grant(&self, caller: Id, wishes: Vec<Wish>) {
        for wish in wishes {
            if let Err(refuse) = self.grant_one(caller, wish) {
                tracing::debug!(about = %caller, ?refuse, "a wish of an import came to nothing");
            }
        }
    }

    fn grant_one(&self, caller: Id, wish: Wish) -> Result<(), HostError> {
        match wish {
            Wish::Write(id, bytes) => {
                let pieces = [IoSlice::new(&bytes)];
                self.write(caller, id, &pieces, false).map(drop)
            }
            Wish::End(id) => self.write(caller, id, &[], true).map(drop),
            Wish::Reads(id, on) => self.set_reads(caller, id, on),
            Wish::Watermarks(id, low, high) => self.set_watermarks(caller, id, low, high),
            Wish::Close(id, how, why) => self.close(caller, id, how, &why),
            Wish::SetTimer(owner, key, after, period) => {
                self.timer_set(caller, owner, key, after, period)
            }
            Wish::CancelTimer(owner, key) => self.timer_cancel(caller, owner, key),
            Wish::Dial(owner, dial) => self.grant_dial(caller, owner, dial),
            Wish::Writable(id) => {
                match self.table.get(id) {
                    Some(Entity::Stream(stream)) => stream.set(Flag::WRITABLE_OWED),
                    Some(Entity::Socket(socket)) => {
                        socket.writable_owed.set(true);
                        self.later(Later::Writable(id));
                    }
                    Some(Entity::Flow(_)) | None => {}
                }
                Ok(())
            }
        }
    }

    /// It was told that the dial is under way, so it hears of one that is refused.
    fn grant_dial(&self, caller: Id, owner: Id, dial: Dial) -> Result<(), HostError> {
        let dialled = DialOrigin {
            parent: owner,
            tag: dial.tag,
        };
        let asked = self.dial(caller, owner, dial);
        if let Err(refuse) = asked
            && let Some(service) = self.table.get(owner).map(|owner| owner.service())
        {
            self.later(Later::DialFailed(service, dialled, refused(refuse)));
        }
        asked
    }
}

fn output_in(wishes: &[Wish], stream: Id) -> Result<usize, HostError> {
    let mut waiting = 0;
    for wish in wishes {
        match wish {
            Wish::Write(id, bytes) if *id == stream => waiting += bytes.len(),
            Wish::End(id) | Wish::Close(id, ..) if *id == stream => return Err(HostError::Closing),
            _ => {}
        }
    }
    Ok(waiting)
}
