//! What systemd, or whoever else supervises the daemon, is told of it.

use sd_notify::NotifyState;
use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Tells it. Without a supervisor nobody listens, and what is told to one that has gone is lost.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    let socket = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    let _ = match socket.as_bytes().strip_prefix(b"@") {
        // A name that is in no folder, which the library does not know.
        Some(name) => tell_by_name(name, states),
        None => sd_notify::notify(states),
    };
}

fn tell_by_name(name: &[u8], states: &[NotifyState<'_>]) -> io::Result<()> {
    let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
    let address = SocketAddr::from_abstract_name(name)?;
    UnixDatagram::unbound()?.send_to_addr(lines.as_bytes(), &address).map(drop)
}
