//! The note `.note.polyport`: a plugin's name, version and ABI, read before any of its code runs. Its form is frozen.

use object::elf;
use object::{LittleEndian as Le, ReadRef, U32};
use polyport_abi::{
    ABI_MAJOR, NOTE_HEADER_LEN, NOTE_OWNER, NOTE_SECTION, PP_NOTE_TYPE, PP_PF_PANIC_ABORT, PpHost,
    PpNote,
};
use serde::Serialize;

use crate::digest::Digest;
use crate::elf::Image;
use crate::load_error::{ErrorCode, LoadError, damaged};

/// The contents of the note, not yet compared with the plugin's tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Major version of the ABI that it was built against.
    pub abi_major: u16,
    /// Minor version.
    pub abi_minor: u16,
    /// How many bytes of `pp_host` it uses without a test of the size.
    pub host_size_required: u32,
    /// `PP_PF_*`.
    pub flags: u32,
    /// SHA-256 of the file with this field zeroed, if a packager sealed it.
    pub sealed: Option<Digest>,
    /// The plugin's name in reverse domain form.
    pub id: String,
    /// The plugin's version.
    pub version: String,
}

/// The note and where in the file it begins.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) note: Note,
    pub(crate) offset: u64,
}

impl Found {
    /// The digest for a seal of `bytes`.
    pub(crate) fn digest(&self, bytes: &[u8]) -> Result<Digest, LoadError> {
        let (before, after) = self
            .split(bytes)
            .ok_or_else(|| damaged("its note reaches past the end of the file"))?;
        Ok(Digest::of_pieces(&[before, &[0; SEAL_LEN], after]))
    }

    /// `bytes` with `seal` in the note.
    pub(crate) fn with_seal(&self, bytes: &[u8], seal: Digest) -> Result<Vec<u8>, LoadError> {
        let (before, after) = self
            .split(bytes)
            .ok_or_else(|| damaged("its note reaches past the end of the file"))?;
        Ok([before, &seal.0, after].concat())
    }

    fn split<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let start = usize::try_from(self.offset)
            .ok()?
            .checked_add(SEAL_OFFSET)?;
        Some((
            bytes.get(..start)?,
            bytes.get(start.checked_add(SEAL_LEN)?..)?,
        ))
    }
}

/// Checks the ABI and flags that a plugin was built with, which its note and its table both have. `what` begins the
/// sentence about the ABI.
pub(crate) fn check_abi(
    abi_major: u16,
    host_size_required: u32,
    flags: u32,
    what: &str,
) -> Result<(), LoadError> {
    if abi_major != ABI_MAJOR {
        let newer = abi_major > ABI_MAJOR;
        let code = if newer {
            ErrorCode::AbiTooNew
        } else {
            ErrorCode::AbiTooOld
        };
        let what = format!("{what}, this host speaks {ABI_MAJOR}");
        return Err(LoadError::new(code, what));
    }
    let has = size_of::<PpHost>();
    if host_size_required as usize > has {
        let what = format!("needs {host_size_required} bytes of pp_host, this host has {has}");
        return Err(LoadError::new(ErrorCode::HostTooSmall, what));
    }
    if flags & PP_PF_PANIC_ABORT != 0 {
        let what = "is built with panic = \"abort\": a panic would end the daemon";
        return Err(LoadError::new(ErrorCode::PanicAbort, what));
    }
    Ok(())
}

/// Finds the one note: by its section, or among the note segments where a linker merged sections.
pub(crate) fn find(image: &Image<'_>) -> Result<Found, LoadError> {
    if let Some(section) = image.section(NOTE_SECTION) {
        let (offset, size) = (section.sh_offset.get(Le), section.sh_size.get(Le));
        if size != size_of::<PpNote>() as u64 {
            return Err(damaged(format!(
                "its note has {size} bytes instead of {}",
                size_of::<PpNote>()
            )));
        }
        return read(image, offset);
    }
    let mut places = image.of_type(elf::PT_NOTE).flat_map(|segment| {
        notes(
            image,
            segment.p_offset.get(Le),
            segment.p_filesz.get(Le),
            segment.p_align.get(Le),
        )
    });
    let offset = places
        .next()
        .ok_or_else(|| LoadError::new(ErrorCode::NoNote, "has no Polyport note"))?;
    if places.any(|other| other != offset) {
        return Err(damaged("it has two Polyport notes"));
    }
    read(image, offset)
}

/// Offsets of the notes of our owner and type in one note segment.
fn notes(image: &Image<'_>, start: u64, size: u64, align: u64) -> Vec<u64> {
    let mut found = Vec::new();
    let align = if align == 8 { 8 } else { 4 };
    let end = start.saturating_add(size);
    let mut at = start;
    while let Some(header) = at
        .checked_add(12)
        .filter(|next| *next <= end)
        .and_then(|_| {
            let words: Result<&[U32<Le>], ()> = image.bytes.read_slice_at(at, 3);
            words.ok()
        })
    {
        let [owner, body, kind] = header else { break };
        let owner_end = at + 12 + u64::from(owner.get(Le));
        let body_start = owner_end.next_multiple_of(align);
        let ours = kind.get(Le) == PP_NOTE_TYPE
            && image.at_offset(at + 12, NOTE_OWNER.len() as u64) == Some(&NOTE_OWNER);
        if ours {
            found.push(at);
        }
        at = (body_start + u64::from(body.get(Le))).next_multiple_of(align);
    }
    found
}

fn read(image: &Image<'_>, offset: u64) -> Result<Found, LoadError> {
    let bytes = image
        .at_offset(offset, size_of::<PpNote>() as u64)
        .ok_or_else(|| damaged("its note reaches past the end of the file"))?;
    let note = decode(bytes).ok_or_else(|| damaged("its note is not of the frozen form"))?;
    Ok(Found {
        note: note?,
        offset,
    })
}

/// `None` for another note; an error for ours with an invalid text.
fn decode(mut rest: &[u8]) -> Option<Result<Note, LoadError>> {
    let owner_len = take_u32(&mut rest)? as usize;
    let body_len = take_u32(&mut rest)? as usize;
    let whole = body_len.checked_add(NOTE_HEADER_LEN as usize);
    if owner_len != NOTE_OWNER.len() || whole != Some(size_of::<PpNote>()) {
        return None;
    }
    if take_u32(&mut rest)? != PP_NOTE_TYPE {
        return None;
    }
    if take(&mut rest, NOTE_OWNER.len())? != NOTE_OWNER {
        return None;
    }
    let abi_major = take_u16(&mut rest)?;
    let abi_minor = take_u16(&mut rest)?;
    let host_size_required = take_u32(&mut rest)?;
    let flags = take_u32(&mut rest)?;
    let seal: [u8; SEAL_LEN] = take(&mut rest, SEAL_LEN)?.try_into().ok()?;
    let sealed = (seal != [0; SEAL_LEN]).then_some(Digest(seal));
    let id = text(take(&mut rest, 64)?, "id");
    let version = text(take(&mut rest, 32)?, "version");
    Some(id.and_then(|id| {
        let version = version?;
        Ok(Note {
            abi_major,
            abi_minor,
            host_size_required,
            flags,
            sealed,
            id,
            version,
        })
    }))
}

fn text(field: &[u8], name: &str) -> Result<String, LoadError> {
    let end = field.iter().position(|byte| *byte == 0);
    let bytes = end.and_then(|end| field.get(..end)).unwrap_or_default();
    let padding = end.and_then(|end| field.get(end..)).unwrap_or_default();
    let good = std::str::from_utf8(bytes).ok().filter(|text| {
        !text.is_empty()
            && !text.chars().any(|c| c.is_control() || c.is_whitespace())
            && padding.iter().all(|byte| *byte == 0)
    });
    good.map(str::to_owned)
        .ok_or_else(|| damaged(format!("the {name} in its note is no zero-terminated text")))
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    rest.split_off(..len)
}

fn take_u16(rest: &mut &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(take(rest, 2)?.try_into().ok()?))
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}

const SEAL_OFFSET: usize = core::mem::offset_of!(PpNote, sha256);
const SEAL_LEN: usize = 32;
