//! What a log counted. Numbers to look at; nothing in the crate decides on them.
