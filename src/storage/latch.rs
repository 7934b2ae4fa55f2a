//! The first failure stays: who latches an error gets it, and so does everybody after.
use crate::error::Error;
use std::sync::OnceLock;
/// Open, or closed for ever by its first failure.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    first: OnceLock<Error>,
}
impl Latch {
    /// `Failed` with the first cause, once something failed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        todo!()
    }
    /// Keeps `error` unless an earlier one is kept; returns the `Failed` error that everybody gets from now on.
    pub(crate) fn close(&self, error: Error) -> Error {
        let _ = error;
        todo!()
    }
    pub(crate) fn is_closed(&self) -> bool {
        self.first.get().is_some()
    }
}
