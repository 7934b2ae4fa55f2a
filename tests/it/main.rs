//! Everything that is tested from outside the crate, as one binary; a module is a noun.
//!
//! Tests, examples and benches are users of the crate and no part of it: they may open files, ask the
//! clock and give up with a panic. So each of them starts with the `allow` below, and nothing under `src` does.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test is a user of the crate: it touches files directly and fails by panicking"
)]

mod architecture;
mod battery;
mod beside_kafka;
#[cfg(target_os = "linux")]
mod block;
#[cfg(feature = "cli")]
mod cli;
mod corpus;
#[cfg(feature = "sim")]
mod crash;
mod damage;
mod driver;
#[cfg(feature = "sim")]
mod failures;
mod full_disk;
mod handover;
mod kafka_batches;
mod kafka_fixtures;
mod kafka_inspected;
mod kafka_jury;
mod kafka_opened;
mod kafka_written;
#[cfg(target_os = "linux")]
mod kernel;
mod kill;
mod laws;
mod log;
#[cfg(feature = "sim")]
mod model;
#[cfg(feature = "sim")]
mod modelled;
#[cfg(feature = "sim")]
mod owner;
mod promises;
mod random;
mod read_only;
mod recovery_chapter;
mod repository;
#[cfg(feature = "sim")]
mod simulation;
#[cfg(target_os = "linux")]
mod soak;
mod source_text;
mod spoiled;
mod stress;
#[cfg(feature = "sim")]
mod topics;
#[cfg(all(feature = "cli", unix))]
mod torture;
mod worst_days;
