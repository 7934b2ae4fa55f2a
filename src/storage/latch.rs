//! The first failure stays: who latches an error gets it, and so does everybody after.
//!
//! What failed once may have left the medium in doubt (a failed sync that is tried again answers ok and proves
//! nothing), so only opening anew clears a latch. It must never know what it guards.

use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Result};

/// Open, or closed for ever by its first failure.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    first: OnceLock<Error>,
}

impl Latch {
    /// `Failed` with the first cause, once something failed.
    pub(crate) fn check(&self) -> Result<()> {
        match self.first.get() {
            None => Ok(()),
            Some(first) => Err(failed(first)),
        }
    }

    /// Keeps `error` unless an earlier one is kept; returns the `Failed` error that everybody gets
    /// from now on.
    pub(crate) fn close(&self, error: Error) -> Error {
        failed(self.first.get_or_init(|| error))
    }

    /// Whether something failed.
    pub(crate) fn is_closed(&self) -> bool {
        self.first.get().is_some()
    }
}

fn failed(first: &Error) -> Error {
    Error::new(ErrorKind::Failed, "writing stopped at an earlier failure")
        .caused_by(first.clone())
        .remedy("reopen the log; nothing else clears it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_kept_and_everybody_after_gets_it() {
        let latch = Latch::default();
        assert!(latch.check().is_ok());
        assert!(!latch.is_closed());

        let io = |number| Error::io("sync", "a", std::io::Error::from_raw_os_error(number));
        let first = latch.close(io(5));
        let second = latch.close(io(28));
        assert!(latch.is_closed());
        for error in [first, second, latch.check().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Failed);
            assert_eq!(error.raw_os_error(), Some(5));
            assert!(error.to_string().contains("reopen the log"), "{error}");
        }
    }
}
