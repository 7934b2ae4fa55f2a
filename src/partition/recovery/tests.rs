use std::collections::BTreeSet;
use std::fmt::Debug;

use super::*;

const OWNERS: [Owner; 5] = [
    Owner::Fresh,
    Owner::OursClean,
    Owner::OursUnclean,
    Owner::ForeignClean,
    Owner::ForeignUnclean,
];

/// Each fact hits exactly one row, each row is hit, letters ascend, and no text is empty.
fn check_table<F: Copy + Debug, P: Copy + PartialEq + Debug, const N: usize>(
    rows: &[Row<P>; N],
    facts: &[F],
    plan: impl Fn(F) -> P,
) {
    let mut hit = BTreeSet::new();
    for fact in facts {
        let matching: Vec<char> = rows
            .iter()
            .filter(|row| row.plan == plan(*fact))
            .map(|row| row.letter)
            .collect();
        assert_eq!(matching.len(), 1, "{fact:?} hits {matching:?}");
        hit.extend(matching);
    }
    let letters: Vec<char> = rows.iter().map(|row| row.letter).collect();
    assert_eq!(
        hit.into_iter().collect::<Vec<_>>(),
        letters,
        "each row is hit"
    );
    let expected: Vec<char> = ('a'..='z').take(N).collect();
    assert_eq!(letters, expected);
    for row in rows {
        assert!(!row.when.is_empty() && !row.action.is_empty() && !row.reason.is_empty());
    }
}

#[test]
fn every_fact_of_the_chain_hits_one_row() {
    let mut facts = vec![ChainFact::StrayIndex];
    for transient in [
        Transient::Deleted,
        Transient::Cleaned,
        Transient::UnfinishedSwap,
        Transient::Swap,
    ] {
        facts.push(ChainFact::Transient(transient));
    }
    for prepared in [
        Prepared::Empty,
        Prepared::NoBatch,
        Prepared::WithinTheLog,
        Prepared::BeyondTheLog,
    ] {
        facts.push(ChainFact::Prepared(prepared));
    }
    for link in [
        Link::Meets,
        Link::Lost,
        Link::HoleBelowDurable,
        Link::HoleAboveDurable,
        Link::Overlap,
    ] {
        facts.push(ChainFact::Link(link));
    }
    for writer in [Writer::Ours, Writer::Adopted] {
        for first in [
            FirstSegment::NoneExpected,
            FirstSegment::NoneLeft,
            FirstSegment::AtOrBelowStart,
            FirstSegment::AboveStart,
        ] {
            facts.push(ChainFact::First { first, writer });
        }
        for end in [
            LastOffset::AsExpected,
            LastOffset::BelowDurableEnd,
            LastOffset::BelowLogStart,
        ] {
            facts.push(ChainFact::Last { end, writer });
        }
    }
    check_table(&CHAIN_ROWS, &facts, chain_plan);
}

#[test]
fn every_fact_of_the_tail_hits_one_row() {
    let mut facts = Vec::new();
    for owner in OWNERS {
        facts.push(TailFact::Start { owner });
        for boot in [Boot::Same, Boot::Another, Boot::Unknown] {
            for tail in [Unsynced::Nothing, Unsynced::Records] {
                facts.push(TailFact::Shown { owner, boot, tail });
            }
        }
    }
    for place in [
        SpotPlace::AboveDurableEnd,
        SpotPlace::BelowWithMore,
        SpotPlace::BelowToTheEnd,
    ] {
        facts.push(TailFact::Spot { place });
    }
    check_table(&TAIL_ROWS, &facts, tail_plan);
}

#[test]
fn every_state_of_a_derived_file_hits_one_row() {
    let mut facts = Vec::new();
    for file in [
        DerivedFile::Index,
        DerivedFile::TxnIndex,
        DerivedFile::Snapshot,
        DerivedFile::LeaderEpochs,
        DerivedFile::Facts,
        DerivedFile::SegmentList,
    ] {
        for state in [FileState::Good, FileState::Missing, FileState::Damaged] {
            facts.push(DerivedFact { file, state });
        }
    }
    check_table(&DERIVED_ROWS, &facts, derived_plan);
}

#[test]
fn nothing_durable_is_ever_cut_and_no_ghost_is_shown() {
    for place in [SpotPlace::BelowWithMore, SpotPlace::BelowToTheEnd] {
        assert_ne!(tail_plan(TailFact::Spot { place }), TailPlan::CutTorn);
    }
    for boot in [Boot::Same, Boot::Unknown] {
        let fact = TailFact::Shown {
            owner: Owner::OursUnclean,
            boot,
            tail: Unsynced::Records,
        };
        assert_eq!(tail_plan(fact), TailPlan::CopyThenShow);
    }
}
