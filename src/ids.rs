//! The small numbers of a batch header: leader epoch, producer id, producer epoch, sequence.
//!
//! In the format -1 means "none" for each of them; here that is `Option::None`, so a value of
//! these types is never a sentinel.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name($inner);

        impl $name {
            /// Makes one; `None` for a negative number, which the format uses for "none".
            #[must_use]
            pub const fn new(value: $inner) -> Option<Self> {
                if value < 0 { None } else { Some(Self(value)) }
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The term of the leader that appended a batch (KIP-101). It never falls within a partition.
    LeaderEpoch(i32)
}
number! {
    /// Names an idempotent or transactional producer (KIP-98).
    ProducerId(i64)
}
number! {
    /// The generation of a producer id; a lower one is fenced (KIP-98).
    ProducerEpoch(i16)
}
number! {
    /// The number a producer gives a record, per partition; after `i32::MAX` it starts at 0 again.
    Sequence(i32)
}

impl LeaderEpoch {
    /// The epoch of a partition that never had another leader.
    pub const ZERO: Self = Self(0);
}

impl Sequence {
    /// The first sequence of a producer epoch.
    pub const ZERO: Self = Self(0);

    /// The sequence `count` records further on, with the wrap from `i32::MAX` to 0.
    #[must_use]
    pub fn wrapping_add(self, count: u32) -> Self {
        let sum = (i64::from(self.0) + i64::from(count)) % (1 << 31);
        Self(i32::try_from(sum).unwrap_or(0))
    }

    /// The sequence `count` records back, with the wrap from 0 to `i32::MAX`.
    #[must_use]
    pub fn wrapping_sub(self, count: u32) -> Self {
        let difference = (i64::from(self.0) - i64::from(count)).rem_euclid(1 << 31);
        Self(i32::try_from(difference).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_wraps_from_the_largest_to_zero_and_back() {
        let last = Sequence::new(i32::MAX).expect("positive");
        assert_eq!(last.wrapping_add(1), Sequence::ZERO);
        assert_eq!(Sequence::ZERO.wrapping_sub(1), last);
        assert_eq!(last.wrapping_add(3).wrapping_sub(3), last);
    }

    #[test]
    fn a_sentinel_is_no_value() {
        assert_eq!(LeaderEpoch::new(-1), None);
        assert_eq!(ProducerId::new(-1), None);
        assert_eq!(ProducerEpoch::new(-1), None);
        assert_eq!(Sequence::new(-1), None);
    }
}
