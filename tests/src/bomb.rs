//! Components that are well, and hard to compile.

/// In a component: a core module. In a core module: types, functions, code.
const MODULE: u8 = 1;
const TYPES: u8 = 1;
const FUNCTIONS: u8 = 3;
const CODE: u8 = 10;

/// Long enough for many seconds of one processor, in functions that take little memory each.
pub fn long_to_compile(well: &[u8]) -> Vec<u8> {
    with_functions(well, 2_000, 2_000)
}

/// One function, about as long as WebAssembly lets one be, so that compiling it has taken more than 256 MiB long before it
/// has taken a second.
pub fn large_to_compile(well: &[u8]) -> Vec<u8> {
    with_functions(well, 1, 2_500_000)
}

/// `well` and a further core module that nothing ever instantiates, of so many functions that each multiply so often.
fn with_functions(well: &[u8], functions: usize, multiplications: usize) -> Vec<u8> {
    // (func (param i32) (result i32) (local.get 0) (local.get 0) (i32.mul) …)
    let types = [1, 0x60, 1, 0x7f, 1, 0x7f];
    let mut body = vec![0, 0x20, 0];
    body.extend([0x20, 0, 0x6c].repeat(multiplications));
    body.push(0x0b);
    let body = [leb(body.len()), body].concat();
    let indices = [leb(functions), vec![0; functions]].concat();
    let code = [leb(functions), body.repeat(functions)].concat();
    let module =
        [&b"\0asm\x01\0\0\0"[..], &section(TYPES, &types), &section(FUNCTIONS, &indices), &section(CODE, &code)]
            .concat();
    [well, &section(MODULE, &module)].concat()
}

fn section(id: u8, bytes: &[u8]) -> Vec<u8> {
    [&[id], &leb(bytes.len())[..], bytes].concat()
}

/// An unsigned number as WebAssembly writes it (LEB128).
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
