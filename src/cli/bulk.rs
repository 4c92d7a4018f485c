//! `tixing reminder cancel` and `shift` by a filter: what it lets through is counted before anything is done.

use super::{
    arguments::{Counted, Filter},
    client::Client,
    failure::Failure,
    out::Out,
    progress::during,
};
use crate::words::{Message, say};
use reqwest::Method;
use serde_json::{Value, json};

impl Filter {
    /// Whether it names nothing, and would let everything through.
    pub fn is_empty(&self) -> bool {
        [&self.app, &self.openid, &self.template, &self.schedule, &self.from, &self.to].into_iter().all(Option::is_none)
    }

    fn body(self) -> Value {
        let Self { app, openid, template, schedule, from, to } = self;
        let named = [
            ("app", app),
            ("openid", openid),
            ("template", template),
            ("schedule", schedule),
            ("from", from),
            ("to", to),
        ];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))).collect()
    }
}

/// Cancels what a filter lets through.
pub async fn cancel(client: &Client, filter: Filter, counted: Counted, out: Out) -> Result<(), Failure> {
    let question = |answer: &Value| say!("cancel_so_many", n = answer["count"]);
    let done = |answer: &Value| say!("cancelled_so_many", n = answer["count"]);
    run(client, "cancel", filter, None, counted, out, question, done).await
}

/// Moves what a filter lets through.
pub async fn shift(client: &Client, by: String, filter: Filter, counted: Counted, out: Out) -> Result<(), Failure> {
    let at_once = |answer: &Value| {
        let n = answer["at_once"].as_u64().filter(|n| *n > 0)?;
        Some(say!("of_these_at_once", n = n))
    };
    let question = |answer: &Value| {
        let (n, at_once) = (&answer["count"], at_once(answer));
        say!("shift_so_many", n = n, by = by, at_once = at_once)
    };
    let done = |answer: &Value| {
        let (n, at_once) = (&answer["count"], at_once(answer));
        say!("shifted_so_many", n = n, by = by, at_once = at_once)
    };
    run(client, "shift", filter, Some(&by), counted, out, question, done).await
}

/// So many are cancelled or moved at once. More are done by parts.
const PART: u64 = 10_000;

/// Does all of a filter that lets more than [`PART`] through, part by part.
async fn by_parts(
    client: &Client,
    path: &str,
    mut body: Value,
    counted: &Counted,
    out: Out,
    done: impl Fn(&Value) -> Message,
) -> Result<(), Failure> {
    body["limit"] = PART.into();
    let dry = format!("{path}?dry_run=true");
    let mut planned = client.ask(Method::POST, &dry, Some(body.clone())).await?;
    if counted.dry_run {
        out.done(&planned, &say!("would_be_more_than", n = PART));
        return Ok(());
    }
    if !counted.yes {
        if !out.can_ask() {
            return Err(Failure::Usage(say!("say_yes_to_more_than", n = PART)));
        }
        if !out.asks(&say!("go_on_with_more_than", n = PART)).map_err(Failure::Failed)? {
            out.tell(&say!("nothing_done"));
            return Ok(());
        }
    }
    let mut n = 0;
    loop {
        body["expect"] = planned["count"].clone();
        let asked = client.ask(Method::POST, path, Some(body.clone()));
        let asked = during(out, say!("done_so_far", n = n), asked).await;
        if asked.is_err() && n > 0 {
            out.tell(&say!("done_so_far", n = n));
        }
        let mut answer = asked?;
        n += answer["count"].as_u64().unwrap_or_default();
        // What cannot be moved stays among those that suit the filter.
        if answer["more"] != true || answer["count"] == 0 {
            answer["count"] = n.into();
            out.done(&answer, &done(&answer));
            return Ok(());
        }
        planned = client.ask(Method::POST, &dry, Some(body.clone())).await?;
    }
}

/// Counts, asks whoever is there, and does it if the number is still the same.
#[expect(clippy::too_many_arguments, reason = "the two verbs differ in three of them")]
async fn run(
    client: &Client,
    verb: &str,
    filter: Filter,
    by: Option<&str>,
    counted: Counted,
    out: Out,
    question: impl Fn(&Value) -> Message,
    done: impl Fn(&Value) -> Message,
) -> Result<(), Failure> {
    if filter.is_empty() {
        return Err(Failure::Usage(say!("name_which")));
    }
    let mut body = filter.body();
    if let Some(by) = by {
        body["by"] = by.into();
    }
    let path = format!("/v1/reminders/{verb}");
    let expect = match counted.expect {
        Some(expect) => expect,
        None => {
            let first = format!("{path}?dry_run=true");
            let counting = client.ask(Method::POST, &first, Some(body.clone()));
            let planned = match during(out, say!("counting"), counting).await {
                Err(Failure::Refused(problem)) if problem["code"] == "too_many_at_once" => {
                    return by_parts(client, &path, body, &counted, out, done).await;
                }
                planned => planned?,
            };
            let n = planned["count"].as_u64().unwrap_or_default();
            if counted.dry_run || n == 0 {
                out.done(&planned, &say!("would_be_so_many", n = n));
                return Ok(());
            }
            if planned["too_far"].as_u64().is_none_or(|n| n == 0) && !counted.yes {
                if !out.can_ask() {
                    return Err(Failure::Usage(say!("say_yes_to", n = n)));
                }
                if !out.asks(&question(&planned)).map_err(Failure::Failed)? {
                    out.tell(&say!("nothing_done"));
                    return Ok(());
                }
            }
            n
        }
    };
    body["expect"] = json!(expect);
    let answer = during(out, say!("waiting_for_answer"), client.ask(Method::POST, &path, Some(body))).await?;
    out.done(&answer, &done(&answer));
    Ok(())
}
