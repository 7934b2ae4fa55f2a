//! Values that say who wrote them, so that what is read can be judged without believing anybody.
//!
//! ```text
//! "TORT" | round u32 | writer u32 | partition u32 | seq u64 | length u32 | crc32 u32 of those | crc32 u32 of the body | body
//! ```
//! The body follows from the header, and is made again at reading: a byte that differs is found even where both checksums fit.

/// The shortest value.
pub(crate) const HEADER_BYTES: u32 = 36;

const MAGIC: &[u8; 4] = b"TORT";

/// Which record this is: one of the stream of a writer to a partition in a round.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Identity {
    pub(crate) round: u32,
    pub(crate) writer: u32,
    pub(crate) seq: u64,
}

/// Writes the value of `identity` to `out`.
pub(crate) fn write(identity: Identity, partition: u32, length: u32, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&identity.round.to_le_bytes());
    out.extend_from_slice(&identity.writer.to_le_bytes());
    out.extend_from_slice(&partition.to_le_bytes());
    out.extend_from_slice(&identity.seq.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    let checksum = crc32fast::hash(out);
    out.extend_from_slice(&checksum.to_le_bytes());
    let body = length.saturating_sub(HEADER_BYTES) as usize;
    let mut draws = Draws(u64::from(checksum) << 32 | u64::from(length));
    let mut bytes = Vec::with_capacity(body + 8);
    while bytes.len() < body {
        // Half of it repeats, so that a codec has something to do.
        bytes.extend_from_slice(&draws.next().to_le_bytes()[..4]);
        bytes.extend_from_slice(b"logs");
    }
    bytes.truncate(body);
    out.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    out.extend_from_slice(&bytes);
}

/// Whose value this is, when every byte of it is right and it is of this partition.
pub(crate) fn read(value: &[u8], partition: u32, again: &mut Vec<u8>) -> Option<Identity> {
    let word = |at: usize| Some(u32::from_le_bytes(value.get(at..at + 4)?.try_into().ok()?));
    let identity = Identity {
        round: word(4)?,
        writer: word(8)?,
        seq: u64::from_le_bytes(value.get(16..24)?.try_into().ok()?),
    };
    if word(24)? as usize != value.len() {
        return None;
    }
    write(identity, partition, word(24)?, again);
    (again == value).then_some(identity)
}

/// Splitmix64: everything that is drawn hangs on the seed alone.
#[derive(Clone, Debug)]
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// Once in `n`.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_identity_and_no_changed_byte_passes() {
        let identity = Identity {
            round: 3,
            writer: 1,
            seq: 77,
        };
        let (mut value, mut again) = (Vec::new(), Vec::new());
        write(identity, 2, 100, &mut value);
        assert_eq!(value.len(), 100);
        assert_eq!(read(&value, 2, &mut again), Some(identity));
        assert_eq!(read(&value, 1, &mut again), None);
        assert_eq!(read(&value[..99], 2, &mut again), None);
        assert_eq!(read(&[], 2, &mut again), None);
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert_ne!(read(&changed, 2, &mut again), Some(identity), "byte {at}");
        }
    }
}
