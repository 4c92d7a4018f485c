//! An occurrence is prepared for a crowd that has consented, while another app sends: how fast, and what that does to the other's sends.

use super::{
    Bench, Sink, TEMPLATE, lateness,
    marketer::{accept, reader, watched},
    new, usage,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tixing::{
    clock::SystemClock,
    daemon::Daemon,
    domain::{HOUR, MINUTE, Millis, reminder::NewReminder},
    schedule::{
        gather::Input,
        load::{Batches, Office, Options, Progress},
    },
    store::occurrences::OccurrenceRow,
};

/// The other app sends this often, in milliseconds.
const EVERY: Millis = 5;
/// So long it is watched before anything is prepared, in milliseconds.
const CALM: Millis = 10_000;

/// A class that is held each day, five hours from now: its next occurrence is prepared at once.
fn text(now: Millis) -> String {
    let at = (now + 5 * HOUR) / MINUTE;
    let (hour, minute) = ((at / 60).rem_euclid(24), at.rem_euclid(60));
    format!(
        "name = \"daily\"\napp = \"coffee\"\ntemplate = \"event-start\"\ntimezone = \"UTC\"\npage = \"pages/class?id=42\"\n\
         at = {{ cron = \"{minute} {hour} * * *\" }}\naudience = \"consented\"\n\
         [data]\nthing1 = \"晨读\"\ntime2 = \"{{{{@event | datetime}}}}\"\nthing5 = \"三楼301室\"\n"
    )
}

/// Loads it. The daemon prepares it by itself.
async fn load(daemon: &Daemon) {
    let (config, store) = (Arc::clone(daemon.api.config()), daemon.api.store().clone());
    let (clock, reader) = (SystemClock::shared(), Arc::new(reader()));
    let office = Office { config, store, clock, reader, batches: Batches::default() };
    let input =
        Input { text: text(office.clock.now()), name: "daily.toml".into(), has_schedule: true, ..Input::default() };
    let (options, silent): (_, Progress) = (Options::default(), Arc::new(|_, _| {}));
    let mut planning = office.plan(Arc::new(input.clone()), &options, &silent).await.expect("answers");
    let loaded = office.load(&input, &mut planning, &options, &silent).await.expect("answers");
    assert!(loaded.is_some(), "{:?}", planning.plan.problems.list.first());
}

/// Waits until the occurrence is prepared.
async fn prepared(daemon: &Daemon) -> OccurrenceRow {
    let store = daemon.api.store();
    let id = store.schedule("daily").await.expect("answers").expect("loaded").id;
    loop {
        let latest = store.occurrences(id, 1).await.expect("answers").pop();
        if let Some(occurrence) = latest.filter(|occurrence| occurrence.prepared_at.is_some()) {
            return occurrence;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn p99(mut late: Vec<Millis>) -> Millis {
    late.sort_unstable();
    late[(late.len() - 1) * 99 / 100]
}

/// Prepares an occurrence for `n` people.
pub async fn run(bench: &Bench, n: usize) {
    let (sink, place, clock) = (Sink::start(0), bench.place("prepare"), SystemClock::shared());
    let mut config = bench.config(&place, &sink.url);
    config.apps[1].rate = 100_000;
    let daemon = Daemon::start(config, Arc::clone(&clock)).await.expect("starts");
    let store = daemon.api.store();
    accept(store, n).await;
    // For as long as it takes at a fifth of what it should.
    let sends = (CALM + n as Millis / 5 + 60_000) / EVERY;
    let from = clock.now() + 5_000 + sends / 5;
    for begin in (0..sends).step_by(4_000) {
        let of_tea =
            |i| NewReminder { app: "tea".into(), template: TEMPLATE.into(), ..new(i as usize, from + i * EVERY) };
        store.insert((begin..(begin + 4_000).min(sends)).map(of_tea).collect()).await.expect("inserted");
    }
    tokio::time::sleep(Duration::from_millis((from + CALM - clock.now()).max(0) as u64)).await;
    let before = usage();
    let begun = Instant::now();
    load(&daemon).await;
    let loaded = begun.elapsed();
    let (occurrence, _, peak) = watched(prepared(&daemon)).await;
    let (begun_at, prepared_at) = (occurrence.begun_at, occurrence.prepared_at.expect("waited for"));
    let cpu = usage().cpu - before.cpu;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let late = lateness(store, "tea", from).await;
    let within =
        |from, until| p99(late.iter().filter(|(at, _)| (from..until).contains(at)).map(|(_, late)| *late).collect());
    let took = (prepared_at - begun_at) as f64 / 1e3;
    println!(
        "prepare: {} of {n} who have consented, {}: {:.0}/s, {:.1} µs CPU each with its plan; {:.0} MB more at most; planned and loaded in {:.1} s. \
         Another app, {} a second: late p99 {} ms before, {} ms meanwhile",
        occurrence.people,
        bench.database(),
        occurrence.people as f64 / took,
        cpu * 1e6 / n as f64,
        peak - before.rss,
        loaded.as_secs_f64(),
        1_000 / EVERY,
        within(from, from + CALM),
        within(begun_at, prepared_at),
    );
    daemon.stop().await.expect("stops");
}
