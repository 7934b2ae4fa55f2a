//! What Kafka's readers take and refuse, codec by codec; the packed samples are Kafka's own.

use super::*;

const PLAIN: &str = "10000000026b027600";
const GZIP: &str = "1f8b08000000000000ff1360606060ca662a630000a37fcfa609000000";
const SNAPPY: &str = "82534e415050590000000001000000010000000b092010000000026b027600";
const LZ4: &str = "04224d186040820900008010000000026b02760000000000";
const ZSTD: &str = "28b52ffd005848000010000000026b027600010000";

const LIMIT: u32 = 1 << 20;

pub(super) fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn every_compression() -> Vec<Compression> {
    let mut all = vec![Compression::None, Compression::Snappy, Compression::Lz4];
    all.extend([-1, 1, 6, 9].map(|level| Compression::Gzip(Level::gzip(level).unwrap())));
    all.extend([-131_072, -5, 1, 3, 19, 22].map(|l| Compression::Zstd(Level::zstd(l).unwrap())));
    all.retain(|compression| compression.check().is_ok());
    all
}

/// Each codec once, for what does not depend on the level.
fn every_default() -> Vec<Compression> {
    let all = Codec::ALL.map(|codec| codec.name().parse::<Compression>().unwrap());
    all.into_iter()
        .filter(|compression| compression.check().is_ok())
        .collect()
}

fn pack(compression: Compression, input: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    compress(compression, input, &mut out).unwrap();
    assert!(out.starts_with(b"before"), "what was there stays");
    out.split_off(6)
}

/// Bytes that neither repeat nor end: a xorshift.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[track_caller]
fn check_reads(codec: Codec, packed: &[u8], plain: &[u8]) {
    assert_eq!(
        &decompress(codec, packed, LIMIT).expect("readable")[..],
        plain
    );
}

#[track_caller]
fn check_refuses(codec: Codec, packed: &[u8]) {
    let error = decompress(codec, packed, LIMIT).expect_err("must not be read");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(codec.name()), "{error}");
}

#[test]
fn what_kafka_packs_is_read() {
    for (codec, hex) in [
        (Codec::Gzip, GZIP),
        (Codec::Snappy, SNAPPY),
        (Codec::Lz4, LZ4),
        (Codec::Zstd, ZSTD),
    ] {
        if codec.is_available() {
            check_reads(codec, &unhex(hex), &unhex(PLAIN));
        }
    }
}

#[test]
fn what_is_packed_at_any_level_is_read_again() {
    let text = b"the quick brown fox ".repeat(20_000);
    for compression in every_compression() {
        for plain in [&b"x"[..], &noise(100_000), &text] {
            check_reads(compression.codec(), &pack(compression, plain), plain);
        }
    }
}

#[test]
fn a_bomb_is_too_large_before_it_is_allocated() {
    let zeros = vec![0u8; 8 << 20];
    for compression in every_default() {
        let packed = pack(compression, &zeros);
        let mut result = None;
        let used = allocation_counter::measure(|| {
            result = Some(decompress(compression.codec(), &packed, LIMIT));
        });
        let error = result.unwrap().expect_err("above the limit");
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{compression}");
        assert!(error.to_string().contains("1048576"), "{error}");
        // Codec state and both ends of the last growth beside the output itself.
        assert!(
            used.bytes_max <= 3 * u64::from(LIMIT),
            "{compression}: {}",
            used.bytes_max
        );
    }
}

#[test]
fn the_limit_itself_is_not_above_the_limit() {
    for compression in every_compression() {
        for len in [0usize, 1, 16 << 10, 100_000] {
            let plain = noise(len);
            let packed = pack(compression, &plain);
            let codec = compression.codec();
            let limit = u32::try_from(len).unwrap();
            assert_eq!(
                decompress(codec, &packed, limit).unwrap(),
                plain,
                "{compression} {len}"
            );
            if len > 0 {
                let error = decompress(codec, &packed, limit - 1).expect_err("one byte too many");
                assert_eq!(error.kind(), ErrorKind::TooLarge, "{compression} {len}");
            }
        }
    }
}

#[test]
fn packed_data_cut_anywhere_never_reads_as_more_than_a_beginning() {
    let plain = [&noise(200)[..], &[7; 70_000]].concat();
    for compression in every_default() {
        let packed = pack(compression, &plain);
        for len in 0..packed.len() {
            match decompress(compression.codec(), &packed[..len], LIMIT) {
                // A cut between two chunks of Xerial's framing, which has no end mark.
                Ok(output) => assert!(
                    matches!(compression, Compression::Snappy | Compression::None)
                        && plain.starts_with(&output),
                    "{compression} cut at {len}"
                ),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
            }
        }
    }
}

#[test]
fn changed_bytes_are_an_error_or_other_bytes_and_never_a_panic() {
    let plain = [&noise(100)[..], &[7; 1000]].concat();
    for compression in every_default() {
        let packed = pack(compression, &plain);
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut changed = packed.clone();
                changed[at] ^= 1 << bit;
                if let Ok(output) = decompress(compression.codec(), &changed, 4096) {
                    assert!(output.len() <= 4096);
                }
            }
        }
    }
}

#[test]
fn a_level_outside_of_kafkas_range_names_option_value_and_range() {
    for (result, text) in [
        (
            Level::gzip(0),
            "compression.gzip.level is 0; it must be 1 to 9 or -1",
        ),
        (
            Level::gzip(10),
            "compression.gzip.level is 10; it must be 1 to 9 or -1",
        ),
        (
            Level::lz4(18),
            "compression.lz4.level is 18; it must be 1 to 17",
        ),
        (
            Level::zstd(23),
            "compression.zstd.level is 23; it must be -131072 to 22",
        ),
        (
            Level::zstd(-131_073),
            "compression.zstd.level is -131073; it must be -131072 to 22",
        ),
    ] {
        let error = result.expect_err("out of range");
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::InvalidInput, text)
        );
    }
    let foreign = Compression::Gzip(Level::zstd(22).unwrap());
    assert!(
        foreign.check().is_err(),
        "a level of one codec is not taken for another"
    );
}

#[test]
fn names_and_ids_are_kafkas() {
    for (id, name) in [
        (0, "none"),
        (1, "gzip"),
        (2, "snappy"),
        (3, "lz4"),
        (4, "zstd"),
    ] {
        let codec = Codec::from_id(id).unwrap();
        assert_eq!((codec.id(), codec.name()), (id, name));
        let compression: Compression = name.parse().unwrap();
        assert_eq!((compression.codec(), compression.name()), (codec, name));
    }
    assert_eq!(Codec::from_id(5), None);
    assert_eq!(
        "uncompressed".parse::<Compression>().unwrap(),
        Compression::None
    );
    let error = "brotli".parse::<Compression>().expect_err("unknown");
    assert!(error.to_string().contains("brotli"), "{error}");
}

#[test]
fn a_codec_that_was_left_out_names_its_feature() {
    for codec in Codec::ALL {
        if codec.is_available() {
            continue;
        }
        let compression: Compression = codec.name().parse().unwrap();
        for error in [
            decompress(codec, &[], LIMIT).expect_err("left out"),
            compress(compression, &[], &mut Vec::new()).expect_err("left out"),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(
                error.to_string().contains(&format!("feature `{codec}`")),
                "{error}"
            );
        }
    }
}

#[cfg(feature = "gzip")]
mod gzip {
    use std::io::Write;

    use flate2::GzBuilder;

    use super::*;

    fn member(plain: &[u8]) -> Vec<u8> {
        pack(Compression::Gzip(Level::default_gzip()), plain)
    }

    #[test]
    fn the_header_is_the_one_that_java_writes() {
        assert_eq!(member(b"abc")[..10], unhex(GZIP)[..10]);
    }

    #[test]
    fn members_behind_each_other_and_named_ones_are_read() {
        check_reads(
            Codec::Gzip,
            &[member(b"ab"), member(b"cd")].concat(),
            b"abcd",
        );
        let mut named = GzBuilder::new()
            .filename("records")
            .mtime(1_700_000_000)
            .comment("x")
            .write(Vec::new(), flate2::Compression::best());
        named.write_all(b"abcd").unwrap();
        check_reads(Codec::Gzip, &named.finish().unwrap(), b"abcd");
    }

    #[test]
    fn rubbish_behind_and_wrong_trailers_are_refused() {
        check_refuses(
            Codec::Gzip,
            &[&member(b"ab")[..], b"rubbish behind it"].concat(),
        );
        check_refuses(Codec::Gzip, &[&member(b"ab")[..], b"\0"].concat());
        for at in 1..=8 {
            let mut wrong = member(b"ab");
            let place = wrong.len() - at;
            wrong[place] ^= 1;
            check_refuses(Codec::Gzip, &wrong);
        }
    }
}

#[cfg(feature = "snappy")]
mod snappy {
    use super::*;

    fn raw(plain: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(plain).unwrap()
    }

    fn xerial(chunks: &[&[u8]]) -> Vec<u8> {
        let mut stream = unhex(SNAPPY)[..16].to_vec();
        for chunk in chunks {
            let block = raw(chunk);
            stream.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(&block);
        }
        stream
    }

    #[test]
    fn what_is_written_is_what_java_writes_for_short_data() {
        assert_eq!(pack(Compression::Snappy, &unhex(PLAIN)), unhex(SNAPPY));
    }

    #[test]
    fn long_data_is_cut_into_chunks_of_32_kib() {
        let plain = noise((64 << 10) + 1);
        let (a, b, c) = (
            &plain[..32 << 10],
            &plain[32 << 10..64 << 10],
            &plain[64 << 10..],
        );
        assert_eq!(pack(Compression::Snappy, &plain), xerial(&[a, b, c]));
    }

    #[test]
    fn raw_xerial_concatenated_and_large_chunks_are_read() {
        let large = b"large ".repeat(40_000);
        check_reads(Codec::Snappy, &raw(b"abcd"), b"abcd");
        check_reads(Codec::Snappy, &xerial(&[&large]), &large);
        check_reads(
            Codec::Snappy,
            &[xerial(&[b"ab"]), xerial(&[b"c", b"d"])].concat(),
            b"abcd",
        );
    }

    #[test]
    fn chunks_with_a_wrong_length_are_refused() {
        let head = &unhex(SNAPPY)[..16];
        for length in [i32::MAX, -1, i32::MIN, 5, 600 << 20] {
            check_refuses(
                Codec::Snappy,
                &[head, &length.to_be_bytes(), b"abcd"].concat(),
            );
        }
        check_refuses(Codec::Snappy, &[head, b"abc"].concat());
        check_refuses(Codec::Snappy, &head[..12]);
        check_refuses(Codec::Snappy, &[]);
        // A second header with version 0.
        let mut version = head.to_vec();
        version[11] = 0;
        check_refuses(Codec::Snappy, &[head, &version].concat());
    }

    #[test]
    fn a_block_that_claims_more_than_snappy_can_pack_is_refused() {
        // A length of 1 MiB in front of one byte of literal.
        check_refuses(Codec::Snappy, &[0x80, 0x80, 0x40, 0x00, b'a']);
    }
}

#[cfg(feature = "lz4")]
mod lz4 {
    use std::io::Write;

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

    use super::*;

    fn frame(info: FrameInfo, plain: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn info() -> FrameInfo {
        FrameInfo::new()
            .block_size(BlockSize::Max64KB)
            .block_mode(BlockMode::Independent)
    }

    #[test]
    fn what_is_written_is_what_kafka_writes_for_short_data() {
        assert_eq!(pack(Compression::Lz4, &unhex(PLAIN)), unhex(LZ4));
    }

    #[test]
    fn all_block_sizes_checksums_and_a_content_size_are_read() {
        let plain = [noise(100_000), vec![3; 500_000]].concat();
        for size in [
            BlockSize::Max64KB,
            BlockSize::Max256KB,
            BlockSize::Max1MB,
            BlockSize::Max4MB,
        ] {
            let info = info().block_size(size);
            check_reads(
                Codec::Lz4,
                &frame(info.clone().block_checksums(true), &plain),
                &plain,
            );
            check_reads(
                Codec::Lz4,
                &frame(info.clone().content_checksum(true), &plain),
                &plain,
            );
            let len = Some(plain.len() as u64);
            check_reads(Codec::Lz4, &frame(info.content_size(len), &plain), &plain);
        }
    }

    #[test]
    fn dependent_blocks_a_second_frame_and_rubbish_are_refused() {
        let linked = info().block_mode(BlockMode::Linked);
        check_refuses(Codec::Lz4, &frame(linked, &[1; 200_000]));
        let one = frame(info(), b"ab");
        check_refuses(Codec::Lz4, &[&one[..], &one].concat());
        check_refuses(Codec::Lz4, &[&one[..], b"rubbish"].concat());
        check_refuses(Codec::Lz4, &[&one[..], b"\0"].concat());
        let legacy = [0x02, 0x21, 0x4c, 0x18, 3, 0, 0, 0, 0x20, b'a', b'b'];
        check_refuses(Codec::Lz4, &legacy);
        check_refuses(Codec::Lz4, &[]);
    }

    #[test]
    fn wrong_checksums_of_header_block_and_content_are_refused() {
        let mut header = frame(info(), b"abcd");
        header[6] ^= 1;
        check_refuses(Codec::Lz4, &header);
        let mut block = frame(info().block_checksums(true), b"abcd");
        block[11] ^= 1;
        check_refuses(Codec::Lz4, &block);
        let mut content = frame(info().content_checksum(true), b"abcd");
        let last = content.len() - 1;
        content[last] ^= 1;
        check_refuses(Codec::Lz4, &content);
    }
}

#[cfg(feature = "zstd")]
mod zstd {
    use std::io::Write;

    use ::zstd::stream::write::Encoder;

    use super::*;

    fn frame(plain: &[u8], set: impl FnOnce(&mut Encoder<'_, Vec<u8>>)) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), 3).unwrap();
        set(&mut encoder);
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn checksums_content_sizes_second_and_skippable_frames_are_read() {
        let checked = frame(b"ab", |e| {
            e.include_checksum(true).unwrap();
            e.set_pledged_src_size(Some(2)).unwrap();
        });
        check_reads(Codec::Zstd, &checked, b"ab");
        let other = frame(b"cd", |_| ());
        check_reads(Codec::Zstd, &[&checked[..], &other].concat(), b"abcd");
        let skippable = [&[0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        check_reads(Codec::Zstd, &[&skippable[..], &checked].concat(), b"ab");
        check_reads(
            Codec::Zstd,
            &[&checked[..], &skippable, &other].concat(),
            b"abcd",
        );
    }

    #[test]
    fn a_window_of_128_mib_is_read_and_a_larger_one_refused() {
        let widest = frame(b"ab", |e| e.window_log(27).unwrap());
        check_reads(Codec::Zstd, &widest, b"ab");
        check_refuses(Codec::Zstd, &frame(b"ab", |e| e.window_log(28).unwrap()));
    }

    #[test]
    fn a_wrong_checksum_rubbish_and_a_cut_are_refused() {
        let mut wrong = frame(b"ab", |e| e.include_checksum(true).unwrap());
        let last = wrong.len() - 1;
        wrong[last] ^= 1;
        check_refuses(Codec::Zstd, &wrong);
        let one = frame(b"ab", |_| ());
        for rubbish in [&b"rubbish behind"[..], b"\0", b"\0\0\0\0\0"] {
            check_refuses(Codec::Zstd, &[&one[..], rubbish].concat());
        }
    }
}
