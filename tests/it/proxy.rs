//! The way out where a proxy is the only one.

use crate::harness::{
    EVENT,
    program::{Program, SandboxServer, Site, body},
    proxy::{HOST, Proxy, certificate, tls_before},
};
use serde_json::Value;

const APPID: &str = "wx0123456789abcdef";

fn port(url: &str) -> u16 {
    url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
}

/// The user taps, and a reminder is due at once; its path.
async fn one(program: &Program, sandbox: &SandboxServer, openid: &str) -> String {
    sandbox.sandbox.world().tap(APPID, openid, EVENT, true);
    let (_, created) = program.post("/v1/reminders", &body(openid, 200)).await;
    format!("/v1/reminders/{}", created["id"].as_str().expect("an id"))
}

fn is_sent(reminder: &Value) -> bool {
    reminder["state"] == "sent"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_by_a_proxy_and_its_password_can_change_without_a_restart() {
    let (sandbox, proxy) = (SandboxServer::start(1).await, Proxy::start("me:pass:word").await);
    let more = format!("proxy = {{ url = \"{}\", credentials = {{ file = \"proxy.secret\" }} }}", proxy.url);
    let site = Site::new("sqlite:tixing.db", &format!("http://{HOST}:{}", port(&sandbox.url)), &more);
    std::fs::write(site.path("proxy.secret"), "me:old-password").expect("written");
    let program = site.serve_with_key();
    let path = one(&program, &sandbox, "o1").await;
    let paused = program.wait("/v1/stats?app=coffee", 20, |stats| !stats["apps"][0]["paused"].is_null()).await;
    let paused = paused["apps"][0]["paused"].to_string();
    assert!(
        paused.contains(&proxy.url) && paused.contains("credentials") && !paused.contains("old-password"),
        "{paused}"
    );
    let (_, waits) = program.get(&path).await;
    assert_eq!(waits["state"], "scheduled", "nothing of it can have arrived: {waits}");
    let (_, out, _) = site.run(&["doctor"]);
    assert!(out.contains(&format!("by the proxy {}", proxy.url)) && out.contains("refuses the credentials"), "{out}");

    std::fs::write(site.path("proxy.secret"), "me:pass:word\n").expect("written");
    program.wait(&path, 30, is_sent).await;
    assert_eq!(sandbox.sandbox.world().messages().len(), 1);
    let asked = proxy.asked();
    let place = format!("POST {HOST}:{}", port(&sandbox.url));
    assert!(asked.contains(&(place.clone(), 407)) && asked.contains(&(place, 200)), "{asked:?}");
    let (status, log) = program.terminate();
    assert!(status.success() && !log.contains("pass:word") && !log.contains("old-password"), "I9: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_is_asked_over_tls_through_a_proxy_for_all() {
    let (sandbox, proxy) = (SandboxServer::start(1).await, Proxy::start("").await);
    let folder = tempfile::tempdir().expect("a folder");
    let Some(files) = certificate(folder.path()) else { return };
    let tls = tls_before(port(&sandbox.url), &files);
    let site = Site::new("sqlite:tixing.db", &format!("https://{HOST}:{tls}"), "");
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("written");
    std::fs::write(site.path("tixing.toml"), format!("proxy = \"{}\"\n{text}", proxy.url)).expect("written");
    let trusted = files[1].display().to_string();
    // What the environment says of proxies is not obeyed.
    let environment = [("SSL_CERT_FILE", trusted.as_str()), ("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "*")];
    let mut program = site.try_serve_with(&environment).expect("it starts");
    program.key = site.key();
    let path = one(&program, &sandbox, "o1").await;
    program.wait(&path, 30, is_sent).await;
    let asked = proxy.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|asked| *asked == (format!("CONNECT {HOST}:{tls}"), 200)),
        "{asked:?}"
    );
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_the_environment_is_named_and_not_obeyed() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let password = "http://me:hunter2@127.0.0.1:1";
    let environment = [("HTTP_PROXY", password), ("http_proxy", password), ("ALL_PROXY", password)];
    let mut program = site.try_serve_with(&environment).expect("it starts");
    program.key = site.key();
    let path = one(&program, &sandbox, "o1").await;
    program.wait(&path, 20, is_sent).await;
    let (_, log) = program.terminate();
    for (what, said) in [("serve", log), ("check", asked(&site, "check")), ("doctor", asked(&site, "doctor"))] {
        assert!(said.contains("HTTP_PROXY, ALL_PROXY, http_proxy") && !said.contains("hunter2"), "{what}: {said}");
        assert!(said.contains("proxy = \"http://host:port\""), "{what}: {said}");
    }
}

/// What a command says where the environment names proxies.
fn asked(site: &Site, verb: &str) -> String {
    let mut command = site.command(&[verb]);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        command.env(name, "http://me:hunter2@127.0.0.1:1");
    }
    let out = command.output().expect("the program runs");
    [out.stdout, out.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_not_there_is_named_and_nothing_is_in_doubt() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &format!("https://{HOST}"), "proxy = \"http://127.0.0.1:1\"");
    let program = site.serve_with_key();
    let path = one(&program, &sandbox, "o1").await;
    let stats = program.wait("/v1/stats?app=coffee", 20, |stats| !stats["apps"][0]["paused"].is_null()).await;
    assert!(stats["apps"][0]["paused"].to_string().contains("the way out is the proxy http://127.0.0.1:1"), "{stats}");
    assert_eq!(program.get(&path).await.1["state"], "scheduled");
    assert!(program.terminate().0.success());
}
