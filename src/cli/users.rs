//! `tixing user`: a user's rights over what is stored about them.

use super::{
    arguments::{Lang, Rights},
    client::Client,
    failure::Failure,
    out::{data, some, talk},
};
use anyhow::Context;
use reqwest::Method;
use serde_json::json;

/// `tixing user …`
pub async fn run(client: &Client, verb: Rights, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let (path, user) = match verb {
        Rights::Export(user) => ("export", user),
        Rights::Forget(user) => ("forget", user),
        Rights::LetIn(user) => ("let-in", user),
    };
    let body = json!({ "app": user.app, "openid": user.openid });
    let answer = client.ask(Method::POST, &format!("/v1/users/{path}"), Some(body)).await?;
    client.close().await;
    if as_json {
        data!("{answer}");
        return Ok(());
    }
    match path {
        "export" => data!("{}", serde_json::to_string_pretty(&answer).context("cannot print")?),
        "forget" => {
            let n = |name: &str| answer[name].as_u64().unwrap_or_default();
            let (cancelled, given_up, erased) = (n("cancelled"), n("given_up"), n("erased"));
            match lang {
                Lang::En => talk!(
                    "forgotten: {} erased, {cancelled} of them cancelled, {given_up} given up as unconfirmed",
                    some(erased, "reminder")
                ),
                Lang::Zh => talk!("已遗忘：清除 {erased} 条提醒，其中取消 {cancelled} 条，{given_up} 条结果无法确认"),
            }
        }
        _ => talk!("{}", lang.pick("let in again", "已重新接纳")),
    }
    Ok(())
}
