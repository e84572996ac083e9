//! Reports the devices of the model's backend and selects those that the settings allow.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::Serialize;
use tokio::sync::watch;

use super::Ticking;
use super::mailbox::Inbox;
use crate::backend::{self, Device, DeviceKind};
use crate::error::Error;
use crate::fault_injection::Probe;
use crate::settings::{HardwareBackend, ModelSettings};

/// The machine as the model's backend sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HardwareReport {
    /// The kind of device that models run on.
    pub selected: DeviceKind,
    /// Every device that the model's backend reports.
    pub devices: Vec<Device>,
    /// Physical processor cores.
    pub physical_cores: usize,
    /// Logical processors that the process may use.
    pub usable_processors: usize,
}

impl HardwareReport {
    /// Queries the configured backend and applies the configured choice.
    ///
    /// # Errors
    /// [`Error::Hardware`] if the chosen device is not available; it lists those that are.
    pub fn take(model: &ModelSettings) -> Result<Self, Error> {
        Self::select(model.hardware_backend, backend::devices_of(model.backend))
    }

    /// Applies the choice to a list of devices.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn select(choice: HardwareBackend, devices: Vec<Device>) -> Result<Self, Error> {
        const PREFERRED: [DeviceKind; 4] = [
            DeviceKind::Cuda,
            DeviceKind::Rocm,
            DeviceKind::Metal,
            DeviceKind::Vulkan,
        ];
        let there = |kind: DeviceKind| devices.iter().any(|device| device.kind == kind);
        let selected = match asked_kind(choice) {
            None => PREFERRED
                .into_iter()
                .find(|&kind| there(kind))
                .unwrap_or(DeviceKind::Cpu),
            Some(kind) if kind == DeviceKind::Cpu || there(kind) => kind,
            Some(kind) => {
                let mut available: Vec<String> = devices
                    .iter()
                    .map(|d| format!("{} ({})", d.kind, d.description))
                    .collect();
                if !there(DeviceKind::Cpu) {
                    available.push(DeviceKind::Cpu.to_string());
                }
                return Err(Error::Hardware {
                    asked: kind.to_string(),
                    available: available.join(", "),
                });
            }
        };
        Ok(Self {
            selected,
            devices,
            physical_cores: num_cpus::get_physical(),
            usable_processors: std::thread::available_parallelism().map_or(1, Into::into),
        })
    }

    /// The devices that a model may use.
    pub fn selected_devices(&self) -> Vec<Device> {
        self.devices
            .iter()
            .filter(|device| device.kind == self.selected)
            .cloned()
            .collect()
    }
}

fn asked_kind(choice: HardwareBackend) -> Option<DeviceKind> {
    match choice {
        HardwareBackend::Auto => None,
        HardwareBackend::Cuda => Some(DeviceKind::Cuda),
        HardwareBackend::Rocm => Some(DeviceKind::Rocm),
        HardwareBackend::Vulkan => Some(DeviceKind::Vulkan),
        HardwareBackend::Metal => Some(DeviceKind::Metal),
        HardwareBackend::Cpu => Some(DeviceKind::Cpu),
    }
}

/// Messages of the hardware actor.
#[derive(Debug)]
pub enum HardwareMessage {
    /// Queries the backend again for the waiting callers.
    Refresh,
}

impl HardwareMessage {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
        }
    }
}

/// Arguments of the hardware actor.
#[derive(Debug, Clone)]
pub struct HardwareArguments {
    /// Selects the backend to query and the devices that a model may use.
    pub model: ModelSettings,
    /// Where the report is published.
    pub report: Arc<watch::Sender<Option<Arc<HardwareReport>>>>,
    /// Requests for a new report.
    pub requests: Inbox<Result<Arc<HardwareReport>, Error>>,
    #[doc(hidden)]
    pub probe: Probe,
}

/// Publishes the hardware report.
#[derive(Debug)]
pub struct HardwareActor;

/// State of a working hardware actor.
#[derive(Debug)]
pub struct HardwareState {
    arguments: HardwareArguments,
    _requests: Ticking,
}

impl Actor for HardwareActor {
    type Msg = HardwareMessage;
    type State = HardwareState;
    type Arguments = HardwareArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: HardwareArguments,
    ) -> Result<HardwareState, ActorProcessingErr> {
        refresh(&arguments).await?;
        let wake = || HardwareMessage::Refresh;
        Ok(HardwareState {
            _requests: arguments.requests.wake(myself, wake),
            arguments,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: HardwareMessage,
        state: &mut HardwareState,
    ) -> Result<(), ActorProcessingErr> {
        let arguments = &state.arguments;
        arguments.probe.at("hardware", message.kind());
        match message {
            HardwareMessage::Refresh => {
                let requests = &arguments.requests;
                for _ in 0..requests.count() {
                    if requests.has_request() {
                        requests.answer(refresh(arguments).await);
                    }
                }
            }
        }
        Ok(())
    }
}

async fn refresh(arguments: &HardwareArguments) -> Result<Arc<HardwareReport>, Error> {
    let model = arguments.model.clone();
    // Querying drivers may take a while.
    let report = tokio::task::spawn_blocking(move || HardwareReport::take(&model))
        .await
        .map_err(|error| Error::failed("the hardware query", error))??;
    tracing::info!(selected = %report.selected, devices = report.devices.len(), "hardware");
    let report = Arc::new(report);
    arguments.report.send_replace(Some(Arc::clone(&report)));
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::BackendKind;

    fn device(kind: DeviceKind, index: usize) -> Device {
        Device {
            backend: BackendKind::LlamaCpp,
            kind,
            index,
            name: format!("{kind}{index}"),
            description: format!("Test {kind}"),
            memory_total: 1,
            memory_free: 1,
        }
    }

    #[test]
    fn auto_prefers_a_gpu_and_falls_back_to_the_cpu() {
        let cpu = device(DeviceKind::Cpu, 0);
        let cuda = device(DeviceKind::Cuda, 1);
        for (devices, expected) in [
            (vec![], DeviceKind::Cpu),
            (vec![cpu.clone()], DeviceKind::Cpu),
            (vec![cpu.clone(), cuda.clone()], DeviceKind::Cuda),
        ] {
            let report = HardwareReport::select(HardwareBackend::Auto, devices).unwrap();
            assert_eq!(report.selected, expected);
        }
        let forced = HardwareReport::select(HardwareBackend::Cpu, vec![cpu, cuda]).unwrap();
        assert!(forced.selected_devices().iter().all(|d| !d.kind.is_gpu()));
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        let error = HardwareReport::select(HardwareBackend::Rocm, vec![device(DeviceKind::Cpu, 0)])
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "hardware backend `rocm` is not available; this build and machine offer: cpu (Test cpu)"
        );
    }
}
