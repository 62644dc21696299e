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
