//! Damaged plugin files: truncated, changed, made for another machine.

/// Where `e_ident[EI_CLASS]` stands: 1 for 32 bits, 2 for 64.
pub const ELF_CLASS: usize = 4;
/// Where `e_machine` stands, two bytes.
pub const ELF_MACHINE: usize = 18;
/// A machine that is certainly not this one.
pub const MACHINE_S390: u8 = 22;

/// Pseudo-random numbers, the same in each run.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Each seed has its own sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.state % bound).unwrap()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// A copy with 1 to 8 bytes changed.
#[must_use]
pub fn changed(file: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut copy = file.to_vec();
    for _ in 0..=dice.below(8) {
        let at = dice.below(copy.len());
        copy[at] = dice.byte();
    }
    copy
}

/// Lengths to truncate a file to: the edges of the format's parts, and a sample of the rest.
#[must_use]
pub fn lengths(whole: usize, spread: usize) -> Vec<usize> {
    let edges = [0, 1, 3, 4, 15, 16, 63, 64, 65, 119, 120, 512];
    let mut lengths: Vec<usize> = edges.into_iter().filter(|&length| length < whole).collect();
    lengths.extend((1..spread).map(|step| whole * step / spread));
    lengths.extend([whole - 64, whole - 2, whole - 1]);
    lengths
}
