//! What it costs to be one of several daemons, and what a second one brings, in the store alone: reminders are marked and settled as fast as
//! PostgreSQL takes them. On a machine whose cores PostgreSQL needs, too, a second daemon brings less than on a machine of its own.

use super::{Bench, new, postgres};
use std::{collections::BTreeMap, time::Instant};
use tixing::{
    clock::{Clock, ManualClock},
    config::{App, Durability},
    domain::{Millis, settle::received},
    store::{
        Store,
        nodes::{NewNode, Nodes},
        port::{Entry, Job, Queue},
    },
};

/// Reminders of each of two apps.
const EACH: usize = 15_000;
/// As many as the engine marks at once at most.
const GROUP: i64 = 500;
const START: Millis = 1_803_859_200_000;

/// Measures one daemon that is alone, one that could be among several, and two, in turns.
pub async fn run(bench: &Bench) {
    if !postgres::available() {
        return println!("several: not measured: PostgreSQL is not installed");
    }
    let (mut alone, mut one, mut two) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        alone.push(measure(bench, 0).await);
        one.push(measure(bench, 1).await);
        two.push(measure(bench, 2).await);
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (alone, one, two) = (median(&mut alone), median(&mut one), median(&mut two));
    println!(
        "several: marked and settled {alone:.0}/s without a fence, {one:.0}/s as a node ({:.2}), {two:.0}/s by two nodes ({:.2} of one)",
        one / alone,
        two / one
    );
}

/// So many a second: by one store without a node, or by so many nodes.
async fn measure(bench: &Bench, nodes: usize) -> f64 {
    let url = postgres::fresh_url();
    let clock = ManualClock::at(START);
    let apps = bench.config(&bench.place("several"), "http://127.0.0.1:1").apps;
    let mut stores = Vec::new();
    for i in 0..nodes.max(1) {
        stores.push(open(&url, &apps, &clock, nodes, i).await);
    }
    for app in &apps {
        let news = (0..EACH).map(|i| {
            let mut new = new(i, START + i as Millis);
            new.app.clone_from(&app.name);
            new
        });
        for news in news.collect::<Vec<_>>().chunks(4_000) {
            stores[0].insert(news.to_vec()).await.expect("inserted");
        }
    }
    clock.advance(1_000_000);
    let mut epochs = BTreeMap::new();
    if nodes > 0 {
        for (i, seen) in stores[0].look().await.expect("answers").view.lanes.into_iter().enumerate() {
            let owner = stores[i % nodes].node().expect("it has joined");
            assert!(stores[0].give(seen, owner).await.expect("answers"));
        }
        let looked = stores[0].look().await.expect("answers");
        epochs.extend(looked.view.lanes.into_iter().map(|lane| (lane.lane, lane.epoch)));
    }
    let begun = Instant::now();
    let work = apps.iter().enumerate().map(|(i, app)| {
        let (store, lane) = (stores[i % stores.len()].clone(), stores[0].lane(&app.name));
        tokio::spawn(drain(store, lane, epochs.get(&lane).copied(), clock.now()))
    });
    for work in work.collect::<Vec<_>>() {
        work.await.expect("no panic");
    }
    let rate = (2 * EACH) as f64 / begun.elapsed().as_secs_f64();
    for store in stores {
        store.close().await;
    }
    rate
}

async fn open(url: &str, apps: &[App], clock: &std::sync::Arc<ManualClock>, nodes: usize, i: usize) -> Store {
    if nodes == 0 {
        return Store::open_beside(url, Durability::Full, apps, clock.clone(), 1).await.expect("opens");
    }
    let new = NewNode {
        name: format!("n{i}"),
        apps: apps.iter().map(|app| (app.name.clone(), String::new())).collect(),
        ..NewNode::default()
    };
    let joins = (new, Box::new(|_: &_| false) as tixing::store::nodes::Proof);
    Store::open_among(url, Durability::Full, apps, clock.clone(), joins).await.expect("opens")
}

/// Marks and settles all of a lane.
async fn drain(store: Store, lane: i64, epoch: Option<i64>, now: Millis) {
    loop {
        let mut jobs = store.prefetch(lane, (0, 0), now, GROUP).await.expect("answers");
        if jobs.is_empty() {
            return;
        }
        jobs.iter_mut().for_each(|job| job.epoch = epoch);
        let sent = |job: &Job| Entry {
            target: job.target(true),
            settlement: received(),
            began_at: None,
            ended_at: job.due.at,
        };
        let settles = jobs.iter().map(sent).collect();
        store.mark(jobs).await.expect("marked");
        store.settle(settles).await.expect("settled");
    }
}
