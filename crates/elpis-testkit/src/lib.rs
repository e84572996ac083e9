//! Test support that the crates of elpis share.

#![deny(unsafe_code)]

pub mod allocator;
#[cfg(feature = "engine")]
pub mod engine;
pub mod fragile;
pub mod http;
pub mod hub_server;
pub mod schemas;
pub mod scripted;
pub mod shelf;

use elpis_backend::{Device, Loader};

/// The GPUs to test a backend on, if `ELPIS_TEST_HARDWARE` requests one; empty for the CPU.
///
/// # Panics
/// If a GPU is requested and the backend sees none.
pub fn tested_devices(loader: &Loader) -> Vec<Device> {
    let asked = std::env::var("ELPIS_TEST_HARDWARE").unwrap_or_else(|_| "cpu".to_owned());
    if asked == "cpu" {
        return Vec::new();
    }
    let mut devices = (loader.devices)();
    devices.retain(|device| device.kind.is_gpu());
    assert!(!devices.is_empty(), "{} sees no GPU", loader.kind);
    devices
}
