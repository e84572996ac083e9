//! Test support that the crates of elpis share.

#![deny(unsafe_code)]

pub mod allocator;
pub mod fragile;
pub mod http;
pub mod hub_server;
pub mod schemas;
pub mod scripted;
pub mod shelf;

use elpis_backend::{Device, Loader};

/// Returns `long` if `ELPIS_TEST_LONG` is set, otherwise `short`: how often a test repeats itself.
pub fn repeats<T>(short: T, long: T) -> T {
    match std::env::var_os("ELPIS_TEST_LONG") {
        Some(_) => long,
        None => short,
    }
}

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
