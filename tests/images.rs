//! Photographs as data: formats, the transform against values computed by hand, damage, folders.

use std::path::{Path, PathBuf};

use image::codecs::png::PngEncoder;
use image::{
    DynamicImage, GrayImage, ImageBuffer, ImageEncoder, ImageFormat, Luma, LumaA, Rgb, RgbImage,
    Rgba,
};
use wizen::base::{Colour, Preprocess, Resize};
use wizen::io::{Augment, load_data, load_image, load_image_folder};

use crate::data::real;

/// A JPEG of 8 x 8 pixels in CMYK with Adobe's inverted values: C 0, M 255, Y 255, K 51.
const CMYK: &str = "\
    ffd8ffee000e41646f626500640000000000ffdb00430001010101010101010101010101010101010101010101010101\
    010101010101010101010101010101010101010101010101010101010101010101010101010101ffc000140800080008\
    044311004d11005911004b1100ffc4001500010100000000000000000000000000000a0bffc400141001000000000000\
    00000000000000000000ffda000e0443004d0059004b00003f007f09ff00a7fe4c0fffd9";

/// A PNG of 2 x 1 pixels with the palette (10, 20, 30), (200, 100, 50) and the pixels 1, 0.
const PALETTE: &str = "\
    89504e470d0a1a0a0000000d4948445200000002000000010103000000ceecedc900000006504c54450a141ec8643277\
    a0b39c0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn preset(name: &str, input: [usize; 3]) -> Preprocess {
    Preprocess::preset(name, input).expect("a preset")
}

fn imagenet() -> Preprocess {
    preset("imagenet", [224, 224, 3])
}

fn gray([height, width]: [usize; 2]) -> Preprocess {
    preset("unit", [height, width, 1])
}

/// RGB stretched to `size`, `x / 255`.
fn plain([height, width]: [usize; 2]) -> Preprocess {
    preset("unit", [height, width, 3])
}

fn values(preprocess: &Preprocess, path: &Path) -> Vec<f32> {
    let x = load_image(path, preprocess).expect("an image");
    assert_eq!(x.shape(), preprocess.shape());
    x.as_f32().expect("f32").to_vec()
}

fn over_255(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|&p| f32::from(p) / 255.0).collect()
}

/// A gray image of one row.
fn row(pixels: &[u8]) -> GrayImage {
    GrayImage::from_raw(pixels.len() as u32, 1, pixels.to_vec()).expect("as many pixels")
}

#[test]
fn resizing_is_a_triangle_as_wide_as_the_reduction() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("row.png");
    // Halved: pixel centres at 0.5, 1.5, 2.5 around 1 with weights 1 − |distance| / 2, that is 3, 3, 1 of 7.
    row(&[0, 70, 210, 35]).save(&path).expect("writable");
    let halved = values(&gray([1, 2]), &path);
    assert_eq!(halved, over_255(&[60, 115]));
    // Doubled: plain linear interpolation, the border repeated.
    row(&[0, 200]).save(&path).expect("writable");
    let doubled = values(&gray([1, 4]), &path);
    assert_eq!(doubled, over_255(&[0, 50, 150, 200]));
    // The same along columns, for all three channels.
    let colours = [[0, 255, 10], [200, 55, 10]];
    let column = RgbImage::from_fn(1, 2, |_, y| Rgb(colours[y as usize]));
    column.save(&path).expect("writable");
    let expected = [0, 255, 10, 50, 205, 10, 150, 105, 10, 200, 55, 10];
    assert_eq!(values(&plain([4, 1]), &path), over_255(&expected));
    // Reduced by a third: 3 pixels to 2, weights 1 − |distance| / 1.5 around 0.75: 5, 3 of 8 (5/6, 1/2).
    row(&[0, 80, 240]).save(&path).expect("writable");
    let reduced = values(&gray([1, 2]), &path);
    assert_eq!(reduced, over_255(&[30, 180]));
}

#[test]
fn the_middle_is_cut_out_and_normalised() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("wide.png");
    let mut transform = preset("imagenet", [2, 2, 3]);
    assert_eq!(transform.resize, Resize::Shorter(2));
    // Margins of 1, 2 and 3 pixels; half of them, rounded half to even: 0, 1, 2. Nothing is resized.
    for (width, left) in [(3, 0), (4, 1), (5, 2)] {
        let picture = RgbImage::from_fn(width, 2, |x, y| Rgb([x as u8, 100 + y as u8, 255]));
        picture.save(&path).expect("writable");
        let x = values(&transform, &path);
        for (i, y) in x.chunks(3).enumerate() {
            let (r, g) = ((left + i % 2) as f32, (100 + i / 2) as f32);
            assert_eq!(y[0], (r / 255.0 - 0.485) / 0.229, "{width}");
            assert_eq!(y[1], (g / 255.0 - 0.456) / 0.224, "{width}");
            assert_eq!(y[2], (1.0 - 0.406) / 0.225, "{width}");
        }
    }
    // Upright, halved to 2 x 3 and cut from row 0.
    let tall = RgbImage::from_fn(4, 6, |_, y| Rgb([if y < 4 { 90 } else { 250 }; 3]));
    tall.save(&path).expect("writable");
    transform.mean = vec![0.0; 3];
    transform.std = vec![1.0; 3];
    let x = values(&transform, &path);
    // Row 1 sees rows 1 to 4 with weights 1, 3, 3, 1 of 8.
    let pixels = [[90u8; 6], [110; 6]].concat();
    assert_eq!(x, over_255(&pixels));
}

#[test]
fn a_picture_of_the_right_size_is_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("picture.png");
    let pixels: Vec<u8> = (0..4 * 6 * 3).map(|i| i * 3).collect();
    let save = |width, height| {
        let picture = RgbImage::from_raw(width, height, pixels.clone()).expect("as many pixels");
        picture.save(&path).expect("writable");
    };
    save(6, 4);
    let mut preprocess = plain([4, 6]);
    for resize in [
        Resize::None,
        Resize::Shorter(9),
        Resize::Stretch([5, 8]),
        Resize::Stretch([4, 6]),
    ] {
        preprocess.resize = resize;
        assert_eq!(values(&preprocess, &path), over_255(&pixels), "{resize:?}");
    }
    // Another size that is not to be resized is cut, and refused where there is nothing to cut.
    (preprocess.size, preprocess.resize) = ([4, 4], Resize::None);
    let middle: Vec<u8> = pixels
        .chunks(18)
        .flat_map(|row| row[3..15].to_vec())
        .collect();
    assert_eq!(values(&preprocess, &path), over_255(&middle));
    (preprocess.colour, preprocess.divisor) = (Colour::Bgr, 1.0);
    let turned: Vec<f32> = middle
        .chunks(3)
        .flat_map(|p| [p[2], p[1], p[0]].map(f32::from))
        .collect();
    assert_eq!(values(&preprocess, &path), turned);
    save(3, 8);
    let error = load_image(&path, &preprocess)
        .expect_err("too narrow")
        .to_string();
    assert!(
        error.contains("3 x 8 pixels, less than the 4 x 4"),
        "{error}"
    );
    assert!(error.contains("picture.png"), "{error}");
    // Stretched beyond the size, then cut: 0, 50, 150, 200.
    let flat = RgbImage::from_fn(2, 1, |x, _| Rgb([200 * x as u8; 3]));
    flat.save(&path).expect("writable");
    let mut wide = plain([3, 2]);
    wide.resize = Resize::Stretch([3, 4]);
    (wide.size, wide.colour) = ([3, 2], Colour::Rgb);
    assert_eq!(
        values(&wide, &path),
        over_255(&[[50; 3], [150; 3]].concat().repeat(3))
    );
}

#[test]
fn every_kind_of_pixel_becomes_rgb() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("picture");
    let says = |what: &str, expected: [u8; 6]| {
        assert_eq!(values(&plain([1, 2]), &path), over_255(&expected), "{what}");
    };
    let save = |image: DynamicImage| {
        image
            .save_with_format(&path, ImageFormat::Png)
            .expect("writable");
    };
    let wide = |x: u8| u16::from(x) * 257;
    let pixels = [[1u8, 130, 254], [77, 0, 255]];
    let at = |x: u32| pixels[x as usize];
    let rgb = [1, 130, 254, 77, 0, 255];
    let grays = [130, 130, 130, 0, 0, 0];
    save(RgbImage::from_fn(2, 1, |x, _| Rgb(at(x))).into());
    says("RGB", rgb);
    save(ImageBuffer::from_fn(2, 1, |x, _| Rgb(at(x).map(wide))).into());
    says("RGB of 16 bits", rgb);
    save(
        ImageBuffer::from_fn(2, 1, |x, _| {
            Rgba([at(x)[0], at(x)[1], at(x)[2], 128 * x as u8])
        })
        .into(),
    );
    says("RGBA: alpha is left out", rgb);
    save(ImageBuffer::from_fn(2, 1, |x, _| Luma([at(x)[1]])).into());
    says("gray", grays);
    save(ImageBuffer::from_fn(2, 1, |x, _| Luma([wide(at(x)[1])])).into());
    says("gray of 16 bits", grays);
    save(ImageBuffer::from_fn(2, 1, |x, _| LumaA([at(x)[1], 9])).into());
    says("gray with alpha", grays);
    std::fs::write(&path, bytes(PALETTE)).expect("writable");
    says("palette", [200, 100, 50, 10, 20, 30]);
    // (255 − C) · (255 − K) / 255 and so on: pure values, one block, no loss.
    std::fs::write(&path, bytes(CMYK)).expect("writable");
    says("CMYK", [204, 0, 0, 204, 0, 0]);
    // Flat gray survives JPEG: its blocks have a mean and nothing else.
    let flat = GrayImage::from_pixel(9, 7, Luma([128]));
    flat.save_with_format(&path, ImageFormat::Jpeg)
        .expect("writable");
    says("gray JPEG", [128; 6]);
    // A gray network takes Rec. 709 luma: 0.2126, 0.7152, 0.0722.
    save(
        RgbImage::from_fn(3, 1, |x, _| {
            Rgb([0, 1, 2].map(|c| if c == x { 250 } else { 0 }))
        })
        .into(),
    );
    let x = values(&gray([1, 3]), &path);
    for (luma, weight) in x.iter().zip([0.2126, 0.7152, 0.0722]) {
        // Rounded to a whole level, in either direction.
        assert!((luma * 255.0 - 250.0 * weight).abs() < 1.0 + 1e-4, "{x:?}");
    }
}

#[test]
fn the_camera_may_be_held_upright() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("turned.png");
    // TIFF, big-endian, one entry: orientation (0x112), a short, one of it, value 6 = turn clockwise.
    let exif = bytes("4d4d002a0000000800010112000300000001000600000000");
    let mut encoder = PngEncoder::new(std::fs::File::create(&path).expect("writable"));
    encoder.set_exif_metadata(exif).expect("PNG has EXIF");
    encoder
        .write_image(
            &[10, 20, 30, 40, 50, 60],
            3,
            2,
            image::ExtendedColorType::L8,
        )
        .expect("writable");
    let x = values(&gray([3, 2]), &path);
    assert_eq!(x, over_255(&[40, 10, 50, 20, 60, 30]));
}

#[test]
fn the_smallest_and_the_largest() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("flat.png");
    let colour = Rgb([10, 200, 30]);
    for (width, height) in [(1, 1), (1, 3), (5000, 4000)] {
        let flat = RgbImage::from_pixel(width, height, colour);
        flat.save(&path).expect("writable");
        let transform = Preprocess {
            resize: Resize::Shorter(256),
            ..plain([224, 224])
        };
        let x = values(&transform, &path);
        let expected = over_255(&colour.0);
        assert!(x.chunks(3).all(|y| y == expected), "{width} x {height}");
    }
    let says = |width, height, words: &str| {
        GrayImage::new(width, height).save(&path).expect("writable");
        let error = load_image(&path, &imagenet()).expect_err(words);
        let error = error.to_string();
        assert!(
            error.contains(words) && error.contains("flat.png"),
            "{error}"
        );
    };
    says(16_385, 1, "too large; expected at most 16384 pixels a side");
    says(16_384, 1, "it is 16384 x 1 pixels, too narrow");
    // A file of a few bytes that claims 16384 x 16384 pixels.
    let mut bomb = bytes(PALETTE);
    bomb[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    bomb[24..26].copy_from_slice(&[8, 2]); // RGB
    let mut crc = flate2::Crc::new();
    crc.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    std::fs::write(&path, &bomb).expect("writable");
    let error = load_image(&path, &imagenet()).expect_err("a bomb");
    assert!(
        error.to_string().contains("268435456 bytes decoded"),
        "{error}"
    );
}

#[test]
fn damage_is_a_sentence() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("broken.jpg");
    let says = |content: &[u8], words: &str| {
        std::fs::write(&path, content).expect("writable");
        let error = load_image(&path, &plain([8, 8]))
            .expect_err(words)
            .to_string();
        assert!(
            error.contains(words) && error.contains("broken.jpg"),
            "{error}"
        );
    };
    says(b"", "the file is empty");
    says(b"hello", "expected JPEG, PNG, WebP");
    says(b"qoif and so on", "expected JPEG, PNG, WebP");
    says(b"GIF89a", "damaged or cut short");
    let picture = RgbImage::from_fn(16, 12, |x, y| {
        Rgb([x as u8 * 6, y as u8 * 8, (x * y) as u8])
    });
    // Bytes at the end without which all pixels are there: a PNG's last chunk, a GIF's last blocks.
    for (ending, rest) in [
        ("jpg", 0),
        ("png", 12),
        ("webp", 1),
        ("bmp", 0),
        ("gif", 4),
        ("tiff", 8),
    ] {
        let whole = dir.path().join(format!("whole.{ending}"));
        picture.save(&whole).expect("writable");
        let good = std::fs::read(&whole).expect("written");
        let end = good.len() - rest;
        for cut in (0..end).step_by(7).chain([end - 1]) {
            says(&good[..cut], if cut == 0 { "empty" } else { "" });
        }
        // Nothing panics, whatever a byte is.
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x5a;
            std::fs::write(&path, bad).expect("writable");
            if let Err(error) = load_image(&path, &plain([8, 8])) {
                assert!(error.to_string().contains("broken.jpg"), "{error}");
            }
        }
    }
    let error = load_image(dir.path(), &plain([8, 8])).expect_err("a folder");
    assert!(error.to_string().contains("not a file"), "{error}");
    let missing = load_image(dir.path().join("missing.png"), &plain([8, 8]));
    let error = missing.expect_err("missing").to_string();
    assert!(error.contains("missing.png"), "{error}");
}

fn dot(path: PathBuf, level: u8) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    row(&[level]).save(path).expect("writable");
}

#[test]
fn labels_in_a_table() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("some.images");
    let table = dir.path().join("some.images.csv");
    for (name, level) in [
        ("a.png", 1),
        ("b, c.png", 2),
        ("sub/d.PNG", 3),
        ("unused.png", 4),
    ] {
        dot(folder.join(name), level);
    }
    std::fs::write(folder.join("notes.txt"), "none of ours").expect("writable");
    let load = || load_image_folder(&folder, &gray([1, 1]));
    let lines = "synset,filename,class_index\nn1,sub/d.PNG,7\nn2,\"b, c.png\", 0\nn3,a.png,7\n";
    std::fs::write(&table, lines).expect("writable");
    let data = load().expect("a table");
    assert_eq!(
        (data.len(), data.classes(), data.labels()),
        (3, 8, &[7, 0, 7][..])
    );
    let (x, labels) = data.batch(&[1, 0, 2, 1]).expect("in range");
    assert_eq!(x.shape(), [4, 1, 1, 1]);
    assert_eq!(x.as_f32().expect("f32"), over_255(&[2, 3, 1, 2]));
    assert_eq!(labels.as_u32().expect("u32"), [0, 7, 7, 0]);
    assert!(data.pixels().is_none() && data.name().contains("some.images"));
    let first = data.take(2);
    assert_eq!((first.len(), first.labels()), (2, &[7, 0][..]));
    assert_eq!(
        first.batch(&[1]).expect("in range"),
        data.batch(&[1]).expect("in range")
    );
    assert!(first.batch(&[2]).is_err());
    let splits = load_data(&folder, &gray([1, 1])).expect("images");
    assert!(!splits.held_out && splits.train == splits.test);

    let says = |lines: &str, words: &str| {
        std::fs::write(&table, lines).expect("writable");
        let error = load().expect_err(words).to_string();
        assert!(
            error.contains(words) && error.contains("some.images.csv"),
            "{error}"
        );
    };
    says("", "no column `filename`");
    says("filename,class_index\n", "it names no images");
    says(
        "picture,class_index\na.png,0\n",
        "no column `filename` or `file`",
    );
    says("filename,colour\na.png,0\n", "no column `class_index`");
    says(
        "filename,class_index\na.png,0\n\na.png,x\n",
        "line 4: the class index is `x`",
    );
    says(
        "filename,class_index\na.png,-1\n",
        "line 2: the class index is `-1`",
    );
    says(
        "filename,class_index\na.png,0\nz.png,1\n",
        "line 3: there is no file `z.png`",
    );
    says(
        "filename,class_index\na.png,0\nb.png\n",
        "line 3: it has 1 fields",
    );
}

#[test]
fn labels_by_folder() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("animals");
    let load = || load_image_folder(&folder, &gray([1, 1]));
    let says = |words: &str| {
        let error = load().expect_err(words).to_string();
        assert!(
            error.contains(words) && error.contains("animals"),
            "{error}"
        );
    };
    says("No such file");
    std::fs::create_dir(&folder).expect("writable");
    says("there are no images");
    std::fs::write(folder.join("notes.txt"), "no image").expect("writable");
    std::fs::create_dir_all(folder.join(".cache")).expect("writable");
    dot(folder.join(".hidden.png"), 9);
    says("there are no images");
    dot(folder.join("zebra/1.png"), 5);
    dot(folder.join("ant/2.png"), 6);
    dot(folder.join("ant/10.png"), 7);
    std::fs::write(folder.join("ant/.thumbnail.png"), "hidden").expect("writable");
    let data = load().expect("two classes");
    assert_eq!((data.classes(), data.labels()), (2, &[0, 0, 1][..]));
    let (x, _) = data.batch(&[0, 1, 2]).expect("in range");
    assert_eq!(x.as_f32().expect("f32"), over_255(&[7, 6, 5]));
    // Shifts move decoded images, too: by one pixel of one, nothing is left.
    let mut rng = wizen::base::Rng::new(3);
    let augment = Augment {
        shift: 1,
        flip: true,
    };
    let (x, _) = data
        .batch_augmented(&[0; 64], &mut rng, augment)
        .expect("in range");
    let x = x.as_f32().expect("f32");
    let kept = x.iter().filter(|&&v| v == 7.0 / 255.0).count();
    assert!(kept > 0 && kept < 64 && x.iter().filter(|&&v| v == 0.0).count() == 64 - kept);

    std::fs::create_dir(folder.join("bee")).expect("writable");
    says("bee` has no images");
    dot(folder.join("loose.png"), 1);
    says("and 1 images beside them");
    for class in ["zebra", "ant", "bee"] {
        std::fs::remove_dir_all(folder.join(class)).expect("writable");
    }
    let plain = load().expect("images without classes");
    assert_eq!((plain.len(), plain.labels()), (1, &[][..]));
}

#[test]
fn real_photographs_are_read() {
    let Some(folder) = real("imagenet-mini") else {
        return;
    };
    let transform = imagenet();
    for (set, images, classes) in [("calib", 128, 1000), ("eval", 300, 1000)] {
        let data = load_image_folder(folder.join(set), &transform).expect("complete");
        assert_eq!((data.len(), data.image_shape()), (images, [224, 224, 3]));
        assert!(data.classes() <= classes, "{}", data.classes());
        let all: Vec<usize> = (0..data.len()).collect();
        let (x, labels) = data.batch(&all).expect("all can be decoded");
        assert_eq!(labels.as_u32().expect("u32"), data.labels());
        let first = data.batch(&[images - 1, 0]).expect("decoded again").0;
        let image = 224 * 224 * 3;
        let (x, first) = (x.as_f32().expect("f32"), first.as_f32().expect("f32"));
        assert_eq!(first[image..], x[..image], "decoding is not deterministic");
        assert_eq!(first[..image], x[x.len() - image..]);
        // Pixels lie where 0 and 255 go; photographs are neither all black nor all the same.
        let (low, high) = (-0.485 / 0.229, (1.0 - 0.406) / 0.225);
        assert!(x.iter().all(|v| (low - 1e-6..=high + 1e-6).contains(v)));
        for image in x.chunks(image) {
            let mean = image.iter().sum::<f32>() / image.len() as f32;
            let spread = image.iter().map(|v| (v - mean).abs()).sum::<f32>();
            assert!(spread > 0.05 * image.len() as f32, "an empty picture");
        }
    }
}
