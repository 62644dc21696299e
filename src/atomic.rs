//! Files that are whole or absent.

use std::fs::{self, File};
use std::io::{BufWriter, Error as IoError, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Writes a file so that `path` holds either the old content or all of the new one, never a part.
///
/// `write` receives a buffered writer to a temporary file in the same folder; when it returns `Ok`,
/// the bytes are flushed, synced to the disk and renamed to `path`. Missing parent folders are
/// created. An existing file keeps its permissions.
///
/// # Errors
/// Whatever `write` returns; [`Error::Io`] with the system's words (disk full, read-only folder or
/// file, …), also when `path` exists and is a folder or a device. After any error the old file is
/// untouched and the temporary one is removed.
///
/// ```
/// # fn main() -> wizen::Result<()> {
/// let path = std::env::temp_dir().join("wizen-doc-atomic").join("hello.txt");
/// wizen::io::write_atomic(&path, |out| {
///     out.write_all(b"hello").map_err(wizen::Error::io(&path))
/// })?;
/// # Ok(())
/// # }
/// ```
pub fn write_atomic(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let old_permissions = check_target(path)?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(Error::io(folder))?;

    let (file, temporary) = Temporary::create(folder)?;
    let mut writer = BufWriter::with_capacity(1 << 16, file);
    write(&mut writer)?;
    let file = writer
        .into_inner()
        .map_err(|error| Error::io(path)(error.into_error()))?;
    if let Some(permissions) = old_permissions {
        file.set_permissions(permissions).map_err(Error::io(path))?;
    }
    file.sync_all().map_err(Error::io(path))?;
    // Some systems rename no open file.
    drop(file);
    fs::rename(&temporary.path, path).map_err(Error::io(path))?;
    temporary.keep();
    Ok(())
}

/// A new file of ours, removed when it goes out of scope.
struct Temporary {
    path: PathBuf,
    remove: bool,
}

impl Temporary {
    fn create(folder: &Path) -> Result<(File, Self)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!(".wizen-{}-{number}.part", std::process::id());
            let path = folder.join(name);
            match File::create_new(&path) {
                Ok(file) => return Ok((file, Self { path, remove: true })),
                // What an interrupted run left behind.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(folder)(error)),
            }
        }
    }

    /// It has another name now.
    fn keep(mut self) {
        self.remove = false;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.remove {
            // There is nobody left to tell; the write has failed with a sentence of its own.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Permissions of the file to replace, if there is one; refuses what a rename should not replace.
fn check_target(path: &Path) -> Result<Option<fs::Permissions>> {
    let refuse = |kind, problem: &str| Err(Error::io(path)(IoError::new(kind, problem)));
    if path.file_name().is_none() {
        return refuse(ErrorKind::InvalidInput, "this is not the name of a file");
    }
    match fs::metadata(path) {
        Ok(old) if old.is_dir() => refuse(
            ErrorKind::IsADirectory,
            "this is a folder; give the name of a file",
        ),
        Ok(old) if !old.is_file() => refuse(
            ErrorKind::InvalidInput,
            "this is not a regular file and would be replaced by one",
        ),
        Ok(old) if old.permissions().readonly() => refuse(
            ErrorKind::PermissionDenied,
            "the existing file is read-only; make it writable or give another name",
        ),
        Ok(old) => Ok(Some(old.permissions())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("folder exists")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn creates_folders_and_replaces() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("a/b/model.bin");
        for content in [&b"first"[..], b"second, longer", b""] {
            write_atomic(&path, |out| {
                out.write_all(content).map_err(Error::io(&path))
            })
            .expect("writable");
            assert_eq!(fs::read(&path).expect("written"), content);
        }
        assert_eq!(names(&folder.path().join("a/b")), ["model.bin"]);
    }

    #[test]
    fn an_error_half_way_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("model.bin");
        fs::write(&path, b"old").expect("writable");
        let error = write_atomic(&path, |out| {
            out.write_all(&[7; 200_000]).map_err(Error::io(&path))?;
            Err(Error::invalid("test", "stopped half way"))
        })
        .expect_err("the closure failed");
        assert_eq!(error.to_string(), "test: stopped half way");
        assert_eq!(fs::read(&path).expect("still there"), b"old");
        assert_eq!(names(folder.path()), ["model.bin"]);
    }

    #[test]
    fn refuses_folders_devices_and_read_only_files() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let error = write_atomic(folder.path(), |_| Ok(())).expect_err("a folder");
        assert!(error.to_string().contains("this is a folder"), "{error}");
        let error = write_atomic("/", |_| Ok(())).expect_err("no file name");
        assert!(error.to_string().contains("not the name"), "{error}");

        let path = folder.path().join("fixed");
        fs::write(&path, b"old").expect("writable");
        let mut permissions = fs::metadata(&path).expect("exists").permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).expect("ours");
        let error = write_atomic(&path, |_| Ok(())).expect_err("read-only");
        assert!(error.to_string().contains("read-only"), "{error}");
        assert_eq!(fs::read(&path).expect("still there"), b"old");
    }

    #[cfg(unix)]
    #[test]
    fn new_files_are_readable_by_others_and_old_permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
        let folder = tempfile::tempdir().expect("temporary folder");
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        fs::write(&plain, b"").expect("writable");
        write_atomic(&ours, |_| Ok(())).expect("writable");
        assert_eq!(mode(&ours), mode(&plain));
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o640)).expect("ours");
        write_atomic(&ours, |_| Ok(())).expect("writable");
        assert_eq!(mode(&ours), 0o640);
    }
}
