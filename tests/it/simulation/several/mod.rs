//! Three daemons on one store: each a real engine and a real member with clocks of its own, that stands still, dies, is cut off and comes back.
//! One of their two apps is divided into shards in most lives. What keeps two of them from sending one message is judged by the platform's ledger, and by
//! what each writes.

mod books;
mod clocks;
mod daemon;
mod life;
mod line;
mod promotion;
mod sabotage;
mod verdict;
mod way;

use super::{from_environment, speak};
use crate::harness::machine;
use life::{Life, Lived, Terms};
use sabotage::Sabotage;
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// A fault shows within so many lives.
const FAULT_LIVES: u64 = 3_000;

/// One life; a panic in it is a verdict too.
fn live(terms: Terms) -> Result<Lived, String> {
    catch_unwind(AssertUnwindSafe(|| Life::live(terms))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default())
    })
}

impl Lived {
    fn add(&mut self, other: Self) {
        self.each().into_iter().zip({ other }.each()).for_each(|((_, sum), (_, n))| *sum += *n);
    }

    fn each(&mut self) -> [(&'static str, &mut usize); 20] {
        [
            ("messages", &mut self.sent),
            ("kills", &mut self.kills),
            ("freezes", &mut self.freezes),
            ("paused machines", &mut self.pauses),
            ("partitions", &mut self.cuts),
            ("orderly stops", &mut self.stops),
            ("outages", &mut self.outages),
            ("holds", &mut self.holds),
            ("takeovers", &mut self.takeovers),
            ("moves", &mut self.moves),
            ("marks in further shards", &mut self.divided),
            ("marks in shards of before", &mut self.beyond),
            ("shards that a standby lacked", &mut self.lost_lanes),
            ("fenced marks", &mut self.fenced),
            ("testimonies", &mut self.testimonies),
            ("thawed bytes", &mut self.thawed_bytes),
            ("doubts", &mut self.doubts),
            ("promotions", &mut self.promotions),
            ("rows written again", &mut self.again),
            ("holds that ended by themselves", &mut self.ended_holds),
        ]
    }
}

/// Lives the lives of `seeds` on both cores, and counts what was seen in them; the first failure ends it, or under a fault the first that shows it.
fn explore(
    seeds: Range<u64>,
    (sabotage, weather): (Option<Sabotage>, Option<Sabotage>),
) -> Result<Lived, (u64, String)> {
    let _turn = machine::blocking_whole();
    let (next, over, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false), Mutex::new(None));
    let seen = Mutex::new(Lived::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    match live(Terms { seed, sabotage, weather }) {
                        Ok(lived) => seen.lock().expect("whole").add(lived),
                        Err(why) if sabotage.is_some_and(|fault| !fault.is_shown_by(&why)) => {
                            tracing::debug!(seed, why, "fails by something else");
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

#[test]
fn several_daemons_send_nothing_twice_and_lose_nothing_in_a_thousand_lives() {
    speak();
    let lives = from_environment("TIXING_SIM").unwrap_or(1_000);
    let first = from_environment("TIXING_SEED").unwrap_or(1);
    let begun = std::time::Instant::now();
    let mut seen = explore(first..first + lives, (None, None)).unwrap_or_else(|(seed, why)| {
        panic!(
            "seed {seed}: {why}\n\
             TIXING_SEED={seed} TIXING_SIM=1 cargo test --locked --test it simulation::several -- --nocapture"
        )
    });
    eprintln!("{lives} lives of several from seed {first} in {:.0} s; {seen:?}", begun.elapsed().as_secs_f64());
    let missing: Vec<&str> = seen.each().into_iter().filter(|(_, n)| **n == 0).map(|(what, _)| what).collect();
    assert!(lives < 200 || missing.is_empty(), "too quiet to prove anything: {missing:?}");
}

#[test]
fn a_seed_makes_the_same_life_of_several_every_time() {
    let faulty = Sabotage::ALL.into_iter().flat_map(|sabotage| (451..=455).map(move |seed| (seed, Some(sabotage))));
    for (seed, sabotage) in (1..=20).map(|seed| (seed, None)).chain(faulty) {
        let terms = Terms { seed, sabotage, weather: sabotage };
        assert_eq!(live(terms), live(terms), "seed {seed} {sabotage:?}");
    }
}

#[test]
fn the_weather_in_which_faults_show_breaks_nothing_without_them() {
    for weather in Sabotage::DIRECTED {
        let lived = explore(1..31, (None, Some(weather)));
        assert!(lived.is_ok(), "in the weather of {weather:?}: {:?}", lived.err());
    }
}

/// Each by the rule that it breaks. `TIXING_FAULT` looks for one alone, from `TIXING_SEED` on.
#[test]
fn every_deliberate_fault_between_daemons_is_found() {
    speak();
    let one = std::env::var("TIXING_FAULT").ok();
    let first = from_environment("TIXING_SEED").unwrap_or(1);
    let wanted = |sabotage: &Sabotage| one.as_ref().is_none_or(|one| *one == format!("{sabotage:?}"));
    for sabotage in Sabotage::ALL.into_iter().filter(wanted) {
        let lives = from_environment("TIXING_SIM").unwrap_or(FAULT_LIVES);
        let found = explore(first..first + lives, (Some(sabotage), Some(sabotage)));
        let Err((seed, why)) = found else { panic!("{sabotage:?} is not found in {lives} lives") };
        eprintln!("{sabotage:?}: found by seed {seed}: {why}");
    }
}
