//! Saved and migrated state: a writer and a reader over the host's sink and source.

use std::io;

use polyport_abi::{PpSink, PpSource};

/// Writes state; accepts all bytes or fails. `[any]` until the callback returns
#[derive(Debug)]
pub struct StateWriter<'a>(&'a mut PpSink);

impl StateWriter<'_> {
    /// # Safety
    ///
    /// `raw` is valid and exclusive during `'a`.
    pub(crate) unsafe fn from_raw(raw: *mut PpSink) -> Self {
        // SAFETY: the caller's condition.
        Self(unsafe { &mut *raw })
    }
}

impl io::Write for StateWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = self.0.write;
        // SAFETY: the sink is valid (see `from_raw`); the bytes live until the call returns.
        let code = unsafe { write(self.0, bytes.as_ptr().cast(), bytes.len()) };
        if code < 0 {
            return Err(io::Error::other(format!("the host refused state ({code})")));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads state; 0 bytes are the end. `[any]` until the callback returns
#[derive(Debug)]
pub struct StateReader<'a>(&'a mut PpSource);

impl StateReader<'_> {
    /// # Safety
    ///
    /// `raw` is valid and exclusive during `'a`.
    pub(crate) unsafe fn from_raw(raw: *mut PpSource) -> Self {
        // SAFETY: the caller's condition.
        Self(unsafe { &mut *raw })
    }
}

impl io::Read for StateReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read;
        // SAFETY: the source is valid (see `from_raw`); the buffer is lent for writing.
        let code = unsafe { read(self.0, into.as_mut_ptr().cast(), into.len()) };
        usize::try_from(code)
            .map(|n| n.min(into.len()))
            .map_err(|_| io::Error::other(format!("the host refused state ({code})")))
    }
}
