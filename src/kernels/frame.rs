//! What kernel files would otherwise say again and again.

use super::{Agreement, Approx, Binding, Kernel, store, within_f16, within_f32};
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};

/// A word of a uniform.
pub(super) enum Word {
    /// A size, an index: u32 in the shader.
    Size(usize),
    /// Its bits, whatever they stand for.
    Bits(u32),
}

impl From<usize> for Word {
    fn from(size: usize) -> Self {
        Self::Size(size)
    }
}

impl From<u32> for Word {
    fn from(bits: u32) -> Self {
        Self::Bits(bits)
    }
}

impl From<i32> for Word {
    fn from(x: i32) -> Self {
        Self::Bits(x as u32)
    }
}

impl From<f32> for Word {
    fn from(x: f32) -> Self {
        Self::Bits(x.to_bits())
    }
}

/// The uniform of `op`, word by word as its shader declares it.
///
/// # Errors
/// [`Error::Unsupported`] for a size beyond 32 bits: cut off, it would be another.
pub(super) fn params<const N: usize>(op: &str, words: [Word; N]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4 * N);
    for word in words {
        let word = match word {
            Word::Bits(bits) => bits,
            Word::Size(size) => u32::try_from(size).map_err(|_| Error::Unsupported {
                op: op.into(),
                problem: format!("it counts {size} of something, 32 bits are the limit"),
            })?,
        };
        bytes.extend(word.to_ne_bytes());
    }
    Ok(bytes)
}

/// f32 buffers of one shape that are only read.
pub(super) fn reads<const N: usize>(shape: &[usize], names: [&'static str; N]) -> Vec<Binding> {
    names
        .map(|name| Binding::read(name, DType::F32, shape))
        .to_vec()
}

/// The same, updated in place.
pub(super) fn updates<const N: usize>(shape: &[usize], names: [&'static str; N]) -> Vec<Binding> {
    names
        .map(|name| Binding::update(name, DType::F32, shape))
        .to_vec()
}

/// The same, written whole.
pub(super) fn writes<const N: usize>(shape: &[usize], names: [&'static str; N]) -> Vec<Binding> {
    names
        .map(|name| Binding::write(name, DType::F32, shape))
        .to_vec()
}

/// The agreement of `count` bindings: equal, but for these.
pub(super) fn equal_but<const N: usize>(
    count: usize,
    others: [(usize, Agreement); N],
) -> Result<Vec<Agreement>> {
    let mut all = vec![Agreement::Equal; count];
    for (binding, agreement) in others {
        all[binding] = agreement;
    }
    Ok(all)
}

/// Results with their errors, each with the binding that they go to.
pub(super) type Results = Vec<(usize, Vec<Approx>)>;

/// The CPU face of a kernel that computes `results` from its arguments.
pub(super) fn store_all(args: &mut [Tensor], results: Results) -> Result<()> {
    let mut put = |(binding, values): (usize, Vec<Approx>)| store(&mut args[binding], &values);
    results.into_iter().try_for_each(&mut put)
}

/// The agreement that it owes.
pub(super) fn within_all(args: &[Tensor], results: &Results) -> Result<Vec<Agreement>> {
    let mut all = vec![Agreement::Equal; args.len()];
    for (binding, values) in results {
        all[*binding] = within(args[*binding].dtype(), values);
    }
    Ok(all)
}

/// The agreement of a float output with these results.
pub(super) fn within(dtype: DType, results: &[Approx]) -> Agreement {
    if dtype == DType::F16 {
        within_f16(results)
    } else {
        within_f32(results)
    }
}

/// `1 / n` as the host rounds it to f32, and as the reference takes it.
pub(super) fn inverse(n: usize) -> (f32, Approx) {
    let inverse = 1.0 / n as f64;
    (inverse as f32, Approx::rounded(inverse))
}

/// Kernels of one kind, as the list of samples holds them.
pub(super) fn boxed<K: Kernel + 'static>(
    kernels: impl IntoIterator<Item = K>,
) -> Vec<Box<dyn Kernel>> {
    let boxed = |kernel| Box::new(kernel) as Box<dyn Kernel>;
    kernels.into_iter().map(boxed).collect()
}

/// The error of a kernel that has no program for this element type.
pub(super) fn no_program(op: &str, dtype: DType, known: &str) -> Error {
    Error::DType {
        op: op.into(),
        operand: "dtype".into(),
        expected: known.into(),
        got: dtype.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_never_cut() {
        let bytes = params("t", [3.into(), (-1i32).into(), 1f32.into()]).expect("small");
        assert_eq!(bytes[..4], 3u32.to_ne_bytes());
        assert_eq!(bytes[4..8], u32::MAX.to_ne_bytes());
        let error = params("t", [(1usize << 32).into()]).expect_err("33 bits");
        assert!(error.to_string().contains("4294967296"), "{error}");
    }
}
