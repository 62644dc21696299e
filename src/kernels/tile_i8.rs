//! How much of an int8 product one invocation computes: `shaders/common/tile_i8.wgsl` from the host's side.

use super::{Caps, Spec};

/// Rows of `x` by words of four columns per invocation, and invocations per workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TileI8 {
    pub rows: usize,
    pub words: usize,
    pub workgroup: usize,
}

/// Fewer invocations than this leave a GPU idle.
const ENOUGH: usize = 8192;

impl TileI8 {
    /// A tile for `rows` by `words` words of output.
    ///
    /// A CPU (a software driver: subgroups of always eight) pays dearly for every load and little for
    /// spilled registers: the largest tile. A GPU has 255 registers at best, and needs many invocations.
    pub fn new(rows: usize, words: usize, caps: &Caps) -> Self {
        let cpu = caps.subgroups == Some((8, 8));
        let mut tile = Self {
            rows: match rows {
                1 => 1,
                2..=4 => 4,
                5..=8 => 8,
                _ if cpu => 16,
                _ => 8,
            },
            words: match words {
                3.. => 4,
                2 => 2,
                _ => 1,
            },
            workgroup: if cpu { 8 } else { 64 },
        };
        while !cpu && tile.invocations(rows, words) < ENOUGH && (tile.rows > 4 || tile.words > 1) {
            if tile.rows > 4 {
                tile.rows /= 2;
            } else {
                tile.words /= 2;
            }
        }
        tile
    }

    /// Invocations that cover `rows` by `words`.
    pub fn invocations(self, rows: usize, words: usize) -> usize {
        rows.div_ceil(self.rows) * words.div_ceil(self.words)
    }

    /// Adds the constants of the shader.
    pub fn spec(self, spec: Spec) -> Spec {
        spec.with("ROWS", self.rows as u32)
            .with("WORDS", self.words as u32)
            .with("WORKGROUP", self.workgroup as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_get_invocations_and_cpus_get_large_tiles() {
        let tile = |rows, words, workgroup| TileI8 {
            rows,
            words,
            workgroup,
        };
        let gpu = Caps::portable();
        let cpu = Caps {
            subgroups: Some((8, 8)),
            ..Caps::portable()
        };
        assert_eq!(TileI8::new(4096, 256, &gpu), tile(8, 4, 64));
        assert_eq!(TileI8::new(64, 30, &gpu), tile(4, 1, 64));
        assert_eq!(TileI8::new(64, 30, &cpu), tile(16, 4, 8));
        assert_eq!(TileI8::new(1, 2, &cpu), tile(1, 2, 8));
    }
}
