//! Where to put the labels of points so that they cover neither each other nor the points.

/// A rectangle in pixels; y grows downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rect {
    fn around(center: [f64; 2], radius: f64) -> Self {
        Self {
            x: center[0] - radius,
            y: center[1] - radius,
            width: 2.0 * radius,
            height: 2.0 * radius,
        }
    }

    /// Area in common with `other`.
    fn overlap(&self, other: &Self) -> f64 {
        let shared = |a: f64, a_len: f64, b: f64, b_len: f64| {
            ((a + a_len).min(b + b_len) - a.max(b)).max(0.0)
        };
        shared(self.x, self.width, other.x, other.width)
            * shared(self.y, self.height, other.y, other.height)
    }

    fn area(&self) -> f64 {
        self.width * self.height
    }
}

/// Greedy placement: every label takes the nearest of many positions around its point that covers
/// nothing, or else the one that covers least. `sizes` are `[width, height]`; all in pixels.
pub(super) fn place(points: &[[f64; 2]], sizes: &[[f64; 2]], frame: Rect) -> Vec<Rect> {
    let dots: Vec<Rect> = points.iter().map(|&p| Rect::around(p, 6.0)).collect();
    let mut placed: Vec<Rect> = Vec::with_capacity(points.len());
    for (&[x, y], &[width, height]) in points.iter().zip(sizes) {
        let mut best: Option<(f64, Rect)> = None;
        for ring in 0..8 {
            let gap = 9.0 + 13.0 * f64::from(ring);
            let (left, right) = (x - gap - width, x + gap);
            let (above, middle, below) = (y - gap - height, y - 0.5 * height, y + gap);
            let candidates = [
                [right, middle],
                [left, middle],
                [x - 0.5 * width, above],
                [x - 0.5 * width, below],
                [right, above],
                [right, below],
                [left, above],
                [left, below],
            ];
            for [x, y] in candidates {
                let rect = Rect {
                    x,
                    y,
                    width,
                    height,
                };
                let outside = rect.area() - rect.overlap(&frame);
                let covered: f64 = dots.iter().chain(&placed).map(|r| rect.overlap(r)).sum();
                // Within a ring the order counts, between rings the distance.
                let cost = outside + covered;
                if best.as_ref().is_none_or(|(least, _)| cost + 1e-9 < *least) {
                    best = Some((cost, rect));
                }
            }
        }
        placed.extend(best.map(|(_, rect)| rect));
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowded_labels_stay_apart_and_inside() {
        let frame = Rect {
            x: 0.0,
            y: 0.0,
            width: 640.0,
            height: 360.0,
        };
        // Seven points on nearly one spot, one in a corner.
        let mut points: Vec<[f64; 2]> = (0..7)
            .map(|i| [300.0 + 3.0 * f64::from(i), 100.0])
            .collect();
        points.push([636.0, 4.0]);
        let sizes = vec![[90.0, 14.0]; points.len()];
        let placed = place(&points, &sizes, frame);
        assert_eq!(placed.len(), points.len());
        for (i, a) in placed.iter().enumerate() {
            assert!(
                (a.overlap(&frame) - a.area()).abs() < 1e-6,
                "{a:?} is outside"
            );
            for b in &placed[..i] {
                assert_eq!(a.overlap(b), 0.0, "{a:?} {b:?}");
            }
            for &p in &points {
                assert_eq!(a.overlap(&Rect::around(p, 6.0)), 0.0, "{a:?} covers {p:?}");
            }
        }
    }
}
