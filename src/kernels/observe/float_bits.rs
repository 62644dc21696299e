//! Floats as integers: the twin of `shaders/common/float_bits.wgsl`.

/// An integer that grows with the float; −0 lies below +0.
pub(super) fn key_of(x: f32) -> u32 {
    let bits = x.to_bits();
    bits ^ if x.is_sign_negative() {
        u32::MAX
    } else {
        1 << 31
    }
}

/// The inverse of [`key_of`].
pub(super) fn float_of_key(key: u32) -> f32 {
    f32::from_bits(key ^ if key >= 1 << 31 { 1 << 31 } else { u32::MAX })
}

/// `floor(x · 2^−exponent)` for a finite `x`, where the result fits.
pub(super) fn bin_of(x: f32, exponent: i32) -> i32 {
    // Exact: f64 holds every f32 times every power of two that occurs (|exponent| < 300).
    (f64::from(x) * 2f64.powi(-exponent)).floor() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_and_invertible() {
        let sorted = [
            -f32::MAX,
            -1.5,
            -1e-45,
            -0.0,
            0.0,
            1e-45,
            1e-3,
            7.0,
            f32::MAX,
        ];
        for pair in sorted.windows(2) {
            assert!(key_of(pair[0]) < key_of(pair[1]), "{pair:?}");
        }
        for x in sorted {
            assert_eq!(float_of_key(key_of(x)).to_bits(), x.to_bits());
        }
    }
}
