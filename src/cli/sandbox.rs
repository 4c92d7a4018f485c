//! `tixing sandbox`: the platforms simulated.

use super::{failure::Failure, out::Out};
use crate::{
    clock::SystemClock,
    config, http,
    sandbox::{Sandbox, pusher_of},
    words::{Message, say},
};
use std::{io::ErrorKind, net::SocketAddr, path::PathBuf};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// It knows the configured apps, if a configuration is there; others are added over its own API.
pub async fn run(path: Option<PathBuf>, listen: SocketAddr, seed: u64, out: Out) -> Result<(), Failure> {
    let sandbox = Sandbox::new(SystemClock::shared(), seed);
    let bad_key = |why: String| Failure::Config(Message::text(why));
    if let Ok(path) = config::search(path) {
        let config = config::load(&path, SystemClock::shared().now())?;
        for app in &config.apps {
            sandbox.world().add_configured(app);
            if app.callback.is_some() {
                let url = format!("http://{}/callback/{}", config.server.listen, app.name);
                if let Some(pusher) = pusher_of(app, url.clone()).map_err(bad_key)? {
                    out.tell(&say!("sandbox_pushes_to", url = url));
                    sandbox.world().push_to(&app.appid, pusher);
                }
            }
            out.tell(&say!("sandbox_knows_app", app = app.name, appid = app.appid, file = path.to_string_lossy()));
        }
    }
    let cannot = |e: std::io::Error| {
        let cannot = say!("sandbox_cannot_listen", address = listen, why = e.to_string());
        // The program that has the port may end.
        match e.kind() {
            ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => Failure::Passing(cannot),
            _ => Failure::Config(cannot),
        }
    };
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let mut term = signal(SignalKind::terminate()).map_err(cannot)?;
    out.tell(&say!("sandbox_listens", address = address));
    let stop = tokio_util::sync::CancellationToken::new();
    let server = tokio::spawn(http::serve(listener, sandbox.router(), stop.clone()));
    tokio::spawn(sandbox.push(stop.clone()));
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
    stop.cancel();
    let _ = server.await;
    Ok(())
}
