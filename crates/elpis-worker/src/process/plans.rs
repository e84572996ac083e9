//! Steering plans, each of which is sent to the worker once.

use std::sync::Arc;

use super::protocol::WirePlan;
use elpis_backend::Batch;
use elpis_steering::SteeringPlan;

/// Minimum number of places.
const MIN: usize = 16;
/// Maximum number of places, more than the rows of any batch.
const MAX: usize = 1 << 16;

/// The runtime's record of the plans that the worker has, by place.
#[derive(Debug)]
pub(super) struct PlanBook {
    places: Vec<Place>,
    capacity: usize,
    batch: u64,
}

#[derive(Debug)]
struct Place {
    /// Holding the plan keeps its address from being reused.
    plan: Arc<SteeringPlan>,
    /// The last batch that used it.
    used: u64,
}

impl PlanBook {
    /// Creates a record for this many parallel generations.
    pub(super) fn new(n_sequences: u32) -> Self {
        Self {
            places: Vec::new(),
            capacity: (2 * n_sequences as usize).clamp(MIN, MAX),
            batch: 0,
        }
    }

    /// Finds a place for each plan of a batch, and returns those that must be sent to the worker.
    pub(super) fn place(
        &mut self,
        batch: &Batch,
        new: &mut Vec<WirePlan>,
        values: &mut Vec<u8>,
    ) -> Vec<u32> {
        self.batch += 1;
        let place_one = |plan: &Arc<SteeringPlan>| {
            let known = self.places.iter().position(|p| Arc::ptr_eq(&p.plan, plan));
            let index = known.unwrap_or_else(|| {
                let index = self.room_for(plan);
                new.push(WirePlan::new(index as u32, plan, values));
                index
            });
            self.places[index].used = self.batch;
            index as u32
        };
        batch.plans().iter().map(place_one).collect()
    }

    /// Replaces the least recently used plan, but never one of this batch.
    fn room_for(&mut self, plan: &Arc<SteeringPlan>) -> usize {
        let place = Place {
            plan: Arc::clone(plan),
            used: self.batch,
        };
        let places = self.places.iter().enumerate();
        let oldest = places
            .filter(|(_, place)| place.used < self.batch)
            .min_by_key(|(_, place)| place.used)
            .map(|(index, _)| index)
            .filter(|_| self.places.len() >= self.capacity);
        if let Some(index) = oldest {
            self.places[index] = place;
            return index;
        }
        self.places.push(place);
        self.places.len() - 1
    }
}

/// The worker's plans.
#[derive(Debug, Default)]
pub(super) struct Plans(Vec<Option<Arc<SteeringPlan>>>);

impl Plans {
    /// Takes a plan from the front of the blob. Returns `false` if the blob is too short.
    pub(super) fn take(&mut self, plan: &WirePlan, blob: &mut &[u8]) -> bool {
        let place = plan.place as usize;
        let Some(plan) = plan.read(blob).filter(|_| place < MAX) else {
            return false;
        };
        if place >= self.0.len() {
            self.0.resize(place + 1, None);
        }
        self.0[place] = Some(Arc::new(plan));
        true
    }

    /// The plan at a place.
    pub(super) fn get(&self, place: u32) -> Option<&Arc<SteeringPlan>> {
        self.0.get(place as usize)?.as_ref()
    }
}
