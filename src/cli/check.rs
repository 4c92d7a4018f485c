//! `tixing check`: whether the configuration is right.

use super::{
    arguments::Lang,
    failure::Failure,
    out::{data, some, talk},
};
use crate::config;
use serde_json::json;
use std::path::PathBuf;

/// Says what is wrong with the configuration, or what is in it.
pub fn run(path: Option<PathBuf>, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let loaded = config::search(path).and_then(|path| config::load(&path));
    if as_json {
        let (problems, warnings) = match &loaded {
            Ok(config) => (Vec::new(), config.warnings.clone()),
            Err(problems) => (problems.0.iter().map(|p| format!("{}: {}", p.place, p.what)).collect(), Vec::new()),
        };
        data!("{}", json!({ "ok": problems.is_empty(), "problems": problems, "warnings": warnings }));
    }
    let config = loaded.map_err(|problems| Failure::Config(problems.to_string()))?;
    for warning in &config.warnings {
        talk!("{}: {warning}", lang.pick("warning", "警告"));
    }
    if !as_json {
        let templates: usize = config.apps.iter().map(|app| app.templates.len()).sum();
        let (apps, templates) = (some(config.apps.len() as u64, "app"), some(templates as u64, "template"));
        data!("{}: ok, {apps}, {templates}", config.path.display());
    }
    Ok(())
}
