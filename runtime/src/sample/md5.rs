//! MD5 (RFC 1321), which SQS puts beside each message: too little for a dependency,
//! and good for nothing else.

/// By how much each step rotates; each row four times.
const ROTATIONS: [[u32; 4]; 4] = [
    [7, 12, 17, 22],
    [5, 9, 14, 20],
    [4, 11, 16, 23],
    [6, 10, 15, 21],
];

const BLOCK: usize = 64;

/// The digest in hexadecimal digits.
pub(super) fn md5_hex(message: &[u8]) -> String {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % BLOCK != BLOCK - 8 {
        padded.push(0);
    }
    let bits = (message.len() as u64).wrapping_mul(8);
    padded.extend(bits.to_le_bytes());
    let constants = constants();
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks_exact(BLOCK) {
        state = mixed(state, block, &constants);
    }
    let bytes = state.iter().flat_map(|word| word.to_le_bytes());
    let number = bytes.fold(0_u128, |number, byte| (number << 8) | u128::from(byte));
    format!("{number:032x}")
}

/// `floor(2^32 × |sin(i + 1)|)`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "below 2^32 and not negative"
)]
fn constants() -> [u32; 64] {
    std::array::from_fn(|index| {
        let radians = f64::from(index as u32 + 1);
        (radians.sin().abs() * 4_294_967_296.0).floor() as u32
    })
}

fn mixed(state: [u32; 4], block: &[u8], constants: &[u32; 64]) -> [u32; 4] {
    let word = |index: usize| {
        let bytes = &block[index * 4..index * 4 + 4];
        bytes
            .iter()
            .rev()
            .fold(0, |word, byte| (word << 8) | u32::from(*byte))
    };
    let [mut a, mut b, mut c, mut d] = state;
    for step in 0..64 {
        let (mix, index) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        let sum = a
            .wrapping_add(mix)
            .wrapping_add(constants[step])
            .wrapping_add(word(index % 16));
        let rotated = sum.rotate_left(ROTATIONS[step / 16][step % 4]);
        (a, d, c, b) = (d, c, b, b.wrapping_add(rotated));
    }
    [
        state[0].wrapping_add(a),
        state[1].wrapping_add(b),
        state[2].wrapping_add(c),
        state[3].wrapping_add(d),
    ]
}

#[cfg(test)]
mod tests {
    use super::md5_hex;

    #[test]
    fn digests_are_the_rfcs() {
        for (message, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            assert_eq!(md5_hex(message.as_bytes()), digest, "{message}");
        }
    }
}
