//! Weights of other programs, whatever the form of their file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::container::read_safetensors;
use super::stored::StoredTensor;
use crate::error::{Error, Result};

/// Bytes from which a file's form is told: those of a tar archive's header.
const HEAD: usize = 512;

/// Files that people take for weights: how they begin, and the rest of a sentence about them.
const OTHERS: [(&[u8], &str); 4] = [
    (
        b"version https://git-lfs",
        "this is a Git LFS pointer, not the weights; fetch them with `git lfs pull`, or download the file itself",
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        "this is an HDF5 file (Keras, MATLAB), which wizen does not read; save the weights as safetensors",
    ),
    (
        b"GGUF",
        "this is a GGUF file, which wizen does not read; save the weights as safetensors",
    ),
    (
        b"<",
        "this is a web page, not weights; the download needs another address or a login",
    ),
];

/// What networks and weights are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Safetensors: ours, or weights of other programs.
    Safetensors,
    /// A PyTorch checkpoint: zip, tar, or a sequence of pickles.
    PyTorch,
    /// An ONNX network.
    Onnx,
}

/// Named tensors of a safetensors file or a PyTorch checkpoint (`.pth`, `.pt`, `.th`, `.bin`: the zip of today
/// and the pickles and tar archives before it), sorted by name. What the file is, its content tells. Of a
/// checkpoint that holds more than weights, those under `state_dict`, `model` and the like are taken.
///
/// Nothing in a pickle is executed, and no allocation is larger than the file allows for.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is damaged, cut short or something else (a
/// Git LFS pointer, an ONNX network), with what to do; and for a checkpoint if wizen was built without the
/// feature `pth`.
pub fn read_weights(path: impl AsRef<Path>) -> Result<Vec<(String, StoredTensor)>> {
    let path = path.as_ref();
    match file_form(path)? {
        Form::Onnx => {
            let problem = "this is an ONNX network, not weights alone; `wizen::open` reads it";
            Err(Error::format(path, problem))
        }
        Form::Safetensors => Ok(read_safetensors(path)?.1),
        #[cfg(feature = "pth")]
        Form::PyTorch => super::pth::read_checkpoint(path),
        #[cfg(not(feature = "pth"))]
        Form::PyTorch => {
            let problem = "this is a PyTorch checkpoint; build wizen with the feature `pth`, or convert it in \
                           Python: `safetensors.torch.save_file(torch.load(file)[\"state_dict\"], name)`";
            Err(Error::format(path, problem))
        }
    }
}

/// What a file is, by its content, and for ONNX by its name; what is none of the others is taken for
/// safetensors, whose reader says what is wrong with it.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] for something that people take for weights.
pub fn file_form(path: impl AsRef<Path>) -> Result<Form> {
    let path = path.as_ref();
    let file = File::open(path).map_err(Error::io(path))?;
    if !file.metadata().map_err(Error::io(path))?.is_file() {
        return Err(Error::format(path, "this is not a file; expected weights"));
    }
    let mut head = Vec::new();
    let read = file.take(HEAD as u64).read_to_end(&mut head);
    read.map_err(Error::io(path))?;
    for (magic, problem) in OTHERS {
        if head.starts_with(magic) && !opens_safetensors(&head) {
            return Err(Error::format(path, problem));
        }
    }
    if is_onnx(path, &head) {
        return Ok(Form::Onnx);
    }
    Ok(if is_checkpoint(&head) {
        Form::PyTorch
    } else {
        Form::Safetensors
    })
}

/// The length of a header in eight bytes, then JSON.
fn opens_safetensors(head: &[u8]) -> bool {
    head.get(4..9) == Some(b"\0\0\0\0{")
}

fn is_checkpoint(head: &[u8]) -> bool {
    let zip = head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06");
    let tar = head.get(257..262) == Some(b"ustar");
    // A pickle names its protocol.
    let pickle = matches!(head, [0x80, 1..=5, ..]);
    (zip || tar || pickle) && !opens_safetensors(head)
}

/// By its name, or by protobuf's first fields: the version of the format, and one of a model's others.
fn is_onnx(path: &Path, head: &[u8]) -> bool {
    let named = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
    let fields = matches!(
        head,
        [
            0x08,
            1..=31,
            0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42,
            ..
        ]
    );
    named || (fields && !opens_safetensors(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_tells_what_a_file_is() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.bin");
        let is = |content: &[u8]| {
            std::fs::write(&path, content).expect("writable");
            file_form(&path).map_err(|e| e.to_string())
        };
        for (content, words) in [
            (
                &b"version https://git-lfs.github.com/spec/v1\n"[..],
                "git lfs pull",
            ),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"<!DOCTYPE html>", "web page"),
        ] {
            let error = is(content).expect_err(words);
            assert!(
                error.contains(words) && error.contains("model.bin"),
                "{error}"
            );
        }
        assert_eq!(is(b"\x08\x07\x12\x07pytorch"), Ok(Form::Onnx));
        for content in [&b"PK\x03\x04..."[..], b"\x80\x02\x8a\x0a"] {
            assert_eq!(is(content), Ok(Form::PyTorch));
        }
        // Lengths of headers that look like something else.
        for length in [0x3cu32, 0x280, 0x1_0280, 0x12_0708, 0x4b50] {
            let content = [&length.to_le_bytes()[..], b"\0\0\0\0{"].concat();
            assert_eq!(is(&content), Ok(Form::Safetensors), "{length:#x}");
        }
        assert_eq!(
            is(b""),
            Ok(Form::Safetensors),
            "whose reader says that it is empty"
        );
        assert!(file_form(folder.path()).is_err());
    }
}
