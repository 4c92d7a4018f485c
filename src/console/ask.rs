//! The API is asked as the person who is signed in.

use super::{Console, frame::Frame, person::Person};
use crate::words::{Lang, Message, Voice, say};
use askama::Template;
use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// A page that could not be made.
#[derive(Template)]
#[template(path = "error.html", config = "src/console/askama.toml")]
struct ErrorPage {
    frame: Frame,
    status: u16,
    title: String,
    detail: String,
}

/// The kind of most bodies.
const JSON: &str = "application/json";

/// What the API refused, in the reader's language.
#[derive(Debug)]
pub struct Refused {
    /// Its status.
    pub status: StatusCode,
    /// Its sentence.
    pub detail: String,
    request_id: String,
}

impl Refused {
    fn of(status: StatusCode, problem: &Value) -> Self {
        let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
        Self { status, detail: text("detail"), request_id: text("request_id") }
    }

    /// The page that says so.
    pub fn page(self, mut frame: Frame) -> Response {
        let Self { status, detail, request_id } = self;
        if !request_id.is_empty() {
            // The API's own, by which the log has what it refused.
            frame.request_id = request_id;
        }
        error(frame, status, Message::text(detail))
    }
}

/// The page of an error: what is wrong, and the request's id.
pub fn error(frame: Frame, status: StatusCode, detail: Message) -> Response {
    let title = match status {
        StatusCode::NOT_FOUND => say!("console_not_found"),
        StatusCode::FORBIDDEN => say!("console_forbidden"),
        _ => say!("console_failed"),
    };
    let (title, detail) = (title.say(frame.voice), detail.say(frame.voice));
    (status, html(&ErrorPage { frame, status: status.as_u16(), title, detail })).into_response()
}

/// A file that the API has answered with, or the page that says why there is none.
pub async fn file(answer: Response, frame: Frame) -> Response {
    if answer.status().is_success() {
        return answer;
    }
    let (status, problem) = read(answer).await;
    Refused::of(status, &problem).page(frame)
}

/// An answer's status and its JSON; null if it has none.
async fn read(answer: Response) -> (StatusCode, Value) {
    let status = answer.status();
    let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// A page as an answer.
pub fn html(page: &impl Template) -> Html<String> {
    Html(page.render().expect("pages are written to memory"))
}

impl Console {
    /// Asks the API for JSON.
    pub async fn ask(
        &self,
        person: &Person,
        voice: Voice,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Refused> {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let (status, value) = self.ask_with(person, voice, method, path, JSON, body).await;
        if status.is_success() {
            return Ok(value);
        }
        Err(Refused::of(status, &value))
    }

    /// Asks the API by a body of another kind; its status and its JSON, whichever they are.
    pub async fn ask_with(
        &self,
        person: &Person,
        voice: Voice,
        method: Method,
        path: &str,
        kind: &str,
        body: Body,
    ) -> (StatusCode, Value) {
        read(self.send(person, voice, method, path, kind, body).await).await
    }

    /// The API's answer as it is.
    pub async fn answer(
        &self,
        person: &Person,
        voice: Voice,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Response {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(person, voice, method, path, JSON, body).await
    }

    /// The same with a body of another kind.
    pub async fn send(
        &self,
        person: &Person,
        voice: Voice,
        method: Method,
        path: &str,
        kind: &str,
        body: Body,
    ) -> Response {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("a path of ours");
        let language = if voice.lang == Lang::Zh { "zh" } else { "en" };
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(language));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).expect("a kind of ours"));
        headers.insert(header::HOST, HeaderValue::from_static("tixing"));
        request.extensions_mut().insert(person.caller.clone());
        let Ok(answer) = self.asked.clone().oneshot(request).await;
        answer
    }
}

/// A part of a path, or a value of a query, as it stands in an address.
pub fn part(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
