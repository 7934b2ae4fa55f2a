//! A cursor as a `Stream` of futures-core 0.3.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::{Cursor, Readable};
use crate::batch::StoredRecord;
use crate::error::{ErrorKind, Result};

/// Records as they come; made by [`Cursor::into_stream`]. Ends when the log is closed.
#[derive(Debug)]
pub struct RecordStream {
    cursor: Cursor,
    waiting: Option<Readable>,
}

impl Cursor {
    /// The records as a stream that waits at the tail. Waiting is asynchronous; reading what is there is a synchronous call, and a cold
    /// read may block for the disk.
    #[must_use]
    pub fn into_stream(self) -> RecordStream {
        RecordStream {
            cursor: self,
            waiting: None,
        }
    }
}

impl RecordStream {
    /// The cursor again, where the stream has come to.
    #[must_use]
    pub fn into_cursor(self) -> Cursor {
        self.cursor
    }
}

impl Stream for RecordStream {
    type Item = Result<StoredRecord>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(waiting) = &mut this.waiting {
                match Pin::new(waiting).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) if error.kind() == ErrorKind::Closed => {
                        return Poll::Ready(None);
                    }
                    Poll::Ready(Err(error)) => {
                        this.waiting = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Ready(Ok(())) => this.waiting = None,
                }
            }
            match this.cursor.next() {
                Some(Err(error)) if error.kind() == ErrorKind::Closed => return Poll::Ready(None),
                Some(record) => return Poll::Ready(Some(record)),
                None => this.waiting = Some(this.cursor.at_the_tail()),
            }
        }
    }
}
