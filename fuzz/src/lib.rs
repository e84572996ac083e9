//! The fuzz targets. Tests of the root package run them on the seeds.

// The file alone: the rest of the testkit would be built with coverage counters.
#[path = "../../crates/elpis-testkit/src/allocator.rs"]
pub mod allocator;
pub mod targets;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;
