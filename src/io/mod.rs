//! Files in and out: model containers, data sets, photographs and the synthetic digits.
//!
//! Everything read here is checked before it is believed: sizes in headers must agree with the bytes
//! that follow, and nothing is allocated from a number that a file merely claims. Everything written
//! goes to a temporary name first ([`write_atomic`]).

mod container;
mod dataset;
mod digits;
mod encoding;
mod folder;
mod idx;
mod labels;
mod mnist;
mod model;
mod packing;
mod picture;
mod stored;
mod strokes;
mod table;

pub use crate::atomic::write_atomic;
pub use container::{Contents, read_safetensors, write_safetensors};
pub use dataset::{Dataset, Splits};
pub use digits::synthetic_splits;
pub use folder::{load_data, load_image_folder};
pub use idx::{Idx, read_idx, write_idx};
pub use labels::read_class_names;
pub use mnist::load_splits;
pub use model::{FileSize, Loaded};
pub use packing::{mask_len, pack_bits, packed_len, sparse_decode, sparse_encode, unpack_bits};
pub use picture::ImageTransform;
pub use stored::{FloatTensor, StoredTensor, StoredType, float_tensors};
