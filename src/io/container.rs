//! Safetensors files with metadata: named tensors of bytes and a map of strings.
//!
//! The layout: a little-endian u64 length, that many bytes of JSON (name → dtype, shape, offsets; the
//! key `__metadata__` → strings), then the elements, little endian, without gaps.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use safetensors::tensor::Metadata;
use serde::Serialize;

use super::stored::{StoredTensor, StoredType};
use super::write_atomic;
use crate::error::{Error, Result};

/// Bytes of header that readers accept: the limit of the format's own library.
const MAX_HEADER: u64 = 100_000_000;
const METADATA_KEY: &str = "__metadata__";

#[derive(Serialize)]
struct Entry<'a> {
    dtype: StoredType,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

/// Metadata and named tensors, as [`read_safetensors`] returns them.
pub type Contents = (BTreeMap<String, String>, Vec<(String, StoredTensor)>);

/// Writes named tensors and metadata as one safetensors file. Atomic; the same content gives the same
/// bytes. In the file, wide types come first (alignment), then the order is by name.
///
/// # Errors
/// [`Error::Shape`] if a tensor's bytes do not fit its shape; [`Error::Invalid`] if a name occurs twice
/// or is `__metadata__`; [`Error::Io`] if the file cannot be written.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    metadata: BTreeMap<String, String>,
    tensors: &[(String, StoredTensor)],
) -> Result<()> {
    let path = path.as_ref();
    let mut order: Vec<&(String, StoredTensor)> = tensors.iter().collect();
    order.sort_by(|(a_name, a), (b_name, b)| {
        let wide_first = b.dtype.size().cmp(&a.dtype.size());
        wide_first.then_with(|| a_name.cmp(b_name))
    });

    let json = |value: serde_json::Result<serde_json::Value>| {
        value.map_err(|error| Error::format(path, format!("its header cannot be written: {error}")))
    };
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        let value = json(serde_json::to_value(&metadata))?;
        header.insert(METADATA_KEY.to_string(), value);
    }
    let mut offset = 0;
    for (name, tensor) in &order {
        tensor.check(name)?;
        let entry = Entry {
            dtype: tensor.dtype,
            shape: &tensor.shape,
            data_offsets: [offset, offset + tensor.bytes.len()],
        };
        offset += tensor.bytes.len();
        let old = header.insert(name.clone(), json(serde_json::to_value(entry))?);
        if old.is_some() || name == METADATA_KEY {
            let problem = format!("the tensor name `{name}` is used twice or reserved");
            return Err(Error::invalid("write_safetensors", problem));
        }
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let header_len = header.len() as u64;
    if header_len > MAX_HEADER {
        let problem = format!(
            "the names and metadata need {header_len} bytes, more than {MAX_HEADER} which readers accept"
        );
        return Err(Error::invalid("write_safetensors", problem));
    }

    write_atomic(path, |out| {
        let parts = [&header_len.to_le_bytes()[..], &header];
        let data = order.iter().map(|(_, tensor)| tensor.bytes.as_slice());
        for part in parts.into_iter().chain(data) {
            out.write_all(part).map_err(Error::io(path))?;
        }
        Ok(())
    })
}

/// Metadata (empty if the file has none) and tensors of a safetensors file, sorted by name.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is not safetensors, is truncated
/// or longer than its header says, or holds an element type that wizen does not know.
pub fn read_safetensors(path: impl AsRef<Path>) -> Result<Contents> {
    let path = path.as_ref();
    let wrong = |problem: String| Error::format(path, problem);
    let file = File::open(path).map_err(Error::io(path))?;
    let about = file.metadata().map_err(Error::io(path))?;
    if !about.is_file() {
        return Err(wrong(
            "this is not a file, expected a safetensors file".into(),
        ));
    }
    let mut file = BufReader::new(file);

    let file_len = about.len();
    if file_len < 8 {
        return Err(wrong(format!(
            "not a safetensors file: it holds {file_len} bytes, expected at least 8"
        )));
    }
    let mut length = [0u8; 8];
    file.read_exact(&mut length).map_err(Error::io(path))?;
    let header_len = u64::from_le_bytes(length);
    if header_len > MAX_HEADER {
        return Err(wrong(format!(
            "not a safetensors file: it begins with a header length of {header_len} bytes, expected at most {MAX_HEADER}"
        )));
    }
    if header_len > file_len - 8 {
        return Err(wrong(format!(
            "truncated or not a safetensors file: a header of {header_len} bytes is announced, but only {} follow",
            file_len - 8
        )));
    }
    let header = read_block(path, &mut file, header_len as usize)?;
    // `Metadata` checks that offsets have no gaps and agree with shapes and types. Its own reader adds
    // sizes without looking for overflow, so the total is compared here.
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|error| wrong(format!("its safetensors header is wrong: {error}")))?;
    let (expected, got) = (header.data_len() as u64, file_len - 8 - header_len);
    if expected != got {
        let word = if got < expected { "truncated: " } else { "" };
        return Err(wrong(format!(
            "{word}its header describes {expected} bytes of tensors, but {got} follow"
        )));
    }

    let mut tensors = Vec::new();
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else {
            return Err(wrong(format!("its header lost the tensor `{name}`")));
        };
        let dtype = StoredType::from_file(info.dtype).ok_or_else(|| {
            let (name, dtype) = (&name, info.dtype);
            wrong(format!("tensor `{name}` has element type {dtype}, which wizen does not know; convert it to F32 or F16"))
        })?;
        let (start, end) = info.data_offsets;
        let bytes = read_block(path, &mut file, end - start)?;
        let shape = info.shape.clone();
        tensors.push((
            name,
            StoredTensor {
                dtype,
                shape,
                bytes,
            },
        ));
    }
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let metadata = header.metadata().clone().unwrap_or_default();
    Ok((metadata.into_iter().collect(), tensors))
}

/// The next `len` bytes; `len` was compared with the size of the file.
fn read_block(path: &Path, file: &mut impl Read, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sample() -> Contents {
        let tensor = |dtype: StoredType, shape: &[usize]| {
            let len = shape.iter().product::<usize>() * dtype.size();
            let bytes = (0..len).map(|i| i as u8).collect();
            StoredTensor::new(dtype, shape, bytes).expect("fits")
        };
        let tensors = vec![
            ("a.mask".to_string(), tensor(StoredType::U8, &[3])),
            ("a.weight".to_string(), tensor(StoredType::F32, &[2, 3])),
            ("b \"quoted\" ü".to_string(), tensor(StoredType::BF16, &[])),
            ("c.empty".to_string(), tensor(StoredType::I64, &[0, 4])),
            ("d.weight".to_string(), tensor(StoredType::I8, &[5])),
        ];
        let metadata = [
            ("format", "wizen"),
            ("history", "[\"pruned\", 1]"),
            ("z", ""),
        ];
        let metadata = metadata.map(|(k, v)| (k.to_string(), v.to_string()));
        (metadata.into(), tensors)
    }

    fn read_bytes(folder: &Path, bytes: &[u8]) -> Result<Contents> {
        let path = folder.join("probe.safetensors");
        fs::write(&path, bytes).expect("writable");
        read_safetensors(&path)
    }

    fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
        let len = (header.len() as u64).to_le_bytes();
        [&len[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn round_trip_is_deterministic_and_readable_by_the_safetensors_crate() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (metadata, tensors) = sample();
        let path = folder.path().join("model.safetensors");
        write_safetensors(&path, metadata.clone(), &tensors).expect("writable");
        let bytes = fs::read(&path).expect("readable");
        let back = read_safetensors(&path).expect("just written");
        assert_eq!(back, (metadata.clone(), tensors.clone()));

        let reversed: Vec<_> = tensors.iter().rev().cloned().collect();
        write_safetensors(&path, metadata.clone(), &reversed).expect("writable");
        assert_eq!(fs::read(&path).expect("readable"), bytes);

        let theirs = safetensors::SafeTensors::deserialize(&bytes).expect("valid for them too");
        assert_eq!(theirs.len(), tensors.len());
        for (name, tensor) in &tensors {
            let view = theirs.tensor(name).expect("every name");
            assert_eq!(
                (view.shape(), view.data()),
                (&tensor.shape[..], &tensor.bytes[..])
            );
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (metadata, tensors) = sample();
        let path = folder.path().join("model.safetensors");
        write_safetensors(&path, metadata, &tensors).expect("writable");
        let mut bytes = fs::read(&path).expect("readable");
        for len in 0..bytes.len() {
            let result = read_bytes(folder.path(), &bytes[..len]);
            assert!(
                matches!(result, Err(Error::Format { .. })),
                "{len}: {result:?}"
            );
        }
        bytes.push(0);
        let error = read_bytes(folder.path(), &bytes).expect_err("one byte too many");
        assert!(
            error.to_string().contains("bytes of tensors, but"),
            "{error}"
        );
    }

    #[test]
    fn hostile_headers_are_sentences() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let says = |bytes: &[u8], words: &str| {
            let error = read_bytes(folder.path(), bytes)
                .expect_err(words)
                .to_string();
            assert!(error.contains(words), "{error}");
        };
        says(&[0xff; 32], "header length of 18446744073709551615");
        says(&with_header("{", b""), "header is wrong");
        says(&with_header("[]", b""), "header is wrong");
        says(&with_header("\u{0}\u{1}", b""), "header is wrong");
        says(
            &with_header(
                r#"{"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,1]}}"#,
                b"x",
            ),
            "header is wrong",
        );
        says(
            &with_header(
                r#"{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}"#,
                b"x",
            ),
            "tensor `a` has element type F8_E5M2",
        );
        says(
            &with_header(
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                &[0; 8],
            ),
            "invalid offset for tensor `a`",
        );
        says(
            &with_header(
                r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#,
                &[0; 8],
            ),
            "overflow",
        );
        // Eight tensors that are each plausible and end at 2^64 - 8: header and length overflow the sum.
        let each = (1u64 << 61) - 1;
        let entries: Vec<String> = (0..8u64)
            .map(|i| {
                let (start, end) = (i * each, (i + 1) * each);
                format!(
                    r#""t{i}":{{"dtype":"U8","shape":[{each}],"data_offsets":[{start},{end}]}}"#
                )
            })
            .collect();
        let header = format!("{{{}}}", entries.join(","));
        says(
            &with_header(&header, b"tiny"),
            "truncated: its header describes 18446744073709551608",
        );
    }

    #[test]
    fn wrong_arguments_write_nothing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("model.safetensors");
        let (_, tensors) = sample();
        let twice = [tensors[0].clone(), tensors[0].clone()];
        let error = write_safetensors(&path, BTreeMap::new(), &twice).expect_err("same name");
        assert!(
            error.to_string().contains("`a.mask` is used twice"),
            "{error}"
        );
        let mut short = tensors[1].clone();
        short.1.bytes.pop();
        let error = write_safetensors(&path, BTreeMap::new(), &[short]).expect_err("23 bytes");
        assert!(
            error.to_string().contains("`a.weight` has shape [2, 3]"),
            "{error}"
        );
        assert!(!path.exists());
        assert!(read_safetensors(folder.path()).is_err());
    }
}
