//! What may be dropped from the start, and why each segment is still here: a plan (pure), and dropping.
