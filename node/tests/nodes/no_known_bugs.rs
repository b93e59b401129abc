//! The bugs that the simulator plants to prove itself are in nothing that ships.

use ledger_domain::planted::Bug;

fn contains(program: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    program.windows(text.len()).any(|window| window == text)
}

/// A program in which bugs can be planted has their names in it: the simulator's own test of the
/// known bugs says so.
#[test]
fn the_program_that_ships_has_no_trace_of_known_bugs() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_meridian")).expect("read the program");
    assert!(contains(&program, "trial-balance"), "names can be seen");
    for bug in Bug::ALL {
        let name = bug.name();
        assert!(!contains(&program, name), "{name} is in the program");
    }
}
