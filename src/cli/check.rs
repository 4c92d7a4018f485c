//! `tixing check`: whether the configuration is right.

use super::{
    failure::Failure,
    out::{Out, data},
};
use crate::{
    clock::SystemClock,
    config::{self, Problems, Wanted},
    descriptors, http,
    store::{self, OpenError},
    words::{Message, say},
};
use serde_json::json;
use std::path::PathBuf;

/// Says what is wrong with the configuration, or what is in it. A start refuses what it calls wrong.
pub async fn run(path: Option<PathBuf>, out: Out) -> Result<(), Failure> {
    let loaded =
        config::search(path).and_then(|path| config::load_with(&path, SystemClock::shared().now(), Wanted::Reachable));
    let loaded = match loaded {
        Ok(mut config) => match store::look(&config.store.url).await {
            Ok(doubt) => {
                config.warnings.extend(doubt);
                Ok(config)
            }
            Err(OpenError::Wrong(what)) => Err(Problems::of_store(&config, what)),
            // The same configuration may be right as soon as it answers.
            Err(passing) => {
                config.warnings.push(passing.message().clone());
                Ok(config)
            }
        },
        wrong => wrong,
    };
    // The daemon may have another limit, so this is no mistake of the file.
    let room = loaded.as_ref().ok().map(|config| {
        let (files, sends) = (descriptors::possible(), config.sends_at_once());
        descriptors::connections(files, sends, http::MAX_CONNECTIONS).map(|connections| {
            say!("check_open_files_are_enough", files = files, sends = sends, connections = connections)
        })
    });
    if out.json {
        let texts = |messages: Vec<Message>| messages.iter().map(Message::to_string).collect::<Vec<_>>();
        let (problems, warnings) = match &loaded {
            Ok(config) => {
                let few = room.iter().filter_map(|room| room.as_ref().err()).cloned();
                (Vec::new(), texts(config.warnings.iter().cloned().chain(few).collect()))
            }
            Err(problems) => (texts(problems.0.iter().map(config::Problem::message).collect()), Vec::new()),
        };
        data!("{}", json!({ "ok": problems.is_empty(), "problems": problems, "warnings": warnings }));
    }
    let config = loaded?;
    for warning in &config.warnings {
        out.tell(&say!("warning", what = warning));
    }
    if let Some(Err(few)) = &room {
        out.tell(&say!("warning", what = few));
    }
    if !out.json {
        let templates: usize = config.apps.iter().map(|app| app.templates.len()).sum();
        out.show(&say!(
            "configuration_ok",
            file = config.path.to_string_lossy(),
            apps = config.apps.len(),
            templates = templates
        ));
        if let Some(Ok(room)) = &room {
            out.show(room);
        }
        if let Some(schedules) = &config.schedules {
            out.show(&say!("check_watches", dir = schedules.dir.to_string_lossy()));
        }
    }
    Ok(())
}
