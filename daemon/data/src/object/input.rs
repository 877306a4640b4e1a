//! Input of one stream that its handler has not consumed.

use std::cell::{Cell, RefCell};

/// Most input that is kept for a handler that waits for more, bytes.
pub(crate) const INPUT_MAX: usize = 1 << 20;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Input {
    /// Bytes below which the handler does not want to be called; at least 1.
    pub(crate) want: Cell<usize>,
    /// Bytes that the handler has seen and not consumed.
    pub(crate) unconsumed: RefCell<Vec<u8>>,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            want: Cell::new(1),
            unconsumed: RefCell::default(),
        }
    }
}
