//! Sockets: all that are new are opened before any old one closes.

use crate::control::apply::{ApplyError, Change};
use crate::control::listen::bind::{BindRetry, ListenSocket};
use crate::control::plan::SocketStep;
use crate::control::running::state::OpenListener;

impl Change<'_> {
    /// Opens what is not open; what the service manager passed is taken first.
    pub(super) async fn open_sockets(&self) -> Result<(), ApplyError> {
        let patience = if self.cold {
            BindRetry::ColdStart
        } else {
            BindRetry::None
        };
        let places = self.plan.sockets.iter();
        let missing: Vec<&SocketStep> = places.filter(|place| place.have.is_none()).collect();
        let wanted: Vec<_> = missing
            .iter()
            .map(|place| (&place.wanted, place.service.as_str()))
            .collect();
        let passed = self.life.adopt(&wanted).map_err(|(at, reason)| {
            let service = missing.get(at).map(|place| place.service.clone());
            ApplyError::Bind {
                service: service.unwrap_or_default(),
                reason,
            }
        })?;
        for (place, passed) in missing.into_iter().zip(passed) {
            self.go_on()?;
            let opened = match passed {
                Some(opened) => Ok(opened),
                None => self.life.open(&place.wanted, patience).await,
            };
            let opened = opened.and_then(|opened| self.fits(place, opened));
            let opened = opened.map_err(|reason| ApplyError::Bind {
                service: place.service.clone(),
                reason,
            })?;
            self.life.undo.borrow_mut().opened.push(OpenListener {
                wanted: place.wanted.clone(),
                service: place.service.clone(),
                opened,
            });
        }
        self.set_access()
    }

    /// Gives Unix sockets that are open another mode and group, if the target says others.
    fn set_access(&self) -> Result<(), ApplyError> {
        for place in &self.plan.sockets {
            let Some(open) = place
                .have
                .as_ref()
                .filter(|open| open.wanted != place.wanted)
            else {
                continue;
            };
            // Noted first, for it may fail half-way.
            self.life.undo.borrow_mut().readmitted.push(open.clone());
            let done = open.opened.set_access(&place.wanted);
            done.map_err(|reason| ApplyError::Bind {
                service: place.service.clone(),
                reason,
            })?;
        }
        Ok(())
    }

    /// Does the handler serve what the socket takes? Of one that was passed under a name it is known only now.
    fn fits(&self, place: &SocketStep, opened: ListenSocket) -> Result<ListenSocket, String> {
        let service = self.config.service(&place.service);
        let mut present = self.slots.iter().flatten();
        let handle =
            service.and_then(|service| present.find(|handle| handle.name() == service.handler));
        let Some(handle) = handle else {
            return Ok(opened);
        };
        let instance = handle.hook_thread.instance();
        let (fits, what) = if opened.takes_streams() {
            (instance.serves_streams(), "streams")
        } else {
            (instance.serves_datagrams(), "datagrams")
        };
        if fits {
            return Ok(opened);
        }
        let handler = &instance.handler().id;
        Err(format!(
            "handler `{handler}` does not serve {what}, which is what the socket {} is for",
            place.wanted
        ))
    }
}
