//! `tixing init`: a configuration to start from.

use super::{
    failure::Failure,
    out::{Out, data},
};
use crate::{platform::BUILT, words::say};
use serde_json::json;
use std::{
    fs::{DirBuilder, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// The configuration; `{platform}` is the first platform in the list.
const TEMPLATE: &str = include_str!("tixing.toml");

/// Writes the file and a secret's placeholder beside it; never over something that is there.
pub fn write(path: &Path, out: Out) -> Result<(), Failure> {
    if !create(path, 0o644, &TEMPLATE.replace("{platform}", BUILT[0].word))? {
        return Err(Failure::Failed(say!("init_exists", file = path.to_string_lossy())));
    }
    let secret = path.with_file_name("coffee.secret");
    let made = create(&secret, 0o600, "sandbox-secret\n")?;
    let schedules = path.with_file_name("schedules");
    make_folder(&schedules)?;
    if out.json {
        data!(
            "{}",
            json!({
                "config": path.to_string_lossy(),
                "secret": secret.to_string_lossy(),
                "secret_kept": !made,
                "schedules": schedules.to_string_lossy(),
            })
        );
        return Ok(());
    }
    out.tell(&say!("init_wrote", file = path.to_string_lossy()));
    out.tell(&if made {
        say!("init_wrote", file = secret.to_string_lossy())
    } else {
        say!("init_kept", file = secret.to_string_lossy())
    });
    out.tell(&say!("init_schedules", dir = schedules.to_string_lossy()));
    out.tell(&say!("init_next"));
    Ok(())
}

/// Makes the folder that is watched, unless it is there.
fn make_folder(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().mode(0o755).create(path);
    match made {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            Err(Failure::Failed(say!("cannot_write", file = path.to_string_lossy(), why = e.to_string())))
        }
        _ => Ok(()),
    }
}

/// Makes a file of this text. Answers whether it did: one that is there is left as it is.
fn create(path: &Path, mode: u32, text: &str) -> Result<bool, Failure> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())
    };
    match write() {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Failure::Failed(say!("cannot_write", file = path.to_string_lossy(), why = e.to_string()))),
    }
}
