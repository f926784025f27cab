// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The compressed forms in which distributions ship kernels and modules.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::disk;
use crate::error::{Error, Result};
use crate::kernel;

/// More than any kernel or module has: a damaged header must not fill memory.
const MOST: u64 = 1 << 30;

/// Uncompresses what starts like gzip, xz or zstd; other contents stay as they are.
pub(crate) fn decompress(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    let read = if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(bytes.as_slice()).take(MOST).read_to_end(&mut plain)
    } else if bytes.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        lzma_rust2::XzReader::new(bytes.as_slice(), true).take(MOST).read_to_end(&mut plain)
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        ruzstd::decoding::StreamingDecoder::new(bytes.as_slice())
            .map_err(|error| std::io::Error::other(error.to_string()))
            .and_then(|decoder| decoder.take(MOST).read_to_end(&mut plain))
    } else {
        return Ok(bytes);
    };
    read.map_err(|reason| Error::Malformed {
        path: path.to_owned(),
        what: format!("does not uncompress: {reason}"),
    })?;
    Ok(plain)
}

/// Makes a plain image of a vmlinuz that is not one itself.
pub(crate) fn unwrap_kernel(root: &Path) -> Result<()> {
    let path = kernel::vmlinuz(root)?;
    let vmlinuz = fs::read(&path).map_err(Error::file("cannot read", &path))?;
    if is_image(&vmlinuz) {
        return Ok(());
    }
    let payload = efi_payload(&vmlinuz).map(<[u8]>::to_vec).unwrap_or(vmlinuz);
    let image = decompress(&path, payload)?;
    if !is_image(&image) {
        return Err(Error::Malformed {
            path,
            what: "is not an arm64 kernel image, plain or compressed with gzip, xz or zstd"
                .to_owned(),
        });
    }
    let unwrapped = kernel::unwrapped_image(root);
    disk::make_folder(unwrapped.parent().unwrap_or(root))?;
    disk::write_whole(&unwrapped, &image)
}

/// A plain arm64 image has the magic number "ARM\x64" at byte 56 (the kernel's
/// Documentation/arch/arm64/booting.rst).
pub(crate) fn is_image(bytes: &[u8]) -> bool {
    bytes.get(56..60) == Some(b"ARM\x64")
}

/// The compressed kernel within an EFI "zboot" image: "MZ", at byte 4 "zimg",
/// then offset and size of the payload as little-endian words
/// (the kernel's drivers/firmware/efi/libstub/zboot-header.S).
fn efi_payload(bytes: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| -> Option<usize> {
        let bytes: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    if !bytes.starts_with(b"MZ") || bytes.get(4..8) != Some(b"zimg") {
        return None;
    }
    let (start, size) = (word(8)?, word(12)?);
    bytes.get(start..start.checked_add(size)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn image() -> Vec<u8> {
        let mut image = vec![7; 4096];
        image.splice(56..60, *b"ARM\x64");
        image
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::XzOptions::default();
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(bytes, level)
    }

    /// Unwraps a vmlinuz and gives what is booted then.
    fn booted(vmlinuz: &[u8]) -> Result<Vec<u8>> {
        let root = tempfile::tempdir().unwrap();
        let modules = root.path().join("usr/lib/modules/7.3.4");
        disk::make_folder(&modules).unwrap();
        fs::write(modules.join("modules.order"), "").unwrap();
        fs::write(modules.join("vmlinuz"), vmlinuz).unwrap();
        unwrap_kernel(root.path())?;
        Ok(fs::read(kernel::Kernel::in_tree(root.path())?.image()).unwrap())
    }

    fn zboot(payload: &[u8]) -> Vec<u8> {
        let mut file = b"MZ\0\0zimg".to_vec();
        file.extend(64u32.to_le_bytes());
        file.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
        file.resize(64, 0);
        file.extend(payload);
        file.extend(b"the rest of the program");
        file
    }

    #[test]
    fn each_form_of_kernel_becomes_a_plain_image() {
        let forms = [image(), gzip(&image()), xz(&image()), zstd(&image())];
        for form in forms {
            assert!(booted(&form).unwrap() == image());
            assert!(booted(&zboot(&form)).unwrap() == image());
        }
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let mut beyond = zboot(&gzip(&image()));
        beyond.truncate(100);
        let mut overflowing = beyond.clone();
        overflowing.splice(8..12, u32::MAX.to_le_bytes());
        for wrong in [Vec::new(), b"text".to_vec(), gzip(b"text"), beyond, overflowing] {
            assert!(matches!(booted(&wrong), Err(Error::Malformed { .. })));
        }
    }

    #[test]
    fn damaged_data_is_refused() {
        for whole in [gzip(&image()), xz(&image()), zstd(&image())] {
            let cut = whole.get(..whole.len() - 6).unwrap().to_vec();
            assert!(decompress(Path::new("x"), cut).is_err());
        }
    }
}
