//! Alipay's face: its gateway, which checks every request's signature and signs its answers, in the documented shapes.
//!
//! It has a key and certificates of its own, which belong to nobody: `GET /_sandbox/alipay` shows the public ones.

use super::{
    AppSpec, Sandbox,
    face::{Face, Tapped},
    faults::hit,
    judge::{Cause, Sending, Verdict},
    ledger::Denied,
    world::World,
};
use crate::{
    domain::{MINUTE, Millis, consent::Ticket, template::Kind},
    platform::alipay::{
        Certificate, FACTS, METHOD, Material, NODE, PATH, PrivateKey, PublicKey, QUERY_METHOD, QUERY_NODE, root_sn,
        signature,
    },
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chrono::{FixedOffset, NaiveDateTime, TimeZone};
use rand::RngExt;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

pub(super) const FACE: Face = Face { platform: FACTS.word, routes, popup, one_at_a_time: true, pushes: None };

/// What the gateway signs with.
const KEY: &str = include_str!("alipay/gateway.key");
/// Its certificate, and the root that signed it.
const CERTIFICATE: &str = include_str!("alipay/gateway.crt");
const ROOT: &str = include_str!("alipay/root.crt");

static GATEWAY: LazyLock<PrivateKey> = LazyLock::new(|| match Material::read(KEY) {
    Ok(Material::Private(key)) => key,
    _ => unreachable!("the key stands beside this file"),
});

/// The number of a text's certificates: of the first, or of all that are roots.
fn number(text: &str, of: fn(&[Certificate]) -> String) -> String {
    match Material::read(text) {
        Ok(Material::Certificates(certificates)) => of(&certificates),
        _ => String::new(),
    }
}

fn first(certificates: &[Certificate]) -> String {
    certificates[0].sn.clone().unwrap_or_default()
}

/// How far a request's time may be from ours. [?] The V2 gateway documents its form only; V3 has ten minutes.
const SKEW: Millis = 10 * MINUTE;

fn routes() -> Router<Sandbox> {
    // Some clients put everything into the query of a GET. [T]
    Router::new().route(PATH, post(gateway).get(gateway)).route("/_sandbox/alipay", get(keys))
}

/// What an app needs to know of this gateway.
async fn keys() -> Json<Value> {
    let public = include_str!("../platform/alipay/sample/alipay.pub").trim();
    Json(json!({ "alipay_public_key": public, "certificates": { "alipay": CERTIFICATE, "root": ROOT } }))
}

/// As `my.requestSubscribeMessage` gives it.
fn popup(Tapped { results, .. }: &Tapped) -> Value {
    let ids = |wanted: fn(&str) -> bool| -> Vec<&String> {
        results.iter().filter(|(_, word)| wanted(word)).map(|(id, _)| id).collect()
    };
    let accepted = ids(|word| word == "accept");
    let mut given = json!({
        "behavior": "subscribe", "show": true, "keep": false, "refuse": false,
        "result": {
            "subscribeEntityIds": ids(|_| true),
            "subscribedEntityIds": accepted,
            "unsubscribedEntityIds": ids(|word| word != "accept"),
            "currentSubscribedEntityIds": accepted,
        },
    });
    results.iter().for_each(|(id, word)| given[id] = word.clone().into());
    given
}

/// How an answer is signed.
#[derive(Debug, Clone)]
struct Seal {
    /// The number of our certificate; empty if the app is in key mode.
    certificate: String,
    /// Whether it is of the answer's own text.
    good: bool,
}

impl Seal {
    /// As the faults will have it.
    fn new(world: &mut World, certificate: Option<String>) -> Self {
        let good = !hit(&mut world.rng, world.faults.bad_signature_rate);
        Self { certificate: certificate.unwrap_or_default(), good }
    }

    /// What stands beside a node.
    fn beside(&self, node: &str) -> String {
        let sign = GATEWAY.sign(if self.good { node } else { "another text" });
        match self.certificate.as_str() {
            "" => format!(",\"sign\":\"{sign}\""),
            number => format!(",\"alipay_cert_sn\":\"{number}\",\"sign\":\"{sign}\""),
        }
    }
}

/// A refusal in Alipay's words.
#[derive(Debug, Clone)]
struct Refusal {
    /// Whether it stands in the method's own node.
    own: bool,
    code: String,
    sub_code: String,
    /// What the gateway refuses before it knows whose request it is comes without a signature.
    seal: Option<Seal>,
}

impl Refusal {
    /// Of the gateway, which signs none.
    fn gateway(code: u32, sub_code: &str) -> Self {
        Self { own: true, code: code.to_string(), sub_code: sub_code.to_owned(), seal: None }
    }

    /// Of the method.
    fn business(sub_code: &str, seal: Seal) -> Self {
        Self { own: true, code: "40004".into(), sub_code: sub_code.to_owned(), seal: Some(seal) }
    }

    fn node(&self) -> String {
        let text = match self.code.as_str() {
            "20000" => "Service Currently Unavailable",
            "40001" => "Missing Required Arguments",
            "40002" => "Invalid Arguments",
            "40005" => "Call Limited",
            "40006" => "Insufficient Permissions",
            _ => "Business Failed",
        };
        let mut node = json!({ "code": self.code, "msg": text });
        if !self.sub_code.is_empty() {
            node["sub_code"] = self.sub_code.clone().into();
            node["sub_msg"] = "沙箱拒绝了该请求".into();
        }
        node.to_string()
    }
}

fn refused(refusal: &Refusal) -> Response {
    refused_in(NODE, refusal)
}

/// The same, where the method's own node is this one.
fn refused_in(node: &str, refusal: &Refusal) -> Response {
    let name = if refusal.own { node } else { "error_response" };
    written(name, &refusal.node(), refusal.seal.as_ref())
}

/// A node, signed if it is to be.
fn written(name: &str, node: &str, seal: Option<&Seal>) -> Response {
    let beside = seal.map_or_else(String::new, |seal| seal.beside(node));
    let trace = format!("{:032x}", rand::rng().random::<u128>());
    let headers = [(header::CONTENT_TYPE.as_str(), "text/html;charset=utf-8"), ("trace_id", &trace)];
    (headers, format!("{{\"{name}\":{node}{beside}}}")).into_response()
}

async fn gateway(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery, body: Bytes) -> Response {
    let query = query.unwrap_or_default();
    let [query, body] = [query.as_bytes(), &body].map(|form| form_urlencoded::parse(form).into_owned());
    let pairs: Vec<(String, String)> = query.chain(body).collect();
    if pairs.iter().any(|(name, value)| name == "method" && value == QUERY_METHOD) {
        return asked(&sandbox, &pairs);
    }
    // What has arrived is worked on to its end, whether or not the caller still listens.
    let worked =
        tokio::spawn(async move { sandbox.work(|world, now| read(world, &pairs, now), refused, answer).await });
    worked.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Reads a send.
fn read(world: &mut World, pairs: &[(String, String)], now: Millis) -> Result<Sending, Refusal> {
    let Passed { app, certificate, content } = passed(world, pairs, now)?;
    message(&app, &content).map_err(|sub_code| Refusal::business(sub_code, Seal::new(world, certificate)))
}

/// Whether a user is subscribed. It changes nothing.
fn asked(sandbox: &Sandbox, pairs: &[(String, String)]) -> Response {
    let now = sandbox.clock.now();
    let world = &mut *sandbox.world();
    let Passed { app, certificate, content } = match passed(world, pairs, now) {
        Ok(passed) => passed,
        Err(refusal) => return refused_in(QUERY_NODE, &refusal),
    };
    let seal = Seal::new(world, certificate);
    let refuse = |sub_code| refused_in(QUERY_NODE, &Refusal::business(sub_code, seal.clone()));
    let Some(openid) = user(&content, "user_id", "open_id") else { return refuse("OPENID_INVALID") };
    let ids: Vec<&str> =
        content["template_id_list"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if ids.len() > 3 {
        return refuse("SUBSCRIBE_TEMPLATE_OVER_LIMIT");
    }
    let mut relations = Vec::new();
    for id in ids {
        let Some(template) = app.templates.iter().find(|template| template.id == id) else {
            return refuse("MSG_TEMPLATE_NOT_EXIST");
        };
        let state = match world.grants.denies(&app.appid, openid, id, now) {
            Some(Denied::Never) => continue,
            Some(Denied::Off) => "0",
            Some(Denied::UsedUp) | None => "1",
        };
        let kind = if template.kind == Kind::OneTime { "onetime" } else { "longterm" };
        relations.push(json!({ "template_id": id, "subscribe_state": state, "subscribe_type": kind }));
    }
    let node = json!({ "code": "10000", "msg": "Success", "show_component": true, "subscribe_relations": relations });
    written(QUERY_NODE, &node.to_string(), Some(&seal))
}

/// What has passed the gateway.
struct Passed {
    app: AppSpec,
    /// The number of our certificate, if the app is in certificate mode.
    certificate: Option<String>,
    content: Value,
}

/// Looks at a request in the gateway's order: the method, the app, the parameters, the signature, and then what it says.
fn passed(world: &mut World, pairs: &[(String, String)], now: Millis) -> Result<Passed, Refusal> {
    let values: HashMap<&str, &str> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let value = |name: &str| values.get(name).copied().unwrap_or_default();
    let unknown = |refusal: Refusal| Refusal { own: false, ..refusal };
    match value("method") {
        "" => return Err(unknown(Refusal::gateway(40001, "isv.missing-method"))),
        METHOD | QUERY_METHOD => {}
        _ => return Err(unknown(Refusal::gateway(40002, "isv.invalid-method"))),
    }
    if value("app_id").is_empty() {
        return Err(Refusal::gateway(40001, "isv.missing-app-id"));
    }
    let app = world.apps.get(value("app_id")).filter(|app| app.platform == FACTS.word).cloned();
    let app = app.ok_or_else(|| Refusal::gateway(40002, "isv.invalid-app-id"))?;
    parameters(&value, now)?;
    let certificate = certificates(&app, &value)?;
    let revoked = std::mem::take(&mut world.faults.token_revoked) || world.faults.tokens_refused;
    let key = public_key(&app).filter(|_| !revoked);
    let covered = signature::text(pairs, &["sign"]);
    if !key.is_some_and(|key| key.verifies(&covered, value("sign"))) {
        return Err(Refusal::gateway(40002, "isv.invalid-signature"));
    }
    if world.faults.ip_blocked {
        return Err(Refusal::gateway(40006, "isv.illegal-client-ip"));
    }
    if hit(&mut world.rng, world.faults.busy_rate) {
        return Err(Refusal::gateway(20000, "isp.unknow-error"));
    }
    let content: Value = serde_json::from_str(value("biz_content")).unwrap_or_default();
    if !content.is_object() {
        return Err(Refusal::gateway(40002, "isv.illegal-json"));
    }
    Ok(Passed { app, certificate, content })
}

/// Whose id the content has, by one of these two names, if it is of that name's kind.
fn user<'a>(content: &'a Value, user_id: &str, open_id: &str) -> Option<&'a str> {
    let text = |key: &str| content[key].as_str().unwrap_or_default();
    let is_user_id = |id: &str| id.len() == 16 && id.starts_with("2088") && id.bytes().all(|b| b.is_ascii_digit());
    match (text(user_id), text(open_id)) {
        (id, "") if is_user_id(id) => Some(id),
        ("", id) if !id.is_empty() && !is_user_id(id) => Some(id),
        _ => None,
    }
}

/// The public parameters.
fn parameters<'a>(value: &impl Fn(&str) -> &'a str, now: Millis) -> Result<(), Refusal> {
    for (name, missing) in [
        ("sign", "isv.missing-signature"),
        ("sign_type", "isv.missing-signature-type"),
        ("charset", "isv.missing-charset"),
        ("timestamp", "isv.missing-timestamp"),
        ("version", "isv.missing-version"),
        ("biz_content", "isv.missing-biz-content"),
    ] {
        if value(name).is_empty() {
            return Err(Refusal::gateway(40001, missing));
        }
    }
    for (name, right, invalid) in [
        ("sign_type", value("sign_type") == "RSA2", "isv.invalid-signature-type"),
        ("charset", value("charset").eq_ignore_ascii_case("utf-8"), "isv.invalid-charset"),
        ("format", ["", "JSON", "json"].contains(&value("format")), "isv.invalid-format"),
        ("version", value("version") == "1.0", "isv.invalid-version"),
        ("timestamp", is_now(value("timestamp"), now), "isv.invalid-timestamp"),
    ] {
        if !right {
            tracing::debug!(name, invalid, "the sandbox refuses a parameter");
            return Err(Refusal::gateway(40002, invalid));
        }
    }
    Ok(())
}

fn is_now(time: &str, now: Millis) -> bool {
    let local = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").ok();
    let beijing = FixedOffset::east_opt(8 * 3_600).expect("eight hours are an offset");
    let instant = local.and_then(|local| beijing.from_local_datetime(&local).single());
    instant.is_some_and(|instant| (instant.timestamp_millis() - now).abs() <= SKEW)
}

/// In certificate mode, the number of our certificate, if the request names the app's and the roots.
fn certificates<'a>(app: &AppSpec, value: &impl Fn(&str) -> &'a str) -> Result<Option<String>, Refusal> {
    let own = app.secret("certificates.app");
    if own.is_empty() {
        return Ok(None);
    }
    let known = [
        ("app_cert_sn", number(own, first), "isv.missing-app-cert-sn", "isv.app-cert-not-exist"),
        (
            "alipay_root_cert_sn",
            number(ROOT, root_sn),
            "isv.missing-alipay-root-cert-sn",
            "isv.invalid-alipay-root-cert-sn",
        ),
    ];
    for (name, known, missing, invalid) in known {
        match value(name) {
            "" => return Err(Refusal::gateway(40001, missing)),
            given if given != known => return Err(Refusal::gateway(40002, invalid)),
            _ => {}
        }
    }
    Ok(Some(number(CERTIFICATE, first)))
}

/// What the app's requests are verified with: the console has its public key, or its certificate. An order may give the private key, too.
fn public_key(app: &AppSpec) -> Option<PublicKey> {
    let texts = ["public_key", "certificates.app", "private_key"].map(|key| app.secret(key));
    let text = texts.into_iter().find(|text| !text.is_empty())?;
    Material::read(text).and_then(|material| material.public()).ok()
}

/// The message, or the sub code of what is wrong with it.
fn message(app: &AppSpec, content: &Value) -> Result<Sending, &'static str> {
    let text = |key: &str| content[key].as_str().unwrap_or_default();
    let openid = user(content, "to_user_id", "to_open_id").ok_or("USER_ID_INVALID")?;
    let page = text("page");
    if page.is_empty() || text("user_template_id").is_empty() {
        return Err("ILLEGAL_ARGUMENT_PARAMS");
    }
    if page.chars().count() > 128 {
        return Err("PAGE_OVER_LIMIT");
    }
    let template = app.templates.iter().find(|template| template.id == text("user_template_id"));
    Ok(Sending {
        appid: app.appid.clone(),
        openid: openid.to_owned(),
        template: text("user_template_id").to_owned(),
        page: Some(page.to_owned()),
        data: keywords(text("data"), template.map(|template| template.fields.len()))?,
        // Of a form or of a payment: the request does not say which.
        ticket: Some(text("form_id"))
            .filter(|id| !id.is_empty())
            .map(|id| Ticket { kind: String::new(), id: id.into() }),
    })
}

/// The values of a message by their keywords, which come as the template has them.
fn keywords(data: &str, wanted: Option<usize>) -> Result<BTreeMap<String, String>, &'static str> {
    if data.is_empty() {
        return Err("DATA_IS_EMPTY");
    }
    let values: BTreeMap<String, Value> = serde_json::from_str(data).map_err(|_| "DATA_CONTENT_FORMAT_ERROR")?;
    if data.chars().count() > 2_048 {
        return Err("DATA_CONTENT_FORMAT_ERROR");
    }
    if wanted.is_some_and(|wanted| wanted != values.len()) {
        return Err("USER_TEMPLATE_LACK_KEYWORD");
    }
    let places: Option<Vec<usize>> = (1..=values.len()).map(|n| data.find(&format!("\"keyword{n}\""))).collect();
    if !places.is_some_and(|places| places.is_sorted()) {
        return Err("MESSAGE_TEMPLATE_KEYWORD_ILLEGAL");
    }
    let value = |field: &Value| field["value"].as_str().map(str::to_owned).ok_or("DATA_CONTENT_FORMAT_ERROR");
    values.into_iter().map(|(key, field)| Ok((key, value(&field)?))).collect()
}

/// What became of a send.
fn answer(world: &mut World, sending: &Sending, verdict: Verdict) -> Response {
    let app = &world.apps[&sending.appid];
    let certificate = (!app.secret("certificates.app").is_empty()).then(|| number(CERTIFICATE, first));
    let seal = Seal::new(world, certificate);
    let cause = match verdict {
        Ok(_) => return written(NODE, r#"{"code":"10000","msg":"Success"}"#, Some(&seal)),
        Err(cause) => cause,
    };
    let business = |sub_code| Refusal::business(sub_code, seal);
    refused(&match &cause {
        Cause::Account(code) => {
            let sub_code = world.faults.account_sub_code.as_deref().unwrap_or_default();
            Refusal { code: code.to_string(), ..business(sub_code) }
        }
        Cause::Quota => Refusal { code: "40006".into(), ..business("isv.exceed-api-balance") },
        Cause::MinuteQuota | Cause::Concurrency => Refusal { code: "40005".into(), ..business("isv.app-call-limited") },
        Cause::Openid => business("USER_ID_INVALID"),
        Cause::NoTemplate => business("USER_TEMPLATE_ILLEGAL"),
        Cause::Banned => business("USER_TEMPLATE_STATUS_ILLEGAL"),
        Cause::Page => business("ILLEGAL_ARGUMENT_PARAMS"),
        Cause::Field { empty: true, .. } => business("USER_TEMPLATE_LACK_KEYWORD"),
        Cause::Field { empty: false, .. } => business("USER_KEYWORD_LENGTH_ERROR"),
        Cause::Words => business("DATA_SENSITIVE"),
        Cause::Consent(_) if sending.ticket.is_some() => business("FORM_ID_SEND_LIMIT"),
        Cause::Consent(_) => business("MSG_UNSUBSCRIBED"),
        Cause::Ticket => business("FORM_ID_OVER_TIME"),
    })
}
