//! Whether a store can be opened where the configuration says, looked at without opening it.

use super::{OpenError, file, filesystem, postgres};
use crate::words::Message;

/// Looks whether the place of a store, or its server, takes one, and changes nothing. Answers what may be wrong with it.
///
/// # Errors
/// Why a start would refuse it, or that the server does not answer.
pub async fn look(url: &str) -> Result<Option<Message>, OpenError> {
    match url.strip_prefix("sqlite:") {
        Some(path) => filesystem::look(file::folder(&file::real(path.as_ref())?)),
        None => postgres::look(url).await.map(|()| None),
    }
}
