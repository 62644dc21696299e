//! Resizing of 8-bit pictures exactly as Pillow's `BILINEAR`, and so torchvision, does it.
//!
//! `y[i] = Σ w[j − centre(i)] x[j]`, the weights a triangle as wide as the reduction (at least one pixel to either
//! side), in fixed point of 22 bits; columns first, then rows, each rounded to 8 bits.

/// Bits behind the point: 8 of a pixel, 2 to spare, of 32.
const PRECISION: u32 = 22;

/// `[height, width, channels]` to `[new_height, new_width, channels]`.
pub(super) fn resize(pixels: &[u8], [h, w, c]: [usize; 3], [new_h, new_w]: [usize; 2]) -> Vec<u8> {
    let columns = match new_w == w {
        true => pixels.to_vec(),
        false => along(pixels, [h, w, c], new_w),
    };
    match new_h == h {
        true => columns,
        false => along(&columns, [1, h, new_w * c], new_h),
    }
}

/// `[outer, n, inner]` to `[outer, new, inner]`.
fn along(x: &[u8], [outer, n, inner]: [usize; 3], new: usize) -> Vec<u8> {
    let windows = windows(n, new);
    let mut y = Vec::with_capacity(outer * new * inner);
    let mut sums = vec![0i32; inner];
    for line in x.chunks_exact(n * inner) {
        for (first, weights) in &windows {
            sums.fill(1 << (PRECISION - 1));
            for (pixel, &weight) in line[first * inner..].chunks_exact(inner).zip(weights) {
                for (sum, &x) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(x) * weight;
                }
            }
            y.extend(
                sums.iter()
                    .map(|sum| (sum >> PRECISION).clamp(0, 255) as u8),
            );
        }
    }
    y
}

/// For each result, the first pixel that it sees and the weights from there.
fn windows(n: usize, new: usize) -> Vec<(usize, Vec<i32>)> {
    let scale = n as f64 / new as f64;
    let reach = scale.max(1.0);
    let window = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(n);
        let distance = |j: usize| (j as f64 - centre + 0.5) / reach;
        let weights: Vec<f64> = (first..end)
            .map(|j| (1.0 - distance(j).abs()).max(0.0))
            .collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |w: &f64| (w / sum * f64::from(1 << PRECISION) + 0.5) as i32;
        (first, weights.iter().map(fixed).collect())
    };
    (0..new).map(window).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pass_rounds_to_eight_bits() {
        // Halved along both axes, weights 3, 3, 1 of 7: columns give (1·3 + 0·3 + 0) / 7 = 0.43, rounded to 0, and
        // 9·3 / 7 = 3.86, rounded to 4; rows of these (0·3 + 4·3 + 4) / 7 = 2.29.
        let x = [[1, 0, 0, 0], [9, 0, 0, 0], [9, 0, 0, 0], [0; 4]].concat();
        assert_eq!(resize(&x, [4, 4, 1], [2, 2])[0], 2);
        assert_eq!(
            resize(&[3, 1, 4, 1, 5, 9], [1, 2, 3], [1, 2]),
            [3, 1, 4, 1, 5, 9]
        );
        let same = resize(&[77; 5 * 7 * 3], [5, 7, 3], [11, 3]);
        assert_eq!(same, [77; 11 * 3 * 3]);
    }

    #[test]
    fn weights_are_a_whole() {
        for (n, new) in [(1, 1), (1, 9), (9, 1), (160, 320), (500, 341), (16_384, 3)] {
            for (first, weights) in windows(n, new) {
                let sum: i32 = weights.iter().sum();
                assert!(!weights.is_empty() && first + weights.len() <= n);
                // Each is rounded by half a unit at most.
                assert!((sum - (1 << PRECISION)).unsigned_abs() as usize <= weights.len());
            }
        }
    }
}
