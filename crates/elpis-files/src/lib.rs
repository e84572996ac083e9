//! Reading files that may be hostile, shared by the crates of elpis: bounded cursors, GGUF headers
//! and shards, Git LFS pointers, and text from files made safe to print.
//!
//! Bytes in, values out: nothing is allocated by what a header declares, and what is wrong is a
//! typed error. The interface follows the needs of elpis alone.

#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    reason = "the fields of a header say what they are by their names"
)]
#![allow(
    clippy::missing_errors_doc,
    reason = "each error type says what it is about"
)]

pub mod cursor;
pub mod gguf;
pub mod lfs;
pub mod printable;
pub mod shard;
