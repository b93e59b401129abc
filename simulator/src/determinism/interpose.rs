//! Three functions of libc, replaced for the threads of a simulation.
//!
//! Defining a symbol in the executable takes precedence over the shared library's. On every other
//! thread, and outside of a run, each function makes the system call that libc would have made.
#![allow(unsafe_code)]

use std::{
    cell::Cell,
    ffi::{c_int, c_uint, c_void},
    hint::black_box,
    slice,
    time::Duration,
};

use super::{Seed, seed::split_mix};

/// When simulated time begins, counted from 1970: 2024-12-31T23:59:45Z, so that in some regions a
/// new day begins in the middle of a run, and in others it is the same day all the time.
pub const EPOCH: Duration = Duration::from_secs(1_735_689_585);

/// What monotonic clocks show at the start. Not zero, so that "an hour ago" can be computed.
const MONOTONIC_START: Duration = Duration::from_secs(1_000_000);

thread_local! {
    // Constants without destructors: reading them allocates nothing and works at any time in the
    // life of a thread, which a replaced libc function must.
    static SIMULATED: Cell<bool> = const { Cell::new(false) };
    static ENTROPY: Cell<u64> = const { Cell::new(0) };
    static ASKING_TIME: Cell<bool> = const { Cell::new(false) };
    static LAST_TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// While it lives, the calling thread sees simulated entropy and time.
pub(super) struct SimulatedThread(());

impl SimulatedThread {
    pub(super) fn enter(seed: Seed) -> Self {
        assert!(!is_simulated(), "a simulation inside a simulation");
        // A linker takes from a library only what is referred to; this refers to the functions.
        black_box((
            getrandom as *const c_void,
            getentropy as *const c_void,
            clock_gettime as *const c_void,
        ));
        ENTROPY.set(seed.derive("libc").0);
        LAST_TIME.set(Duration::ZERO);
        SIMULATED.set(true);
        SimulatedThread(())
    }
}

impl Drop for SimulatedThread {
    fn drop(&mut self) {
        SIMULATED.set(false);
    }
}

/// Whether the calling thread runs a simulation.
pub(super) fn is_simulated() -> bool {
    SIMULATED.get()
}

/// How long the simulation of this thread has run, in simulated time. Between the turns of two
/// hosts it is the last time anyone asked. Zero on other threads.
#[must_use]
pub fn simulated_elapsed() -> Duration {
    // turmoil reads tokio's clock. While a runtime is being built or dropped, tokio has none and
    // reads the kernel's, which is the function below, which asks here: answer the second call
    // from memory.
    if ASKING_TIME.replace(true) {
        return LAST_TIME.get();
    }
    if tokio::runtime::Handle::try_current().is_ok()
        && let Some(elapsed) = turmoil::sim_elapsed()
    {
        LAST_TIME.set(elapsed);
    }
    ASKING_TIME.set(false);
    LAST_TIME.get()
}

fn fill_from_seed(bytes: &mut [u8]) {
    let mut state = ENTROPY.get();
    for chunk in bytes.chunks_mut(8) {
        let random = split_mix(&mut state).to_le_bytes();
        chunk.copy_from_slice(&random[..chunk.len()]);
    }
    ENTROPY.set(state);
}

/// `getrandom(2)`.
///
/// # Safety
///
/// As in libc: `buffer` must be valid for writes of `length` bytes.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    if !is_simulated() {
        // SAFETY: the caller's arguments, handed on unchanged to the call they were meant for.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize };
    }
    if length > 0 {
        // SAFETY: the caller promises `length` writable bytes; nobody else holds them during the
        // call, and `u8` has no invalid values.
        fill_from_seed(unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), length) });
    }
    length as isize
}

/// `getentropy(3)`.
///
/// # Safety
///
/// As in libc: `buffer` must be valid for writes of `length` bytes.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn getentropy(buffer: *mut c_void, length: usize) -> c_int {
    // SAFETY: the caller's promise about the buffer is the same one.
    let filled = unsafe { getrandom(buffer, length, 0) };
    if usize::try_from(filled) == Ok(length) {
        0
    } else {
        -1
    }
}

/// `clock_gettime(2)`. Clocks that measure CPU time stay real: they are for profilers.
///
/// # Safety
///
/// As in libc: `time` must be valid for a write.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let measures_cpu =
        clock == libc::CLOCK_PROCESS_CPUTIME_ID || clock == libc::CLOCK_THREAD_CPUTIME_ID;
    if !is_simulated() || measures_cpu || time.is_null() {
        // SAFETY: the caller's arguments, handed on unchanged to the call they were meant for.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as c_int };
    }
    let start = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => EPOCH,
        _ => MONOTONIC_START,
    };
    let now = start + simulated_elapsed();
    let now = libc::timespec {
        tv_sec: now.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(now.subsec_nanos()),
    };
    // SAFETY: the caller promises that `time` can be written to; it is not null.
    unsafe { time.write(now) };
    0
}
