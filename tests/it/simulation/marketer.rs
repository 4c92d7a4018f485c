//! Marketers in a life: they load files, edit them and load them again; loads are cut off at any commit; schedules are paused, resumed,
//! shifted, cancelled and brought back in the middle of sends. On the real store alone: the model knows no schedules.

use super::{
    disk::{attempt, wait},
    life::{Life, seconds},
    platform,
    sabotage::Sabotage,
};
use crate::harness;
use chrono::{DateTime, FixedOffset};
use rand::{RngExt, seq::IndexedRandom};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tixing::{
    domain::{MINUTE, Millis, SECOND, due::Due, reminder::State},
    schedule::{
        gather::Input,
        load::{Batches, Loaded, Office, Options, Progress, Stage},
        plan::Plan,
        sheet::Reader,
    },
    store::{Store, reminders::Stored, schedule_pause::Paused, schedule_tasks::Step, schedule_tasks::TaskBegun},
};

/// Files of one life.
const FILES: usize = 2;
/// People that a file may name.
const KEYS: u32 = 7;

/// One file, and what may come of it by our own account.
#[derive(Debug, Clone)]
pub struct Marketer {
    /// The schedule.
    pub name: String,
    head: String,
    /// Key → what the file says of it by now.
    rows: BTreeMap<String, Said>,
    editions: u32,
    /// The file that a shift is of; none if its shift ends with whatever file comes next.
    loaded: Option<String>,
    /// What it was moved by since.
    shift: Millis,
    /// All that its shifts have come to at some time.
    pub shifts: BTreeSet<Millis>,
    /// Whether the store has heard of it.
    known: bool,
    paused: bool,
    cancelled: bool,
    /// What may be sent, from when on.
    pub moments: Vec<Moment>,
    /// All that the file ever said: mark → what.
    pub said: BTreeMap<String, Said>,
    /// Whose users were forgotten: nobody knows any more that they were there.
    pub forgotten: BTreeSet<String>,
    /// A restored store knows another past of it, and nobody touches it again.
    pub lost: bool,
    touched: u32,
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The user.
    pub openid: String,
    /// What the message says: which row it is and which edition.
    pub mark: String,
    /// The instant.
    pub at: Millis,
}

/// What may be sent of a schedule from some instant on.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Since when, by the world.
    pub world: Millis,
    /// Since when nothing goes, by the world.
    pub closed: Option<Millis>,
    /// Key → marks.
    pub allowed: BTreeMap<String, BTreeSet<String>>,
}

/// Which row of which file a mark belongs to: `c0-K3-7` → `c0`, `K3`.
pub fn row_of(mark: &str) -> Option<(&str, &str)> {
    let (name, rest) = mark.split_once('-')?;
    Some((name, rest.split_once('-')?.0))
}

impl Marketer {
    fn begin(life: &mut Life, number: usize) -> Self {
        let name = format!("c{number}");
        let claims = *["reserve", "at_fire", "either"].choose(&mut life.rng).expect("some");
        // Whether a consent lasts until a row's instant is for the loads' own tests.
        let claims = if platform::is_limited(&life.app) { "at_fire" } else { claims };
        let expires = *["1m", "5m"].choose(&mut life.rng).expect("some");
        let late = *["skip", "send"].choose(&mut life.rng).expect("some");
        let data: BTreeMap<String, String> =
            serde_json::from_str(&platform::data(&life.app, "{{名称}}", 0)).expect("an object");
        let data: String = data.iter().map(|(field, value)| format!("\"{field}\" = \"{value}\"\n")).collect();
        let page = platform::page(&life.app);
        let head = format!(
            "name = \"{name}\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = {{ column = \"时间\" }}\npage = \"{page}\"\n\
             audience = {{ file = \"list.csv\", openid = \"openid\", key = \"键\" }}\n\
             consent = \"{claims}\"\nexpires = \"{expires}\"\nlate = \"{late}\"\n\
             [data]\n{data}"
        );
        Self {
            name,
            head,
            rows: BTreeMap::new(),
            editions: 0,
            loaded: None,
            shift: 0,
            shifts: [0].into(),
            known: false,
            paused: false,
            cancelled: false,
            moments: vec![Moment::default()],
            said: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            lost: false,
            touched: 0,
        }
    }

    fn edit(&mut self, life: &mut Life) {
        for _ in 0..life.rng.random_range(1..5) {
            let key = format!("K{}", life.rng.random_range(0..KEYS));
            let n = life.rng.random_range(0..super::life::USERS);
            let openid = life.openid(n);
            let at = life.time.machine() + life.rng.random_range(-5 * SECOND..MINUTE);
            self.editions += 1;
            let said = Said {
                openid: self
                    .rows
                    .get(&key)
                    .filter(|_| life.rng.random_ratio(3, 4))
                    .map_or(openid, |s| s.openid.clone()),
                mark: format!("{}-{key}-{}", self.name, self.editions),
                at: at.div_euclid(SECOND) * SECOND,
            };
            match life.rng.random_range(0..5) {
                0 => drop(self.rows.remove(&key)),
                _ => drop(self.rows.insert(key, said)),
            }
        }
        self.said.extend(self.rows.values().map(|said| (said.mark.clone(), said.clone())));
    }

    fn table(&self) -> String {
        let zone = FixedOffset::east_opt(8 * 3_600).expect("a zone");
        let wall = |at: Millis| DateTime::from_timestamp_millis(at).expect("a time").with_timezone(&zone).to_rfc3339();
        let rows: String =
            self.rows.iter().map(|(key, s)| format!("{},{key},{},{}\n", s.openid, s.mark, wall(s.at))).collect();
        format!("openid,键,名称,时间\n{rows}")
    }

    /// From now on something else may be sent.
    fn now(&mut self, life: &Life, change: impl FnOnce(&mut Moment)) {
        let mut moment = self.moments.last().expect("one at least").clone();
        let world = life.time.world();
        moment.world = world;
        change(&mut moment);
        let closed = self.paused || self.cancelled;
        moment.closed = closed.then(|| moment.closed.unwrap_or(world));
        self.moments.push(moment);
        self.touched += 1;
    }

    /// A user is forgotten: what waits for them is gone, and so is what is known of their rows.
    pub fn forget(&mut self, life: &Life, openid: &str, stored: &[Stored]) {
        let theirs: BTreeSet<String> =
            self.said.values().filter(|s| s.openid == openid).map(|s| key_of(&s.mark)).collect();
        let gone: Vec<String> = theirs.iter().filter(|key| !is_done(stored, key)).cloned().collect();
        self.forgotten.extend(theirs);
        self.now(life, |moment| gone.iter().for_each(|key| drop(moment.allowed.remove(key))));
    }

    /// Whether nothing has happened to it since another time.
    pub fn is_as(&self, then: &Self) -> bool {
        self.touched == then.touched
    }
}

fn key_of(mark: &str) -> String {
    row_of(mark).map(|(_, key)| key.to_owned()).unwrap_or_default()
}

fn key(stored: &Stored) -> &str {
    stored.origin.as_ref().and_then(|origin| origin.key.as_deref()).unwrap_or(&stored.openid)
}

fn waits(due: &Due) -> bool {
    due.state == State::Scheduled && !due.is_doubtful()
}

/// Whether a row's message is on its way, may have arrived, or has: then no file changes it any more.
fn is_done(stored: &[Stored], row: &str) -> bool {
    stored.iter().filter(|s| key(s) == row).any(|s| {
        let under_way = matches!(s.due.state, State::Sending | State::InDoubt | State::Sent | State::Unconfirmed);
        under_way || s.due.is_doubtful()
    })
}

impl Life {
    fn office(&mut self, store: Store) -> Office {
        let mut config = harness::config("http://sandbox");
        config.apps = vec![self.app.clone()];
        let batches = Batches { fewest: 1, most: self.rng.random_range(1..5) };
        let (clock, reader) = (self.time.of_store(), Arc::new(Reader::default()));
        Office { config: Arc::new(config), store, clock, reader, batches }
    }

    /// The reminders of a schedule.
    pub fn planned(&self, name: &str) -> Vec<Stored> {
        let Some(store) = self.disk.store() else { return Vec::new() };
        let id = store.gates().find(name);
        let of_it = |stored: &Stored| stored.origin.as_ref().is_some_and(|origin| Some(origin.schedule) == id);
        self.disk.stored().into_iter().filter(of_it).collect()
    }

    /// A marketer does something. While the store is on hold the daemon refuses it.
    pub async fn marketer_acts(&mut self) {
        let Some(store) = self.disk.store().filter(|_| self.held().is_none()) else { return };
        let known: Vec<usize> = (0..self.marketers.len()).filter(|i| !self.marketers[*i].lost).collect();
        let begins = known.is_empty() || self.marketers.len() < FILES && self.rng.random_ratio(1, 4);
        let i = match known.choose(&mut self.rng) {
            Some(i) if !begins => *i,
            _ => {
                let marketer = Marketer::begin(self, self.marketers.len());
                self.marketers.push(marketer);
                self.marketers.len() - 1
            }
        };
        let mut marketer = self.marketers[i].clone();
        match self.rng.random_range(0..20) {
            _ if begins => self.load(&store, &mut marketer, true),
            0..9 => self.load(&store, &mut marketer, true),
            9..12 => self.load(&store, &mut marketer, false),
            12..16 => self.pause_or_resume(&store, &mut marketer),
            16..19 => self.shift(&store, &mut marketer),
            _ => self.end(&store, &mut marketer),
        }
        self.marketers[i] = marketer;
        if self.dies {
            self.dies = false;
            self.crash().await;
        }
    }

    /// What was cut off is taken up again, as the daemon does.
    pub fn take_up(&mut self) {
        let Some(store) = self.disk.store() else { return };
        let now = self.time.machine();
        let n = wait(async move { store.take_up_tasks(now).await });
        if n > 0 {
            self.told.push("what was cut off is taken up".into());
        }
    }

    fn load(&mut self, store: &Store, marketer: &mut Marketer, edits: bool) {
        let as_it_was = marketer.table();
        if edits {
            marketer.edit(self);
        }
        let table = if self.is(Sabotage::TableOfBefore) { as_it_was } else { marketer.table() };
        if self.is(Sabotage::IdentitiesForgotten) {
            self.disk.forget_identities();
        }
        let before = self.planned(&marketer.name);
        let cut = self.rng.random_ratio(1, 3).then(|| self.rng.random_range(1..6));
        let Some((plan, loaded)) = self.attempt_load(store, marketer, &table, cut) else {
            self.told.push("a load is cut off".into());
            self.dies = self.rng.random();
            let says = marketer.rows.clone();
            (marketer.known, marketer.cancelled) = (true, false);
            // Another file ends a shift, also where it does not come to its end itself.
            match marketer.shift {
                0 => marketer.loaded = Some(table),
                _ => marketer.loaded = marketer.loaded.take().filter(|loaded| *loaded == table),
            }
            let done = |key: &String| is_done(&before, key);
            return marketer.now(self, |moment| {
                for (key, said) in says.iter().filter(|(key, _)| !done(key)) {
                    moment.allowed.entry(key.clone()).or_default().insert(said.mark.clone());
                }
            });
        };
        let Some(_) = loaded else {
            let of_file = plan.problems.list.iter().filter(|problem| problem.place.row.is_none());
            let codes: BTreeSet<&str> = of_file.map(|problem| problem.code).collect();
            // The platform may know the template otherwise by now.
            let may_be = ["busy", "no_rows", "out_of_step", "unknown_template", "unknown_field", "missing_field"];
            assert!(codes.is_subset(&may_be.into()), "a good file is refused: {codes:?}");
            self.told.push(format!("a load is refused: {codes:?}"));
            return;
        };
        self.told.push("a file is loaded".into());
        let says = marketer.rows.clone();
        (marketer.known, marketer.cancelled) = (true, false);
        if marketer.shift != 0 && marketer.loaded.as_ref() != Some(&table) {
            marketer.shift = 0;
        }
        marketer.loaded = Some(table.clone());
        let (done, forgotten) = (|key: &String| is_done(&before, key), self.forgotten.clone());
        marketer.now(self, |moment| {
            moment.allowed.retain(|key, _| done(key));
            let gone = |said: &Said| forgotten.get(&said.openid).copied().unwrap_or_default();
            for (key, said) in says.iter().filter(|(key, said)| !done(key) && !gone(said)) {
                moment.allowed.insert(key.clone(), [said.mark.clone()].into());
            }
        });
        self.is_as_the_file_says(marketer);
        if self.rng.random_ratio(1, 2) {
            self.again_changes_nothing(store, marketer, &table);
        }
    }

    /// Plans and loads; nothing if it was cut off after so many commits.
    fn attempt_load(
        &mut self,
        store: &Store,
        marketer: &Marketer,
        table: &str,
        cut: Option<u32>,
    ) -> Option<(Plan, Option<Loaded>)> {
        let office = self.office(store.clone());
        let path = self.disk.folder().join("list.csv");
        std::fs::write(&path, table).expect("written");
        let tables = [("list.csv".to_owned(), path)].into();
        let input = Input {
            text: marketer.head.clone(),
            name: "file.toml".into(),
            tables,
            has_schedule: true,
            ..Input::default()
        };
        let options =
            Options { revive: marketer.cancelled, allow_removals: true, by: "sim".into(), ..Options::default() };
        let commits = AtomicU32::new(0);
        let progress: Progress = Arc::new(move |stage, _| {
            let counts = matches!(stage, Stage::Writing | Stage::Removing);
            if counts && Some(commits.fetch_add(1, Ordering::SeqCst) + 1) == cut {
                // The loader dies here, without a word to the hook that reports panics.
                std::panic::resume_unwind(Box::new("the load is cut off"));
            }
        });
        attempt(async move {
            let mut planning =
                office.plan(Arc::new(input.clone()), &options, &progress).await.expect("the store answers");
            let loaded = office.load(&input, &mut planning, &options, &progress).await.expect("the store answers");
            (planning.plan, loaded)
        })
    }

    /// After a load to the end nothing waits that the file does not name, or says otherwise.
    fn is_as_the_file_says(&self, marketer: &Marketer) {
        let quiet = self.app.rules.quiet_hours.is_some();
        for stored in self.planned(&marketer.name).iter().filter(|s| waits(&s.due)) {
            let row = key(stored);
            let mark = platform::mark_in(&self.app, &stored.data);
            let said = marketer.rows.get(row);
            assert!(said.is_some(), "{mark} waits, and the file has no row {row}");
            let said = said.expect("just seen");
            assert_eq!((&mark, &stored.openid), (&said.mark, &said.openid), "what waits says what the file says");
            let moved = stored.due.at - said.at;
            // What was on its way when another file ended the shift, and comes back to wait, stays where it was.
            let may_be_shifted = marketer.shift != 0 || stored.due.fence > 0;
            assert!(
                quiet || moved == 0 || may_be_shifted && marketer.shifts.contains(&moved),
                "{mark} waits for {}, and the file says {}",
                seconds(stored.due.at),
                seconds(said.at)
            );
        }
    }

    /// The same file once more writes nothing: the same ids, instants, words and consents.
    fn again_changes_nothing(&mut self, store: &Store, marketer: &Marketer, table: &str) {
        let seen = |life: &Self| {
            let all = life.planned(&marketer.name).into_iter();
            let reminders: Vec<_> =
                all.map(|s| (s.due.id, s.due.state, s.due.at, s.due.expires_at, s.data, s.openid)).collect();
            let users: BTreeSet<&String> = marketer.said.values().map(|said| &said.openid).collect();
            let balances: Vec<_> = users.into_iter().map(|openid| life.disk.balance(openid, life.event())).collect();
            (reminders, balances)
        };
        let before = seen(self);
        let (_, loaded) = self.attempt_load(store, marketer, table, None).expect("it is not cut off");
        assert_eq!(loaded, Some(Loaded::default()), "the same file again writes nothing");
        assert_eq!(seen(self), before, "the same file again changes nothing");
    }

    fn pause_or_resume(&mut self, store: &Store, marketer: &mut Marketer) {
        let (store, name, now) = (store.clone(), marketer.name.clone(), self.time.machine());
        let resumes = marketer.paused;
        let done = wait(async move {
            match resumes {
                true => Ok(store.resume_schedule(&name, "sim", now).await?.0),
                false => store.pause_schedule(&name, "sim").await,
            }
        });
        match done {
            Paused::Yes => marketer.paused = !marketer.paused,
            // Every load of it was refused so far.
            Paused::NotFound => {
                assert!(!marketer.known, "it was loaded");
                return;
            }
            Paused::Cancelled => assert!(marketer.cancelled, "nobody cancelled it"),
            Paused::Already(_) => unreachable!("we know whether it is paused"),
        }
        self.told.push(format!("{} is {}", marketer.name, if resumes { "resumed" } else { "paused" }));
        marketer.now(self, |_| ());
    }

    fn shift(&mut self, store: &Store, marketer: &mut Marketer) {
        let by = self.rng.random_range(-90..60) * SECOND;
        let (now, before) = (self.time.machine(), self.planned(&marketer.name));
        let begun = {
            let (store, name) = (store.clone(), marketer.name.clone());
            wait(async move { store.begin_shift(&name, by, "sim", now).await })
        };
        let work = match begun {
            Ok(TaskBegun::Yes(work)) => work,
            Err(n) => {
                assert!(n > 0, "nothing would be passed");
                self.told.push("a shift is too far".into());
                let seen = |all: Vec<Stored>| all.into_iter().map(|s| (s.due.id, s.due.at)).collect::<Vec<_>>();
                assert_eq!(seen(self.planned(&marketer.name)), seen(before), "nothing moves");
                return;
            }
            Ok(_) => return,
        };
        self.told.push(format!("{} is shifted", marketer.name));
        self.steps(store, work);
        marketer.shift += by;
        let moved = marketer.shifts.iter().map(|shift| shift + by).collect::<Vec<_>>();
        marketer.shifts.extend(moved);
        marketer.now(self, |_| ());
        if self.dies {
            return;
        }
        let after: BTreeMap<_, _> = self.planned(&marketer.name).into_iter().map(|s| (s.due.id, s.due.at)).collect();
        for then in before.iter().filter(|s| waits(&s.due)) {
            let moved = after[&then.due.id] - then.due.at;
            assert!(
                moved == by || moved == 0 && (then.due.expires_at <= now || platform::is_limited(&self.app)),
                "{} moves by {moved}, not {by}",
                then.due.id
            );
        }
    }

    /// Works a task off, or dies in the middle of it.
    fn steps(&mut self, store: &Store, work: tixing::store::schedule_tasks::Work) {
        self.dies = self.rng.random_ratio(1, 4);
        let store = store.clone();
        let whole = !self.dies;
        wait(async move {
            while store.work_off_once(&work).await? == Step::More {
                if !whole {
                    break;
                }
            }
            Ok(())
        });
    }

    fn end(&mut self, store: &Store, marketer: &mut Marketer) {
        let begun = {
            let (store, name) = (store.clone(), marketer.name.clone());
            wait(async move { store.begin_cancel(&name, "sim").await })
        };
        let TaskBegun::Yes(work) = begun else { return };
        self.told.push(format!("{} is cancelled by a marketer", marketer.name));
        self.steps(store, work);
        let before = self.planned(&marketer.name);
        marketer.cancelled = true;
        marketer.now(self, |moment| moment.allowed.retain(|key, _| is_done(&before, key)));
        if !self.dies {
            assert!(!before.iter().any(|s| s.due.state == State::Scheduled), "what waited is cancelled");
        }
    }
}
