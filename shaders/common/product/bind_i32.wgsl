// Int32 sums of int8 products are kept as they are, with their bias.
//# include common/i8.wgsl
@group(0) @binding(2) var<storage, read> bias: array<i32>;     // [n]
@group(0) @binding(3) var<storage, read_write> y: array<i32>;  // [m, n]
