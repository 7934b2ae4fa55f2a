//! `leader-epoch-checkpoint`: from which offset each leader epoch starts (KIP-101). A value; who owns the file writes its text.
use crate::ids::LeaderEpoch;
use crate::offset::Offset;
/// Ascending epochs with ascending start offsets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Epochs {
    entries: Vec<(LeaderEpoch, Offset)>,
}
/// Whether a call changed the entries, so that the file must be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Same,
    Changed,
}
impl Epochs {
    /// Reads the file's text; `Err` says what is wrong with it. An empty text is no entries.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let _ = text;
        todo!()
    }
    pub(crate) fn to_text(&self) -> String {
        todo!()
    }
    pub(crate) fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|e| e.0)
    }
    /// Kafka's `assign`.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> Change {
        let _ = (epoch, start);
        todo!()
    }
    /// Kafka's `endOffsetFor`; `None` = undefined.
    pub(crate) fn end_offset_for(
        &self,
        epoch: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        let _ = (epoch, log_end);
        todo!()
    }
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let _ = offset;
        todo!()
    }
    /// Drops entries that start at `end` or above.
    pub(crate) fn cut_end(&mut self, end: Offset) -> Change {
        let _ = end;
        todo!()
    }
    /// Folds entries below `start` into one that starts there.
    pub(crate) fn fold_start(&mut self, start: Offset) -> Change {
        let _ = start;
        todo!()
    }
}
