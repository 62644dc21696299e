//! The one error type of the crate.
//!
//! Every message is a sentence with a culprit: what was being done, which operand or file was wrong,
//! what was expected, what was found, and the remedy where there is one.

use std::path::PathBuf;

/// What every fallible function of the crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong because of input, files or devices.
///
/// A user's mistake is one of these; a panic is a bug of the crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operand has the wrong shape.
    #[error("{op}: `{operand}` has shape {got}, expected {expected}")]
    Shape {
        /// Operation or kernel.
        op: String,
        /// Name of the operand in the operation's formula.
        operand: String,
        /// The shape or rule it had to satisfy.
        expected: String,
        /// The shape it has.
        got: String,
    },
    /// An operand has the wrong data type.
    #[error("{op}: `{operand}` has dtype {got}, expected {expected}")]
    DType {
        /// Operation or kernel.
        op: String,
        /// Name of the operand in the operation's formula.
        operand: String,
        /// The dtype it had to have.
        expected: String,
        /// The dtype it has.
        got: String,
    },
    /// An argument has a value that the operation cannot work with.
    #[error("{op}: {problem}")]
    Invalid {
        /// Operation, command or option.
        op: String,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// The device cannot do what was asked: a limit is too small or a feature is missing.
    #[error("{op}: this device cannot run it: {problem}")]
    Unsupported {
        /// Operation, kernel or buffer.
        op: String,
        /// What is missing.
        problem: String,
    },
    /// There is no GPU adapter, or none that matches the request.
    #[error("no usable GPU: {0}")]
    NoGpu(String),
    /// The device reported an error (validation or internal).
    #[error("{op}: the GPU device reported: {problem}")]
    Device {
        /// Operation, kernel or buffer.
        op: String,
        /// The driver's words.
        problem: String,
    },
    /// The device ran out of memory.
    #[error("{op}: out of GPU memory: {problem}")]
    OutOfMemory {
        /// Operation, kernel or buffer.
        op: String,
        /// The driver's words.
        problem: String,
    },
    /// The device was lost (driver reset, unplugged, destroyed). Open it again.
    #[error("the GPU device was lost: {0}")]
    DeviceLost(String),
    /// Whoever watched the job ended it.
    #[error("{0}: stopped")]
    Stopped(String),
    /// A file or folder could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file was read but does not hold what it should.
    #[error("{path}: {problem}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    /// An [`Error::Invalid`] from its two parts.
    pub fn invalid(op: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            op: op.into(),
            problem: problem.into(),
        }
    }

    /// An [`Error::Shape`] from its four parts.
    pub fn shape(
        op: impl Into<String>,
        operand: impl Into<String>,
        expected: impl Into<String>,
        got: &[usize],
    ) -> Self {
        Self::Shape {
            op: op.into(),
            operand: operand.into(),
            expected: expected.into(),
            got: format!("{got:?}"),
        }
    }

    /// An [`Error::Io`] for `path`; made for `map_err(Error::io(path))`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// An [`Error::Format`] for `path`.
    pub fn format(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Format {
            path: path.into(),
            problem: problem.into(),
        }
    }
}
