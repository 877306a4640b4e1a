//! The dynamic table of a shared object with its symbols and names, as far as `inspect` shows them. The rest of what the
//! dynamic linker reads is tried by a probe child.

use object::elf::{self, Dyn64, DynamicTag, Sym64, Vernaux, Verneed};
use object::{LittleEndian as Le, Pod, ReadRef};

use crate::elf::Image;
use crate::load_error::{ErrorCode, LoadError, damaged};

pub(crate) type Symbol = Sym64<Le>;

/// The dynamic table with the tables that it points to.
#[derive(Debug)]
pub(crate) struct Dynamic<'a> {
    image: Image<'a>,
    entries: &'a [Dyn64<Le>],
    strings: &'a [u8],
    /// The dynamic symbols, the empty first one included.
    pub(crate) symbols: &'a [Symbol],
}

impl<'a> Dynamic<'a> {
    pub(crate) fn parse(image: Image<'a>) -> Result<Self, LoadError> {
        let entries = table(&image)?;
        let mut dynamic = Self {
            image,
            entries,
            strings: &[],
            symbols: &[],
        };
        dynamic.vet_flags()?;
        dynamic.strings = dynamic.strings()?;
        dynamic.symbols = dynamic.symbols()?;
        Ok(dynamic)
    }

    pub(crate) fn value(&self, tag: DynamicTag) -> Option<u64> {
        self.values(tag).next()
    }

    fn values(&self, tag: DynamicTag) -> impl Iterator<Item = u64> {
        self.entries
            .iter()
            .filter(move |e| e.d_tag.get(Le) == tag)
            .map(|e| e.d_val.get(Le))
    }

    /// The libraries that it needs, in order.
    pub(crate) fn needed(&self) -> Result<Vec<String>, LoadError> {
        self.values(elf::DT_NEEDED)
            .map(|offset| self.text(offset).map(str::to_owned))
            .collect()
    }

    pub(crate) fn run_path(&self) -> Option<&'a str> {
        let tags = [elf::DT_RUNPATH, elf::DT_RPATH];
        tags.into_iter()
            .find_map(|tag| self.value(tag))
            .and_then(|at| self.text(at).ok())
    }

    pub(crate) fn name(&self, symbol: &Symbol) -> Result<&'a str, LoadError> {
        self.text(symbol.st_name.get(Le).into())
    }

    /// An array given by the tags of its address and its size in bytes; empty when it is absent.
    pub(crate) fn array<T: Pod>(
        &self,
        address: DynamicTag,
        size: DynamicTag,
        what: &str,
    ) -> Result<&'a [T], LoadError> {
        let bytes = self.value(size).unwrap_or(0);
        let Some(start) = self.value(address).filter(|_| bytes != 0) else {
            return Ok(&[]);
        };
        let each = size_of::<T>() as u64;
        match (bytes.checked_rem(each), bytes.checked_div(each)) {
            (Some(0), Some(count)) => self.image.slice(start, count, what),
            _ => Err(damaged(format!("{what} has {bytes} bytes"))),
        }
    }

    /// The newest version of the C library that a symbol asks for, as "2.34".
    pub(crate) fn libc_version(&self) -> Option<String> {
        let mut newest: Option<(Vec<u32>, String)> = None;
        self.walk_versions(&mut |name| {
            let Some(version) = name.strip_prefix("GLIBC_") else {
                return;
            };
            let parts = version
                .split('.')
                .map(str::parse)
                .collect::<Result<Vec<u32>, _>>();
            let Ok(parts) = parts else { return };
            if newest.as_ref().is_none_or(|(best, _)| *best < parts) {
                newest = Some((parts, version.to_owned()));
            }
        })
        .ok()?;
        newest.map(|(_, version)| version)
    }

    fn text(&self, offset: u64) -> Result<&'a str, LoadError> {
        let end = self.strings.len() as u64;
        let bytes = self.strings.read_bytes_at_until(offset..end, 0).ok();
        bytes
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .ok_or_else(|| damaged("a name of a symbol or library is not in its string table"))
    }

    fn vet_flags(&self) -> Result<(), LoadError> {
        let flags = self.value(elf::DT_FLAGS).unwrap_or(0);
        if self.value(elf::DT_TEXTREL).is_some() || flags & elf::DF_TEXTREL.0 != 0 {
            return Err(LoadError::new(
                ErrorCode::UnsafeImage,
                "has text relocations",
            ));
        }
        if self.value(elf::DT_FLAGS_1).unwrap_or(0) & elf::DF_1_PIE.0 != 0 {
            return Err(LoadError::new(ErrorCode::NotSharedObject, "is a program"));
        }
        Ok(())
    }

    fn strings(&self) -> Result<&'a [u8], LoadError> {
        let strings: &[u8] =
            self.array(elf::DT_STRTAB, elf::DT_STRSZ, "the table of dynamic names")?;
        if strings.last() == Some(&0) {
            Ok(strings)
        } else {
            Err(damaged("its table of dynamic names has no end"))
        }
    }

    /// The dynamic table has no length of the symbols; the section of the same address has.
    fn symbols(&self) -> Result<&'a [Symbol], LoadError> {
        let each = size_of::<Symbol>() as u64;
        let section = self
            .image
            .sections
            .iter()
            .find(|s| s.sh_type.get(Le) == elf::SHT_DYNSYM);
        let section = section.ok_or_else(|| damaged("has no section of dynamic symbols"))?;
        let size = section.sh_size.get(Le);
        let agrees = self.value(elf::DT_SYMTAB) == Some(section.sh_addr.get(Le))
            && self.value(elf::DT_SYMENT) == Some(each)
            && section.sh_entsize.get(Le) == each
            && size.checked_rem(each) == Some(0);
        if !agrees {
            return Err(damaged(
                "its section and its table of dynamic symbols differ",
            ));
        }
        self.image.slice(
            section.sh_addr.get(Le),
            size / each,
            "the table of dynamic symbols",
        )
    }

    /// Calls `see` with the name of each version that is needed of another library.
    fn walk_versions(&self, see: &mut dyn FnMut(&str)) -> Result<(), LoadError> {
        let what = "the table of needed versions";
        let nowhere = || damaged(format!("{what} leads outside"));
        let Some(mut at) = self.value(elf::DT_VERNEED) else {
            return Ok(());
        };
        let count = self.value(elf::DT_VERNEEDNUM).unwrap_or(0);
        for _ in 0..count {
            let file = self.image.slice::<Verneed<Le>>(at, 1, what)?.first();
            let file = file.ok_or_else(nowhere)?;
            self.text(file.vn_file.get(Le).into())?;
            let mut aux_at = at.saturating_add(file.vn_aux.get(Le).into());
            for _ in 0..file.vn_cnt.get(Le) {
                let aux = self.image.slice::<Vernaux<Le>>(aux_at, 1, what)?.first();
                let aux = aux.ok_or_else(nowhere)?;
                see(self.text(aux.vna_name.get(Le).into())?);
                aux_at = aux_at.saturating_add(aux.vna_next.get(Le).into());
            }
            let next = file.vn_next.get(Le);
            if next == 0 {
                break;
            }
            at = at.saturating_add(next.into());
        }
        Ok(())
    }
}

fn table<'a>(image: &Image<'a>) -> Result<&'a [Dyn64<Le>], LoadError> {
    let mut segments = image.of_type(elf::PT_DYNAMIC);
    let (Some(segment), None) = (segments.next(), segments.next()) else {
        return Err(damaged("has no dynamic segment, or two"));
    };
    let (address, size) = (segment.p_vaddr.get(Le), segment.p_filesz.get(Le));
    let count = size / size_of::<Dyn64<Le>>() as u64;
    let entries: &[Dyn64<Le>] = image.slice(address, count, "the dynamic table")?;
    let loaded = image.at_address(address, size).map(<[u8]>::as_ptr);
    let in_file = image
        .at_offset(segment.p_offset.get(Le), size)
        .map(<[u8]>::as_ptr);
    let last = entries.iter().position(|e| e.d_tag.get(Le) == elf::DT_NULL);
    match last.and_then(|last| entries.get(..last)) {
        Some(entries) if loaded == in_file => Ok(entries),
        _ => Err(damaged("its dynamic table has no end or two places")),
    }
}
