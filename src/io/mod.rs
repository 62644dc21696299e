//! Files in and out: model containers, data sets, photographs and the synthetic digits.
//!
//! Everything read here is checked before it is believed: sizes in headers must agree with the bytes
//! that follow, and nothing is allocated from a number that a file merely claims. Everything written
//! goes to a temporary name first ([`write_atomic`]).

#[cfg(feature = "data")]
mod arrays;
mod augment;
mod cifar;
mod classes;
mod container;
mod dataset;
mod digits;
mod encoding;
#[cfg(feature = "data")]
mod folder;
#[cfg(feature = "data")]
mod idx;
mod in_order;
#[cfg(feature = "data")]
mod labels;
#[cfg(feature = "data")]
mod mnist;
mod model;
mod packing;
#[cfg(feature = "data")]
mod picture;
#[cfg(feature = "pth")]
mod pth;
#[cfg(feature = "data")]
mod resample;
#[cfg(feature = "data")]
mod results;
mod state;
mod stored;
mod strokes;
#[cfg(feature = "data")]
mod table;
mod weights;

pub use crate::atomic::write_atomic;
#[cfg(feature = "data")]
pub use arrays::{Arrays, is_array_file, load_arrays};
pub use augment::Augment;
pub use cifar::load_cifar10;
pub use container::{Contents, read_safetensors, write_safetensors};
pub use dataset::{Dataset, Splits};
pub use digits::synthetic_splits;
#[cfg(feature = "data")]
pub use folder::{load_data, load_image_folder, load_splits};
#[cfg(feature = "data")]
pub use idx::{Idx, read_idx, write_idx};
#[cfg(feature = "data")]
pub use labels::read_class_names;
#[cfg(feature = "data")]
pub use mnist::load_mnist;
pub use model::{FileSize, Loaded};
pub use packing::{mask_len, pack_bits, packed_len, sparse_decode, sparse_encode, unpack_bits};
#[cfg(feature = "data")]
pub use picture::load_image;
#[cfg(feature = "data")]
pub use results::{save_arrays, save_image};
pub use state::{RunOptions, load_state, save_state};
pub use stored::{FloatTensor, StoredTensor, StoredType, float_tensors};
pub use weights::{Form, file_form, read_weights};
