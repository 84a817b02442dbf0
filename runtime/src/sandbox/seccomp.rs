//! The system-call filter of a function, compiled once per service.
//!
//! An allow-list in the spirit of Docker's default profile, with less in it.
//! What is refused gets an errno and never a signal, because language runtimes
//! probe for some of these calls and fall back. The filter is a binary search
//! over ranges of call numbers: about seven comparisons per call, and cheap to
//! load, where a chain of comparisons in the order of names costs milliseconds
//! of every cold start.
//!
//! Pure: this file turns tables into instructions. `sys.rs` installs them.

use libc::sock_filter;

mod profile;

pub(crate) use profile::lambda_profile;

/// What the filter answers to one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Allow,
    /// Fail with this errno.
    Errno(i32),
    /// Decide on the arguments.
    Check(Check),
}

/// Conditions on arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Argument `argument` has none of the bits of `mask`, else `errno`.
    NoBits { argument: u8, mask: u32, errno: i32 },
    /// Argument `argument` is one of `values`, else `errno`.
    OneOf {
        argument: u8,
        values: &'static [u32],
        errno: i32,
    },
    /// The first argument is of one of the groups, else the first errno; and the second
    /// is one of those that go with the group, else the second errno.
    Pairs {
        arguments: (u8, u8),
        groups: &'static [Group],
        errnos: (i32, i32),
    },
}

/// Values of one argument, and the values of another one that go with each of them: all
/// if none are named.
pub(crate) type Group = (&'static [u32], &'static [u32]);

/// A profile: what is known by number, and what holds for the rest.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// Audit architecture of the numbers (`AUDIT_ARCH_*`).
    pub(crate) architecture: u32,
    pub(crate) rules: Vec<(u32, Action)>,
    /// For numbers between the known ones.
    pub(crate) unlisted: Action,
    /// For numbers above all known ones: calls that are newer than this list.
    pub(crate) unknown: Action,
}

// Offsets into `struct seccomp_data` (linux/seccomp.h).
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

const LOAD: u16 = opcode(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
const JUMP_EQUAL: u16 = opcode(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
const JUMP_GREATER_OR_EQUAL: u16 = opcode(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K);
const JUMP_BITS: u16 = opcode(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K);
const RETURN: u16 = opcode(libc::BPF_RET | libc::BPF_K);

#[expect(
    clippy::cast_possible_truncation,
    reason = "opcodes have 16 bits; libc's constants have 32"
)]
const fn opcode(bits: u32) -> u16 {
    bits as u16
}

/// Compiles `profile` into a classic BPF program for seccomp.
pub(crate) fn compile(profile: &Profile) -> Vec<sock_filter> {
    let mut program = vec![
        instruction(LOAD, 0, 0, OFFSET_ARCHITECTURE),
        instruction(JUMP_EQUAL, 1, 0, profile.architecture),
        // Another architecture's table (i386 on x86_64): no call of it exists.
        instruction(RETURN, 0, 0, errno(libc::ENOSYS)),
        instruction(LOAD, 0, 0, OFFSET_NUMBER),
    ];
    program.extend(search(&ranges(profile)));
    program
}

/// Consecutive numbers with the same action, as (first number, action).
fn ranges(profile: &Profile) -> Vec<(u32, Action)> {
    let mut rules = profile.rules.clone();
    rules.sort_by_key(|(number, _)| *number);
    rules.dedup_by_key(|(number, _)| *number);
    let mut ranges: Vec<(u32, Action)> = Vec::new();
    let mut push = |first: u32, action: Action| match ranges.last() {
        Some((_, last)) if *last == action => {}
        _ => ranges.push((first, action)),
    };
    let mut next = 0;
    for (number, action) in rules {
        if number > next {
            push(next, profile.unlisted);
        }
        push(number, action);
        next = number + 1;
    }
    push(next, profile.unknown);
    ranges
}

/// A binary search tree over `ranges`, which is not empty. Small by
/// construction (see the test), so every jump fits the 8 bits that it has.
fn search(ranges: &[(u32, Action)]) -> Vec<sock_filter> {
    if let [(_, action)] = ranges {
        return leaf(*action);
    }
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    let lower = search(lower);
    let distance = u8::try_from(lower.len()).expect("half of the tree fits a jump");
    let mut code = vec![instruction(JUMP_GREATER_OR_EQUAL, distance, 0, upper[0].0)];
    code.extend(lower);
    code.extend(search(upper));
    code
}

fn leaf(action: Action) -> Vec<sock_filter> {
    match action {
        Action::Allow => vec![instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW)],
        Action::Errno(number) => vec![instruction(RETURN, 0, 0, errno(number))],
        Action::Check(Check::NoBits {
            argument,
            mask,
            errno: number,
        }) => vec![
            load_argument(argument),
            instruction(JUMP_BITS, 1, 0, mask),
            instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
            instruction(RETURN, 0, 0, errno(number)),
        ],
        Action::Check(Check::OneOf {
            argument,
            values,
            errno: number,
        }) => {
            let mut code = vec![load_argument(argument)];
            for (index, value) in values.iter().enumerate() {
                let to_allow = u8::try_from(values.len() - index).expect("a short list");
                code.push(instruction(JUMP_EQUAL, to_allow, 0, *value));
            }
            code.push(instruction(RETURN, 0, 0, errno(number)));
            code.push(instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
            code
        }
        Action::Check(Check::Pairs {
            arguments,
            groups,
            errnos,
        }) => pairs(arguments, groups, errnos),
    }
}

/// Goes on with what is behind the group that the first argument is of. All that is
/// allowed ends in one instruction.
fn pairs((first, second): (u8, u8), groups: &[Group], errnos: (i32, i32)) -> Vec<sock_filter> {
    let length = |(_, others): &Group| {
        if others.is_empty() {
            0
        } else {
            others.len() + 2
        }
    };
    let values: usize = groups.iter().map(|(values, _)| values.len()).sum();
    let allow = values + 2 + groups.iter().map(length).sum::<usize>();
    let mut block = values + 2;
    let mut jumps = vec![load_argument(first)];
    let mut blocks = vec![instruction(RETURN, 0, 0, errno(errnos.0))];
    let to = |target: usize, here: usize, value: u32| {
        let distance = u8::try_from(target - here - 1).expect("short lists");
        instruction(JUMP_EQUAL, distance, 0, value)
    };
    for group @ (values_of_group, others) in groups {
        let target = if others.is_empty() { allow } else { block };
        for value in *values_of_group {
            jumps.push(to(target, jumps.len(), *value));
        }
        if !others.is_empty() {
            blocks.push(load_argument(second));
            for other in *others {
                blocks.push(to(allow, values + 1 + blocks.len(), *other));
            }
            blocks.push(instruction(RETURN, 0, 0, errno(errnos.1)));
        }
        block += length(group);
    }
    blocks.push(instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    jumps.extend(blocks);
    jumps
}

/// Loads the low half of an argument (both supported architectures are
/// little-endian). The checked arguments are `int`s to the kernel, which
/// ignores the high half too.
fn load_argument(argument: u8) -> sock_filter {
    instruction(LOAD, 0, 0, OFFSET_ARGUMENTS + 8 * u32::from(argument))
}

fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number.unsigned_abs()
}

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The kernel's interpreter, for the instructions that `compile` emits.
    fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut accumulator = 0;
        let mut index = 0;
        loop {
            let step = program[index];
            index += 1;
            let jump = |condition: bool| usize::from(if condition { step.jt } else { step.jf });
            match step.code {
                LOAD => {
                    accumulator = match step.k {
                        OFFSET_NUMBER => number,
                        OFFSET_ARCHITECTURE => architecture,
                        k => {
                            let argument = arguments[((k - OFFSET_ARGUMENTS) / 8) as usize];
                            (argument & 0xffff_ffff) as u32
                        }
                    }
                }
                JUMP_EQUAL => index += jump(accumulator == step.k),
                JUMP_GREATER_OR_EQUAL => index += jump(accumulator >= step.k),
                JUMP_BITS => index += jump(accumulator & step.k != 0),
                RETURN => return step.k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    fn expected(action: Action, arguments: [u64; 6]) -> u32 {
        let argument = |index: u8| (arguments[usize::from(index)] & 0xffff_ffff) as u32;
        match action {
            Action::Allow => libc::SECCOMP_RET_ALLOW,
            Action::Errno(number) => errno(number),
            Action::Check(Check::NoBits {
                argument: index,
                mask,
                errno: number,
            }) => {
                if argument(index) & mask == 0 {
                    libc::SECCOMP_RET_ALLOW
                } else {
                    errno(number)
                }
            }
            Action::Check(Check::OneOf {
                argument: index,
                values,
                errno: number,
            }) => {
                if values.contains(&argument(index)) {
                    libc::SECCOMP_RET_ALLOW
                } else {
                    errno(number)
                }
            }
            Action::Check(Check::Pairs {
                arguments: (first, second),
                groups,
                errnos,
            }) => {
                let of_group = |(values, _): &&Group| values.contains(&argument(first));
                match groups.iter().find(of_group) {
                    None => errno(errnos.0),
                    Some((_, [])) => libc::SECCOMP_RET_ALLOW,
                    Some((_, others)) if others.contains(&argument(second)) => {
                        libc::SECCOMP_RET_ALLOW
                    }
                    Some(_) => errno(errnos.1),
                }
            }
        }
    }

    #[test]
    fn every_number_of_the_lambda_profile_gets_its_action() {
        let profile = lambda_profile();
        let program = compile(&profile);
        let highest = profile
            .rules
            .iter()
            .map(|(number, _)| *number)
            .max()
            .unwrap();
        let samples = [0, u64::from(u32::MAX), 2, 4, 0x800, 0x4_0000, 0x1000_0000];
        let samples = samples.map(|value| [value; 6]);
        for number in (0..highest + 200).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
            let action = profile
                .rules
                .iter()
                .find(|(listed, _)| *listed == number)
                .map_or(
                    if number > highest {
                        profile.unknown
                    } else {
                        profile.unlisted
                    },
                    |(_, action)| *action,
                );
            for arguments in samples {
                assert_eq!(
                    run(&program, profile.architecture, number, arguments),
                    expected(action, arguments),
                    "system call {number} with {arguments:?}"
                );
            }
        }
    }

    #[test]
    fn huge_pages_are_not_there() {
        let profile = lambda_profile();
        let program = compile(&profile);
        for (call, arguments) in [
            (libc::SYS_mmap, [0, 4096, 3, 0x4_0022, 0, 0]),
            (libc::SYS_memfd_create, [1, 4, 0, 0, 0, 0]),
            (libc::SYS_shmget, [0, 4096, 0o5600, 0, 0, 0]),
        ] {
            let number = u32::try_from(call).unwrap();
            let answer = |arguments| run(&program, profile.architecture, number, arguments);
            assert_eq!(answer(arguments), errno(libc::ENOMEM), "{call}");
            let plain = arguments.map(|value| value & !0x4_0804);
            assert_eq!(answer(plain), libc::SECCOMP_RET_ALLOW, "{call}");
        }
    }

    #[test]
    fn a_socket_has_a_family_and_a_protocol_of_it() {
        let profile = lambda_profile();
        let program = compile(&profile);
        let answer = |call: libc::c_long, family: u32, protocol: u32| {
            let number = u32::try_from(call).unwrap();
            let arguments = [family.into(), 1, protocol.into(), 0, 0, 0];
            run(&program, profile.architecture, number, arguments)
        };
        for family in 0..64 {
            for protocol in 0..300 {
                let expected = match (family, protocol) {
                    (1, _) | (2 | 10, 0 | 1 | 6 | 17 | 58 | 255 | 262) | (16, 0 | 15) => {
                        libc::SECCOMP_RET_ALLOW
                    }
                    (2 | 10 | 16, _) => errno(libc::EPROTONOSUPPORT),
                    _ => errno(libc::EAFNOSUPPORT),
                };
                let socket = answer(libc::SYS_socket, family, protocol);
                assert_eq!(socket, expected, "{family}, {protocol}");
            }
            let pair = answer(libc::SYS_socketpair, family, 0);
            assert_eq!(pair == libc::SECCOMP_RET_ALLOW, family == 1, "{family}");
        }
    }

    #[test]
    fn another_architecture_has_no_system_calls() {
        let profile = lambda_profile();
        let program = compile(&profile);
        assert_eq!(
            run(
                &program,
                profile.architecture ^ 1,
                u32::try_from(libc::SYS_read).unwrap(),
                [0; 6]
            ),
            errno(libc::ENOSYS)
        );
    }

    #[test]
    fn the_filter_is_short() {
        // Loading cost grows with length: 0.1 ms at 50 instructions, 2.4 ms at
        // 1,000 (the kernel emulates the filter for every number, as far as the first
        // argument that is looked at).
        let length = compile(&lambda_profile()).len();
        assert!(length < 210, "{length} instructions");
    }

    proptest! {
        #[test]
        fn any_profile_compiles_to_what_it_says(
            rules in prop::collection::btree_map(0_u32..300, prop::bool::ANY, 1..60),
            number in 0_u32..400,
        ) {
            let profile = Profile {
                architecture: 7,
                rules: rules
                    .iter()
                    .map(|(number, allow)| {
                        (*number, if *allow { Action::Allow } else { Action::Errno(1) })
                    })
                    .collect(),
                unlisted: Action::Errno(2),
                unknown: Action::Errno(3),
            };
            let highest = *rules.keys().max().unwrap();
            let action = match rules.get(&number) {
                Some(true) => Action::Allow,
                Some(false) => Action::Errno(1),
                None if number > highest => Action::Errno(3),
                None => Action::Errno(2),
            };
            prop_assert_eq!(run(&compile(&profile), 7, number, [0; 6]), expected(action, [0; 6]));
        }
    }
}
