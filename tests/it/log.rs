//! The log: who reads it, and what that reader must never do to the sends.

use crate::harness::program::{SandboxServer, Site, body};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::Duration,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_log_that_stalls_stops_no_send() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let mut daemon = site.command(&["serve"]);
    daemon.env("TIXING_LOG", "trace").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut daemon = daemon.spawn().expect("the program runs");
    let mut log = BufReader::new(daemon.stderr.take().expect("piped")).lines();
    let ready =
        log.by_ref().map_while(Result::ok).find_map(|line| line.split_once("ready address=").map(|at| at.1.to_owned()));
    let address = ready.expect("it starts").split(' ').next().expect("an address").to_owned();
    // From here on nobody reads. Each request logs several kilobytes, and a pipe holds 64.
    let key = site.key();
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("a client");
    for i in 0..60 {
        let request = http.post(format!("http://{address}/v1/reminders")).bearer_auth(&key);
        let request =
            request.header("content-type", "application/json").body(body(&format!("o{i}"), 1_000).to_string());
        sandbox.sandbox.world().tap("wx0123456789abcdef", &format!("o{i}"), crate::harness::EVENT, true);
        assert_eq!(request.send().await.expect("an answer").status(), 201, "the {i}th");
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let stats = http.get(format!("http://{address}/v1/stats?app=coffee")).bearer_auth(&key).send().await;
        let stats: Value = serde_json::from_str(&stats.expect("an answer").text().await.expect("whole")).expect("JSON");
        let sent = &stats["apps"][0]["reminders"]["sent"];
        if *sent == 60 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{stats}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // It reads again. Whether anything was lost depends on how much there was.
    let rest = std::thread::spawn(move || log.map_while(Result::ok).fold(0, |bytes, line| bytes + line.len()));
    let stopped = std::process::Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status();
    assert!(stopped.expect("kill runs").success() && daemon.wait().expect("it ends").success());
    assert!(rest.join().expect("read") > 128 * 1024, "there was more than a pipe holds");
}
