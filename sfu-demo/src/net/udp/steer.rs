//! Which of the sockets that share a port gets a datagram: all by the kernel's own choice, or only some of them.
//!
//! A socket whose thread hangs must get no new flows, yet it cannot be closed from outside without losing those that it
//! has. So the kernel is given a program (classic BPF) that names one of the others, by the sender's port. Without a
//! program the kernel chooses as before, so flows return to the sockets where they were.

/// Where the kernel keeps the IP header, whatever is in front of it.
const NETWORK: u32 = -0x10_0000_i32 as u32;
/// The bytes from there to the sender's port: IPv4 without options, IPv6 without extensions. It only spreads flows, so
/// what is found elsewhere does as well.
const PORT_V4: u32 = 20;
const PORT_V6: u32 = 40;
/// Spreads ports, of which many systems give out every other one.
const SPREAD: u32 = 0x9e37_79b1;

const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
const AND: u16 = 0x54;
const MULTIPLY: u16 = 0x24;
const SHIFT_RIGHT: u16 = 0x74;
const MODULO: u16 = 0x94;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Which sockets of a port are chosen among.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// All, by the kernel's own rule.
    All,
    /// These, by their numbers in the order in which they were bound.
    Among(Vec<u32>),
}

/// An instruction of the program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instruction {
    pub(super) code: u16,
    /// Instructions to skip if a comparison holds.
    pub(super) yes: u8,
    /// Instructions to skip if it does not.
    pub(super) no: u8,
    pub(super) value: u32,
}

impl Choice {
    /// Those of `count` sockets for which `gets` holds; all, if it holds for none.
    pub(crate) fn of(count: usize, gets: impl Fn(usize) -> bool) -> Self {
        let among: Vec<_> = (0..count).filter(|at| gets(*at)).collect();
        if among.is_empty() || among.len() == count {
            return Self::All;
        }
        Self::Among(among.into_iter().map(|at| at as u32).collect())
    }

    /// The program; empty if there is none.
    pub(super) fn program(&self) -> Vec<Instruction> {
        let Self::Among(among) = self else {
            return Vec::new();
        };
        let Some((last, others)) = among.split_last() else {
            return Vec::new();
        };
        let plain = |code, value| Instruction {
            code,
            yes: 0,
            no: 0,
            value,
        };
        let unless_equal = |value| Instruction {
            code: JUMP_IF_EQUAL,
            yes: 0,
            no: 1,
            value,
        };
        let mut program = vec![
            plain(LOAD_BYTE, NETWORK),
            plain(AND, 0xf0),
            Instruction {
                no: 2,
                ..unless_equal(0x40)
            },
            plain(LOAD_HALF, NETWORK.wrapping_add(PORT_V4)),
            plain(JUMP, 1),
            plain(LOAD_HALF, NETWORK.wrapping_add(PORT_V6)),
            plain(MULTIPLY, SPREAD),
            plain(SHIFT_RIGHT, 16),
            plain(MODULO, among.len() as u32),
        ];
        for (at, number) in others.iter().enumerate() {
            program.push(unless_equal(at as u32));
            program.push(plain(RETURN, *number));
        }
        program.push(plain(RETURN, *last));
        program
    }
}
