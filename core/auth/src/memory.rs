//! Memory for Argon2id, kept between computations.
//!
//! One computation takes 19 MiB for some tens of milliseconds. Given back to the allocator each time, the hole it leaves
//! is nibbled at by the session that just began, so the next computation does not fit into it and the process grows:
//! measured 5.7 MiB for each idle IMAP session with glibc, 18 KiB with the memory kept here.

use std::sync::{Mutex, PoisonError};

use argon2::Block;

/// Blocks of memory kept at most: as many computations as callers usually let run at once.
const KEPT_MAX: usize = 4;

static KEPT: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// Runs `compute` with `count` blocks of 1 KiB. What they hold from before does not matter: Argon2 writes each block
/// before it reads it.
pub(crate) fn with_blocks<T>(count: usize, compute: impl FnOnce(&mut [Block]) -> T) -> T {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut blocks = kept.unwrap_or_default();
    if blocks.len() < count {
        blocks.resize(count, Block::default());
    }
    let result = compute(&mut blocks[..count]);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < KEPT_MAX && blocks.len() <= crate::credential::ARGON2_MEMORY_KIB as usize {
        kept.push(blocks);
    }
    result
}
