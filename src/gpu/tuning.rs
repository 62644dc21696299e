//! Which program of a kernel is fastest on this device: measured once, kept in a file.
//!
//! The file is JSON and safe to delete: it states the version of wizen, the device and its driver, and is
//! ignored where one of them is another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::atomic::write_atomic;
use crate::error::{Error, Result};

/// Choices by key, and where they are kept.
#[derive(Debug)]
pub(super) struct Tuning {
    path: Option<PathBuf>,
    about: About,
    choices: RwLock<BTreeMap<String, String>>,
}

/// What choices are valid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    wizen: String,
    device: String,
    driver: String,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    about: About,
    choices: BTreeMap<String, String>,
}

impl Tuning {
    /// What was measured on this adapter before; nothing without a folder.
    pub fn open(info: &wgpu::AdapterInfo, folder: Option<&Path>) -> Self {
        let about = About {
            wizen: env!("CARGO_PKG_VERSION").to_owned(),
            device: info.name.clone(),
            driver: format!("{} {}", info.driver, info.driver_info),
        };
        let name = format!(
            "tuning-{}-{:04x}-{:04x}.json",
            info.backend, info.vendor, info.device
        );
        let path = folder.map(|folder| folder.join(name));
        let choices = path.as_deref().map(|path| read(path, &about));
        Self {
            choices: RwLock::new(choices.unwrap_or_default()),
            path,
            about,
        }
    }

    /// What was chosen for this key.
    pub fn get(&self, key: &str) -> Option<String> {
        let choices = self.choices.read().unwrap_or_else(PoisonError::into_inner);
        choices.get(key).cloned()
    }

    /// Remembers a choice in this process; [`Self::save`] in the file.
    pub fn set(&self, key: String, choice: String) {
        let mut choices = self.choices.write().unwrap_or_else(PoisonError::into_inner);
        choices.insert(key, choice);
    }

    /// Writes the file, with what other processes have added to it meanwhile.
    pub fn save(&self) {
        let Some(path) = &self.path else { return };
        let mut choices = read(path, &self.about);
        let own = self.choices.read().unwrap_or_else(PoisonError::into_inner);
        choices.extend(
            own.iter()
                .map(|(key, choice)| (key.clone(), choice.clone())),
        );
        let saved = Saved {
            about: self.about.clone(),
            choices,
        };
        let written: Result<()> = write_atomic(path, |out| {
            let failed = |error: serde_json::Error| Error::io(path)(error.into());
            serde_json::to_writer_pretty(out, &saved).map_err(failed)
        });
        if let Err(error) = written {
            log::warn!("what was timed is not kept: {error}");
        }
    }
}

/// The choices in a file for this device; none if it is missing, damaged or another's.
fn read(path: &Path, about: &About) -> BTreeMap<String, String> {
    let Ok(bytes) = std::fs::read(path) else {
        return BTreeMap::new();
    };
    match serde_json::from_slice::<Saved>(&bytes) {
        Ok(saved) if saved.about == *about => saved.choices,
        Ok(_) => BTreeMap::new(),
        Err(error) => {
            log::warn!("{}: not used: {error}", path.display());
            BTreeMap::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(driver: &str) -> wgpu::AdapterInfo {
        let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan);
        info.name = "device".into();
        info.driver = driver.into();
        info
    }

    #[test]
    fn choices_outlive_the_process_but_not_the_driver() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = Some(dir.path());
        let first = Tuning::open(&info("one"), folder);
        let second = Tuning::open(&info("one"), folder);
        first.set("a".into(), "plain".into());
        second.set("b".into(), "subgroup".into());
        first.save();
        second.save();
        let again = Tuning::open(&info("one"), folder);
        assert_eq!(again.get("a").as_deref(), Some("plain"));
        assert_eq!(again.get("b").as_deref(), Some("subgroup"));
        assert_eq!(Tuning::open(&info("two"), folder).get("a"), None);
        assert_eq!(Tuning::open(&info("one"), None).get("a"), None);
    }

    #[test]
    fn damaged_files_are_ignored() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let tuning = Tuning::open(&info("one"), Some(dir.path()));
        tuning.set("a".into(), "plain".into());
        tuning.save();
        let path = tuning.path.as_ref().expect("a folder was given");
        let whole = std::fs::read(path).expect("just written");
        for damaged in [&whole[..whole.len() / 2], b"{}", b""] {
            std::fs::write(path, damaged).expect("writable");
            let again = Tuning::open(&info("one"), Some(dir.path()));
            assert_eq!(again.get("a"), None);
            again.set("c".into(), "plain".into());
            again.save();
            let healed = Tuning::open(&info("one"), Some(dir.path()));
            assert_eq!(healed.get("c").as_deref(), Some("plain"));
        }
    }
}
