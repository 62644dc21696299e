//! Few-bit integers and sparse values in bytes: pure functions, no files.
//!
//! Everything is a little-endian bit stream: element `i` of width `b` occupies bits `i·b .. (i+1)·b`,
//! where bit `k` is bit `k mod 8` (from the least significant) of byte `k / 8`. For 4 bits that is two
//! values to a byte, the first in the low half; for 2 bits four, for 1 bit eight.

use crate::error::{Error, Result};

/// Bytes that `count` values of `bits` bits occupy; `None` if that overflows.
pub fn packed_len(count: usize, bits: u32) -> Option<usize> {
    Some(count.checked_mul(bits as usize)?.div_ceil(8))
}

/// Bytes of the mask of `count` elements: one bit each.
pub fn mask_len(count: usize) -> usize {
    count.div_ceil(8)
}

/// Packs integers as two's complement of `bits` bits (1 to 8). Bits after the last value are zero.
///
/// # Errors
/// [`Error::Invalid`] if `bits` is not in 1..=8 or a value is outside `−2^(bits−1) ..= 2^(bits−1) − 1`.
///
/// ```
/// # fn main() -> wizen::Result<()> {
/// assert_eq!(wizen::io::pack_bits(&[1, -1, 7], 4)?, [0xf1, 0x07]);
/// # Ok(())
/// # }
/// ```
pub fn pack_bits(values: &[i8], bits: u32) -> Result<Vec<u8>> {
    check_bits("pack_bits", bits)?;
    let (low, high) = (-(1i16 << (bits - 1)), (1i16 << (bits - 1)) - 1);
    let mask = (1u32 << bits) - 1;
    let mut packed = Vec::with_capacity(packed_len(values.len(), bits).unwrap_or(0));
    let (mut pending, mut filled) = (0u32, 0);
    for (i, &value) in values.iter().enumerate() {
        if !(low..=high).contains(&i16::from(value)) {
            return Err(Error::invalid(
                "pack_bits",
                format!("value {value} at index {i} does not fit {bits} bits ({low}..={high})"),
            ));
        }
        pending |= (value as u32 & mask) << filled;
        filled += bits;
        while filled >= 8 {
            packed.push(pending as u8);
            pending >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        packed.push(pending as u8);
    }
    Ok(packed)
}

/// The `count` integers that [`pack_bits`] packed with the same `bits`.
///
/// # Errors
/// [`Error::Invalid`] if `bits` is not in 1..=8, `packed` has another length than `count` values
/// need, or a bit after the last value is set.
pub fn unpack_bits(packed: &[u8], bits: u32, count: usize) -> Result<Vec<i8>> {
    check_bits("unpack_bits", bits)?;
    check_packed("unpack_bits", packed, count, bits)?;
    let mut values = Vec::with_capacity(count);
    let (mut pending, mut filled) = (0u32, 0);
    let mut bytes = packed.iter();
    for _ in 0..count {
        if filled < bits {
            let byte = bytes.next().expect("the length was checked above");
            pending |= u32::from(*byte) << filled;
            filled += 8;
        }
        // Shifting the sign bit to the top of the byte and back extends it.
        values.push(((pending << (8 - bits)) as u8 as i8) >> (8 - bits));
        pending >>= bits;
        filled -= bits;
    }
    Ok(values)
}

/// Splits values into a mask (one bit per element, least significant first, set = stored) and the
/// values that are not zero, in order. A float's −0 counts as zero and comes back as +0; NaN is stored.
pub fn sparse_encode<T: Copy + PartialEq + Default>(values: &[T]) -> (Vec<u8>, Vec<T>) {
    let mut mask = vec![0u8; mask_len(values.len())];
    let mut stored = Vec::new();
    for (i, &value) in values.iter().enumerate() {
        if value != T::default() {
            mask[i / 8] |= 1 << (i % 8);
            stored.push(value);
        }
    }
    (mask, stored)
}

/// The `count` elements that [`sparse_encode`] split.
///
/// # Errors
/// [`Error::Invalid`] if the mask has another length than `count` elements need or a bit after the
/// last one is set, or if it has not exactly one set bit per stored value.
pub fn sparse_decode<T: Copy + Default>(mask: &[u8], stored: &[T], count: usize) -> Result<Vec<T>> {
    check_packed("sparse_decode", mask, count, 1)?;
    let set: usize = mask.iter().map(|byte| byte.count_ones() as usize).sum();
    if set != stored.len() {
        return Err(Error::invalid(
            "sparse_decode",
            format!(
                "the mask marks {set} elements as stored, but there are {} values",
                stored.len()
            ),
        ));
    }
    let mut stored = stored.iter();
    Ok((0..count)
        .map(|i| {
            if mask[i / 8] >> (i % 8) & 1 == 0 {
                T::default()
            } else {
                *stored.next().expect("set bits were counted above")
            }
        })
        .collect())
}

fn check_bits(op: &str, bits: u32) -> Result<()> {
    if (1..=8).contains(&bits) {
        return Ok(());
    }
    Err(Error::invalid(
        op,
        format!("bits is {bits}, expected 1..=8"),
    ))
}

/// `bytes` is exactly as long as `count` elements of `bits` bits need, and what is left over is zero.
fn check_packed(op: &str, bytes: &[u8], count: usize, bits: u32) -> Result<()> {
    let expected = packed_len(count, bits);
    if expected != Some(bytes.len()) {
        let expected = expected.map_or("more than fit memory".to_string(), |n| n.to_string());
        let problem = format!(
            "{count} elements of {bits} bits need {expected} bytes, got {}",
            bytes.len()
        );
        return Err(Error::invalid(op, problem));
    }
    let used = (count * bits as usize) % 8;
    match bytes.last() {
        Some(last) if used != 0 && last >> used != 0 => Err(Error::invalid(
            op,
            format!("bits after the last of {count} elements are set in byte {last:#04x}"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_round_trips(bits in 1u32..=8, raw in prop::collection::vec(any::<i8>(), 0..100)) {
            // The arithmetic shift brings any i8 into the range of `bits`.
            let values: Vec<i8> = raw.iter().map(|v| v >> (8 - bits)).collect();
            let packed = pack_bits(&values, bits).expect("in range");
            prop_assert_eq!(packed.len(), (values.len() * bits as usize).div_ceil(8));
            // The definition of the format, bit by bit.
            for k in 0..values.len() * bits as usize {
                let want = values[k / bits as usize] >> (k % bits as usize) & 1;
                prop_assert_eq!((packed[k / 8] >> (k % 8) & 1) as i8, want);
            }
            prop_assert_eq!(unpack_bits(&packed, bits, values.len()).expect("packed above"), values);
        }

        #[test]
        fn unpacking_never_panics(bits in 0u32..40, count in 0usize..50, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(values) = unpack_bits(&bytes, bits, count) {
                prop_assert_eq!(pack_bits(&values, bits).expect("in range"), bytes);
            }
        }

        #[test]
        fn sparse_round_trips(values in prop::collection::vec(prop_oneof![Just(0i8), any::<i8>()], 0..100)) {
            let (mask, stored) = sparse_encode(&values);
            prop_assert!(stored.iter().all(|&v| v != 0));
            prop_assert_eq!(sparse_decode(&mask, &stored, values.len()).expect("encoded above"), values);
        }

        #[test]
        fn sparse_decoding_never_panics(count in 0usize..50, mask in prop::collection::vec(any::<u8>(), 0..8), n in 0usize..50) {
            if let Ok(values) = sparse_decode(&mask, &vec![1i8; n], count) {
                prop_assert_eq!(sparse_encode(&values).0, mask);
            }
        }
    }

    #[test]
    fn floats_keep_their_bits_but_negative_zero() {
        let values = [0.0f32, -0.0, 1.5, f32::MIN_POSITIVE / 2.0, -7.0];
        let (mask, stored) = sparse_encode(&values);
        assert_eq!(mask, [0b1_1100]);
        assert_eq!(stored, [1.5, f32::MIN_POSITIVE / 2.0, -7.0]);
        let back = sparse_decode(&mask, &stored, 5).expect("encoded above");
        assert!(back == values && back[1].is_sign_positive());
        let halves = [f16::NAN, f16::NEG_ZERO, f16::ONE];
        assert_eq!(sparse_encode(&halves).0, [0b101]);
    }

    #[test]
    fn lies_are_refused_with_both_numbers() {
        let says = |result: Result<Vec<i8>>, words: &str| {
            let error = result.expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        says(
            unpack_bits(&[0, 0], 4, 5),
            "5 elements of 4 bits need 3 bytes, got 2",
        );
        says(unpack_bits(&[0, 0, 0x10], 4, 5), "bits after the last");
        says(unpack_bits(&[], 8, usize::MAX), "bytes, got 0");
        says(unpack_bits(&[], 9, 0), "expected 1..=8");
        says(unpack_bits(&[], 7, usize::MAX / 2), "more than fit memory");
        says(
            sparse_decode(&[0b101], &[1], 3),
            "marks 2 elements as stored, but there are 1",
        );
        says(sparse_decode(&[0b1000], &[1], 3), "bits after the last");
        let error = pack_bits(&[0, 8], 4)
            .expect_err("8 needs 5 bits")
            .to_string();
        assert!(
            error.contains("value 8 at index 1 does not fit 4 bits (-8..=7)"),
            "{error}"
        );
    }
}
