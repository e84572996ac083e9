//! The parts of a runtime that outlive its actors, and the arguments of each actor.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::actors::emotion::EmotionArguments;
use crate::actors::engine::EngineArguments;
use crate::actors::hardware::{HardwareArguments, HardwareReport};
use crate::actors::mailbox::Mailbox;
use crate::actors::observer::Observer;
use crate::actors::steering::SteeringArguments;
use crate::actors::supervisor::{Children, SupervisorArguments};
use crate::backend::BackendFactory;
use crate::bus::EventBus;
use crate::clock::Clock;
use crate::engine::{EngineContext, LoadedModel, RequestQueue};
use crate::error::{Error, SteeringError, StopReason};
use crate::fault_injection::Probe;
use crate::sessions::{SessionParts, Sessions};
use crate::settings::{ModelSource, Settings};
use crate::steering::SteeringLibrary;
use crate::store::{StateStore, StoreError};

/// The parts of a runtime that outlive its actors.
#[derive(Debug)]
pub(super) struct Parts {
    /// The settings in force.
    pub settings: Arc<Settings>,
    pub clock: Arc<dyn Clock>,
    pub bus: EventBus,
    /// The hardware report, once there is one.
    pub hardware: Arc<watch::Sender<Option<Arc<HardwareReport>>>>,
    /// The loaded model, while there is one.
    pub model: Arc<watch::Sender<Option<Arc<LoadedModel>>>>,
    /// The steering library in force.
    pub library: Arc<watch::Sender<Arc<SteeringLibrary>>>,
    /// The emotional states.
    pub sessions: Arc<Sessions>,
    /// The queue of generations.
    pub request_queue: Arc<RequestQueue>,
    /// The mailbox for new hardware reports.
    pub hardware_actor: Mailbox<Result<Arc<HardwareReport>, Error>>,
    /// The mailbox for reloads of the vectors.
    pub steering_actor: Mailbox<Result<Arc<SteeringLibrary>, SteeringError>>,
    /// Why the runtime has stopped; `None` while it runs.
    pub stopped: Arc<watch::Sender<Option<StopReason>>>,
}

impl Parts {
    pub fn new(
        settings: Settings,
        store: Option<Arc<dyn StateStore>>,
        clock: Arc<dyn Clock>,
        probe: &Probe,
    ) -> Result<Self, StoreError> {
        let runtime = &settings.runtime;
        let bus = EventBus::new(runtime.bus_capacity);
        let stopped = Arc::new(watch::Sender::new(None));
        let sessions = Sessions::new(SessionParts {
            settings: &settings,
            store,
            clock: Arc::clone(&clock),
            bus: bus.clone(),
            stopped: stopped.subscribe(),
            probe: probe.clone(),
        })?;
        Ok(Self {
            clock,
            bus,
            hardware: Arc::new(watch::Sender::new(None)),
            model: Arc::new(watch::Sender::new(None)),
            library: Arc::new(watch::Sender::new(Arc::new(SteeringLibrary::empty()))),
            sessions: Arc::new(sessions),
            request_queue: Arc::new(RequestQueue::new(runtime.n_parallel + runtime.queue_limit)),
            hardware_actor: Mailbox::new(stopped.subscribe()),
            steering_actor: Mailbox::new(stopped.subscribe()),
            stopped,
            settings: Arc::new(settings),
        })
    }

    /// The arguments of the supervisor, with those of each actor.
    pub fn supervisor(
        &self,
        source: ModelSource,
        factory: BackendFactory,
        probe: &Probe,
    ) -> SupervisorArguments {
        let settings = &self.settings;
        let children = Children {
            hardware: HardwareArguments {
                model: settings.model.clone(),
                report: Arc::clone(&self.hardware),
                requests: self.hardware_actor.inbox(),
                probe: probe.clone(),
            },
            steering: SteeringArguments {
                model: settings.model.clone(),
                debounce: settings.runtime.vectors_debounce,
                bundled: source == ModelSource::Bundled && factory.loads_settings(),
                loaded: self.model.subscribe(),
                library: Arc::clone(&self.library),
                requests: self.steering_actor.inbox(),
                bus: self.bus.clone(),
                probe: probe.clone(),
            },
            engine: EngineArguments {
                context: EngineContext {
                    settings: Arc::clone(settings),
                    factory,
                    clock: Arc::clone(&self.clock),
                    model: Arc::clone(&self.model),
                    library: self.library.subscribe(),
                    request_queue: Arc::clone(&self.request_queue),
                },
                source,
                hardware: self.hardware.subscribe(),
                probe: probe.clone(),
            },
            emotion: EmotionArguments {
                sessions: Arc::clone(&self.sessions),
                probe: probe.clone(),
            },
        };
        SupervisorArguments {
            settings: settings.runtime.clone(),
            clock: Arc::clone(&self.clock),
            bus: self.bus.clone(),
            request_queue: Arc::clone(&self.request_queue),
            children,
            stopped: Arc::clone(&self.stopped),
            probe: probe.clone(),
        }
    }

    /// The task that samples gauges.
    pub fn observer(&self) -> Result<Observer, Error> {
        Ok(Observer {
            listed: self.settings.metrics.listed_sessions()?,
            settings: Arc::clone(&self.settings),
            clock: Arc::clone(&self.clock),
            bus: self.bus.clone(),
            hardware: self.hardware.subscribe(),
            model: self.model.subscribe(),
            library: self.library.subscribe(),
            sessions: Arc::clone(&self.sessions),
            request_queue: Arc::clone(&self.request_queue),
            steering: self.steering_actor.clone(),
            shown: Mutex::default(),
        })
    }
}
