//! Header, sections and segments of a shared object, each checked to lie inside the file, and the bytes at an address.
//! The crate `object` has the layouts and reads with checked bounds. The dynamic table is read in `dynamic`.

use object::elf::{self, FileHeader64, ProgramHeader64, ProgramType, SectionHeader64};
use object::{LittleEndian as Le, Pod, ReadRef};

use crate::load_error::{ErrorCode, LoadError, damaged, truncated};

pub(crate) type Header = FileHeader64<Le>;
pub(crate) type Segment = ProgramHeader64<Le>;
pub(crate) type Section = SectionHeader64<Le>;

/// A vetted file: every section and every segment lies inside `bytes`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) segments: &'a [Segment],
    pub(crate) sections: &'a [Section],
    /// Index of the section that holds the names of sections.
    names: usize,
}

impl<'a> Image<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, LoadError> {
        let header = identify(bytes)?;
        let sections = section_table(bytes, header)?;
        let segments = segment_table(bytes, header)?;
        let names = usize::from(header.e_shstrndx.get(Le).0);
        let image = Self {
            bytes,
            segments,
            sections,
            names,
        };
        image.vet_sections()?;
        image.vet_segments()?;
        image.vet_loads()?;
        Ok(image)
    }

    /// `len` bytes of the file at `offset`.
    pub(crate) fn at_offset(&self, offset: u64, len: u64) -> Option<&'a [u8]> {
        self.bytes.read_bytes_at(offset, len).ok()
    }

    /// `len` bytes at an address, when one loaded segment has all of them in the file.
    pub(crate) fn at_address(&self, address: u64, len: u64) -> Option<&'a [u8]> {
        let holds = |s: &&Segment| holds(s.p_vaddr.get(Le), s.p_filesz.get(Le), address, len);
        let segment = self.loads().find(holds)?;
        let within = address.checked_sub(segment.p_vaddr.get(Le))?;
        self.at_offset(segment.p_offset.get(Le).checked_add(within)?, len)
    }

    /// An array of `count` elements at an address; `what` names it in the error.
    pub(crate) fn slice<T: Pod>(
        &self,
        address: u64,
        count: u64,
        what: &str,
    ) -> Result<&'a [T], LoadError> {
        let size = count.checked_mul(size_of::<T>() as u64);
        let bytes = size.and_then(|size| self.at_address(address, size));
        let count = usize::try_from(count).ok();
        bytes
            .zip(count)
            .and_then(|(bytes, count)| bytes.read_slice_at::<T>(0, count).ok())
            .ok_or_else(|| damaged(format!("{what} lies outside the loaded segments")))
    }

    /// The loaded segments, in the order of their addresses.
    pub(crate) fn loads(&self) -> impl Iterator<Item = &'a Segment> + use<'a> {
        self.of_type(elf::PT_LOAD)
    }

    pub(crate) fn of_type(&self, kind: ProgramType) -> impl Iterator<Item = &'a Segment> + use<'a> {
        self.segments
            .iter()
            .filter(move |s| s.p_type.get(Le) == kind)
    }

    /// Bytes of address space from the first segment to the end of the last.
    pub(crate) fn span(&self) -> u64 {
        let first = self.loads().next().map_or(0, |s| s.p_vaddr.get(Le));
        self.loads().last().map_or(0, end).saturating_sub(first)
    }

    pub(crate) fn section_name(&self, section: &Section) -> Option<&'a str> {
        let names = self.sections.get(self.names)?;
        let start = names
            .sh_offset
            .get(Le)
            .checked_add(section.sh_name.get(Le).into())?;
        let limit = names.sh_offset.get(Le).checked_add(names.sh_size.get(Le))?;
        std::str::from_utf8(self.bytes.read_bytes_at_until(start..limit, 0).ok()?).ok()
    }

    pub(crate) fn section(&self, name: &str) -> Option<&'a Section> {
        self.sections
            .iter()
            .find(|s| self.section_name(s) == Some(name))
    }

    fn vet_sections(&self) -> Result<(), LoadError> {
        for (index, section) in self.sections.iter().enumerate().skip(1) {
            let name = self
                .section_name(section)
                .ok_or_else(|| damaged(format!("section {index} has no readable name")))?;
            if section.sh_type.get(Le) != elf::SHT_NOBITS {
                let (offset, size) = (section.sh_offset.get(Le), section.sh_size.get(Le));
                self.at_offset(offset, size).ok_or_else(|| {
                    truncated(format!("section {name} reaches past the end of the file"))
                })?;
            }
        }
        Ok(())
    }

    fn vet_segments(&self) -> Result<(), LoadError> {
        for segment in self.segments {
            let (offset, size) = (segment.p_offset.get(Le), segment.p_filesz.get(Le));
            self.at_offset(offset, size)
                .ok_or_else(|| truncated("a segment reaches past the end of the file"))?;
            if segment.p_type.get(Le) == elf::PT_INTERP {
                return Err(LoadError::new(ErrorCode::NotSharedObject, "is a program"));
            }
        }
        let stack = self
            .of_type(elf::PT_GNU_STACK)
            .next()
            .map(|s| s.p_flags.get(Le).0);
        if stack.is_none_or(|flags| flags & elf::PF_X.0 != 0) {
            return Err(LoadError::new(
                ErrorCode::UnsafeImage,
                "asks for an executable stack",
            ));
        }
        Ok(())
    }

    fn vet_loads(&self) -> Result<(), LoadError> {
        let mut previous_end = 0_u64;
        for segment in self.loads() {
            let start = segment.p_vaddr.get(Le);
            if segment.p_memsz.get(Le) < segment.p_filesz.get(Le) || start < previous_end {
                return Err(damaged("its segments overlap or are out of order"));
            }
            let both = elf::PF_W.0 | elf::PF_X.0;
            if segment.p_flags.get(Le).0 & both == both {
                return Err(LoadError::new(
                    ErrorCode::UnsafeImage,
                    "has code that can be written",
                ));
            }
            previous_end = end(segment);
        }
        if self.loads().next().is_none() || self.span() > SPAN_MAX {
            return Err(damaged("its segments fill no sensible space"));
        }
        Ok(())
    }
}

/// The header of an ELF shared object for this machine. An error names what the file is instead.
fn identify(bytes: &[u8]) -> Result<&Header, LoadError> {
    let magic = &elf::ELFMAG;
    if !bytes.starts_with(magic) {
        return Err(if magic.starts_with(bytes) {
            truncated(format!("has only {} bytes", bytes.len()))
        } else {
            LoadError::new(ErrorCode::NotElf, "is not an ELF file")
        });
    }
    let header: &Header = bytes
        .read_at(0)
        .map_err(|()| truncated("ends within the ELF header"))?;
    let ident = &header.e_ident;
    let little = ident.data == elf::ELFDATA2LSB;
    let raw = header.e_machine.get(Le).0;
    let machine = if little { raw } else { raw.swap_bytes() };
    let bits = if ident.class == elf::ELFCLASS64 {
        64
    } else {
        32
    };
    if bits != 64 || !little || machine != HOST_MACHINE.0 {
        let order = if little { "" } else { ", big-endian" };
        let what = format!(
            "is for {} ({bits}-bit{order}), this daemon runs on {} (64-bit)",
            machine_name(machine),
            machine_name(HOST_MACHINE.0),
        );
        return Err(LoadError::new(ErrorCode::WrongMachine, what));
    }
    if ident.version != elf::EV_CURRENT || header.e_version.get(Le) != 1 {
        return Err(damaged("is of an unknown version of ELF"));
    }
    // 0 is System V, 3 is GNU/Linux; the dynamic linker refuses others.
    if !matches!(ident.os_abi.0, 0 | 3) || ident.abi_version > 3 {
        return Err(damaged(format!(
            "is for another system (OS ABI {})",
            ident.os_abi.0
        )));
    }
    match header.e_type.get(Le) {
        elf::ET_DYN => Ok(header),
        elf::ET_EXEC => Err(LoadError::new(ErrorCode::NotSharedObject, "is a program")),
        elf::ET_REL => Err(LoadError::new(
            ErrorCode::NotSharedObject,
            "is an object file",
        )),
        elf::ET_CORE => Err(LoadError::new(ErrorCode::NotSharedObject, "is a core dump")),
        other => Err(damaged(format!("is of unknown type {}", other.0))),
    }
}

fn section_table<'a>(bytes: &'a [u8], header: &Header) -> Result<&'a [Section], LoadError> {
    let (start, count) = (header.e_shoff.get(Le), header.e_shnum.get(Le));
    if start == 0 || count < 2 {
        return Err(damaged(
            "has no section headers (strip it with strip, not sstrip)",
        ));
    }
    if usize::from(header.e_shentsize.get(Le)) != size_of::<Section>() {
        return Err(damaged("its section headers have an unknown size"));
    }
    bytes
        .read_slice_at(start, count.into())
        .map_err(|()| truncated("its section headers reach past the end of the file"))
}

fn segment_table<'a>(bytes: &'a [u8], header: &Header) -> Result<&'a [Segment], LoadError> {
    let (start, count) = (header.e_phoff.get(Le), header.e_phnum.get(Le));
    if start == 0 || count == 0 || count > SEGMENTS_MAX {
        return Err(damaged(format!("has {count} program headers")));
    }
    if usize::from(header.e_phentsize.get(Le)) != size_of::<Segment>() {
        return Err(damaged("its program headers have an unknown size"));
    }
    bytes
        .read_slice_at(start, count.into())
        .map_err(|()| truncated("its program headers reach past the end of the file"))
}

/// Does `start..start + size` hold all of `address..address + len`?
fn holds(start: u64, size: u64, address: u64, len: u64) -> bool {
    let within = address
        .checked_sub(start)
        .and_then(|skip| size.checked_sub(skip));
    within.is_some_and(|rest| rest >= len)
}

fn end(segment: &Segment) -> u64 {
    segment
        .p_vaddr
        .get(Le)
        .saturating_add(segment.p_memsz.get(Le))
}

pub(crate) fn machine_name(machine: u16) -> String {
    let name = match elf::Machine(machine) {
        elf::EM_X86_64 => "x86-64",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_386 => "x86",
        elf::EM_ARM => "arm",
        elf::EM_RISCV => "riscv",
        elf::EM_PPC64 => "ppc64",
        elf::EM_S390 => "s390",
        elf::EM_LOONGARCH => "loongarch",
        elf::EM_MIPS => "mips",
        _ => return format!("machine {machine}"),
    };
    name.to_owned()
}

/// The machine of this build.
pub(crate) const HOST_MACHINE: elf::Machine = if cfg!(target_arch = "aarch64") {
    elf::EM_AARCH64
} else {
    elf::EM_X86_64
};

const SEGMENTS_MAX: u16 = 256;
/// More address space than any plugin needs.
const SPAN_MAX: u64 = 1 << 30;
