//! `tixing user`: a user's rights over what is stored about them.

use super::{
    arguments::Rights,
    client::Client,
    failure::Failure,
    out::{Out, data},
    progress::during,
    table::text,
};
use crate::words::{Message, say};
use reqwest::Method;
use serde_json::json;

/// `tixing user …`
pub async fn run(client: &Client, verb: Rights, out: Out) -> Result<(), Failure> {
    let (path, user) = match verb {
        Rights::Export(user) => ("export", user),
        Rights::Forget(user) => ("forget", user),
        Rights::LetIn(user) => ("let-in", user),
    };
    let body = json!({ "app": user.app, "openid": user.openid });
    let path_of_call = format!("/v1/users/{path}");
    let answer = client.ask(Method::POST, &path_of_call, Some(body));
    let answer = during(out, say!("waiting_for_answer"), answer).await?;
    client.close().await;
    match path {
        "export" if out.json => data!("{answer}"),
        "export" => data!("{answer:#}"),
        "forget" => {
            let (erased, cancelled, given_up) = (&answer["erased"], &answer["cancelled"], &answer["given_up"]);
            let said = say!("user_is_forgotten", erased = erased, cancelled = cancelled, given_up = given_up);
            out.done(&answer, &said);
            let names: Vec<Message> =
                answer["named_by"].as_array().into_iter().flatten().map(|name| Message::text(text(name))).collect();
            if !names.is_empty() {
                out.tell(&say!("files_name_user_still", names = names));
            }
        }
        _ => out.done(&answer, &say!("user_let_in")),
    }
    Ok(())
}
