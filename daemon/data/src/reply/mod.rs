//! Reply: what a handler wrote, on its way to the peer. Bounded; an empty queue holds no memory.

mod queue;

pub use queue::Queue;
