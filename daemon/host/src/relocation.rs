//! What the dynamic linker would write into the image: each place, symbol and kind of it is checked.

use object::elf::{self, Rela64};
use object::{LittleEndian as Le, U64};

use crate::dynamic::Dynamic;
use crate::elf::{HOST_MACHINE, Image};
use crate::refusal::{Refusal, damaged};

/// Vets all relocations of `image`.
pub(crate) fn vet(image: &Image<'_>, dynamic: &Dynamic<'_>) -> Result<(), Refusal> {
    let each = size_of::<Rela64<Le>>() as u64;
    let form = dynamic
        .value(elf::DT_RELAENT)
        .is_none_or(|size| size == each);
    let rela = elf::DT_RELA.0.cast_unsigned();
    if !form
        || dynamic
            .value(elf::DT_PLTREL)
            .is_some_and(|kind| kind != rela)
    {
        return Err(damaged("its relocations are of another form"));
    }
    let plain: &[Rela64<Le>] =
        dynamic.array(elf::DT_RELA, elf::DT_RELASZ, "the table of relocations")?;
    let calls: &[Rela64<Le>] = dynamic.array(
        elf::DT_JMPREL,
        elf::DT_PLTRELSZ,
        "the table of call relocations",
    )?;
    if dynamic.value(elf::DT_RELACOUNT).unwrap_or(0) > plain.len() as u64 {
        return Err(damaged("it counts more relocations than there are"));
    }
    let vet = Vet {
        image,
        dynamic,
        functions: function_lists(dynamic),
    };
    plain
        .iter()
        .chain(calls)
        .try_for_each(|relocation| vet.one(relocation))?;
    vet.packed()
}

struct Vet<'a> {
    image: &'a Image<'a>,
    dynamic: &'a Dynamic<'a>,
    /// Where addresses of constructors and destructors stand: first byte and length.
    functions: [(u64, u64); 2],
}

impl Vet<'_> {
    fn one(&self, relocation: &Rela64<Le>) -> Result<(), Refusal> {
        let info = relocation.r_info.get(Le);
        let (kind, symbol) = (info & 0xffff_ffff, info >> 32);
        let (place, addend) = (relocation.r_offset.get(Le), relocation.r_addend.get(Le));
        let kind = kind_of(kind)
            .ok_or_else(|| damaged(format!("has a relocation of unknown type {kind}")))?;
        if symbol >= self.dynamic.symbols.len() as u64 {
            return Err(damaged("has a relocation by a symbol that is not there"));
        }
        let width = match kind {
            Kind::None => return Ok(()),
            Kind::Pair => 16,
            _ => 8,
        };
        if !self.image.in_memory(place, width, elf::PF_W) {
            return Err(damaged("has a relocation outside its data"));
        }
        let target = addend.cast_unsigned();
        let sound = match kind {
            Kind::Relative if self.is_function(place) => self.image.is_code(target),
            Kind::Relative => addend > -SLACK && addend < self.end().saturating_add(SLACK),
            Kind::Resolver => self.image.is_code(target),
            _ => true,
        };
        if sound {
            Ok(())
        } else {
            Err(damaged("has a relocation to outside its segments"))
        }
    }

    /// The packed form: an address, then bitmaps of the words that follow it.
    fn packed(&self) -> Result<(), Refusal> {
        let words: &[U64<Le>] = self.dynamic.array(
            elf::DT_RELR,
            elf::DT_RELRSZ,
            "the table of packed relocations",
        )?;
        let mut next = 0_u64;
        for word in words.iter().map(|word| word.get(Le)) {
            let (first, count) = if word & 1 == 0 {
                (word, 1)
            } else {
                (next, u64::from(63 - word.leading_zeros()))
            };
            if !self.image.in_memory(first, count * 8, elf::PF_W) {
                return Err(damaged("has a packed relocation outside its data"));
            }
            next = first.saturating_add(if word & 1 == 0 { 8 } else { 63 * 8 });
        }
        Ok(())
    }

    fn is_function(&self, place: u64) -> bool {
        self.functions.iter().any(|(start, len)| {
            place
                .checked_sub(*start)
                .is_some_and(|within| within < *len)
        })
    }

    fn end(&self) -> i64 {
        let last = self.image.loads().last();
        let end = last.map_or(0, |s| s.p_vaddr.get(Le).saturating_add(s.p_memsz.get(Le)));
        i64::try_from(end).unwrap_or(i64::MAX)
    }
}

fn function_lists(dynamic: &Dynamic<'_>) -> [(u64, u64); 2] {
    [
        (elf::DT_INIT_ARRAY, elf::DT_INIT_ARRAYSZ),
        (elf::DT_FINI_ARRAY, elf::DT_FINI_ARRAYSZ),
    ]
    .map(|(start, size)| {
        (
            dynamic.value(start).unwrap_or(0),
            dynamic.value(size).unwrap_or(0),
        )
    })
}

#[derive(Clone, Copy)]
enum Kind {
    /// Nothing is written.
    None,
    /// The image's own base plus a number.
    Relative,
    /// The answer of a function that runs while loading.
    Resolver,
    /// The address of a symbol, or of thread-local data.
    Word,
    /// Two words for thread-local data.
    Pair,
}

/// `None` for what no linker puts into a shared object of this machine (copies, partial words).
fn kind_of(number: u64) -> Option<Kind> {
    let aarch64 = HOST_MACHINE == elf::EM_AARCH64;
    Some(match (aarch64, number) {
        (_, 0) => Kind::None,
        // R_X86_64_: RELATIVE, RELATIVE64; IRELATIVE; TLSDESC
        (false, 8 | 38) => Kind::Relative,
        (false, 37) => Kind::Resolver,
        (false, 36) => Kind::Pair,
        // R_X86_64_: 64, GLOB_DAT, JUMP_SLOT, DTPMOD64, DTPOFF64, TPOFF64, SIZE64
        (false, 1 | 6 | 7 | 16 | 17 | 18 | 33) => Kind::Word,
        // R_AARCH64_: RELATIVE; IRELATIVE; TLSDESC
        (true, 1027) => Kind::Relative,
        (true, 1032) => Kind::Resolver,
        (true, 1031) => Kind::Pair,
        // R_AARCH64_: ABS64, GLOB_DAT, JUMP_SLOT, TLS_DTPMOD, TLS_DTPREL, TLS_TPREL
        (true, 257 | 1025 | 1026 | 1028 | 1029 | 1030) => Kind::Word,
        _ => return None,
    })
}

/// A pointer may stand a little outside of what it is used with (one past the end, say).
const SLACK: i64 = 65536;
