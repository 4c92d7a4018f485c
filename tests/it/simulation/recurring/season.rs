//! One seed, one season: hours of recurring schedules, on the real store and the real engine with the sandbox in the place of the platform.

use super::{
    Fault, Seen,
    edition::{Edition, Identity, Occurrence, USERS, openid},
};
use crate::harness::{
    self, EVENT, START, accept, fresh,
    rig::{Rig, plain},
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sqlx::{AnyConnection, Connection};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
};
use tixing::{
    clock::{Clock, ManualClock},
    domain::{
        DAY, HOUR, MINUTE, Millis, SECOND,
        consent::Report,
        reminder::{ReminderId, State},
        timing::rfc3339,
    },
    schedule::{
        gather::Input,
        load::{Batches, Office, Options, Progress, Stage},
        sheet::Reader,
    },
    store::{
        lists::Filter,
        reminders::Stored,
        schedule_pause::Paused,
        schedule_tasks::{Step, TaskBegun, Work},
    },
};

/// Files of one season.
const FILES: usize = 2;
/// While the daemon lives it looks at least so often. (It does so every five seconds; less is decided in less time.)
const LOOKS: Millis = 5 * MINUTE;
/// A task without a sign of life is taken up after so long, and a little.
const DEAD: Millis = 61 * SECOND;

/// A file, and what may come of it.
struct Series {
    /// As it lies in the folder.
    file: Edition,
    /// As it was last loaded to its end.
    loaded: Option<Edition>,
    /// What may be sent: more than one if a load was cut off.
    allowed: Vec<Edition>,
    shift: Millis,
    /// What a shift is of: it holds until another file comes, also over an end and a new beginning.
    shift_of: Option<Edition>,
    paused: bool,
    cancelled: bool,
    /// What lies before was decided, or was never one of its own.
    decided: Millis,
}

impl Series {
    /// This file was loaded.
    fn shift_counts(&mut self, file: &Edition) {
        if self.shift_of.replace(file.clone()).as_ref() != Some(file) {
            self.shift = 0;
        }
    }
}

pub struct Season {
    rng: StdRng,
    fault: Option<Fault>,
    rig: Option<Rig>,
    series: Vec<Series>,
    /// Messages that were judged.
    judged: usize,
    received: BTreeSet<Identity>,
    clock_set: bool,
    /// The latest that a clock ever said: before it, what is next was counted by a clock that was ahead.
    latest: Millis,
    /// Users who wished to be forgotten, and have not come back.
    forgotten: BTreeSet<String>,
    /// Users who ever did: whose the messages of before were is no longer known.
    unknown: BTreeSet<String>,
    /// When a hold ended last: whoever may have had something from another life of the store does not get it.
    released: Millis,
    seen: Seen,
}

/// What is stored of a schedule: occurrences that are prepared, and the reminders of each.
type Prepared = BTreeMap<String, (Millis, BTreeSet<ReminderId>)>;

/// A clock at which whoever reads it dies.
struct Mortal {
    clock: Arc<ManualClock>,
    left: AtomicI64,
}

impl Mortal {
    fn pass(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::panic::resume_unwind(Box::new("it dies"));
        }
    }
}

impl Clock for Mortal {
    fn now(&self) -> Millis {
        self.pass();
        self.clock.now()
    }

    fn monotonic(&self) -> Millis {
        self.pass();
        self.clock.monotonic()
    }
}

impl Season {
    /// Lives the season of a seed. Panics where a promise is broken.
    pub async fn live(seed: u64, fault: Option<Fault>) -> Seen {
        let mut rng = StdRng::seed_from_u64(seed);
        let series = (0..FILES).map(|i| Series {
            file: Edition::first(&mut rng, i),
            loaded: None,
            allowed: Vec::new(),
            shift: 0,
            shift_of: None,
            paused: false,
            cancelled: false,
            decided: START,
        });
        let series = series.collect();
        let rig = Some(Rig::new(fresh("sqlite").await, plain));
        let (clock_set, latest, released) = (false, START, Millis::MIN);
        let (received, forgotten, unknown, seen) = Default::default();
        let mut season = Self {
            rng,
            fault,
            rig,
            series,
            judged: 0,
            received,
            clock_set,
            latest,
            forgotten,
            unknown,
            released,
            seen,
        };
        for user in 1..USERS {
            season.accepts(user, 2).await;
        }
        // One has a single consent.
        season.accepts(0, 1).await;
        for i in 0..FILES {
            season.load(i, false).await;
        }
        for _ in 0..season.rng.random_range(15..35) {
            season.something_happens().await;
        }
        season.ends().await;
        season.seen
    }

    fn rig(&self) -> &Rig {
        self.rig.as_ref().expect("it is between two lives only inside of one step")
    }

    fn now(&self) -> Millis {
        self.rig().clock().now()
    }

    fn see(&mut self, what: &'static str) {
        tracing::debug!(at = rfc3339(self.now()), "{what}");
        *self.seen.entry(what).or_default() += 1;
    }

    async fn something_happens(&mut self) {
        let i = self.rng.random_range(0..FILES);
        match self.rng.random_range(0..24) {
            0..5 => self.load(i, true).await,
            5 => self.load(i, false).await,
            6..9 => {
                let (user, times) = (self.rng.random_range(1..USERS), self.rng.random_range(1..4));
                self.accepts(user, times).await;
            }
            9..11 => self.pause_or_resume(i).await,
            11..13 => self.shift(i).await,
            13 => self.end(i).await,
            14..18 => {
                self.see("nobody looks for hours");
                let by = self.rng.random_range(HOUR..6 * HOUR);
                self.rig().clock().advance(by);
                self.restart(0).await;
            }
            18 => {
                self.see("the clock is set");
                self.clock_set = true;
                let by = self.rng.random_range(-3 * HOUR..3 * HOUR);
                self.restart(by).await;
            }
            19 => self.restart(0).await,
            20 => self.goes_or_comes_back().await,
            21 => self.is_on_hold().await,
            22 => self.platform_refuses(),
            _ => {}
        }
        let passes = *[MINUTE, 20 * MINUTE, 3 * HOUR].choose(&mut self.rng).expect("some");
        let passes = self.rng.random_range(SECOND..passes);
        self.pass(passes).await;
    }

    /// Time passes, and the daemon lives.
    async fn pass(&mut self, mut total: Millis) {
        while total > 0 {
            let step = self.rng.random_range(DEAD..LOOKS);
            total -= step;
            self.rig().clock().advance(step);
            // What is due is sent before or after the look: both happen all the time.
            let first = self.rng.random();
            if first {
                self.turn().await;
            }
            self.look().await;
            if !first {
                self.turn().await;
            }
        }
    }

    async fn turn(&mut self) {
        self.rig.as_mut().expect("it lives").engine.turn().await;
        self.judge();
    }

    /// The daemon dies, and another starts, perhaps by another clock.
    async fn restart(&mut self, by: Millis) {
        self.latest = self.latest.max(self.now());
        let rig = self.rig.take().expect("it lives");
        rig.clock().step(by);
        self.rig = Some(rig.restart().await);
        self.rig().clock().advance(DEAD);
    }

    /// Somebody wishes to be forgotten, or is let in again.
    async fn goes_or_comes_back(&mut self) {
        let away = self.forgotten.first().cloned().filter(|_| self.rng.random_ratio(2, 3));
        let user = away.unwrap_or_else(|| openid(self.rng.random_range(1..USERS)));
        if self.forgotten.remove(&user) {
            self.rig().store().let_in(harness::wish(&user)).await.expect("answers");
            // To tixing they are somebody new, and what they had before is nobody's.
            self.received.retain(|(.., openid)| *openid != user);
            return self.see("somebody comes back");
        }
        if self.fault != Some(Fault::WishUnheard) {
            self.rig().store().forget(harness::wish(&user)).await.expect("answers");
        }
        self.unknown.insert(user.clone());
        self.forgotten.insert(user);
        self.see("somebody is forgotten");
    }

    /// A backup is put in the place of the store, and after a while the operator lets go what waits. (What was sent since the backup is
    /// another simulation's matter.)
    async fn is_on_hold(&mut self) {
        self.see("the store is on hold");
        self.rig().store().set_hold().await.expect("answers");
        self.rig().engine.signals().hold(self.fault != Some(Fault::HoldUnheard));
        let (before, messages) = (self.all_prepared().await, self.rig().messages().len());
        let lasts = self.rng.random_range(MINUTE..3 * HOUR);
        self.pass(lasts).await;
        assert_eq!(self.rig().messages().len(), messages, "something is sent while the store is on hold");
        assert_eq!(self.all_prepared().await, before, "something is prepared while the store is on hold");
        self.released = self.now();
        self.rig().store().end_hold(Some(self.released)).await.expect("answers");
        self.rig().engine.signals().hold(false);
        for series in &mut self.series {
            series.decided = series.decided.max(self.released);
        }
    }

    /// The platform's mood: all is well, it is busy, or it refuses what goes to somebody, until they switch it on again.
    fn platform_refuses(&mut self) {
        self.see("the platform refuses");
        let (appid, busy) = (self.rig().apps[0].appid.clone(), *[0.0, 0.5, 1.0].choose(&mut self.rng).expect("some"));
        let (user, on) = (openid(self.rng.random_range(1..USERS)), self.rng.random_ratio(1, 3));
        let mut world = self.rig().sandbox.world();
        world.faults.busy_rate = busy;
        world.set_switch(&appid, &user, Some(EVENT), on);
    }

    async fn accepts(&mut self, user: u32, times: u32) {
        if self.forgotten.contains(&openid(user)) {
            return;
        }
        for _ in 0..times {
            self.rig().tap(&openid(user));
            let report = accept("coffee", &openid(user), EVENT);
            let report = Report { at: self.now(), event: Some(format!("t{}", self.rng.random::<u64>())), ..report };
            self.rig().store().record(vec![report]).await.expect("recorded");
        }
    }

    fn office(&self, dies_after: Option<i64>) -> Office {
        let mut config = harness::config("http://sandbox");
        config.apps.clone_from(&self.rig().apps);
        let clock = Arc::clone(&self.rig().test.clock);
        let clock = Arc::new(Mortal { clock, left: dies_after.unwrap_or(i64::MAX).into() });
        let (store, reader) = (self.rig().store().clone(), Arc::new(Reader::default()));
        Office { config: Arc::new(config), store, clock, reader, batches: Batches { fewest: 1, most: 3 } }
    }

    async fn stored(&self) -> Vec<Stored> {
        let filter = Filter { apps: vec!["coffee".into()], limit: 100_000, ..Filter::default() };
        self.rig().store().list(&filter).await.expect("answers")
    }

    async fn prepared(&self, name: &str, stored: &[Stored]) -> Prepared {
        let Some(row) = self.rig().store().schedule(name).await.expect("answers") else { return Prepared::new() };
        let all = self.rig().store().occurrences(row.id, 1_000).await.expect("answers");
        let ids = |name: &str| {
            let is_of = |s: &&Stored| {
                s.origin.as_ref().is_some_and(|origin| origin.schedule == row.id && origin.occurrence == name)
            };
            stored.iter().filter(is_of).map(|s| s.due.id).collect()
        };
        let all = all.into_iter().filter_map(|o| Some((o.name.clone(), (o.prepared_at?, ids(&o.name)))));
        all.collect()
    }

    /// The bell rings, or it does not and the daemon looks all the same; now and then two look at once, or one dies of it.
    async fn look(&mut self) {
        // As the daemon asks before each look.
        if self.rig().engine.signals().is_on_hold() {
            return;
        }
        let before = self.all_prepared().await;
        self.commit_fault().await;
        let bells = if self.rng.random_ratio(1, 4) { 2 } else { 1 };
        let mut deaths = 0;
        let mut looks = Vec::new();
        for _ in 0..bells {
            let dies_after = self.rng.random_ratio(1, 6).then(|| self.rng.random_range(1..14));
            let office = self.office(dies_after);
            looks.push(tokio::spawn(async move { office.prepare_due().await }));
        }
        for look in looks {
            match look.await {
                Ok(Ok(_)) => {}
                died => {
                    assert!(died.is_err() || self.rig().store().tally().await.is_ok(), "a look fails: {died:?}");
                    deaths += 1;
                }
            }
        }
        let after = self.all_prepared().await;
        let now = self.now();
        for i in 0..FILES {
            self.is_prepared_once(i, &before[i], &after[i]);
        }
        if deaths > 0 {
            self.see("a look is cut off");
            return;
        }
        let stored = self.stored().await;
        for i in 0..FILES {
            self.nothing_is_missed(i, &before[i], &after[i], &stored, now).await;
        }
    }

    async fn all_prepared(&self) -> Vec<Prepared> {
        let (stored, mut all) = (self.stored().await, Vec::new());
        for series in &self.series {
            all.push(self.prepared(&series.file.name, &stored).await);
        }
        all
    }

    /// What is prepared stays so, and no look adds to it.
    fn is_prepared_once(&self, i: usize, before: &Prepared, after: &Prepared) {
        for (name, then) in before {
            let now = after.get(name);
            assert_eq!(now, Some(then), "{} {name} is prepared again", self.series[i].file.name);
        }
    }

    /// After a look that came to its end each occurrence is prepared whose time has come, and of the missed ones those that are to be.
    async fn nothing_is_missed(
        &mut self,
        i: usize,
        before: &Prepared,
        after: &Prepared,
        stored: &[Stored],
        now: Millis,
    ) {
        let series = &self.series[i];
        let fresh: BTreeSet<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
        let Some(edition) = series.loaded.as_ref().filter(|_| !series.cancelled) else {
            return assert!(fresh.is_empty(), "{fresh:?} of {} is prepared, and it is cancelled", series.file.name);
        };
        let moved = |o: Occurrence| Occurrence {
            first: o.first + series.shift,
            last: o.last + series.shift,
            ends: o.ends + series.shift,
            ..o
        };
        let all: Vec<Occurrence> = edition.occurrences(now - 2 * DAY, now + DAY).into_iter().map(moved).collect();
        let what = format!("at {} of {edition:?}, shifted by {}", rfc3339(now), series.shift / MINUTE);
        let mut may_come = BTreeSet::new();
        for o in all.iter().filter(|o| o.first - edition.ahead <= now && now < o.last) {
            may_come.insert(&o.name);
            assert!(
                now < self.latest || o.last <= series.decided || after.contains_key(&o.name),
                "{} is not prepared {what}",
                o.name
            );
        }
        let is_missed = |o: &&Occurrence| o.last > series.decided && o.last <= now && !before.contains_key(&o.name);
        let missed: Vec<&Occurrence> = all.iter().filter(is_missed).collect();
        let latest = missed.iter().filter(|o| edition.once && o.ends > now).max_by_key(|o| (o.last, &o.name));
        if let Some(latest) = latest {
            may_come.insert(&latest.name);
            assert!(now < self.latest || after.contains_key(&latest.name), "{} is not made up for {what}", latest.name);
        }
        // What a hold has made late may come when it ends, and need not.
        let was_held = |name: &&&String| all.iter().any(|o| o.name == ***name && o.last <= self.released);
        let strange: Vec<_> =
            fresh.iter().filter(|name| !may_come.contains(**name)).filter(|name| !was_held(name)).collect();
        assert!(self.clock_set || strange.is_empty(), "{strange:?} are prepared {what}");
        let (made_up, left_out) = (latest.is_some(), missed.len() - usize::from(latest.is_some()));
        let (edition, fresh) = (edition.clone(), fresh.into_iter().cloned().collect::<Vec<_>>());
        for name in &fresh {
            tracing::debug!(name, "of {}", edition.name);
            self.see("is prepared");
            if all.iter().any(|o| o.name == *name && o.first > self.released) {
                self.reaches_all(&edition, name, &after[name].1, stored).await;
            }
        }
        made_up.then(|| self.see("is made up for"));
        (left_out > 0).then(|| self.see("is left out"));
        self.series[i].decided = self.series[i].decided.max(now);
    }

    /// Whoever is named and still has a consent has a reminder of what was just prepared.
    async fn reaches_all(&self, edition: &Edition, name: &str, ids: &BTreeSet<ReminderId>, stored: &[Stored]) {
        let reached: BTreeSet<&str> =
            stored.iter().filter(|s| ids.contains(&s.due.id)).map(|s| s.openid.as_str()).collect();
        let named = edition.audience.clone().unwrap_or_else(|| (0..USERS).collect());
        for user in named.into_iter().filter(|user| !self.forgotten.contains(&openid(*user))) {
            let balances = self.rig().store().balances("coffee", &openid(user)).await.expect("answers");
            let available = balances.get(EVENT).map_or(0, |balance| balance.available);
            let needs_none = edition.audience.is_some() && edition.claims != "reserve";
            let is_reached = reached.contains(&*openid(user));
            assert!(is_reached || available == 0 && !needs_none, "{} has no reminder of {name}", openid(user));
        }
    }

    /// Messages that arrived since: each is said by the file that was loaded last, and comes once.
    fn judge(&mut self) {
        for message in self.rig().messages().split_off(self.judged) {
            self.judged += 1;
            let identity = Edition::identity(&message).expect("one of ours");
            let series = self.series.iter().find(|series| series.file.name == identity.0).expect("one of ours");
            assert!(
                series.allowed.iter().any(|edition| edition.says(&message)),
                "{message:?} is sent, and the file that was loaded last does not say so: {:?}",
                series.allowed
            );
            assert!(!self.forgotten.contains(&message.openid), "{message:?} is sent to somebody who was forgotten");
            assert!(!series.paused && !series.cancelled, "{message:?} is sent, though it is paused or cancelled");
            assert!(self.received.insert(identity), "I2: {message:?} comes twice");
            self.see("a message arrives");
        }
    }

    async fn load(&mut self, i: usize, edits: bool) {
        let now = self.now();
        let as_it_was = self.series[i].file.clone();
        if edits {
            let file = &mut self.series[i].file;
            file.edit(&mut self.rng, now);
        }
        let file = self.series[i].file.clone();
        let read = match self.fault {
            Some(Fault::TableOfBefore) if edits => as_it_was.clone(),
            Some(Fault::MisfireTurnedRound) => file.turned_round(),
            Some(Fault::WordsOfBefore) => file.in_the_words_of(&as_it_was),
            _ => file.clone(),
        };
        let cut = self.rng.random_ratio(1, 4).then(|| self.rng.random_range(1..4));
        let loaded = self.attempt_load(&read, self.series[i].cancelled, cut).await;
        let now = self.now();
        let series = &mut self.series[i];
        match loaded {
            Some(true) => {
                let is_same = series.loaded.as_ref() == Some(&file) && !series.cancelled && series.allowed.len() == 1;
                if !is_same {
                    series.decided = now;
                }
                series.shift_counts(&file);
                tracing::debug!("{}: {}", file.text(), file.table().unwrap_or_default());
                (series.loaded, series.allowed, series.cancelled) = (Some(file.clone()), vec![file], false);
                self.see("a file is loaded");
            }
            Some(false) => {
                series.file = as_it_was;
                self.see("a load is refused");
            }
            None => {
                if series.cancelled {
                    // It is back, and its file of before stays ended.
                    (series.cancelled, series.loaded) = (false, None);
                }
                series.allowed.push(file);
                self.see("a load is cut off");
                self.rig().clock().advance(DEAD);
                // Half a file is loaded only by completing it.
                Box::pin(self.completes(i)).await;
            }
        }
    }

    /// Somebody sees that a load was cut off, and loads the file again.
    async fn completes(&mut self, i: usize) {
        let passes = self.rng.random_range(SECOND..HOUR);
        if self.rng.random() {
            self.pass(passes).await;
        }
        // A look that died just now stands in its way for a minute.
        self.rig().clock().advance(DEAD);
        let file = self.series[i].file.clone();
        assert_eq!(self.attempt_load(&file, true, None).await, Some(true), "what was cut off can be completed");
        let now = self.now();
        let series = &mut self.series[i];
        series.shift_counts(&file);
        (series.decided, series.cancelled) = (now, false);
        (series.loaded, series.allowed) = (Some(file.clone()), vec![file]);
    }

    /// Whether the file is loaded; nothing if the loader dies after so many commits.
    async fn attempt_load(&self, file: &Edition, revive: bool, cut: Option<u32>) -> Option<bool> {
        let office = self.office(None);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("events.csv");
        let mut tables = BTreeMap::new();
        if let Some(table) = file.table() {
            std::fs::write(&path, table).expect("written");
            tables.insert("events.csv".to_owned(), path);
        }
        let input =
            Input { text: file.text(), name: "file.toml".into(), tables, has_schedule: true, ..Input::default() };
        let options = Options { revive, allow_removals: true, by: "sim".into(), ..Options::default() };
        let commits = AtomicU32::new(0);
        let progress: Progress = Arc::new(move |stage, _| {
            let counts = matches!(stage, Stage::Writing | Stage::Removing);
            if counts && Some(commits.fetch_add(1, Ordering::SeqCst) + 1) == cut {
                std::panic::resume_unwind(Box::new("the load is cut off"));
            }
        });
        let loads = tokio::spawn(async move {
            let mut planning = office.plan(Arc::new(input.clone()), &options, &progress).await.expect("answers");
            let loaded = office.load(&input, &mut planning, &options, &progress).await.expect("answers");
            let codes: BTreeSet<&str> = planning.plan.problems.list.iter().map(|problem| problem.code).collect();
            let late = ["busy", "late"];
            assert!(
                loaded.is_some() || codes.is_subset(&late.into()),
                "a good file is refused: {:?}",
                planning.plan.problems
            );
            loaded.is_some()
        });
        match loads.await {
            Ok(loaded) => Some(loaded),
            Err(died) => {
                let panic = died.into_panic();
                let is_ours = panic.downcast_ref::<&str>() == Some(&"the load is cut off");
                is_ours.then_some(()).or_else(|| std::panic::resume_unwind(panic));
                None
            }
        }
    }

    async fn pause_or_resume(&mut self, i: usize) {
        let (name, resumes) = (self.series[i].file.name.clone(), self.series[i].paused);
        let done = match resumes {
            true => self.rig().store().resume_schedule(&name, "sim", self.now()).await.expect("answers").0,
            false => self.rig().store().pause_schedule(&name, "sim").await.expect("answers"),
        };
        if done == Paused::Yes {
            self.series[i].paused = !resumes;
            self.see(if resumes { "is resumed" } else { "is paused" });
        }
    }

    async fn shift(&mut self, i: usize) {
        let (name, by) = (self.series[i].file.name.clone(), self.rng.random_range(-30..60) * MINUTE);
        match self.rig().store().begin_shift(&name, by, "sim", self.now()).await.expect("answers") {
            Ok(TaskBegun::Yes(work)) => {
                self.works_off(work).await;
                self.series[i].shift += by;
                // What was decided stays so.
                self.series[i].decided += by;
                tracing::debug!(by = by / MINUTE, "{}", self.series[i].file.name);
                self.see("is shifted");
            }
            Err(_) => self.see("a shift is too far"),
            Ok(_) => {}
        }
    }

    async fn end(&mut self, i: usize) {
        let name = self.series[i].file.name.clone();
        if let TaskBegun::Yes(work) = self.rig().store().begin_cancel(&name, "sim").await.expect("answers") {
            self.works_off(work).await;
            self.series[i].cancelled = true;
            self.see("is cancelled");
        }
    }

    async fn works_off(&self, work: Work) {
        while self.rig().store().work_off_once(&work).await.expect("answers") == Step::More {}
    }

    /// Something is wrong below the engine, on purpose.
    async fn commit_fault(&mut self) {
        let sql = match self.fault {
            Some(Fault::OccurrencesForgotten) => "DELETE FROM occurrence",
            Some(Fault::BellUnheard) if self.rng.random_ratio(1, 4) => {
                "UPDATE schedule SET next_at = next_at + 7200000"
            }
            Some(Fault::CancelForgotten) => "UPDATE schedule SET cancelled_at = NULL, next_at = COALESCE(next_at, 1)",
            Some(Fault::RefusalTakenForSent) => "UPDATE outcome SET state = 'sent' WHERE state = 'failed'",
            Some(Fault::MissedForgotten) => "UPDATE schedule SET since = 4102444800000",
            _ => return,
        };
        let mut conn = AnyConnection::connect(&self.rig().test.url).await.expect("connects");
        sqlx::query(sql).execute(&mut conn).await.expect("answers");
        conn.close().await.expect("closes");
    }

    /// What is told as sent has arrived, message by message, and what was refused is told as such.
    async fn all_that_is_sent_has_arrived(&mut self) {
        let (messages, stored) = (self.rig().messages(), self.stored().await);
        if stored.iter().any(|s| s.due.state == State::Failed) {
            self.see("a message is refused");
        }
        for user in (0..USERS).map(openid).filter(|user| !self.unknown.contains(user)) {
            let has = messages.iter().filter(|message| message.openid == user).count();
            let in_state = |state| stored.iter().filter(|s| s.openid == user && s.due.state == state).count();
            let (sent, perhaps) = (in_state(State::Sent), in_state(State::Unconfirmed));
            assert!((sent..=sent + perhaps).contains(&has), "{user} has {has} messages, and {sent} are told as sent");
        }
    }

    /// All is resumed; what is due goes, and nothing stays behind.
    async fn ends(&mut self) {
        for i in 0..FILES {
            if self.series[i].paused {
                self.pause_or_resume(i).await;
            }
        }
        self.rig().sandbox.world().faults.busy_rate = 0.0;
        self.pass(4 * HOUR).await;
        self.all_that_is_sent_has_arrived().await;
        let now = self.now();
        let behind: Vec<Stored> = self.stored().await.into_iter().filter(|s| s.due.expires_at + HOUR < now).collect();
        for stored in behind {
            assert!(stored.due.state != State::Scheduled, "I5: {stored:?} stays behind");
        }
        self.rig().check().await;
    }
}
