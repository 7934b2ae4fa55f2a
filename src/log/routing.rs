//! To which partition a record goes: by its key as Kafka's clients do, sticky without one.

use crate::sync::atomic::{AtomicU64, Ordering};

/// Records without a key stay with one partition for this many bytes, then go on to the next, as Kafka's
/// sticky partitioner does for one batch (KIP-480, KIP-794; `batch.size` of the Java producer).
const STICKY_BYTES: u64 = 16 << 10;

/// Kafka's murmur2 (`Utils.murmur2`), by which every Kafka client places keys.
pub(crate) fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Kafka's seed. A length above 2^32 cannot occur: a key is below max.message.bytes.
    let mut hash = 0x9747_b28c ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Chooses partitions for the records of a topic.
#[derive(Debug, Default)]
pub(crate) struct Router {
    /// Bytes of all records without a key so far.
    keyless_bytes: AtomicU64,
}

impl Router {
    /// The partition, below `partitions`, which is at least 1.
    pub(crate) fn route(&self, key: Option<&[u8]>, record_bytes: usize, partitions: u32) -> u32 {
        match key {
            // Kafka drops the sign bit before it takes the remainder.
            Some(key) => (murmur2(key) & 0x7fff_ffff) % partitions.max(1),
            None => {
                let bytes = u64::try_from(record_bytes).unwrap_or(u64::MAX).max(1);
                let before = self.keyless_bytes.fetch_add(bytes, Ordering::Relaxed);
                let turn = (before / STICKY_BYTES) % u64::from(partitions.max(1));
                u32::try_from(turn).unwrap_or(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_kafkas_own_test_expects() {
        // `UtilsTest.testMurmur2` of Apache Kafka.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn the_same_key_always_goes_to_the_same_partition() {
        let router = Router::default();
        let first = router.route(Some(b"user-7"), 10, 12);
        assert!((0..100).all(|_| router.route(Some(b"user-7"), 10, 12) == first));
    }

    #[test]
    fn records_without_a_key_stay_for_a_while_and_reach_every_partition() {
        let router = Router::default();
        let turns: Vec<u32> = (0..64).map(|_| router.route(None, 4 << 10, 3)).collect();
        assert_eq!(
            turns.iter().take(8).copied().collect::<Vec<_>>(),
            [0, 0, 0, 0, 1, 1, 1, 1]
        );
        assert!((0..3).all(|partition| turns.contains(&partition)));
    }
}
