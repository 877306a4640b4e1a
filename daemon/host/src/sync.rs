//! The primitives of modules that a model checker also runs: `tests/models.rs` compiles those modules with the checker's
//! primitives instead.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
