//! What runs in this process.

pub mod state;
pub mod services;
pub mod code_cache;
pub mod store;
pub mod hooks;
pub mod retire;
