//! `tixing check`: whether the configuration is right.

use super::{
    failure::Failure,
    out::{Out, data},
};
use crate::{
    clock::SystemClock,
    config,
    words::{Message, say},
};
use serde_json::json;
use std::path::PathBuf;

/// Says what is wrong with the configuration, or what is in it.
pub fn run(path: Option<PathBuf>, out: Out) -> Result<(), Failure> {
    let loaded = config::search(path).and_then(|path| config::load(&path, SystemClock::shared().now()));
    if out.json {
        let texts = |messages: Vec<Message>| messages.iter().map(Message::to_string).collect::<Vec<_>>();
        let (problems, warnings) = match &loaded {
            Ok(config) => (Vec::new(), texts(config.warnings.clone())),
            Err(problems) => (texts(problems.0.iter().map(config::Problem::message).collect()), Vec::new()),
        };
        data!("{}", json!({ "ok": problems.is_empty(), "problems": problems, "warnings": warnings }));
    }
    let config = loaded?;
    for warning in &config.warnings {
        out.tell(&say!("warning", what = warning));
    }
    if !out.json {
        let templates: usize = config.apps.iter().map(|app| app.templates.len()).sum();
        out.show(&say!(
            "configuration_ok",
            file = config.path.to_string_lossy(),
            apps = config.apps.len(),
            templates = templates
        ));
        if let Some(schedules) = &config.schedules {
            out.show(&say!("check_watches", dir = schedules.dir.to_string_lossy()));
        }
    }
    Ok(())
}
