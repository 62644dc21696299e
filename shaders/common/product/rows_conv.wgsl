// Rows of a convolution without groups as a matrix product: output pixels.
struct Params {
    m: u32, n: u32,                                 // n·oh·ow rows, o columns
    height: u32, width: u32, out_height: u32, out_width: u32,
    steps: u32, kernel_w: u32, pixel: u32,          // Words of a filter, taps of its line, Words of a pixel of x
    stride_h: u32, stride_w: u32, pad_top: u32, pad_left: u32, dilation_h: u32, dilation_w: u32,
    n_words: u32,                                   // of a row of y
    x_zero_points: u32, zero_point: i32, qmin: i32, qmax: i32,  // int8; the first is four of them
    residual_zero_point: i32, residual_shift: u32,
}
struct Row { first: u32, iy: i32, ix: i32 }     // first Word of the pixel under tap (0, 0), and where that pixel is

fn row_of(p: u32) -> Row {
    let line = p / params.out_width;
    let image = line / params.out_height;
    let iy = i32((line - image * params.out_height) * params.stride_h) - i32(params.pad_top);
    let ix = i32((p - line * params.out_width) * params.stride_w) - i32(params.pad_left);
    let first = (i32(image * params.height) + iy) * i32(params.width) + ix;
    return Row(u32(first) * params.pixel, iy, ix);
}

// Where a word of a filter finds its word of x: the tap, and the word of the pixel under it.
struct Place { y: u32, x: u32, word: u32 }

fn place_of(t: u32) -> Place {
    let tap = t / params.pixel;
    return Place(tap / params.kernel_w, tap % params.kernel_w, t % params.pixel);
}

// `words` further; the pixels may be shorter than that.
fn next_place(place: Place, words: u32) -> Place {
    var next = Place(place.y, place.x, place.word + words);
    while next.word >= params.pixel {
        next.word -= params.pixel;
        next.x += 1u;
        if next.x == params.kernel_w {
            next.x = 0u;
            next.y += 1u;
        }
    }
    return next;
}

fn x_word(row: Row, place: Place, inside: bool) -> Word {
    let dy = place.y * params.dilation_h;
    let dx = place.x * params.dilation_w;
    let here = inside & (u32(row.iy) + dy < params.height) & (u32(row.ix) + dx < params.width);
    let at = row.first + ((dy * params.width + dx) * params.pixel + place.word);
    return select(outside(), x[select(0u, at, here)], here);
}
