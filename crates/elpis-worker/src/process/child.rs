//! The runtime's handle of a worker process.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::descriptors;
use super::logits;
use super::protocol::{Hello, PROTOCOL};
use crate::environment;
use crate::{ARGUMENT, MARKER};
use elpis_backend::WorkerOptions;
use elpis_backend::{BackendError, DeathNotice};

/// The time limit for a program to announce itself as a worker.
const START_BOUND: Duration = Duration::from_secs(30);
/// The time limit for a worker to exit after its connection was closed.
const END_BOUND: Duration = Duration::from_secs(2);

const ADVICE: &str = "a program is its own worker if it calls elpis::worker::serve_if_asked() first in main; \
     otherwise runtime.worker names one that does, such as the elpis command";

/// A started worker.
pub(super) struct Started {
    pub(super) process: Process,
    /// The connection for everything but texts.
    pub(super) connection: UnixStream,
    /// The connection for texts.
    pub(super) texts: UnixStream,
    /// The memory for logits.
    pub(super) logits: File,
}

/// Owns the process. Dropping this ends it.
#[derive(Debug)]
pub(super) struct Process {
    life: Arc<Life>,
    watcher: Option<JoinHandle<()>>,
}

/// The state of a process that may have exited; shared by everything that talks
/// to it.
pub(super) struct Life {
    child: Mutex<Child>,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// Why it is no longer usable; the first reason stays.
    reason: Option<String>,
    /// Whether the process is gone.
    ended: bool,
    tell: Option<DeathNotice>,
}

/// Starts a worker and waits for its hello.
pub(super) fn start(options: &WorkerOptions) -> Result<Started, BackendError> {
    start_within(START_BOUND, options)
}

/// As [`start`], with a time limit for the hello.
pub(super) fn start_within(
    limit: Duration,
    options: &WorkerOptions,
) -> Result<Started, BackendError> {
    let unusable = |program: &Path, reason| BackendError::WorkerUnusable {
        program: program.to_owned(),
        reason,
    };
    let program = match &options.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()
            .map_err(|error| unusable(Path::new("this executable"), error.to_string()))?,
    };
    // A program that does not serve would start itself forever.
    if std::env::var_os(MARKER).is_some() {
        let reason =
            format!("this process was started as a worker itself ({MARKER} is set); {ADVICE}");
        return Err(unusable(&program, reason));
    }
    let made = Parts::make(&program).map_err(|error| unusable(&program, error.to_string()))?;
    let met = meet(&made, limit).map_err(|reason| unusable(&program, reason));
    met.and_then(|()| made.share(options.bound))
        .inspect_err(|error| {
            // It is not a worker, so it gets no time to exit.
            made.process.life.kill(&error.to_string());
        })?;
    Ok(Started {
        process: made.process,
        connection: made.connection,
        texts: made.texts.0,
        logits: made.logits,
    })
}

/// A process that may be a worker, and the descriptors for it.
struct Parts {
    process: Process,
    connection: UnixStream,
    /// Both ends.
    texts: (UnixStream, UnixStream),
    logits: File,
}

impl Parts {
    fn make(program: &Path) -> io::Result<Self> {
        let (connection, theirs) = UnixStream::pair()?;
        Ok(Self {
            texts: UnixStream::pair()?,
            logits: logits::create()?,
            process: Process::spawn(program, theirs)?,
            connection,
        })
    }

    /// Passes the other descriptors to the worker, and sets the time limit of all further calls.
    fn share(&self, bound: Option<Duration>) -> Result<(), BackendError> {
        let (ours, theirs) = &self.texts;
        let give = || {
            for stream in [&self.connection, ours] {
                stream.set_read_timeout(bound)?;
                stream.set_write_timeout(bound)?;
            }
            descriptors::send(&self.connection, [theirs.as_fd(), self.logits.as_fd()])
        };
        give().map_err(|error| self.process.life.failed(&error, bound))
    }
}

/// Waits for the hello, which must come from the same build.
fn meet(made: &Parts, limit: Duration) -> Result<(), String> {
    let hello = hello(&made.connection, limit).map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("it sent nothing for {} s", limit.as_secs_f64())
            }
            io::ErrorKind::InvalidData => "it sent something else".to_owned(),
            _ => made
                .process
                .life
                .wait(END_BOUND)
                .unwrap_or_else(|| error.to_string()),
        };
        format!("{what}, instead of speaking as a worker; {ADVICE}")
    })?;
    if hello == Hello::own() {
        return Ok(());
    }
    Err(format!(
        "it speaks {hello}, this program {}; both must be of one build",
        Hello::own()
    ))
}

fn hello(mut connection: &UnixStream, limit: Duration) -> io::Result<Hello> {
    connection.set_read_timeout(Some(limit))?;
    let mut bytes = [0; Hello::LENGTH];
    connection.read_exact(&mut bytes)?;
    Hello::from_bytes(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

impl Process {
    /// Starts the program with its end of the connection as standard input.
    fn spawn(program: &Path, connection: UnixStream) -> io::Result<Self> {
        let mut command = Command::new(program);
        command
            .arg(ARGUMENT)
            .env(MARKER, PROTOCOL.to_string())
            .stdin(OwnedFd::from(connection))
            // Output of native libraries must not mix with this program's output.
            .stdout(standard_error())
            // Ctrl-C must only reach this program, which lets generations finish.
            .process_group(0);
        command.envs(environment::unset());
        let child = command.spawn()?;
        // The command holds the other end, which must close to signal the process's end.
        drop(command);
        let pid = Pid::from_child(&child);
        let life = Arc::new(Life {
            child: Mutex::new(child),
            state: Mutex::default(),
            ended: Condvar::new(),
        });
        let watched = Arc::clone(&life);
        let watcher = std::thread::Builder::new()
            .name("elpis-worker".to_owned())
            .spawn(move || watched.watch(pid));
        match watcher {
            Ok(watcher) => Ok(Self {
                life,
                watcher: Some(watcher),
            }),
            Err(error) => {
                let mut child = lock(&life.child);
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(super) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Registers `tell` to be called when the process ends unexpectedly.
    pub(super) fn on_death(&self, tell: DeathNotice) {
        let mut state = lock(&self.life.state);
        match &state.reason {
            Some(reason) if state.ended => {
                let reason = reason.clone();
                drop(state);
                tell(BackendError::WorkerDied { reason });
            }
            _ => state.tell = Some(tell),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let unloaded = "its model was unloaded";
        {
            let mut state = lock(&self.life.state);
            state.tell = None;
            state.reason.get_or_insert_with(|| unloaded.to_owned());
        }
        if self.life.wait(END_BOUND).is_none() {
            self.life.kill(unloaded);
        }
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

impl Life {
    /// Returns why a call to the process failed, and makes sure that the process is gone.
    pub(super) fn failed(&self, error: &io::Error, bound: Option<Duration>) -> BackendError {
        let reason = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!(
                "it gave no answer for {} s and was killed",
                bound.unwrap_or_default().as_secs_f64()
            ),
            io::ErrorKind::InvalidData => format!("it broke the protocol: {error}"),
            // A dying process closes its connections slightly earlier.
            _ => match self.wait(END_BOUND) {
                Some(reason) => reason,
                None => format!("its connection broke: {error}"),
            },
        };
        BackendError::WorkerDied {
            reason: self.kill(&reason),
        }
    }

    /// Fails if the process is known to be unusable.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        match &lock(&self.state).reason {
            None => Ok(()),
            Some(reason) => Err(BackendError::WorkerDied {
                reason: reason.clone(),
            }),
        }
    }

    /// Kills the process and returns why it is unusable.
    fn kill(&self, reason: &str) -> String {
        let reason = lock(&self.state)
            .reason
            .get_or_insert_with(|| reason.to_owned())
            .clone();
        // This does nothing to a process that was already waited for.
        let _ = lock(&self.child).kill();
        reason
    }

    /// Waits for the end and returns the reason.
    fn wait(&self, limit: Duration) -> Option<String> {
        let state = lock(&self.state);
        let waited = self
            .ended
            .wait_timeout_while(state, limit, |state| !state.ended);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.reason.clone().filter(|_| state.ended)
    }

    /// Waits until the process is gone and reports it.
    fn watch(&self, pid: Pid) {
        // Do not reap the process yet, so that a concurrent kill cannot hit another process with
        // the same id.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(pid), options).is_err_and(|error| error == Errno::INTR) {}
        let end = match lock(&self.child).wait() {
            Ok(status) => describe(status),
            Err(error) => format!("its exit status is unknown: {error}"),
        };
        let mut state = lock(&self.state);
        state.ended = true;
        let reason = state.reason.get_or_insert(end).clone();
        let tell = state.tell.take();
        drop(state);
        self.ended.notify_all();
        if let Some(tell) = tell {
            tell(BackendError::WorkerDied { reason });
        }
    }
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn standard_error() -> Stdio {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => descriptor.into(),
        Err(_) => Stdio::null(),
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("it was ended by signal {signal}{}", signal_name(signal)),
        (None, Some(code)) => format!("it exited with code {code}"),
        (None, None) => status.to_string(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    use rustix::process::Signal;

    match Signal::from_named_raw(signal) {
        Some(Signal::ABORT) => " (SIGABRT)",
        Some(Signal::BUS) => " (SIGBUS)",
        Some(Signal::FPE) => " (SIGFPE)",
        Some(Signal::ILL) => " (SIGILL)",
        Some(Signal::KILL) => " (SIGKILL, as when memory runs out)",
        Some(Signal::SEGV) => " (SIGSEGV)",
        Some(Signal::TERM) => " (SIGTERM)",
        _ => "",
    }
}
