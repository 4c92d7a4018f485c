//! Lives by the thousand: the real engine and adapters on virtual time, over the model of the store or the store itself, with
//! crashes at every await. A seed makes the whole
//! life, and the platform's own ledger judges it.

mod disk;
mod life;
mod marketer;
mod network;
mod pending;
mod platform;
mod recurring;
mod sabotage;
mod several;
mod seen;
mod time;
mod verdict;

use crate::harness::machine;
use life::{Life, Lived, Terms};
use sabotage::Sabotage;
use seen::Seen;
use std::{
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
fn live(terms: Terms) -> Result<Lived, String> {
    catch_unwind(AssertUnwindSafe(|| Life::live(terms))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default())
    })
}

/// Lives the lives of `seeds` on both cores, and counts what was seen in them; the first failure ends it.
fn explore(seeds: Range<u64>, terms: impl Fn(u64) -> Terms + Sync) -> Result<Seen, (u64, String)> {
    let _turn = machine::blocking_whole();
    let (next, over, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false), Mutex::new(None));
    let seen = Mutex::new(Seen::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    match live(terms(seed)) {
                        Ok(lived) => {
                            let on_file = terms(seed).on_file;
                            seen.lock().expect("whole").add(lived.platform, &lived.trace, on_file);
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
    let missing = seen.missing();
    assert!(missing.is_empty(), "too quiet to prove anything: {missing:?} of {seen:?}");
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

/// `TIXING_FAULT` looks for one alone.
#[test]
fn every_deliberate_fault_is_found() {
    let one = std::env::var("TIXING_FAULT").ok();
    let wanted = |sabotage: &Sabotage| one.as_ref().is_none_or(|one| *one == format!("{sabotage:?}"));
    let faults: Vec<Sabotage> = Sabotage::ALL.into_iter().filter(wanted).collect();
    assert!(!faults.is_empty(), "{one:?} is no fault");
    for sabotage in faults {
        let on_file = sabotage.is_of_schedules();
        let found = explore(1..10_001, |seed| Terms { seed, on_file, sabotage: Some(sabotage) });
        let Err((seed, why)) = found else { panic!("{sabotage:?} is not found in 10,000 lives") };
        eprintln!("{sabotage:?}: found by seed {seed}: {why}");
    }
}
