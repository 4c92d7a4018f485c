//! A message as the user sees it.

use crate::config::Config;
use serde_json::Value;

/// A message on a phone.
pub struct Card {
    /// Who sends it.
    pub app: String,
    /// The template's title.
    pub title: String,
    /// Label and value of each field.
    pub fields: Vec<(String, String)>,
}

impl Card {
    /// The message of a template with these values, an object by the fields' keys.
    pub fn of(config: &Config, app: &str, template: &str, data: &Value) -> Self {
        let known = config.apps.iter().find(|known| known.name == app).and_then(|app| app.template(template));
        let label = |key: &String| known.and_then(|known| known.fields.get(key)).unwrap_or(key).clone();
        let values = data.as_object().into_iter().flatten();
        let fields = values.map(|(key, value)| (label(key), value.as_str().unwrap_or_default().to_owned()));
        Self { app: app.to_owned(), title: title_of(config, app, template), fields: fields.collect() }
    }
}

/// What people call a template: its title, else its alias.
pub fn title_of(config: &Config, app: &str, template: &str) -> String {
    let known = config.apps.iter().find(|known| known.name == app).and_then(|app| app.template(template));
    let title = known.map(|known| known.title.clone()).filter(|title| !title.is_empty());
    title.or_else(|| known?.name.clone()).unwrap_or_else(|| template.to_owned())
}
