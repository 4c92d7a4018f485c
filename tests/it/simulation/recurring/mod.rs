//! Recurring schedules for hours and days: files edited, events moved and called off, looks that die or come twice, nights without a daemon.
//!
//! They need more time than the lives beside them, in which seconds count, and no worse a platform than one that refuses.

mod edition;
mod season;

use crate::harness::machine;
use season::Season;
use std::{
    collections::BTreeMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::runtime::Runtime;

/// How often each thing was seen.
type Seen = BTreeMap<&'static str, usize>;

/// Seasons of the ordinary run; a hundredth of `TIXING_SIM` else.
const SEASONS: u64 = 20;

/// Deliberate faults, one at a time, each of which a season must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// What was prepared is not remembered.
    OccurrencesForgotten,
    /// Looks are put off for hours.
    BellUnheard,
    /// Whatever lies behind is taken for decided.
    MissedForgotten,
    /// A file is taken to say the opposite about what was missed.
    MisfireTurnedRound,
    /// A file is loaded as it was before it was edited.
    TableOfBefore,
    /// A file is loaded with its words as they were before.
    WordsOfBefore,
    /// What was cancelled goes on.
    CancelForgotten,
    /// Somebody wishes to be forgotten, and nobody does anything about it.
    WishUnheard,
    /// A store is on hold, and the daemon does not know.
    HoldUnheard,
    /// What the platform refused is taken for sent.
    RefusalTakenForSent,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::OccurrencesForgotten,
        Self::BellUnheard,
        Self::MissedForgotten,
        Self::MisfireTurnedRound,
        Self::TableOfBefore,
        Self::WordsOfBefore,
        Self::CancelForgotten,
        Self::WishUnheard,
        Self::HoldUnheard,
        Self::RefusalTakenForSent,
    ];
}

/// What must have happened somewhere, or the seasons were too quiet to prove anything.
const EVENTS: [&str; 18] = [
    "is prepared",
    "is made up for",
    "is left out",
    "a look is cut off",
    "a message arrives",
    "a file is loaded",
    "a load is cut off",
    "nobody looks for hours",
    "the clock is set",
    "is paused",
    "is resumed",
    "is shifted",
    "is cancelled",
    "somebody is forgotten",
    "somebody comes back",
    "the store is on hold",
    "the platform refuses",
    "a message is refused",
];

/// One season; a panic in it is a verdict too.
fn live(runtime: &Runtime, seed: u64, fault: Option<Fault>) -> Result<Seen, String> {
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(Season::live(seed, fault))));
    lived.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
    })
}

/// Lives seasons on both cores; the first that fails ends it.
fn explore(seeds: Range<u64>, fault: Option<Fault>) -> Result<Seen, (u64, String)> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let _turn = machine::blocking_whole();
    let (next, over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (failed, seen) = (Mutex::new(None), Mutex::new(Seen::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    match live(&runtime, seed, fault) {
                        Ok(lived) => {
                            let mut seen = seen.lock().expect("whole");
                            lived.into_iter().for_each(|(what, n)| *seen.entry(what).or_default() += n);
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
fn what_recurs_is_prepared_once_is_not_missed_and_says_what_its_file_says() {
    super::speak();
    let first = super::from_environment("TIXING_SEED").unwrap_or(1);
    let seasons = super::from_environment("TIXING_SIM").map_or(SEASONS, |lives| lives.div_ceil(100));
    let begun = std::time::Instant::now();
    let seen = explore(first..first + seasons, None).unwrap_or_else(|(seed, why)| {
        panic!(
            "seed {seed}: {why}\n\
             TIXING_SEED={seed} TIXING_SIM=1 cargo test --locked --test it simulation::recurring::what_recurs -- --nocapture"
        )
    });
    let quiet = EVENTS.iter().find(|event| !seen.contains_key(**event));
    assert!(seasons < 20 || quiet.is_none(), "too quiet to prove anything, {quiet:?} is not among {seen:?}");
    eprintln!("{seasons} seasons from seed {first} in {:.0} s; {seen:?}", begun.elapsed().as_secs_f64());
}

#[test]
fn every_deliberate_fault_in_what_recurs_is_found() {
    for fault in Fault::ALL {
        let Err((seed, why)) = explore(1..201, Some(fault)) else { panic!("{fault:?} is not found") };
        eprintln!("{fault:?}: found by seed {seed}: {why}");
    }
}
