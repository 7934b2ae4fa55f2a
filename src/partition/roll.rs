//! When a new active segment starts (pure), and starting it.
