//! What is known of a partition from outside of its segments: our own facts, or, where somebody else wrote last, Kafka's checkpoints.

use std::sync::Arc;

use super::survey::Survey;
use super::{OpenFacts, Owner, PartitionRecovery, report::Adopted};
use crate::epochs::Epochs;
use crate::error::Result;
use crate::offset::Offset;
use crate::partition::facts::{Facts, FactsFound, SegmentList, read_facts, read_segment_list};
use crate::partition::recovery::{
    Boot, ChainFact, ChainPlan, DerivedFact, DerivedFile, DerivedPlan, FileState, Link, TailFact,
    TailPlan, Writer, chain_row, derived_row, tail_row,
};
use crate::segment::{Expectations, FileName, OffsetRule, SealedFacts, SegmentHome};
use crate::storage::BootId;

/// Bounds that the segments are held against.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) writer: Writer,
    /// The owner's verdict, corrected by the incarnation in the facts.
    pub(super) owner: Owner,
    pub(super) boot: Boot,
    pub(super) log_start: Offset,
    pub(super) recovery_point: Offset,
    /// Bytes that are no batch are corrupt below, torn at or above.
    pub(super) durable_end: Offset,
    /// The log ends here or above, unless records were lost. `None` where nobody knows.
    pub(super) known_end: Option<Offset>,
    pub(super) generation: u64,
    pub(super) dense_from: Option<Offset>,
    /// Of the leader epochs as we last wrote them.
    pub(super) epochs_checksum: Option<u32>,
    /// Those epochs, once they were read; `None` when nothing vouches for the file.
    pub(super) epochs: Option<Arc<Epochs>>,
    pub(super) list: SegmentList,
}

/// Reads the facts; before the directory is listed, so that they are never ahead of it.
pub(super) fn read_known(home: &SegmentHome) -> Result<(FactsFound, SegmentList)> {
    Ok((read_facts(home)?, read_segment_list(home)?))
}

impl Bounds {
    pub(super) fn new(
        (found, mut list): (FactsFound, SegmentList),
        given: &OpenFacts,
        boot_id: Option<BootId>,
        survey: &Survey,
        report: &mut PartitionRecovery,
    ) -> Self {
        let facts = match found {
            FactsFound::Good(facts) => Some(facts),
            FactsFound::Absent | FactsFound::Damaged => None,
        };
        let state = match found {
            FactsFound::Good(_) => FileState::Good,
            FactsFound::Absent => FileState::Missing,
            FactsFound::Damaged => FileState::Damaged,
        };
        let row = derived_row(DerivedFact {
            file: DerivedFile::Facts,
            state,
        });
        let owner = match facts {
            // A partition that was moved here from another directory: the marker speaks of others.
            Some(facts) if facts.incarnation != given.incarnation => match given.owner {
                Owner::OursClean | Owner::ForeignClean => Owner::ForeignClean,
                Owner::Fresh | Owner::OursUnclean | Owner::ForeignUnclean => Owner::ForeignUnclean,
            },
            _ => given.owner,
        };
        // Of two entries for one base the later one holds.
        list.entries.reverse();
        list.entries.sort_by_key(|entry| entry.base);
        list.entries.dedup_by_key(|entry| entry.base);
        let listed = DerivedFact {
            file: DerivedFile::SegmentList,
            state: match list.bad_count {
                0 => FileState::Good,
                _ => FileState::Damaged,
            },
        };
        if derived_row(listed).plan == DerivedPlan::LoseChecks {
            report.derived.push(FileName::SegmentList.to_string());
        }
        match (owner, facts) {
            (Owner::Fresh | Owner::OursClean | Owner::OursUnclean, Some(facts)) => {
                let last = survey.segments.last().map(|last| last.base);
                let owner = match owner {
                    // A clean close leaves nothing there: this one came back after a removal that did not last.
                    Owner::OursClean if last > Some(facts.durable_end) => Owner::OursUnclean,
                    owner => owner,
                };
                Self::ours(owner, facts, boot_id, list)
            }
            (Owner::Fresh | Owner::OursClean | Owner::OursUnclean, None) => {
                if row.plan == DerivedPlan::DeriveFacts && !survey.segments.is_empty() {
                    report.derived.push(FileName::Facts.to_string());
                }
                Self::derived(owner, given, survey, list)
            }
            (Owner::ForeignClean | Owner::ForeignUnclean, facts) => {
                let bounds = Self::adopted(owner, given, survey, facts);
                report.adopted = Some(Adopted {
                    log_start: bounds.log_start,
                    recovery_point: bounds.recovery_point,
                });
                bounds
            }
        }
    }

    fn ours(owner: Owner, facts: Facts, boot_id: Option<BootId>, list: SegmentList) -> Self {
        let boot = match boot_id {
            Some(now) if now == facts.boot_id => Boot::Same,
            Some(_) => Boot::Another,
            None => Boot::Unknown,
        };
        Self {
            writer: Writer::Ours,
            owner,
            boot,
            log_start: facts.log_start,
            recovery_point: facts.recovery_point,
            durable_end: facts.durable_end,
            known_end: Some(facts.durable_end),
            generation: facts.generation,
            dense_from: facts.dense_from,
            epochs_checksum: facts.epochs,
            epochs: None,
            list,
        }
    }

    /// Ours, without facts: an interrupted creation, or a lost file.
    fn derived(owner: Owner, given: &OpenFacts, survey: &Survey, list: SegmentList) -> Self {
        let first = survey.segments.first().map(|first| first.base);
        let log_start = given
            .log_start
            .unwrap_or_default()
            .max(first.unwrap_or_default());
        let recovery_point = given.recovery_point.unwrap_or(log_start);
        let is_clean = owner == Owner::OursClean;
        Self {
            writer: Writer::Ours,
            owner,
            boot: Boot::Unknown,
            log_start,
            recovery_point,
            // Closed cleanly, so all of it was durable, wherever it ends.
            durable_end: if is_clean {
                Offset::MAX
            } else {
                recovery_point
            },
            known_end: None,
            generation: 0,
            dense_from: first.is_none().then_some(log_start),
            epochs_checksum: None,
            epochs: None,
            list,
        }
    }

    fn adopted(owner: Owner, given: &OpenFacts, survey: &Survey, facts: Option<Facts>) -> Self {
        let first = survey.segments.first().map(|first| first.base);
        let log_start = given
            .log_start
            .unwrap_or_default()
            .max(first.unwrap_or_default());
        let recovery_point = given.recovery_point.unwrap_or_default();
        Self {
            writer: Writer::Adopted,
            owner,
            boot: Boot::Unknown,
            log_start,
            recovery_point,
            durable_end: recovery_point,
            known_end: None,
            // A follower of the same directory must see that everything may have changed.
            generation: facts.map_or(0, |facts| facts.generation.saturating_add(1)),
            dense_from: None,
            epochs_checksum: None,
            epochs: None,
            // What the list says is of an older state.
            list: SegmentList::default(),
        }
    }

    /// Whether the first segment starts above all that was durable: a crash while everything was being replaced.
    pub(super) fn is_all_behind_a_hole(&self, survey: &Survey) -> bool {
        let owner = self.owner;
        let is_trusted = tail_row(TailFact::Start { owner }).plan == TailPlan::Trust;
        let (Some(first), Some(known)) = (survey.segments.first(), self.known_end) else {
            return false;
        };
        let link = match first.base > known.max(self.log_start) && !is_trusted {
            true => Link::HoleAboveDurable,
            false => Link::Meets,
        };
        chain_row(ChainFact::Link(link)).plan == ChainPlan::EndLogThere
    }

    /// The first segment that must be walked. One that starts right at the recovery point may be a copy of the tail of the one before,
    /// which was not cut yet; or that one was just sealed, and what the power left of its indexes no sync has covered.
    pub(super) fn first_to_walk(&self, survey: &Survey) -> usize {
        let index = survey.index_for(self.recovery_point);
        let at = survey.segments.get(index).map(|segment| segment.base);
        match at == Some(self.recovery_point) {
            true => index.saturating_sub(1),
            false => index,
        }
    }

    /// What was noted when the segment at `base` was sealed.
    pub(super) fn listed(&self, base: Offset) -> Option<&SealedFacts> {
        let entries = &self.list.entries;
        let found = entries.binary_search_by_key(&base, |entry| entry.base);
        found.ok().and_then(|index| entries.get(index))
    }

    pub(super) fn expectations(&self, base: Offset) -> Expectations {
        Expectations {
            rule: self.rule(base),
            epochs: self.epochs.clone(),
        }
    }

    pub(super) fn rule(&self, base: Offset) -> OffsetRule {
        match self.dense_from {
            Some(from) if base >= from => OffsetRule::Dense,
            _ => OffsetRule::Ascending,
        }
    }
}
