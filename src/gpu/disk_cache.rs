//! The driver's compiled pipelines, kept in a file from one process to the next.
//!
//! The file is [`MAGIC`], the length of the data, their CRC-32, the data as wgpu gave them. The data begin
//! with wgpu's own header, by which it recognises another device or driver.

use std::fs;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::atomic::write_atomic;
use crate::error::Error;

/// Ends in the version of this format.
const MAGIC: &[u8; 8] = b"wizenPC1";
const HEADER: usize = MAGIC.len() + 8 + 4;
/// A larger file has gathered what nobody uses any more: it starts anew.
const LARGEST: u64 = 256 << 20;

/// A pipeline cache of wgpu and its file. Saved when dropped.
#[derive(Debug)]
pub(super) struct DiskCache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    /// Pipelines were made that the file may lack.
    dirty: AtomicBool,
}

impl DiskCache {
    /// Reads the file of this kind of adapter in `folder`, if there is one. `None` where wgpu has no
    /// pipeline cache.
    pub async fn open(
        device: &wgpu::Device,
        info: &wgpu::AdapterInfo,
        folder: &Path,
    ) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let path = folder.join(wgpu::util::pipeline_cache_key(info)?);
        let data = match read(&path) {
            Ok(data) => Some(data),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                log::warn!("{}: not used: {error}", path.display());
                None
            }
        };
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let cache = create(device, data.as_deref());
        if let Some(error) = scope.pop().await {
            log::warn!("{}: no pipeline cache: {error}", path.display());
            return None;
        }
        Some(Self {
            cache,
            path,
            dirty: AtomicBool::new(false),
        })
    }

    /// What a pipeline about to be compiled is looked up in, and added to.
    pub fn for_new_pipeline(&self) -> &wgpu::PipelineCache {
        self.dirty.store(true, Ordering::Relaxed);
        &self.cache
    }

    /// Writes the file if pipelines were made since the last time and it would change.
    pub fn save(&self) {
        if !self.dirty.swap(false, Ordering::Relaxed) {
            return;
        }
        let Some(data) = self.cache.get_data() else {
            return;
        };
        let bytes = encode(&data);
        if fs::read(&self.path).is_ok_and(|old| old == bytes) {
            return;
        }
        match write_atomic(&self.path, |out| {
            out.write_all(&bytes).map_err(Error::io(&self.path))
        }) {
            Ok(()) => log::debug!("{}: {} bytes", self.path.display(), bytes.len()),
            Err(error) => log::warn!("compiled pipelines are not kept: {error}"),
        }
    }
}

impl Drop for DiskCache {
    fn drop(&mut self) {
        self.save();
    }
}

#[allow(
    unsafe_code,
    reason = "wgpu has no safe way to give the driver its own data back"
)]
fn create(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor {
        label: Some("wizen"),
        data,
        // Data of another driver's version are ignored.
        fallback: true,
    };
    // SAFETY: the data must come from `PipelineCache::get_data`. They come from a file that only `save`
    // writes, whole or not at all, in the user's own folder; `decode` has checked length and checksum, so
    // they are not damaged; wgpu checks that device and driver are the same.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

fn read(path: &Path) -> Result<Vec<u8>, IoError> {
    let bytes = fs::metadata(path)?.len();
    if bytes > LARGEST {
        let problem = format!("it has {bytes} bytes, more than {LARGEST}");
        return Err(IoError::new(ErrorKind::InvalidData, problem));
    }
    decode(fs::read(path)?).map_err(|problem| IoError::new(ErrorKind::InvalidData, problem))
}

/// CRC-32 as zip and PNG have it: polynomial 0xedb88320, bits reversed.
fn crc(data: &[u8]) -> [u8; 4] {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut sum, mut bit) = (byte as u32, 0);
            while bit < 8 {
                sum = (sum >> 1) ^ (0xedb8_8320 * (sum & 1));
                bit += 1;
            }
            table[byte] = sum;
            byte += 1;
        }
        table
    };
    let step = |sum: u32, &byte: &u8| (sum >> 8) ^ TABLE[(sum as u8 ^ byte) as usize];
    (!data.iter().fold(!0, step)).to_le_bytes()
}

fn encode(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&MAGIC[..], &length, &crc(data), data].concat()
}

/// The data of a whole, undamaged file of this version.
fn decode(mut file: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if file.len() < HEADER {
        return Err("it is too short");
    }
    let data = file.split_off(HEADER);
    let (magic, rest) = file.split_at(MAGIC.len());
    let (length, sum) = rest.split_at(8);
    if magic != MAGIC {
        return Err("another version wrote it");
    }
    if length != (data.len() as u64).to_le_bytes() {
        return Err("its length is wrong");
    }
    if sum != crc(&data) {
        return Err("its checksum is wrong");
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_files_are_read_and_no_others() {
        let data: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
        let file = encode(&data);
        assert_eq!(decode(file.clone()).as_ref(), Ok(&data));
        assert_eq!(decode(encode(&[])), Ok(vec![]));
        for length in 0..file.len() {
            assert!(decode(file[..length].to_vec()).is_err(), "{length}");
        }
        let mut longer = file.clone();
        longer.push(0);
        assert_eq!(decode(longer), Err("its length is wrong"));
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 0x10;
            assert!(decode(bad).is_err(), "{at}");
        }
        let mut other = file;
        other[7] = b'2';
        assert_eq!(decode(other), Err("another version wrote it"));
    }
}
