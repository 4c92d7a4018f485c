//! Which reminder somebody means: by its id, or by the key that they gave it themselves.

use super::{
    arguments::Which,
    client::{Client, query},
    each::each,
    failure::Failure,
    out::Out,
};
use crate::words::say;
use reqwest::Method;

/// The path of a reminder. A text with other characters is no id, and could lead to another path.
pub fn id_path(id: &str) -> Result<String, Failure> {
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(format!("/v1/reminders/{id}"));
    }
    Err(Failure::NotFound(say!("not_an_id")))
}

/// The path of the reminder with this key.
pub fn key_path(app: Option<String>, key: String) -> String {
    format!("/v1/reminders/by-key{}", query(&[("app", app), ("key", Some(key))]))
}

/// The id of the reminder with this key.
pub async fn id_of_key(client: &Client, app: Option<String>, key: String) -> Result<String, Failure> {
    let reminder = client.ask(Method::GET, &key_path(app, key), None).await?;
    Ok(reminder["id"].as_str().unwrap_or_default().to_owned())
}

/// Does `one` to the path of each that is meant.
pub async fn each_path(
    which: Which,
    out: Out,
    mut one: impl AsyncFnMut(String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match which.key {
        Some(key) => one(key_path(which.app, key)).await,
        None => each(&which.ids, out, async |id| one(id_path(id)?).await).await,
    }
}
