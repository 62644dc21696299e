// Windows over images [n, IN_H, IN_W, WORDS]. Tap (kh, kw) of window (oh, ow) lies on row oh · STRIDE_H + kh · DILATION_H −
// TOP and the like column, if the image has them: those of the padding wrap to huge numbers.
const IN_H: u32 = 4u;
const IN_W: u32 = 4u;
const OUT_H: u32 = 2u;
const OUT_W: u32 = 2u;
const KERNEL_H: u32 = 2u;
const KERNEL_W: u32 = 2u;
const STRIDE_H: u32 = 2u;
const STRIDE_W: u32 = 2u;
const TOP: u32 = 0u;
const LEFT: u32 = 0u;
const BOTTOM: u32 = 0u;
const RIGHT: u32 = 0u;
const DILATION_H: u32 = 1u;
const DILATION_W: u32 = 1u;
const CUT: bool = true;           // windows reach beyond the image
const LONG: bool = false;         // by many taps: loops start and end inside
const INCLUDE_PAD: bool = false;  // padding counts in a mean
const WORDS: u32 = 1u;            // of the channels of a pixel

const SIZE = vec2(IN_H, IN_W);
const OUT = vec2(OUT_H, OUT_W);
const KERNEL = vec2(KERNEL_H, KERNEL_W);
const STRIDE = vec2(STRIDE_H, STRIDE_W);
const BEFORE = vec2(TOP, LEFT);
const DILATION = vec2(DILATION_H, DILATION_W);
const EXTENT = (KERNEL - vec2(1u)) * DILATION + vec2(1u);

// The first tap of a window inside the image, and the first behind `reach`.
fn first_inside(window: vec2<u32>) -> vec2<u32> {
    let start = window * STRIDE;
    return (max(BEFORE, start) - start + DILATION - vec2(1u)) / DILATION;
}

fn first_behind(window: vec2<u32>, reach: vec2<u32>) -> vec2<u32> {
    return min(KERNEL, (reach - window * STRIDE + DILATION - vec2(1u)) / DILATION);
}

// Taps from x, y before z, w: all, or those inside where there are many others.
fn taps(window: vec2<u32>) -> vec4<u32> {
    if LONG { return vec4(first_inside(window), first_behind(window, BEFORE + SIZE)); }
    return vec4(vec2(0u), KERNEL);
}

// Taps of a window that count in a mean.
fn counted(window: vec2<u32>) -> u32 {
    if !CUT { return KERNEL_H * KERNEL_W; }
    var all = first_behind(window, BEFORE + SIZE + select(vec2(0u), vec2(BOTTOM, RIGHT), INCLUDE_PAD));
    if !INCLUDE_PAD { all -= first_inside(window); }
    return all.x * all.y;
}
