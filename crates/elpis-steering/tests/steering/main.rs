//! Vector files, libraries and blends.

mod formats;
mod library;
mod properties;
mod refusals;

use elpis_testkit::allocator::Counting;

/// [`refusals`] bounds what a parser may allocate.
#[global_allocator]
static ALLOCATOR: Counting = Counting;
