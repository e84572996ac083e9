//! What the models of the tests run on: the processor, or what `ELPIS_TEST_HARDWARE` names.

use elpis::backend::{BackendKind, Device, devices_of};
use elpis::settings::HardwareBackend;

const VARIABLE: &str = "ELPIS_TEST_HARDWARE";

pub fn hardware() -> HardwareBackend {
    match std::env::var(VARIABLE) {
        Ok(name) => serde_json::from_value(name.into())
            .unwrap_or_else(|error| panic!("{VARIABLE}: {error}")),
        Err(_) => HardwareBackend::Cpu,
    }
}

/// The same as devices of a backend; none: the processor.
#[allow(dead_code, reason = "not every suite loads a backend by itself")]
pub fn devices(backend: BackendKind) -> Vec<Device> {
    let asked = hardware();
    if asked == HardwareBackend::Cpu {
        return Vec::new();
    }
    let mut devices = devices_of(backend);
    devices.retain(|device| device.kind.is_gpu());
    assert!(
        !devices.is_empty(),
        "{backend} sees no GPU, and {VARIABLE} is `{asked}`"
    );
    devices
}
