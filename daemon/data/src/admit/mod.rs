//! Admit: is there room for one more stream?

mod permits;

pub use permits::{Limit, Permit, Permits};
