//! Cursors that stay open while the log goes on: each shows the next record that it may show, and no other.

use std::sync::Arc;

use stratalog::{Cursor, GapCause, ReadUpTo, Result, Start};

use super::model::{Kind, Sent};
use super::subject::Subject;

const MOST_READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Reader {
    cursor: Cursor,
    up_to: ReadUpTo,
    /// How often the log had been truncated when it last read.
    truncations: u64,
    /// The batch that it is in. It goes on to its end, whatever becomes of the log.
    holds: Option<Arc<Sent>>,
}

impl Subject {
    /// The cursor of that number reads on; the first time it is made.
    pub(super) fn read_on(&mut self, number: usize, records: u64) -> Result<()> {
        let number = number % MOST_READERS;
        while self.readers.len() <= number {
            let up_to = [
                ReadUpTo::End,
                ReadUpTo::Durable,
                ReadUpTo::HighWatermark,
                ReadUpTo::LastStable,
            ][self.readers.len()];
            let cursor = self.partition().cursor(Start::Earliest)?.read_up_to(up_to);
            let truncations = self.model.truncations;
            self.readers.push(Reader {
                cursor,
                up_to,
                truncations,
                holds: None,
            });
        }
        let mut reader = self.readers.remove(number);
        let read = (0..records).try_for_each(|_| self.read_one(&mut reader));
        self.readers.insert(number, reader);
        read
    }

    fn read_one(&self, reader: &mut Reader) -> Result<()> {
        let position = reader.cursor.position().get();
        reader.holds = reader.holds.take().filter(|batch| position < batch.end());
        let is_inside = reader.holds.is_some();
        let may_be_cut = reader.truncations < self.model.truncations;
        if !is_inside {
            reader.truncations = self.model.truncations;
            reader.holds = self.next_shown(reader.up_to, position);
        }
        let record = match reader.cursor.next() {
            Some(Err(error)) if error.gap().is_some() => {
                let is_right = match error.gap().map(|gap| gap.cause()) {
                    Some(GapCause::Trimmed) => position < self.model.start_most,
                    Some(GapCause::Truncated) => may_be_cut,
                    _ => false,
                };
                assert!(
                    !is_inside && is_right,
                    "{error} at {position}{}",
                    self.story()
                );
                reader.holds = None;
                return Ok(());
            }
            Some(Err(error)) => {
                // Nothing of that batch was read, so it may be trimmed before the next try.
                reader.holds = None;
                return Err(error);
            }
            Some(Ok(record)) => Some(record),
            None => None,
        };
        let from = match is_inside {
            true => position,
            false => position.max(self.partition().watermarks().start.get()),
        };
        let expected = reader.holds.as_ref().map(|batch| {
            let at = from.max(batch.base);
            (at, batch.values[(at - batch.base) as usize].clone())
        });
        let shown = record.map(|r| (r.offset().get(), r.value().unwrap_or_default().to_vec()));
        if expected.is_none() && shown.as_ref().is_some_and(|shown| self.is_leftover(shown)) {
            return Ok(());
        }
        assert_eq!(
            shown,
            expected,
            "{:?} from {position}{}",
            reader.up_to,
            self.story()
        );
        Ok(())
    }

    /// Whether a record is of the append with which writing stopped: it may be there.
    fn is_leftover(&self, (offset, value): &(u64, Vec<u8>)) -> bool {
        let has_it = |tried: &Arc<Sent>| {
            let at = offset.checked_sub(tried.base);
            at.and_then(|at| tried.values.get(at as usize)) == Some(value)
        };
        self.stopped_at.is_some() && self.model.tried.iter().any(has_it)
    }

    /// The batch of the first record from `position` on that a cursor may show.
    fn next_shown(&self, up_to: ReadUpTo, position: u64) -> Option<Arc<Sent>> {
        let marks = self.partition().watermarks();
        let limit = match up_to {
            ReadUpTo::Durable => marks.durable,
            ReadUpTo::HighWatermark => marks.high,
            ReadUpTo::LastStable => marks.last_stable,
            _ => marks.end,
        };
        let folded = self.model.fold();
        let is_aborted = |batch: &Sent| {
            (batch.producer).is_some_and(|stamp| {
                stamp.kind == Kind::Transactional
                    && (folded.aborted.iter()).any(|(id, first, last)| {
                        *id == stamp.id && (*first..=*last).contains(&batch.base)
                    })
            })
        };
        let from = position.max(marks.start.get());
        (self.model.batches.iter())
            .filter(|batch| batch.end() <= limit.get() && from < batch.end())
            .filter(|batch| !batch.is_marker())
            .find(|batch| up_to != ReadUpTo::LastStable || !is_aborted(batch))
            .cloned()
    }
}
