//! The inputs of a batch for the layers of one device.

use tch::{Device, Kind, Tensor};

use super::attention::{self, Prepared};
use super::rotary::{Rotary, RotaryTable};
use super::step::Step;

type Result<T> = std::result::Result<T, tch::TchError>;

/// The inputs of a batch for the layers of one device.
pub(super) struct Inputs {
    pub device: Device,
    /// Rows of the cache that the batch's rows are written to.
    pub cells: Tensor,
    /// The tables of each rotary embedding.
    pub rotary: Vec<RotaryTable>,
    /// The attention groups for each window size.
    groups: Vec<(Option<usize>, Vec<Prepared>)>,
}

impl Inputs {
    /// Prepares the inputs. `windows` are those of the layers on the device, without duplicates.
    pub fn new(
        step: &Step,
        rotaries: &[Rotary],
        windows: Vec<Option<usize>>,
        kind: Kind,
        device: Device,
    ) -> Result<Self> {
        let positions = Tensor::f_from_slice(&step.positions)?;
        Ok(Self {
            device,
            cells: Tensor::f_from_slice(&step.cells)?.f_to_device(device)?,
            rotary: rotaries
                .iter()
                .map(|rotary| rotary.table(&positions, kind, device))
                .collect::<Result<_>>()?,
            groups: windows
                .into_iter()
                .map(|window| {
                    let groups = attention::prepare(&step.groups, window, kind, device)?;
                    Ok((window, groups))
                })
                .collect::<Result<_>>()?,
        })
    }

    /// The attention within a window.
    pub fn groups(&self, window: Option<usize>) -> &[Prepared] {
        self.groups
            .iter()
            .find(|(known, _)| *known == window)
            .map_or(&[], |(_, groups)| groups)
    }
}
