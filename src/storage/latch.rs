//! The first failure stays: who latches an error gets it, and so does everybody after.
//!
//! What failed once may have left the medium in doubt (a failed sync that is tried again answers ok and proves
//! nothing), so only opening anew clears a latch. It must never know what it guards.

use crate::error::{Error, ErrorKind, Result};
use crate::sync::OnceLock;

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

#[cfg(all(test, shuttle))]
mod schedules {
    use std::sync::Arc;

    use super::*;
    use crate::sync::{schedules::every_order, thread};

    /// Promise 10: the first cause stays, for whoever asks and whoever failed too late.
    #[test]
    fn two_failures_at_once_leave_one_cause_and_nobody_sees_another() {
        every_order("latch", 10_000, || {
            let latch = Arc::new(Latch::default());
            let close = |number| {
                let latch = Arc::clone(&latch);
                move || {
                    let error = std::io::Error::from_raw_os_error(number);
                    latch.close(Error::io("sync", "a", error)).raw_os_error()
                }
            };
            let first = thread::spawn(close(5));
            let second = thread::spawn(close(28));
            let seen = latch.check().err().map(|error| error.raw_os_error());
            let kept = latch.check().err().map(|error| error.raw_os_error());
            let causes = [first.join().unwrap(), second.join().unwrap()];
            let cause = latch.check().unwrap_err().raw_os_error();
            assert_eq!(causes, [cause; 2]);
            for seen in [seen, kept].into_iter().flatten() {
                assert_eq!(seen, cause);
            }
            assert!(seen.is_none() || kept.is_some(), "it opened again");
        });
    }
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
