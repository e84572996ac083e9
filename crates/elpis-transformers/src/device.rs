//! Devices of libtorch, and the placement of layers.

use tch::{Cuda, Device as TorchDevice};

use elpis_backend::memory::SystemMemory;
use elpis_backend::{BackendError, BackendKind, Device, DeviceKind, LoadOptions};

/// Lists the devices of libtorch: the CPU, and GPUs if its CUDA library can be loaded.
pub(super) fn devices() -> Vec<Device> {
    let (memory_total, memory_free) =
        SystemMemory::look().map_or((0, 0), |memory| (memory.total, memory.available));
    let mut found = vec![Device {
        backend: BackendKind::Transformers,
        kind: DeviceKind::Cpu,
        index: 0,
        name: "CPU".to_owned(),
        description: "libtorch on the processor".to_owned(),
        memory_total,
        memory_free,
    }];
    if !cuda::load() {
        return found;
    }
    for index in 0..usize::try_from(Cuda::device_count()).unwrap_or(0) {
        let (memory_free, memory_total) = cuda::memory(index).unwrap_or_default();
        found.push(Device {
            backend: BackendKind::Transformers,
            kind: DeviceKind::Cuda,
            index,
            name: format!("CUDA{index}"),
            description: format!("CUDA device {index}"),
            memory_total,
            memory_free,
        });
    }
    found
}

/// The device of each layer.
///
/// The last `gpu_layers` layers go to the GPUs, in order, in proportion to `tensor_split` or,
/// without it, to the free memory.
pub(super) fn placement(
    options: &LoadOptions,
    n_layers: usize,
) -> Result<Vec<TorchDevice>, BackendError> {
    let gpus: Vec<&Device> = options.devices.iter().filter(|d| d.kind.is_gpu()).collect();
    let split = options.model.tensor_split.as_deref();
    if let Some(split) = split
        && split.len() > gpus.len()
        && !gpus.is_empty()
    {
        return Err(BackendError::Limit {
            field: "tensor_split",
            value: format!("{split:?}"),
            limit: format!("one share for each of the {} GPUs in use", gpus.len()),
        });
    }
    let shares: Vec<f64> = gpus
        .iter()
        .enumerate()
        .map(|(index, gpu)| match split {
            Some(split) => split.get(index).copied().map_or(0.0, f64::from),
            None => gpu.memory_free.max(1) as f64,
        })
        .collect();
    let offloaded = usize::try_from(options.model.gpu_layers).map_or(n_layers, |n| n.min(n_layers));
    let offloaded = if gpus.is_empty() { 0 } else { offloaded };
    let mut placed = vec![TorchDevice::Cpu; n_layers - offloaded];
    placed.extend(
        divide(offloaded, &shares)
            .into_iter()
            .filter_map(|gpu| Some(TorchDevice::Cuda(gpus.get(gpu)?.index))),
    );
    Ok(placed)
}

/// For each of `count` layers the index of its share, in ascending order.
fn divide(count: usize, shares: &[f64]) -> Vec<usize> {
    let total: f64 = shares.iter().sum();
    (0..count)
        .map(|layer| {
            let middle = (layer as f64 + 0.5) / count as f64 * total;
            let mut end = 0.0;
            shares
                .iter()
                .position(|share| {
                    end += share;
                    middle < end
                })
                .unwrap_or(shares.len().saturating_sub(1))
        })
        .collect()
}

#[cfg(unix)]
mod cuda {
    use std::ffi::{CStr, c_int, c_void};
    use std::sync::OnceLock;

    fn open(name: &CStr) -> *mut c_void {
        // SAFETY: loads a library of the system or of libtorch, whose initialisers are safe to run.
        unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) }
    }

    /// Loads libtorch's CUDA library once, before the first query. It registers itself when it is
    /// loaded, and binaries do not link it by default.
    pub(super) fn load() -> bool {
        static LOADED: OnceLock<bool> = OnceLock::new();
        *LOADED.get_or_init(|| {
            // Without a driver there is no GPU, and the CUDA library is large.
            !open(c"libcuda.so.1").is_null() && !open(c"libtorch_cuda.so").is_null()
        })
    }

    /// Free and total memory of a GPU in bytes.
    pub(super) fn memory(index: usize) -> Option<(u64, u64)> {
        type SetDevice = unsafe extern "C" fn(c_int) -> c_int;
        type MemGetInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> c_int;
        // SAFETY: looks names up in the libraries loaded above.
        let (set, info) = unsafe {
            (
                libc::dlsym(libc::RTLD_DEFAULT, c"cudaSetDevice".as_ptr()),
                libc::dlsym(libc::RTLD_DEFAULT, c"cudaMemGetInfo".as_ptr()),
            )
        };
        if set.is_null() || info.is_null() {
            return None;
        }
        let (mut free, mut total) = (0, 0);
        // SAFETY: both have these types in every version of the CUDA runtime; the pointers are valid
        // for the call.
        let failed = unsafe {
            let set = std::mem::transmute::<*mut c_void, SetDevice>(set);
            let info = std::mem::transmute::<*mut c_void, MemGetInfo>(info);
            set(index as c_int) != 0 || info(&raw mut free, &raw mut total) != 0
        };
        (!failed).then_some((free as u64, total as u64))
    }
}

#[cfg(not(unix))]
mod cuda {
    pub(super) fn load() -> bool {
        true
    }

    pub(super) fn memory(_: usize) -> Option<(u64, u64)> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::divide;

    #[test]
    fn layers_are_divided_by_shares_in_order() {
        assert_eq!(divide(6, &[1.0]), [0; 6]);
        assert_eq!(divide(6, &[1.0, 2.0]), [0, 0, 1, 1, 1, 1]);
        assert_eq!(divide(3, &[0.0, 1.0]), [1, 1, 1]);
        assert_eq!(divide(2, &[]), [0, 0]);
    }
}
