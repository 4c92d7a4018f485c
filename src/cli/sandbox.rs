//! `tixing sandbox`: a stand-in for the platforms.

use super::{failure::Failure, out::talk};
use crate::{
    clock::SystemClock,
    config, http,
    platform::callback,
    sandbox::{Format, Mode, Pusher, Sandbox},
};
use anyhow::Context;
use std::{net::SocketAddr, path::PathBuf};

/// The sandbox knows the configured apps, if a configuration is there; others are added over its own API.
pub async fn run(path: Option<PathBuf>, listen: SocketAddr, seed: u64) -> Result<(), Failure> {
    let sandbox = Sandbox::new(SystemClock::shared(), seed);
    if let Ok(path) = config::search(path) {
        let config = config::load(&path).map_err(|problems| Failure::Config(problems.to_string()))?;
        for app in &config.apps {
            sandbox.world().add_configured(app);
            if let Some(callback) = callback(app) {
                let url = format!("http://{}/callback/{}", config.server.listen, app.name);
                let mode = if callback.has_key() { Mode::Secure } else { Mode::Plain };
                talk!("pushes to {url}");
                sandbox.world().push_to(&app.appid, Pusher { url, callback, mode, format: Format::Json });
            }
            talk!("knows the app {} ({}) from {}", app.name, app.appid, path.display());
        }
    }
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.map_err(|e| Failure::Config(format!("cannot listen on {listen}: {e}")))?;
    let address = listener.local_addr().context("cannot read the address")?;
    talk!("the sandbox listens on http://{address}; orders under /_sandbox");
    let stop = tokio_util::sync::CancellationToken::new();
    let server = tokio::spawn(http::serve(listener, sandbox.router(), stop.clone()));
    tokio::spawn(sandbox.push(stop.clone()));
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for signals")?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
    stop.cancel();
    let _ = server.await;
    Ok(())
}
