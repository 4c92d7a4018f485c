//! `tixing init`: a configuration to start from.

use super::{Failure, Lang};
use anyhow::Context;
use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

const TEMPLATE: &str = include_str!("tixing.toml");

/// Writes the file and a secret's placeholder beside it; never over something that is there.
pub fn write(path: &Path, lang: Lang) -> Result<(), Failure> {
    let create = |path: &Path, mode: u32, text: &str| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())
    };
    match create(path, 0o644, TEMPLATE) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
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
    if !secret.exists() {
        create(&secret, 0o600, "sandbox-secret\n").with_context(|| format!("cannot write {}", secret.display()))?;
    }
    let (en, zh) = (
        format!(
            "wrote {} and {}\nnext: tixing check, then tixing sandbox in one terminal and tixing serve in another",
            path.display(),
            secret.display()
        ),
        format!(
            "已写入 {} 和 {}\n下一步：tixing check，然后在两个终端分别运行 tixing sandbox 和 tixing serve",
            path.display(),
            secret.display()
        ),
    );
    eprintln!("{}", lang.pick(&en, &zh));
    Ok(())
}
