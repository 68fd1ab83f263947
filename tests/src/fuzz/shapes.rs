//! Bytes to be admitted: components and modules of chance, and good components with a flaw.

use arbitrary::Unstructured;
use wasm_smith::{Component, Config, Module};

use super::caller::World;
use crate::chance::Chance;
use crate::place::guest;

/// How much chance one input is made of, in bytes.
const ENTROPY: usize = 4096;
/// The most flaws in one.
const FLAWS: usize = 6;
/// How large a part is taken out or put in, in bytes, at the most.
const PART: usize = 64;

/// What a stranger might send.
pub(super) fn bytes(chance: &mut Chance, world: &World) -> Vec<u8> {
    match chance.below(5) {
        0 => of_chance(chance, |u| Component::new(config(), u).map(|component| component.to_bytes())),
        1 => [b"\0asm\x0d\0\x01\0".to_vec(), module_section(chance)].concat(),
        2 => [world.guest_that_calls(chance), module_section(chance)].concat(),
        3 => flawed(world.guest_that_calls(chance), chance),
        _ => flawed(std::fs::read(guest("nothing")).expect("it is built"), chance),
    }
}

fn config() -> Config {
    Config {
        max_memory32_bytes: 1 << 20,
        simd_enabled: true,
        reference_types_enabled: true,
        memory64_enabled: true,
        max_memories: 2,
        exceptions_enabled: true,
        gc_enabled: true,
        tail_call_enabled: true,
        threads_enabled: true,
        ..Config::default()
    }
}

fn of_chance(chance: &mut Chance, make: impl FnOnce(&mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>>) -> Vec<u8> {
    let entropy: Vec<u8> = (0..ENTROPY).map(|_| chance.below(256) as u8).collect();
    // Where there is too little of it, what there is is no WebAssembly either.
    make(&mut Unstructured::new(&entropy)).unwrap_or(entropy)
}

/// Section 1 of a component: a core module.
fn module_section(chance: &mut Chance) -> Vec<u8> {
    let module = of_chance(chance, |u| Module::new(config(), u).map(|module| module.to_bytes()));
    let mut section = vec![1];
    let mut length = module.len();
    while length >= 0x80 {
        section.push(length as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    [section, module].concat()
}

/// With bits turned, and parts that are missing, there twice, or of chance.
fn flawed(mut bytes: Vec<u8>, chance: &mut Chance) -> Vec<u8> {
    for _ in 0..=chance.below(FLAWS) {
        let at = chance.below(bytes.len());
        let end = (at + 1 + chance.below(PART)).min(bytes.len());
        match chance.below(5) {
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = [0, 0x7f, 0x80, 0xff][chance.below(4)],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.truncate(at.max(8)),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}
