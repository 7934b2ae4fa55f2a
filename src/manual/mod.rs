//! The manual: how the crate is built, what it writes, what it promises.
//!
//! Six chapters of prose. They say what holds; the code says how. Where a chapter has a table that the code
//! has too (the rows of recovery, the layout of a file), a test holds one against the other.
//!
//! - [`architecture`]: floors, and the way of a record in and out
//! - [`format`](mod@format): every file on disk, to the byte
//! - [`durability`]: what survives what, numbered
//! - [`recovery`]: what an open decides, row by row
//! - [`kafka`]: what is the same, what is not, and how to hand a directory over
//! - [`glossary`]: the words

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("format.md")]
pub mod format {}

#[doc = include_str!("durability.md")]
pub mod durability {}

#[doc = include_str!("recovery.md")]
pub mod recovery {}

#[doc = include_str!("kafka.md")]
pub mod kafka {}

#[doc = include_str!("glossary.md")]
pub mod glossary {}
