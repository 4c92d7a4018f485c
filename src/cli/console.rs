//! `tixing console`: the way into the pages for people.

use super::{
    client::Client,
    failure::Failure,
    out::{Out, data},
    table::text,
};
use crate::words::say;
use reqwest::Method;

/// Prints a link by which somebody signs in once. Only a daemon serves the pages that it leads to.
pub async fn open(client: &Client, out: Out) -> Result<(), Failure> {
    if !client.is_served() {
        client.close().await;
        return Err(Failure::Unreachable(say!("console_needs_daemon")));
    }
    let link = client.ask(Method::POST, "/v1/console/open", None).await?;
    if out.json {
        data!("{link}");
    } else {
        data!("{}", text(&link["url"]));
        out.tell(&say!("console_link_lives"));
    }
    Ok(())
}
