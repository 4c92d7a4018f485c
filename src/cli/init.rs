//! `tixing init`: a configuration to start from.

use super::{
    failure::Failure,
    out::{Out, data},
};
use crate::{platform::Facts, words::say};
use serde_json::json;
use std::{
    fs::{DirBuilder, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// The line on `exclusive`, where that has an effect.
const EXCLUSIVE: &str = "# exclusive = true                   # nobody else sends with this appid: then a doubtful send may safely be tried again\n";

/// The value of `ask_at_once`, and what it can be.
fn ask_at_once(platform: &Facts) -> String {
    let (usual, most) = (platform.popup.usual, platform.popup.most);
    let range = if most == 1 { "1 alone".to_owned() } else { format!("1 to {most}") };
    format!("{usual}                    # templates that /v1/consents/ask names for one popup, {range}")
}

/// A configuration with one app on this platform, as its sample has it.
pub fn configuration(platform: &Facts) -> String {
    let sample = &platform.sample;
    include_str!("tixing.toml")
        .replace("{platform}", platform.word)
        .replace("{appid}", sample.appid)
        .replace("{own}", sample.own)
        .replace("{exclusive}", if platform.doubt.counts_consents { EXCLUSIVE } else { "" })
        .replace("{callback}", sample.callback)
        .replace("{rate}", &format!("{:<4}", platform.most_per_second.unwrap_or(u32::MAX).min(500)))
        .replace("{ask}", &ask_at_once(platform))
        .replace("{templates}", sample.templates)
}

/// Writes the file and the secrets that the sandbox takes beside it; never over something that is there.
pub fn write(path: &Path, platform: &Facts, out: Out) -> Result<(), Failure> {
    if !create(path, 0o644, &configuration(platform))? {
        return Err(Failure::Failed(say!("init_exists", file = path.to_string_lossy())));
    }
    let mut secrets = Vec::new();
    for (name, text) in platform.sample.files {
        let secret = path.with_file_name(name);
        let made = create(&secret, 0o600, text)?;
        secrets.push((secret.to_string_lossy().into_owned(), made));
    }
    let schedules = path.with_file_name("schedules");
    make_folder(&schedules)?;
    if out.json {
        data!(
            "{}",
            json!({
                "config": path.to_string_lossy(),
                "secret": secrets.first().map(|(file, _)| file),
                "secret_kept": secrets.first().is_some_and(|(_, made)| !made),
                "secrets": secrets.iter().map(|(file, made)| json!({ "file": file, "kept": !made })).collect::<Vec<_>>(),
                "schedules": schedules.to_string_lossy(),
            })
        );
        return Ok(());
    }
    out.tell(&say!("init_wrote", file = path.to_string_lossy()));
    for (file, made) in &secrets {
        out.tell(&if *made { say!("init_wrote", file = file) } else { say!("init_kept", file = file) });
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, platform::BUILT, words::Voice};

    #[test]
    fn what_is_written_for_each_platform_is_right_and_has_an_event_to_remind_of() {
        for platform in BUILT {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("tixing.toml");
            write(&path, platform, Out { json: true, voice: Voice::default() }).expect("written");
            let config = config::load(&path, 0).unwrap_or_else(|e| panic!("{}: {e}", platform.word));
            assert_eq!(
                config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
                [""; 0],
                "{}",
                platform.word
            );
            for (n, line) in configuration(platform)
                .lines()
                .enumerate()
                .skip_while(|(_, line)| *line != "[[app]]")
                .take_while(|(_, line)| *line != "[[app.template]]")
            {
                // What is there as a comment is right, too, once it counts.
                let Some((key, _)) = line.strip_prefix("# ").and_then(|line| line.split_once(" = ")) else { continue };
                let is_key = key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                // What needs a file, another key, or PostgreSQL.
                if !is_key || line.contains("{ file") || ["callback", "consents", "shards"].contains(&key) {
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("there");
                let counts: Vec<&str> =
                    text.lines().enumerate().map(|(m, l)| if m == n { &l[2..] } else { l }).collect();
                let other = folder.path().join("other.toml");
                std::fs::write(&other, counts.join("\n")).expect("written");
                let config = config::load(&other, 0).unwrap_or_else(|e| panic!("{}: {line}: {e}", platform.word));
                let idle: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
                assert!(
                    key == "mode" || idle.iter().all(|said| said.contains("callback")),
                    "{}: {idle:?}",
                    platform.word
                );
            }
            let app = &config.apps[0];
            assert_eq!((app.name.as_str(), app.platform.word), ("coffee", platform.word));
            let template = app.template("event-start").expect("there is one");
            let mut fields = platform.sample.event;
            fields.sort_unstable();
            assert_eq!(template.fields.keys().map(String::as_str).collect::<Vec<_>>(), fields, "{}", platform.word);
            assert_eq!((platform.user)(&(platform.sample.openid)(7), &app.settings), Ok(()), "{}", platform.word);
        }
    }
}
