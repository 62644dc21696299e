//! IDX, the format of MNIST: `[0, 0, type, axes]`, one big-endian u32 per axis, the elements.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use super::write_atomic;
use crate::error::{Error, Result};

/// The type byte of unsigned 8-bit elements, the only type that data sets of images use.
const TYPE_U8: u8 = 0x08;
/// More elements than this are refused: no data set of small images has them (MNIST has 47 million).
const MAX_ELEMENTS: u64 = 1 << 30;

/// The content of an IDX file of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// Sizes of the axes, slowest first: `[n]` for labels, `[n, height, width]` for images.
    pub shape: Vec<usize>,
    /// The elements, row-major, as many as the product of `shape`.
    pub data: Vec<u8>,
}

/// Reads an IDX file of u8 elements with `axes` axes, gzipped or not (told from its first bytes).
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is not IDX, has other axes or
/// another element type, is truncated, damaged or longer than its header says.
pub fn read_idx(path: impl AsRef<Path>, axes: usize) -> Result<Idx> {
    let path = path.as_ref();
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    // `chain` puts the two bytes back without a seek, so pipes work too.
    let mut magic = Vec::with_capacity(2);
    let read = file.by_ref().take(2).read_to_end(&mut magic);
    read.map_err(Error::io(path))?;
    let gzipped = magic == [0x1f, 0x8b];
    let whole = magic.as_slice().chain(file);
    if gzipped {
        parse(path, &mut GzDecoder::new(whole), axes)
    } else {
        parse(path, &mut { whole }, axes)
    }
}

fn parse(path: &Path, input: &mut dyn Read, axes: usize) -> Result<Idx> {
    let header_len = 4 + 4 * axes;
    let mut header = Vec::with_capacity(header_len);
    read_up_to(path, input, header_len as u64, &mut header)?;
    if let [a, b, kind, count, ..] = header[..] {
        if (a, b) != (0, 0) {
            let problem = format!(
                "not an IDX file: it begins with bytes {a:#04x} {b:#04x}, expected 0x00 0x00"
            );
            return Err(Error::format(path, problem));
        }
        if kind != TYPE_U8 {
            let problem =
                format!("its elements have IDX type {kind:#04x}, expected {TYPE_U8:#04x} (u8)");
            return Err(Error::format(path, problem));
        }
        if usize::from(count) != axes {
            let problem = format!(
                "it has {count} axes, expected {axes} (images have 3, labels have 1; are two files swapped?)"
            );
            return Err(Error::format(path, problem));
        }
    }
    if header.len() != header_len {
        let problem = format!(
            "truncated: it holds {} bytes, expected an IDX header of {header_len}",
            header.len()
        );
        return Err(Error::format(path, problem));
    }
    let (words, _) = header[4..].as_chunks::<4>();
    let dims: Vec<u32> = words.iter().map(|&word| u32::from_be_bytes(word)).collect();
    let expected = dims
        .iter()
        .try_fold(1u64, |product, &dim| product.checked_mul(u64::from(dim)))
        .filter(|&elements| elements <= MAX_ELEMENTS)
        .ok_or_else(|| {
            let problem = format!("its header claims the shape {dims:?}, more than {MAX_ELEMENTS} elements; is the file damaged?");
            Error::format(path, problem)
        })?;

    // The vector grows with the bytes that arrive; the header alone allocates nothing.
    let mut data = Vec::new();
    read_up_to(path, input, expected + 1, &mut data)?;
    let got = data.len() as u64;
    if got != expected {
        let problem = if got < expected {
            format!(
                "truncated: its header says shape {dims:?}, which is {expected} bytes, but only {got} follow"
            )
        } else {
            format!("its header says shape {dims:?}, which is {expected} bytes, but more follow")
        };
        return Err(Error::format(path, problem));
    }
    Ok(Idx {
        shape: dims.iter().map(|&dim| dim as usize).collect(),
        data,
    })
}

/// Reads until `limit` bytes or the end; a damaged gzip stream becomes a sentence.
fn read_up_to(path: &Path, input: &mut dyn Read, limit: u64, out: &mut Vec<u8>) -> Result<()> {
    match input.take(limit).read_to_end(out) {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                let problem = format!(
                    "the gzip stream is truncated or damaged ({error}) after {} unpacked bytes, expected {limit} or the end; fetch the file again",
                    out.len()
                );
                Err(Error::format(path, problem))
            }
            _ => Err(Error::io(path)(error)),
        },
    }
}

/// Writes u8 elements as IDX, gzipped if the name ends in `.gz`. Atomic.
///
/// # Errors
/// [`Error::Shape`] if `data` is not as long as `shape` says; [`Error::Invalid`] if an axis does not
/// fit the format; [`Error::Io`] if the file cannot be written.
pub fn write_idx(path: impl AsRef<Path>, shape: &[usize], data: &[u8]) -> Result<()> {
    let path = path.as_ref();
    if shape.iter().product::<usize>() != data.len() {
        let expected = format!("one of {} elements", data.len());
        return Err(Error::shape("write_idx", "data", expected, shape));
    }
    let unfit = || {
        Error::invalid(
            "write_idx",
            format!("shape {shape:?} does not fit IDX: at most 255 axes of at most 2^32 - 1"),
        )
    };
    let axes = u8::try_from(shape.len()).map_err(|_| unfit())?;
    let mut header = vec![0, 0, TYPE_U8, axes];
    for &dim in shape {
        header.extend(u32::try_from(dim).map_err(|_| unfit())?.to_be_bytes());
    }
    write_atomic(path, |out| {
        if path.extension().is_some_and(|extension| extension == "gz") {
            let mut gzip = GzEncoder::new(out, Compression::default());
            write_parts(&mut gzip, &header, data).map_err(Error::io(path))?;
            gzip.finish().map_err(Error::io(path))?;
            Ok(())
        } else {
            write_parts(out, &header, data).map_err(Error::io(path))
        }
    })
}

fn write_parts(
    out: &mut (impl std::io::Write + ?Sized),
    header: &[u8],
    data: &[u8],
) -> std::io::Result<()> {
    out.write_all(header)?;
    out.write_all(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sample() -> (Vec<usize>, Vec<u8>) {
        let data = (0..3 * 5 * 4).map(|i| (i * 37 % 256) as u8).collect();
        (vec![3, 5, 4], data)
    }

    fn read_bytes(folder: &Path, bytes: &[u8], axes: usize) -> Result<Idx> {
        let path = folder.join("probe");
        fs::write(&path, bytes).expect("writable");
        read_idx(&path, axes)
    }

    #[test]
    fn round_trip_and_every_truncation_is_an_error() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (shape, data) = sample();
        for name in ["plain", "packed.gz"] {
            let path = folder.path().join(name);
            write_idx(&path, &shape, &data).expect("writable");
            let idx = read_idx(&path, 3).expect("just written");
            assert_eq!((&idx.shape, &idx.data), (&shape, &data));
            let bytes = fs::read(&path).expect("readable");
            assert_eq!(bytes[..2] == [0x1f, 0x8b], name.ends_with(".gz"));
            for len in 0..bytes.len() {
                let result = read_bytes(folder.path(), &bytes[..len], 3);
                assert!(
                    matches!(result, Err(Error::Format { .. })),
                    "{name} {len}: {result:?}"
                );
            }
        }
    }

    #[test]
    fn labels_of_no_items_are_fine() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("none");
        write_idx(&path, &[0], &[]).expect("writable");
        assert_eq!(read_idx(&path, 1).expect("just written").shape, [0]);
    }

    #[test]
    fn sentences_name_expected_and_got() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let says = |bytes: &[u8], axes, words: &str| {
            let error = read_bytes(folder.path(), bytes, axes)
                .expect_err(words)
                .to_string();
            assert!(
                error.contains("probe: ") && error.contains(words),
                "{error}"
            );
        };
        says(
            &[0, 0, 8, 1, 0, 0, 0, 3, 1, 2],
            1,
            "[3], which is 3 bytes, but only 2",
        );
        says(&[0, 0, 8, 1, 0, 0, 0, 1, 1, 2], 1, "but more follow");
        says(&[0, 0, 8, 1, 0, 0, 0, 1, 1], 3, "1 axes, expected 3");
        says(&[0, 0, 13, 1, 0, 0, 0, 1, 1], 1, "type 0x0d");
        says(b"PK\x03\x04whatever", 1, "not an IDX file");
        says(b"", 1, "holds 0 bytes");
        let mut hostile = vec![0, 0, 8, 3];
        hostile.extend([0xff; 12]);
        says(&hostile, 3, "claims the shape");
        let mut large = vec![0, 0, 8, 3];
        large.extend([0, 0, 255, 255, 0, 0, 0, 64, 0, 0, 0, 64]);
        says(&large, 3, "but only 0 follow");
    }

    #[test]
    fn a_damaged_gzip_fails_its_checksum() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("x.gz");
        let (shape, data) = sample();
        write_idx(&path, &shape, &data).expect("writable");
        let mut bytes = fs::read(&path).expect("readable");
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        let error = read_bytes(folder.path(), &bytes, 3).expect_err("wrong checksum");
        assert!(error.to_string().contains("gzip"), "{error}");
    }
}
