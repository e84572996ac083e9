//! `elpis serve`

use std::net::TcpListener;
use std::path::PathBuf;

use clap::Args;

use super::doctor::Notices;
use super::signal::{Signals, second_ends_at_once, unless};
use super::{Failure, complain, load_settings, people, progress};
use elpis::internal::telemetry::record_metrics;
use elpis::settings::{ListenAddress, ServerSettings};
use elpis_server::Server;

/// Serves the model over HTTP to chat clients, agents and observers.
///
/// Chat clients that take a base address use the printed one. The settings are in the section
/// `[server]`, and `elpis key` makes keys. As with `elpis chat`, moods last for hours, and users'
/// messages are appraised. SIGTERM and Ctrl-C let running replies end; the exit code is then 0.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Listens there instead of `server.listen`: a port, or an address with a port.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<ListenAddress>,
    /// Stores the sessions' moods in this file.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

pub(super) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    let mut loaded = load_settings(config)?;
    people::settle(&mut loaded);
    let notices = Notices::of_settings(&loaded, quiet);
    let mut settings = loaded.settings;
    if let Some(listen) = options.listen {
        settings.server.listen = listen;
    }
    if let Some(store) = &options.store {
        settings.store.path = Some(store.clone());
    }
    // Both are checked before a model is loaded in vain.
    Server::check(&settings.server)?;
    let listener = listener(&settings.server)?;
    record_metrics();
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::listen();
        let starting = progress::start_settings(settings, quiet);
        let elpis = unless(&mut signals, starting).await?;
        notices.of_model(&elpis);
        let server = Server::new(elpis.clone())?;
        if !quiet {
            complain(&greeting(&listener, &server));
        }
        service_manager::ready();
        let mut given_up = None;
        let stop = async {
            tokio::select! {
                _ = signals.next() => {}
                error = elpis.stopped() => given_up = Some(error),
            }
            service_manager::stopping();
            // The next signal does not wait for running replies.
            second_ends_at_once::<()>(&Err(super::signal::Signal::Terminate.into()));
        };
        let served = server.serve(listener, stop).await.map_err(Failure::from);
        let report = elpis.shutdown_and_report().await;
        // A service manager starts it again.
        let served = served.and_then(|()| match given_up {
            None => Ok(()),
            Some(error) => Err(error.into()),
        });
        progress::kept(report, served)
    });
    runtime.shutdown_background();
    result
}

/// The listener that the service manager passes, or one of our own.
fn listener(settings: &ServerSettings) -> Result<TcpListener, Failure> {
    #[cfg(unix)]
    if let Some(passed) = listenfd::ListenFd::from_env().take_tcp_listener(0)? {
        return Ok(passed);
    }
    Ok(Server::bind_to(settings)?)
}

fn greeting(listener: &TcpListener, server: &Server) -> String {
    let settings = server.settings();
    let scheme = if settings.tls_certificate.is_some() {
        "https"
    } else {
        "http"
    };
    let address = listener.local_addr().unwrap_or(settings.listen.0);
    let keys = match settings.keys.len() {
        0 => "without keys".to_owned(),
        count => super::counted(count as u64, "key", "keys"),
    };
    format!("elpis: serving on {scheme}://{address}/v1, {keys}")
}

/// Tells systemd about the state of the service (`Type=notify`).
mod service_manager {
    #[cfg(target_os = "linux")]
    fn tell(state: sd_notify::NotifyState<'_>) {
        // Without a service manager there is nobody to tell.
        let _ = sd_notify::notify(&[state]);
    }

    pub(super) fn ready() {
        #[cfg(target_os = "linux")]
        tell(sd_notify::NotifyState::Ready);
    }

    pub(super) fn stopping() {
        #[cfg(target_os = "linux")]
        tell(sd_notify::NotifyState::Stopping);
    }
}
