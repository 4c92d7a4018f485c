//! The demo's schedule: one of the files that stand at the top of the project, planned and loaded as a marketer does it.

use super::{Demo, local};
use crate::{
    cli::failure::Failure,
    domain::{HOUR, Millis, SECOND},
    words::say,
};
use axum::{body::Body, http::Request};
use serde_json::{Value, json};

const NAME: &str = "tasting.toml";
const FILE: &str = include_str!("../../../schedules/tasting.toml");
const LIST: &str = include_str!("../../../schedules/tasting.csv");
/// The event in the file, and when it reminds of it.
const EVENT: [&str; 2] = ["2031-03-01T19:30:00", "[\"1d\", \"1h\"]"];
/// What stands between two parts of a request.
const BOUNDARY: &str = "tixing-demo-6f1b2c";

impl Demo {
    /// Everybody on the list but the last allows the message; then the file is planned, and loaded as it was planned. The event of the
    /// demo begins in an hour and some seconds, so that the reminder an hour before it comes while somebody looks on.
    pub(super) async fn load_schedule(&mut self, ends: Option<Millis>) -> Result<(), Failure> {
        let now = self.clock.now();
        let ahead = ends.map_or(3 * SECOND, |at| ((at - now) / 2).clamp(SECOND, 3 * SECOND));
        let event = local(now + ahead + SECOND - 1 + HOUR).format("%Y-%m-%dT%H:%M:%S").to_string();
        let file = FILE.replace(EVENT[0], &event).replace(EVENT[1], "[\"1h\"]");
        let openids: Vec<&str> = LIST.lines().skip(1).filter_map(|row| row.split(',').next()).collect();
        let (_, allowing) = openids.split_last().expect("somebody is on it");
        for openid in allowing {
            self.allows(openid).await?;
        }
        let seen = self.upload("/v1/schedules/plan", &file).await?;
        let n = |list: &str, name: &str| seen[list][name].as_u64().unwrap_or_default();
        let (rows, new, without) = (n("rows", "right"), n("reminders", "new"), n("reminders", "no_consent"));
        self.happened(&say!("demo_plans", file = NAME, rows = rows, new = new, without = without));
        let digest = seen["digest"].as_str().unwrap_or_default();
        let loaded = self.upload(&format!("/v1/schedules/apply?digest={digest}"), &file).await?;
        let new = loaded["loaded"]["new"].as_u64().unwrap_or_default();
        self.happened(&say!("demo_loads", new = new));
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

    /// Sends the file and its list as the command line does.
    async fn upload(&self, path: &str, file: &str) -> Result<Value, Failure> {
        let part = |name: &str, text: &str| {
            format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{NAME}\"\r\n\r\n{text}\r\n"
            )
        };
        let body = format!("{}{}--{BOUNDARY}--\r\n", part("schedule", file), part("tasting.csv", LIST));
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = Request::post(path).header("content-type", kind).body(Body::from(body));
        self.ask(request.expect("a request")).await
    }
}
