//! The demo's schedules: two of the files that stand at the top of the project, planned as a marketer does it, and one of them loaded.

use super::{Demo, local};
use crate::{
    cli::failure::Failure,
    domain::{HOUR, Millis, SECOND},
    words::{Lang, say},
};
use axum::{body::Body, http::Request};
use chrono::DateTime;
use serde_json::{Value, json};

/// A schedule's file and the list beside it.
struct Files {
    name: &'static str,
    text: &'static str,
    list_name: &'static str,
    list: &'static str,
}

const TASTING: Files = Files {
    name: "tasting.toml",
    text: include_str!("../../../schedules/tasting.toml"),
    list_name: "tasting.csv",
    list: include_str!("../../../schedules/tasting.csv"),
};
const CLASS: Files = Files {
    name: "class.toml",
    text: include_str!("../../../schedules/class.toml"),
    list_name: "class.csv",
    list: include_str!("../../../schedules/class.csv"),
};
/// The event of the tasting, and when it reminds of it.
const EVENT: [&str; 2] = ["2031-03-01T19:30:00", "[\"1d\", \"1h\"]"];
/// Between which days the class takes place.
const DAYS: &str = "from = 2031-03-01, until = 2031-06-30, ";
/// What stands between two parts of a request.
const BOUNDARY: &str = "tixing-demo-6f1b2c";

impl Demo {
    /// Everybody on the list but the last allows the message; then the file is planned, and loaded as it was planned. The event of the
    /// demo begins in an hour and some seconds, so that the reminder an hour before it comes while somebody looks on.
    pub(super) async fn load_tasting(&mut self, ends: Option<Millis>) -> Result<(), Failure> {
        let now = self.clock.now();
        let ahead = ends.map_or(3 * SECOND, |at| ((at - now) / 2).clamp(SECOND, 3 * SECOND));
        let event = local(now + ahead + SECOND - 1 + HOUR).format("%Y-%m-%dT%H:%M:%S").to_string();
        let file = TASTING.text.replace(EVENT[0], &event).replace(EVENT[1], "[\"1h\"]");
        let openids: Vec<&str> = TASTING.list.lines().skip(1).filter_map(|row| row.split(',').next()).collect();
        let (_, allowing) = openids.split_last().expect("somebody is on it");
        for openid in allowing {
            self.allows(openid).await?;
        }
        let seen = self.upload("/v1/schedules/plan", &TASTING, &file).await?;
        let n = |list: &str, name: &str| seen[list][name].as_u64().unwrap_or_default();
        let (rows, new, without) = (n("rows", "right"), n("reminders", "new"), n("reminders", "no_consent"));
        self.happened(&say!("demo_plans", file = TASTING.name, rows = rows, new = new, without = without));
        let digest = seen["digest"].as_str().unwrap_or_default();
        let loaded = self.upload(&format!("/v1/schedules/apply?digest={digest}"), &TASTING, &file).await?;
        let new = loaded["loaded"]["new"].as_u64().unwrap_or_default();
        self.happened(&say!("demo_loads", new = new));
        Ok(())
    }

    /// A class each week is planned: the plan says in words how it recurs, and when the next five are.
    pub(super) async fn plan_class(&self) -> Result<(), Failure> {
        let seen = self.upload("/v1/schedules/plan", &CLASS, &CLASS.text.replace(DAYS, "")).await?;
        let events = seen["next"].as_array().into_iter().flatten().filter_map(|next| next["event"].as_str());
        // Its days; at which time they begin stands in the words.
        let days = events.filter_map(|event| DateTime::parse_from_rfc3339(event).ok());
        let days: Vec<String> = days.map(|at| local(at.timestamp_millis()).format("%Y-%m-%d").to_string()).collect();
        let recurs = seen["recurs"].as_str().unwrap_or_default();
        self.happened(&say!("demo_recurs", file = CLASS.name, recurs = recurs, next = days));
        Ok(())
    }

    /// The user taps «allow» for the schedule's template, and the app's back end passes it on.
    async fn allows(&mut self, openid: &str) -> Result<(), Failure> {
        let app = self.config.apps.first().expect("configured");
        let template = app.template("event-start").expect("configured").code.clone();
        let body = json!({ "app": app.name, "openid": openid, "results": { &*template: "accept" } });
        self.sandbox.world().tap(&app.appid, openid, &template, true);
        self.post("/v1/consents", &body).await?;
        self.accepted += 1;
        Ok(())
    }

    /// Sends the file, as it reads now, and its list as the command line does.
    async fn upload(&self, path: &str, files: &Files, text: &str) -> Result<Value, Failure> {
        let part = |name: &str, text: &str| {
            format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{}\"\r\n\r\n{text}\r\n",
                files.name
            )
        };
        let body = format!("{}{}--{BOUNDARY}--\r\n", part("schedule", text), part(files.list_name, files.list));
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let lang = if self.out.voice.lang == Lang::Zh { "zh" } else { "en" };
        let request = Request::post(path).header("content-type", kind).header("accept-language", lang);
        self.ask(request.body(Body::from(body)).expect("a request")).await
    }
}
