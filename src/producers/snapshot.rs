//! The `.snapshot` bytes.
