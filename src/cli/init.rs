//! `tixing init`: a configuration to start from.

use super::{
    arguments::Lang,
    failure::Failure,
    out::{data, talk},
};
use serde_json::json;
use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

const TEMPLATE: &str = include_str!("tixing.toml");

/// Writes the file and a secret's placeholder beside it; never over something that is there.
pub fn write(path: &Path, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let create = |path: &Path, mode: u32, text: &str| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())
    };
    match create(path, 0o644, TEMPLATE) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::Failed(anyhow::anyhow!(
                "{} exists already and is left as it is; name another path",
                path.display()
            )));
        }
        Err(e) => {
            return Err(Failure::Failed(anyhow::Error::new(e).context(format!("cannot write {}", path.display()))));
        }
    }
    let secret = path.with_file_name("coffee.secret");
    let kept = match create(&secret, 0o600, "sandbox-secret\n") {
        Ok(()) => false,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => true,
        Err(e) => return Err(anyhow::Error::new(e).context(format!("cannot write {}", secret.display())).into()),
    };
    if as_json {
        data!("{}", json!({ "config": path, "secret": secret, "secret_kept": kept }));
        return Ok(());
    }
    talk!("{} {}", lang.pick("wrote", "已写入"), path.display());
    talk!(
        "{} {}",
        if kept { lang.pick("left as it was:", "保持原样：") } else { lang.pick("wrote", "已写入") },
        secret.display()
    );
    talk!(
        "{}",
        lang.pick(
            "next: tixing check, then tixing sandbox in one terminal and tixing serve in another",
            "下一步：tixing check，然后在两个终端分别运行 tixing sandbox 和 tixing serve"
        )
    );
    Ok(())
}
