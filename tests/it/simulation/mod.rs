//! Lives by the thousand: the real engine and adapters on virtual time, over the model of the store or the store itself, with
//! crashes at every await. A seed makes the whole
//! life, and the platform's own ledger judges it.

mod disk;
mod life;
mod marketer;
mod network;
mod pending;
mod recurring;
mod sabotage;
mod time;
mod verdict;

use life::{Life, Terms};
use sabotage::Sabotage;
use std::{
    collections::BTreeMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is «{text}», not a number")))
}

/// One life; a panic in it is a verdict too.
fn live(terms: Terms) -> Result<Vec<String>, String> {
    catch_unwind(AssertUnwindSafe(|| Life::live(terms))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default())
    })
}

/// What must have happened somewhere, or the lives were too quiet to prove anything.
const EVENTS: [&str; 21] = [
    " is sent",
    " is failed",
    " is expired",
    " is cancelled",
    " is unconfirmed",
    "in_doubt unknown",
    "in_doubt interrupted",
    "scheduled not_sent",
    "scheduled -1",
    "scheduled 40001",
    "scheduled 45009",
    "failed no_consent",
    "sent 43101",
    "unconfirmed restored",
    "sent receipt",
    "failed turned_off",
    "in_doubt awaits_receipt",
    "resolved",
    "scheduled template_held",
    "cancelled forgotten",
    "unconfirmed forgotten",
];

/// What marketers must have come to somewhere, in lives on a file.
const OF_MARKETERS: [&str; 10] = [
    "a file is loaded",
    "a load is cut off",
    "a load is refused: {\"busy\"}",
    " is paused",
    " is resumed",
    " is shifted",
    "a shift is too far",
    " is cancelled by a marketer",
    "what was cut off is taken up",
    "cancelled removed",
];

/// How often each thing was seen.
type Seen = BTreeMap<&'static str, usize>;

/// Lives the lives of `seeds` on both cores, and counts what was seen in them; the first failure ends it.
fn explore(seeds: Range<u64>, terms: impl Fn(u64) -> Terms + Sync) -> Result<Seen, (u64, String)> {
    let (next, over, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false), Mutex::new(None));
    let seen = Mutex::new(Seen::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    match live(terms(seed)) {
                        Ok(trace) => {
                            let mut seen = seen.lock().expect("whole");
                            for event in EVENTS.into_iter().chain(OF_MARKETERS) {
                                *seen.entry(event).or_default() +=
                                    trace.iter().filter(|line| line.contains(event)).count();
                            }
                        }
                        Err(why) => {
                            over.store(true, Ordering::SeqCst);
                            failed.lock().expect("whole").get_or_insert((seed, why));
                        }
                    }
                }
            });
        }
    });
    let seen = seen.into_inner().expect("whole");
    failed.into_inner().expect("whole").map_or(Ok(seen), Err)
}

/// What the daemon says in a life that is looked at again.
fn speak() {
    if let Ok(filter) = std::env::var("TIXING_LOG") {
        let _ =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().try_init();
    }
}

fn all_hold(level: &str, lives: u64, on_file: bool) {
    speak();
    let first = from_environment("TIXING_SEED").unwrap_or(1);
    let begun = std::time::Instant::now();
    let explored = explore(first..first + lives, |seed| Terms { seed, on_file, sabotage: None });
    let seen = explored.unwrap_or_else(|(seed, why)| {
        panic!(
            "seed {seed}: {why}\n\
             TIXING_SEED={seed} TIXING_SIM=1 cargo test --locked --test it simulation::{level} -- --nocapture"
        )
    });
    let mut wanted = EVENTS.into_iter().chain(OF_MARKETERS.into_iter().filter(|_| on_file));
    assert!(lives < 400 || wanted.all(|event| seen[event] > 0), "too quiet to prove anything: {seen:?}");
    eprintln!("{level}: {lives} lives from seed {first} in {:.0} s; {seen:?}", begun.elapsed().as_secs_f64());
}

#[test]
fn i1_to_i9_hold_in_ten_thousand_lives() {
    all_hold("i1_to_i9_hold_in_ten_thousand_lives", from_environment("TIXING_SIM").unwrap_or(10_000), false);
}

#[test]
fn i1_to_i9_hold_in_five_hundred_lives_on_a_file_whose_crashes_take_the_power() {
    let lives = from_environment("TIXING_SIM").map_or(500, |lives| lives.div_ceil(20));
    all_hold("i1_to_i9_hold_in_five_hundred_lives_on_a_file_whose_crashes_take_the_power", lives, true);
}

#[test]
fn a_seed_makes_the_same_life_every_time() {
    for seed in 1..=20 {
        for on_file in [false, true] {
            let terms = Terms { seed, on_file, sabotage: None };
            assert_eq!(live(terms), live(terms), "seed {seed}");
        }
    }
}

#[test]
fn every_deliberate_fault_is_found() {
    for sabotage in Sabotage::ALL {
        let on_file = sabotage.is_of_schedules();
        let found = explore(1..10_001, |seed| Terms { seed, on_file, sabotage: Some(sabotage) });
        let Err((seed, why)) = found else { panic!("{sabotage:?} is not found in 10,000 lives") };
        eprintln!("{sabotage:?}: found by seed {seed}: {why}");
    }
}
