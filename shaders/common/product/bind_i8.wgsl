// What int32 sums of int8 products end with: clamp(requant(sum + bias + residual) + zero_point, qmin, qmax).
//# include common/i8.wgsl
//# include common/requant.wgsl
//# part mapped common/mapped_none.wgsl
//# part residual common/product/residual_none.wgsl
@group(0) @binding(2) var<storage, read> bias: array<i32>;              // [n]
@group(0) @binding(3) var<storage, read> multiplier: array<vec2<u32>>;  // [n]
@group(0) @binding(4) var<storage, read_write> y: array<u32>;           // int8 [m, n_words]

fn out(acc: i32, m: vec2<u32>) -> i32 {
    return mapped(out_i8(acc, m, params.zero_point, params.qmin, params.qmax));
}
