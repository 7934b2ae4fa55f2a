//! Protobuf's zig-zag varints as Kafka reads them (`ByteUtils`): at most five bytes for 32 bits, ten for 64,
//! a set top bit in the last one is an error, and a number need not be written in as few bytes as possible.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

/// Why bytes are no number; the text names it.
pub(super) const TRUNCATED: &str = "a number is cut off";
/// The last byte that a number may have says that another one follows.
pub(super) const OVERLONG: &str = "a number has more bytes than its type allows";

const MORE: u8 = 0x80;
const LAST_SHIFT_32: u32 = 28;
const LAST_SHIFT_64: u32 = 63;

/// Takes a 32-bit number from the front of `input`. The common case, one byte, is inlined.
#[inline]
pub(super) fn take_i32(input: &mut &[u8]) -> Result<i32, &'static str> {
    match input.split_first() {
        Some((&byte, rest)) if byte < MORE => {
            *input = rest;
            let value = u32::from(byte);
            Ok((value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg())
        }
        _ => take_long(input, LAST_SHIFT_32).map(|value| {
            // Bits above the 32nd are dropped, as the shift in Kafka's reader drops them.
            let [.., a, b, c, d] = value.to_be_bytes();
            let value = u32::from_be_bytes([a, b, c, d]);
            (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
        }),
    }
}

/// Takes a 64-bit number from the front of `input`.
#[inline]
pub(super) fn take_i64(input: &mut &[u8]) -> Result<i64, &'static str> {
    let value = match input.split_first() {
        Some((&byte, rest)) if byte < MORE => {
            *input = rest;
            u64::from(byte)
        }
        _ => take_long(input, LAST_SHIFT_64)?,
    };
    Ok((value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg())
}

fn take_long(input: &mut &[u8], last_shift: u32) -> Result<u64, &'static str> {
    let mut value = 0u64;
    let mut shift = 0u32;
    let mut rest = *input;
    loop {
        let (&byte, behind) = rest.split_first().ok_or(TRUNCATED)?;
        rest = behind;
        value |= u64::from(byte & !MORE) << shift;
        if byte < MORE {
            *input = rest;
            return Ok(value);
        }
        if shift == last_shift {
            return Err(OVERLONG);
        }
        shift = shift.saturating_add(7);
    }
}

/// Writes a number behind what `out` holds. One of 32 bits looks the same as one of 64.
#[inline]
pub(super) fn put(out: &mut Vec<u8>, value: i64) {
    let [first, ..] = zig_zag(value).to_le_bytes();
    if zig_zag(value) < u64::from(MORE) {
        out.push(first);
    } else {
        put_long(out, zig_zag(value));
    }
}

fn put_long(out: &mut Vec<u8>, mut rest: u64) {
    while rest >= u64::from(MORE) {
        let [first, ..] = rest.to_le_bytes();
        out.push(first | MORE);
        rest >>= 7;
    }
    let [last, ..] = rest.to_le_bytes();
    out.push(last);
}

/// How many bytes a number takes.
#[inline]
pub(super) fn size(value: i64) -> u64 {
    if zig_zag(value) < u64::from(MORE) {
        return 1;
    }
    let bits = u64::BITS.saturating_sub(zig_zag(value).leading_zeros());
    u64::from(bits.div_ceil(7))
}

#[inline]
fn zig_zag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_i64(value: i64) {
        let mut bytes = Vec::new();
        put(&mut bytes, value);
        assert_eq!(bytes.len() as u64, size(value), "{value}");
        let mut input = &bytes[..];
        assert_eq!(take_i64(&mut input), Ok(value));
        assert!(input.is_empty());
        if let Ok(value) = i32::try_from(value) {
            assert_eq!(take_i32(&mut &bytes[..]), Ok(value));
        }
    }

    #[test]
    fn every_power_of_two_and_its_neighbours_survive_the_way_there_and_back() {
        for shift in 0..64u32 {
            for near in -1..=1i64 {
                let value = 1i64.wrapping_shl(shift).wrapping_add(near);
                check_i64(value);
                check_i64(value.wrapping_neg());
            }
        }
    }

    #[test]
    fn a_number_in_more_bytes_than_it_needs_is_read() {
        assert_eq!(take_i32(&mut &[0x82, 0x80, 0x80, 0x80, 0x00][..]), Ok(1));
    }

    #[test]
    fn a_cut_or_overlong_number_is_refused() {
        assert_eq!(take_i32(&mut &[][..]), Err(TRUNCATED));
        assert_eq!(take_i32(&mut &[0x80, 0x80][..]), Err(TRUNCATED));
        assert_eq!(take_i32(&mut &[0xff; 5][..]), Err(OVERLONG));
        assert_eq!(take_i64(&mut &[0xff; 9][..]), Err(TRUNCATED));
        assert_eq!(take_i64(&mut &[0xff; 10][..]), Err(OVERLONG));
    }

    #[test]
    fn bits_above_the_type_are_dropped_as_kafka_drops_them() {
        assert_eq!(
            take_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x7f][..]),
            Ok(i32::MIN)
        );
        assert_eq!(
            take_i64(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..]),
            Ok(i64::MIN)
        );
    }
}
