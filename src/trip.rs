//! Points at which a test can have the process killed. Compiled in only with the feature `trip`, which the tests switch on and which
//! release builds lack.

/// All points, in the order in which a reminder meets them.
pub const POINTS: &[&str] = &[
    "start.before_migration",
    "start.after_migration",
    "start.before_first_look",
    "record.before_commit",
    "record.after_commit",
    "insert.before_commit",
    "insert.after_commit",
    "change.before_commit",
    "change.after_commit",
    "cancel.before_commit",
    "cancel.after_commit",
    "mark.before_commit",
    "mark.after_commit",
    "send.before_first_byte",
    "send.after_head",
    "send.after_answer",
    "settle.before_commit",
    "settle.after_commit",
    "stop.begun",
    "stop.engine_ended",
    "stop.store_closed",
];

/// The points that a schedule's file meets.
pub const POINTS_OF_SCHEDULES: &[&str] =
    &["load.before_commit", "load.after_commit", "remove.before_commit", "remove.after_commit"];

/// The points that a recurring schedule meets: its rows are kept, and its occurrences begun, filled (`load.…`) and finished.
pub const POINTS_OF_RECURRENCES: &[&str] = &[
    "keep.before_commit",
    "keep.after_commit",
    "begin.before_commit",
    "begin.after_commit",
    "prepare.before_commit",
    "prepare.after_commit",
];

/// Dies here by SIGKILL if `TIXING_TRIP` is `point:n` and this is the n-th time.
#[cfg(feature = "trip")]
pub fn trip(point: &'static str) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };
    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("TIXING_TRIP").ok()?;
        let (point, n) = text.split_once(':')?;
        Some((point.to_owned(), n.parse().ok()?))
    });
    let all = [POINTS, POINTS_OF_SCHEDULES, POINTS_OF_RECURRENCES];
    debug_assert!(all.concat().contains(&point), "{point} is not in the list");
    if let Some((wanted, n)) = wanted
        && wanted == point
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *n
    {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            .expect("a process may kill itself");
        // Until the signal has arrived, nothing more is done here.
        std::thread::park();
    }
}

/// Nothing, without the feature.
#[cfg(not(feature = "trip"))]
#[inline(always)]
pub fn trip(_: &'static str) {}
