//! Bytes for generated files: the same on every run, half of them text-like.

use std::io::{self, Read};

/// Words that text-like files consist of; gzip makes about a third of them.
const WORDS: [&str; 16] = [
    "import ",
    "self.",
    "return ",
    "None",
    "(args, ",
    "**kwargs)",
    ":\n    ",
    "def ",
    "numpy",
    "_internal_",
    "value = ",
    "0x",
    "\n\n",
    "# see ",
    "raise ",
    "if not ",
];

/// Xorshift: random enough for gzip, and faster than it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// The content of one file as a stream.
#[derive(Debug)]
pub(super) struct Content {
    random: Random,
    text: bool,
    left: u64,
    block: Vec<u8>,
    used: usize,
}

impl Content {
    /// `length` bytes; text-like or random by the seed.
    pub(super) fn new(seed: u64, length: u64) -> Self {
        Self {
            random: Random::new(seed),
            text: seed.is_multiple_of(2),
            left: length,
            block: Vec::new(),
            used: 0,
        }
    }

    /// All bytes at once.
    pub(super) fn bytes(seed: u64, length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Reading this stream cannot fail.
        let _infallible = Self::new(seed, length).read_to_end(&mut bytes);
        bytes
    }

    fn refill(&mut self) {
        self.block.clear();
        self.used = 0;
        while self.block.len() < 64 * 1024 {
            let number = self.random.next();
            if self.text {
                let bytes = number.to_le_bytes();
                let (words, noise) = bytes.split_at(4);
                for byte in words {
                    for word in [byte >> 4, byte & 15] {
                        self.block
                            .extend_from_slice(WORDS[usize::from(word)].as_bytes());
                    }
                }
                self.block.extend(noise.iter().map(|byte| b'a' + byte % 26));
            } else {
                self.block.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        if self.used == self.block.len() {
            self.refill();
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let block = &self.block[self.used..];
        let count = buffer.len().min(block.len()).min(left);
        buffer[..count].copy_from_slice(&block[..count]);
        self.used += count;
        self.left -= count as u64;
        Ok(count)
    }
}
