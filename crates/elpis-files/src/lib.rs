//! Reading files that may be hostile, shared by the crates of elpis: bounded cursors, GGUF headers
//! and shards, Git LFS pointers, and text from files made safe to print.
//!
//! The functions take bytes and return values. They never allocate according to a declared size,
//! and errors are typed. The interface only follows the needs of elpis.

#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "the names of a header's fields describe them")]
#![allow(
    clippy::missing_errors_doc,
    reason = "each error type describes itself"
)]

pub mod cursor;
pub mod gguf;
pub mod lfs;
pub mod printable;
pub mod shard;
