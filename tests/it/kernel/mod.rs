//! Faults that only a real kernel makes: a killed process, refused system calls, power cuts, a medium that fails after it said yes,
//! limits, locks of other processes.
//!
//! What needs root, a tool or a filesystem that is not here says aloud that it was skipped.

mod calls;
mod ghosts;
pub(crate) mod image;
mod kills;
mod limits;
mod locks;
mod power;
mod room;
mod still;
mod tracer;
pub(crate) mod workload;
