//! Schedules that recur, and tables of events: what is prepared when, what an edit makes of it, what a user gets. Files are loaded, the clock
//! is moved, and the crank is turned.

use crate::harness::{
    self, EVENT, START,
    rig::{Rig, on_both_rigs, plain},
};
use std::{collections::BTreeMap, sync::Arc};
use tixing::{
    clock::Clock,
    domain::{DAY, HOUR, MINUTE, Millis, consent::Report, reminder::State, retention::Retention},
    schedule::{
        gather::Input,
        load::{Loaded, Office, Options},
        plan::Plan,
        prepare::Looked,
        sheet::Reader,
    },
    store::{lists::Filter, reminders::Stored, retention::Walk, schedule_tasks::TaskBegun},
    words::{Lang, Voice},
};

/// A marketer's folder beside a daemon that is turned by hand.
struct Desk {
    rig: Rig,
    folder: tempfile::TempDir,
    tables: BTreeMap<String, String>,
    taps: u32,
}

impl Desk {
    fn new(rig: Rig) -> Self {
        Self { rig, folder: tempfile::tempdir().expect("a folder"), tables: BTreeMap::new(), taps: 0 }
    }

    fn office(&self) -> Office {
        let mut config = harness::config("http://sandbox");
        config.apps.clone_from(&self.rig.apps);
        Office {
            config: Arc::new(config),
            store: self.rig.store().clone(),
            clock: self.rig.test.clock.clone(),
            reader: Arc::new(Reader::default()),
            batches: Default::default(),
        }
    }

    /// The user accepts so many times.
    async fn taps(&mut self, openid: &str, times: u32) {
        for _ in 0..times {
            self.rig.tap(openid);
            self.taps += 1;
            let event = Some(format!("tap-{}", self.taps));
            let report = Report { event, ..harness::accept("coffee", openid, EVENT) };
            self.rig.store().record(vec![report]).await.expect("recorded");
        }
    }

    fn input(&self, head: &str) -> Input {
        let text = format!(
            "name = \"class\"\napp = \"coffee\"\ntemplate = \"event-start\"\n{head}\n[data]\nthing1 = \"{}\"\ntime2 = \"{{{{@event | datetime}}}}\"\n",
            if self.tables.contains_key("events.csv") { "{{活动}}" } else { "读书会" }
        );
        let write = |(name, text): (&String, &String)| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            (name.clone(), path)
        };
        let tables = self.tables.iter().map(write).collect();
        Input { text, name: "class.toml".into(), tables, has_schedule: true, ..Input::default() }
    }

    async fn plan(&self, head: &str) -> Plan {
        let input = Arc::new(self.input(head));
        let planned = self.office().plan(input, &Options::default(), &(Arc::new(|_, _| {}) as _)).await;
        planned.expect("answers").plan
    }

    async fn load_with(&self, head: &str, options: Options) -> (Plan, Option<Loaded>) {
        let (input, office) = (self.input(head), self.office());
        let options = Options { by: "test".into(), ..options };
        let silent = Arc::new(|_, _| {}) as _;
        let mut planning = office.plan(Arc::new(input.clone()), &options, &silent).await.expect("answers");
        let loaded = office.load(&input, &mut planning, &options, &silent).await.expect("answers");
        (planning.plan, loaded)
    }

    async fn load(&self, head: &str) -> Loaded {
        let (plan, loaded) = self.load_with(head, Options::default()).await;
        loaded.unwrap_or_else(|| panic!("{}", plan.json(Voice::new(Lang::En))))
    }

    async fn look(&self) -> Looked {
        self.office().prepare_due().await.expect("answers")
    }

    /// Time passes, with a look at the recurring schedules and a turn of the crank each so often.
    async fn passes(&mut self, total: Millis, step: Millis) {
        for _ in 0..total / step {
            self.rig.pass(step, step).await;
            self.look().await;
        }
    }

    /// The daemon is down for so long.
    fn is_down(&self, by: Millis) {
        self.rig.clock().advance(by);
    }

    /// What was left out, the latest first, with the word for why.
    async fn left_out(&self) -> Vec<(String, &'static str)> {
        let row = self.rig.store().schedule("class").await.expect("answers").expect("there");
        let all = self.rig.store().left_out(row.id, 99).await.expect("answers");
        all.into_iter().map(|one| (one.name, one.why.word())).collect()
    }

    async fn shift(&self, by: Millis) {
        let begun = self.rig.store().begin_shift("class", by, "test", self.rig.clock().now()).await;
        let Ok(Ok(TaskBegun::Yes(work))) = begun else { panic!("it begins") };
        assert!(self.rig.store().work_off(work).await.expect("answers"));
    }

    async fn reminders(&self) -> Vec<Stored> {
        let filter = Filter { apps: vec!["coffee".into()], limit: 1_000, ..Filter::default() };
        let mut all = self.rig.store().list(&filter).await.expect("answers");
        all.sort_by_key(|stored| (stored.due.at, stored.openid.clone()));
        all
    }

    /// Occurrence, openid and state of each reminder, in the order of their instants.
    async fn states(&self) -> Vec<(String, String, State)> {
        let of = |stored: Stored| {
            let occurrence = stored.origin.map(|origin| origin.occurrence).unwrap_or_default();
            (occurrence, stored.openid, stored.due.state)
        };
        self.reminders().await.into_iter().map(of).collect()
    }

    async fn waiting(&self) -> Vec<(String, String)> {
        let waiting = self.states().await.into_iter().filter(|(.., state)| *state == State::Scheduled);
        waiting.map(|(occurrence, openid, _)| (occurrence, openid)).collect()
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(occurrence, openid)| ((*occurrence).to_owned(), (*openid).to_owned())).collect()
}

fn counts(plan: &Plan) -> Vec<(&'static str, u64)> {
    plan.reminders.iter().filter(|(_, n)| **n > 0).map(|(change, n)| (change.word(), *n)).collect()
}

/// The clock stands at Monday, 2027-03-01 08:00 in Shanghai.
const WEEKLY: &str = "at = { cron = \"0 19 * * MON\", before = [\"1h\"] }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weekly_class_is_prepared_a_day_ahead_and_each_reminder_goes_once() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 2).await;
        desk.taps("o2", 1).await;
        let head = format!("{WEEKLY}\naudience = [\"o1\", \"o2\", \"o3\"]");
        let plan = desk.plan(&head).await;
        assert_eq!(counts(&plan), [("no_consent", 1), ("later", 2)]);
        let next: Vec<&str> = plan.next.iter().map(|next| &*next.name).collect();
        assert_eq!(
            next,
            ["2027-03-01T19:00", "2027-03-08T19:00", "2027-03-15T19:00", "2027-03-22T19:00", "2027-03-29T19:00"]
        );
        assert_eq!(plan.json(Voice::new(Lang::Zh))["recurs"], "每周一 19:00（北京时间）");
        for (between, zh, en) in [
            (
                "from = 2027-03-01, until = 2027-06-30",
                "，自 2027-03-01 至 2027-06-30",
                ", from 2027-03-01 until 2027-06-30",
            ),
            ("from = 2027-03-01", "，自 2027-03-01 起", ", from 2027-03-01"),
            ("until = 2027-06-30", "，至 2027-06-30 止", ", until 2027-06-30"),
        ] {
            let plan = desk.plan(&head.replace("before", &format!("{between}, before"))).await;
            assert_eq!(plan.json(Voice::new(Lang::Zh))["recurs"], format!("每周一 19:00（北京时间）{zh}"));
            assert_eq!(plan.json(Voice::new(Lang::En))["recurs"], format!("every Monday at 19:00 (Beijing time){en}"));
        }
        assert_eq!(desk.load(&head).await, Loaded::default(), "a load stores nothing of it");
        // Today's is within the day: it is prepared at the next look, once, whoever looks how often.
        let (once, again) = tokio::join!(desk.look(), desk.look());
        assert_eq!(once.prepared + again.prepared, 1);
        let first = "2027-03-01T19:00";
        assert_eq!(desk.waiting().await, pairs(&[(first, "o1"), (first, "o2")]));
        assert_eq!(desk.look().await, Looked::default());
        desk.passes(12 * HOUR, 5 * MINUTE).await;
        let sorted = |desk: &Desk| {
            let mut openids = desk.rig.openids();
            openids.sort();
            openids
        };
        assert_eq!(sorted(&desk), ["o1", "o2"]);
        assert_eq!(desk.rig.messages()[0].data["time2"], "2027年3月1日 19:00");
        // A week later o2 has no consent left, and o3 has come by one.
        desk.taps("o3", 1).await;
        desk.passes(7 * DAY, HOUR).await;
        assert_eq!(sorted(&desk), ["o1", "o1", "o2", "o3"]);
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_consented_when_it_is_prepared_gets_it_and_later_ones_the_next() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 3).await;
        let head = format!("{WEEKLY}\naudience = \"consented\"\nexclude = [\"o9\"]");
        desk.load(&head).await;
        desk.look().await;
        desk.taps("o2", 3).await;
        desk.taps("o9", 3).await;
        let first = "2027-03-01T19:00";
        let (plan, loaded) = desk.load_with(&head, Options::default()).await;
        assert_eq!(loaded, Some(Loaded::default()), "what is prepared is about those it was prepared for");
        assert_eq!(counts(&plan), [("same", 1), ("later", 2)]);
        assert_eq!(desk.waiting().await, pairs(&[(first, "o1")]));
        desk.passes(6 * DAY + 12 * HOUR, HOUR).await;
        let second = "2027-03-08T19:00";
        assert_eq!(desk.waiting().await, pairs(&[(second, "o1"), (second, "o2")]));
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_taken_off_a_prepared_class_stays_off_when_the_file_turns_to_everybody() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        for openid in ["o1", "o2", "o3"] {
            desk.taps(openid, 4).await;
        }
        let head = |who: &str| format!("{WEEKLY}\n{who}");
        let all = "audience = \"consented\"";
        let first = "2027-03-01T19:00";
        desk.load(&head("audience = [\"o1\", \"o2\"]")).await;
        desk.look().await;
        assert_eq!(desk.waiting().await, pairs(&[(first, "o1"), (first, "o2")]));
        assert_eq!(desk.load(&head("audience = [\"o1\"]")).await.removed, 1);
        let (plan, loaded) = desk.load_with(&head(all), Options::default()).await;
        assert_eq!((counts(&plan), loaded), (vec![("same", 1), ("later", 3)], Some(Loaded::default())));
        desk.look().await;
        assert_eq!(desk.waiting().await, pairs(&[(first, "o1")]), "nobody comes back, and nobody joins");
        // The whole class is called off and comes back: with whom it had, and not with whom it had lost before.
        let TaskBegun::Yes(work) = desk.rig.store().begin_cancel("class", "test").await.expect("answers") else {
            panic!("it begins")
        };
        assert!(desk.rig.store().work_off(work).await.expect("answers"));
        let revive = Options { revive: true, ..Options::default() };
        let (plan, loaded) = desk.load_with(&head(all), revive).await;
        assert_eq!(loaded.map(|loaded| loaded.new), Some(1), "{:?}", plan.problems);
        assert_eq!(desk.waiting().await, pairs(&[(first, "o1")]));
        // Somebody is excluded, and the line is deleted again: of what is prepared already, they stay off.
        desk.load(&head(&format!("{all}\nexclude = [\"o1\"]"))).await;
        desk.load(&head(all)).await;
        desk.look().await;
        assert_eq!(desk.waiting().await, []);
        desk.passes(7 * DAY + 12 * HOUR, 2 * HOUR).await;
        let mut openids = desk.rig.openids();
        openids.sort();
        assert_eq!(openids, ["o1", "o2", "o3"], "the next one is for all of them, once");
        assert!(desk.rig.messages().iter().all(|message| message.data["time2"] == "2027年3月8日 19:00"));
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_downtime_what_nobody_prepared_is_left_out_or_the_latest_is_made_up_for() {
    for (misfire, makes_up) in [("skip", false), ("once", true)] {
        on_both_rigs(plain, async |rig| {
            let mut desk = Desk::new(rig);
            desk.taps("o1", 5).await;
            let at = format!("at = {{ cron = \"0 19 * * *\", after = [\"1h\"], misfire = \"{misfire}\" }}");
            desk.load(&format!("{at}\naudience = [\"o1\"]")).await;
            // Until Thursday 21:00: the first four evenings pass unprepared.
            desk.is_down(3 * DAY + 13 * HOUR);
            let looked = desk.look().await;
            let made_up = u64::from(makes_up);
            assert_eq!((looked.prepared, looked.missed), (1 + made_up, 4 - made_up), "{misfire}");
            desk.rig.pass(10_000, 1_000).await;
            let messages = desk.rig.messages();
            assert_eq!(messages.len(), usize::from(makes_up), "{misfire}");
            let whys = desk.left_out().await;
            let why = if makes_up { "overtaken" } else { "missed" };
            assert!(whys.len() as u64 == looked.missed && whys.iter().all(|(_, word)| *word == why), "{whys:?}");
            if makes_up {
                assert_eq!(messages[0].data["time2"], "2027年3月4日 19:00", "the latest");
            }
            assert_eq!(desk.look().await, Looked::default(), "and not again");
            desk.rig
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_years_without_a_daemon_a_recurrence_of_every_hour_goes_on() {
    let mut desk = Desk::new(Rig::new(harness::fresh("sqlite").await, plain));
    desk.taps("o1", 2).await;
    let at = "at = { cron = \"0 * * * *\", ahead = \"5m\", misfire = \"once\" }";
    desk.load(&format!("{at}\nexpires = \"40m\"\naudience = [\"o1\"]")).await;
    desk.is_down(3_650 * DAY + 30 * MINUTE);
    let looked = desk.look().await;
    assert_eq!(looked.prepared, 1, "the latest is made up for");
    assert!((16_000..20_000).contains(&looked.missed), "of the last two years, {}", looked.missed);
    desk.is_down(30 * MINUTE);
    assert_eq!(desk.look().await, Looked { prepared: 1, ..Looked::default() }, "and the next one comes");
    desk.rig.test.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_line_moves_what_was_prepared_and_a_cancelled_recurrence_stops() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 5).await;
        let head = |cron: &str, name: &str| {
            format!("at = {{ cron = \"{cron}\", before = [\"1h\"] }}\naudience = [\"{name}\"]")
        };
        desk.load(&head("0 19 * * MON", "o1")).await;
        desk.look().await;
        assert_eq!(desk.waiting().await, pairs(&[("2027-03-01T19:00", "o1")]));
        // An hour later: another occurrence, so what was prepared goes, and the new one is prepared.
        let loaded = desk.load(&head("0 20 * * MON", "o1")).await;
        assert_eq!((loaded.new, loaded.removed), (0, 1));
        assert_eq!(desk.look().await.prepared, 1);
        assert_eq!(desk.waiting().await, pairs(&[("2027-03-01T20:00", "o1")]));
        // And back: it is prepared again, under another id.
        desk.load(&head("0 19 * * MON", "o1")).await;
        assert_eq!(desk.look().await.prepared, 1);
        assert_eq!(desk.waiting().await, pairs(&[("2027-03-01T19:00", "o1")]));
        let TaskBegun::Yes(work) = desk.rig.store().begin_cancel("class", "test").await.expect("answers") else {
            panic!("it begins")
        };
        assert!(desk.rig.store().work_off(work).await.expect("answers"));
        desk.passes(15 * DAY, 6 * HOUR).await;
        assert_eq!((desk.waiting().await.len(), desk.rig.messages().len()), (0, 0), "nothing of it comes any more");
        // Revived, it goes on with what is ahead.
        let revive = Options { revive: true, ..Options::default() };
        let (plan, loaded) = desk.load_with(&head("0 19 * * MON", "o1"), revive).await;
        assert!(loaded.is_some(), "{:?}", plan.problems);
        desk.passes(7 * DAY, HOUR).await;
        assert_eq!(desk.rig.openids(), ["o1"]);
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shift_holds_for_occurrences_to_come_until_another_file_is_loaded() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 5).await;
        let head = "at = { cron = \"0 19 * * *\", before = [\"1h\"], ahead = \"1h\" }\naudience = [\"o1\"]";
        desk.load(head).await;
        desk.shift(-2 * HOUR).await;
        desk.passes(11 * HOUR, 10 * MINUTE).await;
        let sent: Vec<Millis> = desk.reminders().await.iter().map(|stored| stored.due.at).collect();
        assert_eq!(sent, [START + 8 * HOUR], "two hours before 18:00");
        assert_eq!(desk.rig.messages()[0].data["time2"], "2027年3月1日 19:00");
        desk.rig
    })
    .await;
}

const EVENTS: &str =
    "at = { events = { file = \"events.csv\", key = \"编号\", column = \"时间\" }, before = [\"1d\"] }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_season_is_loaded_at_once_one_event_moved_and_one_called_off() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        for openid in ["o1", "o2"] {
            desk.taps(openid, 3).await;
        }
        desk.tables.insert(
            "events.csv".into(),
            "编号,活动,时间\nE1,开幕茶会,2027-03-05 10:00\nE2,品鉴,2027-03-06 10:00\nE3,闭幕,2027-03-07 10:00\n".into(),
        );
        desk.tables.insert("who.csv".into(), "openid,场次\no1,E1\no1,E2\no2,E2\no2,E3\no2,E9\n".into());
        let head = format!("{EVENTS}\naudience = {{ file = \"who.csv\", event = \"场次\" }}");
        let (plan, loaded) = desk.load_with(&head, Options::default()).await;
        assert_eq!(loaded.map(|loaded| loaded.new), Some(4));
        let problem = &plan.problems.list[0];
        assert_eq!(
            (problem.code, problem.place.row, problem.place.cell.as_deref()),
            ("unknown_event", Some(6), Some("B6"))
        );
        let next: Vec<Option<&str>> = plan.next.iter().map(|next| next.key.as_deref()).collect();
        assert_eq!(next, [Some("E1"), Some("E2"), Some("E3")]);
        let all = [("E1", "o1"), ("E2", "o1"), ("E2", "o2"), ("E3", "o2")];
        assert_eq!(desk.waiting().await, pairs(&all));
        let ids: Vec<_> = desk.reminders().await.iter().map(|stored| stored.due.id).collect();
        // E1 moves behind E3, E2 is called off with those who came to it.
        desk.tables.insert(
            "events.csv".into(),
            "编号,活动,时间\nE1,开幕茶会,2027-03-08 10:00\nE3,闭幕,2027-03-07 10:00\n".into(),
        );
        desk.tables.insert("who.csv".into(), "openid,场次\no1,E1\no2,E3\n".into());
        let loaded = desk.load(&head).await;
        assert_eq!((loaded.new, loaded.changed, loaded.removed), (0, 1, 2));
        assert_eq!(desk.waiting().await, pairs(&[("E3", "o2"), ("E1", "o1")]));
        assert_eq!(
            desk.reminders()
                .await
                .iter()
                .filter(|s| s.due.state == State::Scheduled)
                .map(|s| s.due.id)
                .collect::<Vec<_>>(),
            [ids[3], ids[0]]
        );
        assert_eq!(desk.load(&head).await, Loaded::default(), "the same again changes nothing");
        desk.passes(8 * DAY, HOUR).await;
        assert_eq!(desk.rig.openids(), ["o2", "o1"]);
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_for_everybody_are_prepared_one_by_one_by_what_the_store_has_kept() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 3).await;
        desk.taps("o2", 3).await;
        desk.tables.insert(
            "events.csv".into(),
            "编号,活动,时间\nE1,开幕茶会,2027-03-05 10:00\nE2,闭幕酒会,2027-03-07 10:00\n".into(),
        );
        desk.tables.insert("who.csv".into(), "openid,编号\no1,A\no2,B\n".into());
        desk.tables.insert("staff.csv".into(), "openid\no2\n".into());
        let head = format!("{EVENTS}\naudience = {{ file = \"who.csv\" }}\nexclude = {{ file = \"staff.csv\" }}");
        let plan = desk.plan(&head).await;
        assert_eq!((counts(&plan), plan.rows.excluded), (vec![("later", 1)], 1), "{:?}", plan.problems);
        desk.load(&head).await;
        for table in ["events.csv", "who.csv", "staff.csv"] {
            std::fs::remove_file(desk.folder.path().join(table)).expect("removed");
        }
        desk.passes(3 * DAY, HOUR).await;
        let row = desk.rig.store().schedule("class").await.expect("answers").expect("there");
        assert_eq!(row.recur_problem, None);
        assert_eq!(desk.waiting().await, pairs(&[("E1", "o1")]));
        // The opening moves by two days, also for what is prepared.
        desk.tables.insert(
            "events.csv".into(),
            "编号,活动,时间\nE1,开幕茶会,2027-03-06 10:00\nE2,闭幕酒会,2027-03-07 10:00\n".into(),
        );
        let loaded = desk.load(&head).await;
        assert_eq!((loaded.new, loaded.changed, loaded.removed), (0, 1, 0));
        desk.passes(5 * DAY, HOUR).await;
        let said: Vec<String> = desk.rig.messages().iter().map(|message| message.data["thing1"].clone()).collect();
        assert_eq!(said, ["开幕茶会", "闭幕酒会"]);
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_left_out_and_comes_back_goes_to_nobody_who_has_had_it() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 3).await;
        let head = format!("{EVENTS}\naudience = \"consented\"");
        let both = "编号,活动,时间\nE1,开幕茶会,2027-03-05 10:00\nE2,闭幕酒会,2027-04-07 10:00\n";
        desk.tables.insert("events.csv".into(), both.into());
        desk.load(&head).await;
        desk.passes(3 * DAY + 4 * HOUR, HOUR).await;
        assert_eq!(desk.rig.openids(), ["o1"], "a day before the opening");
        // Nothing of it waits, so that the occurrence itself is forgotten.
        desk.tables.insert("events.csv".into(), "编号,活动,时间\nE2,闭幕酒会,2027-04-07 10:00\n".into());
        desk.load(&head).await;
        let id = desk.rig.store().schedule("class").await.expect("answers").expect("there").id;
        assert_eq!(desk.rig.store().occurrence(id, "E1").await.expect("answers"), None);
        desk.taps("o2", 3).await;
        desk.tables.insert("events.csv".into(), both.replace("03-05", "03-08"));
        desk.load(&head).await;
        desk.passes(4 * DAY, HOUR).await;
        assert_eq!(desk.rig.openids(), ["o1", "o2"], "who had it has it once, and who came later gets it");
        let again = desk.rig.store().occurrence(id, "E1").await.expect("answers").expect("prepared again");
        assert_eq!(again.people, 2);
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_several_pages_is_prepared_whole_with_what_each_is_told_and_without_those_left_out() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        // A page has a thousand people: two full ones, and one more.
        let crowd: Vec<String> = (0..2_001).map(|i| format!("crowd-{i}")).collect();
        let reports =
            |openids: &[String]| openids.iter().map(|openid| harness::accept("coffee", openid, EVENT)).collect();
        for some in crowd.chunks(1_000) {
            desk.rig.store().record(reports(some)).await.expect("recorded");
        }
        for (spread, page) in [("", ""), ("spread = \"10m\"\n", "page = \"pages/me?o={{@openid}}\"\n")] {
            let name = if spread.is_empty() { "plain" } else { "spread" };
            let head = format!("{spread}{page}{WEEKLY}\naudience = \"consented\"\nexclude = [\"crowd-1000\"]");
            let mut input = desk.input(&head);
            input.text = input.text.replace("\"class\"", &format!("\"{name}\""));
            let (office, options) = (desk.office(), Options { by: "test".into(), ..Options::default() });
            let silent = Arc::new(|_, _| {}) as _;
            let mut planning = office.plan(Arc::new(input.clone()), &options, &silent).await.expect("answers");
            office.load(&input, &mut planning, &options, &silent).await.expect("answers").expect("loaded");
        }
        desk.taps("crowd-0", 1).await;
        assert_eq!(desk.look().await.prepared, 2);
        let filter = Filter { apps: vec!["coffee".into()], limit: 5_000, ..Filter::default() };
        let stored = desk.rig.store().list(&filter).await.expect("answers");
        assert_eq!(stored.len(), 2_001, "each has one consent, crowd-0 two, and crowd-1000 is left out");
        let mut openids: Vec<&str> = stored.iter().map(|stored| &*stored.openid).collect();
        openids.sort_unstable();
        openids.dedup();
        assert_eq!(openids.len(), 2_000);
        assert!(!openids.contains(&"crowd-1000"));
        assert_eq!(stored.iter().filter(|stored| stored.openid == "crowd-0").count(), 2);
        for page in stored.iter().filter_map(|stored| Some((stored.page.as_ref()?, &stored.openid))) {
            assert_eq!(*page.0, format!("pages/me?o={}", page.1), "each is told of their own");
        }
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_has_left_the_configuration_is_told_and_goes_on_when_it_is_back() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 3).await;
        desk.load(&format!("{WEEKLY}\naudience = [\"o1\"]")).await;
        let mut office = desk.office();
        let mut config = harness::config("http://sandbox");
        config.apps.remove(0);
        office.config = Arc::new(config);
        assert_eq!(office.prepare_due().await.expect("answers").hindered, 1);
        let row = desk.rig.store().schedule("class").await.expect("answers").expect("there");
        assert!(row.recur_problem.is_some_and(|why| why.contains("coffee")));
        assert_eq!(desk.look().await, Looked::default(), "not before a minute has passed");
        desk.is_down(MINUTE);
        assert_eq!(desk.look().await.prepared, 1);
        let row = desk.rig.store().schedule("class").await.expect("answers").expect("there");
        assert_eq!(row.recur_problem, None);
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_table_of_events_is_told_at_its_cell_and_the_good_ones_stay() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 3).await;
        let head = format!("{EVENTS}\naudience = \"consented\"");
        let long = "很".repeat(21);
        desk.tables.insert(
            "events.csv".into(),
            format!("编号,活动,时间\nE1,好,2027-03-05 10:00\nE2,好,\nE3,{long},2027-03-05 10:00\nE4,a,2027-03-05 10:00\nE4,b,2027-03-05 10:00\n,c,2027-03-05 10:00\nE1,好,2027-03-05 10:00\n"),
        );
        let plan = desk.plan(&head).await;
        let told: Vec<(Option<u32>, &str)> = plan.problems.list.iter().map(|p| (p.place.row, p.code)).collect();
        let expected = [(3, "no_value"), (4, "bad_field"), (5, "duplicate_key"), (6, "duplicate_key"), (7, "no_value")];
        assert_eq!(told, expected.map(|(row, code)| (Some(row), code)));
        assert_eq!(plan.problems.list[1].place.cell.as_deref(), Some("B4"));
        assert_eq!((counts(&plan), plan.rows.refused), (vec![("later", 1)], 5));
        let rows: String = (0..10_001).map(|i| format!("E{i},好,2027-03-05 10:00\n")).collect();
        desk.tables.insert("events.csv".into(), format!("编号,活动,时间\n{rows}"));
        let plan = desk.plan(&head).await;
        assert_eq!((plan.refused, plan.problems.list[0].code), (true, "too_large"));
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_user_stands_in_no_file_that_a_schedule_keeps_and_a_load_brings_them_back_into_none() {
    for at in [WEEKLY, "at = 2027-03-01T19:00:00\nexpires = \"2h\""] {
        on_both_rigs(plain, async |rig| {
            let mut desk = Desk::new(rig);
            desk.taps("o-gone", 3).await;
            desk.taps("o-stays", 3).await;
            // A remark, a list, and who is left out of it.
            let head = format!(
                "# o-gone pays\n{at}\nconsent = \"at_fire\"\naudience = [\"o-gone\", \"o-stays\"]\nexclude = [\"o-else\", \"ｏ-else\"]"
            );
            desk.load(&head).await;
            desk.look().await;
            let store = desk.rig.store().clone();
            let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(store.schedules_naming("coffee", "o-gone").await.expect("answers"), named(&["class"]));
            assert_eq!(store.schedules_naming("coffee", "o-els").await.expect("answers"), named(&[]));
            for openid in ["o-gone", "o-else", "o-gone"] {
                let done = store.forget(harness::wish(openid)).await.expect("forgotten");
                assert_eq!(done.named_by, named(&["class"]), "also when it is repeated");
            }
            assert_eq!(store.schedules_naming("coffee", "o-gone").await.expect("answers"), named(&[]));
            let row = store.schedule("class").await.expect("answers").expect("there");
            let pseudonym = store.names().pseudonyms().name("o-gone");
            assert!(row.text.contains(&format!("# {pseudonym} pays")), "{}", row.text);
            assert!(row.kept_text.is_none_or(|kept| kept == row.text));
            // The marketer's file still names them: it may be loaded, and reaches everybody else.
            let (plan, loaded) = desk.load_with(&head, Options::default()).await;
            assert_eq!((loaded.is_some(), plan.reach.forgotten, plan.rows.refused), (true, 1, 0), "{:?}", plan.problems);
            desk.passes(7 * DAY + 12 * HOUR, HOUR).await;
            assert!(desk.rig.openids().iter().all(|openid| openid == "o-stays") && !desk.rig.messages().is_empty());
            let of_others: Vec<String> = desk.reminders().await.into_iter().map(|stored| stored.openid).collect();
            assert!(of_others.iter().all(|o| o == "o-stays" || o.starts_with("forgotten ")), "{of_others:?}");
            store.close().await;
            let after = desk.rig.test.everything().await;
            assert!(after.contains("o-stays") && after.contains(&pseudonym));
            for gone in ["o-gone", "o-else", "ｏ-else"] {
                assert!(!after.contains(gone), "{gone} is still there");
            }
            desk.rig.restart().await
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_one_who_was_forgotten_reaches_nobody_and_hinders_nothing() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o-gone", 3).await;
        desk.load(&format!("{WEEKLY}\nconsent = \"either\"\naudience = [\"o-gone\"]")).await;
        desk.rig.store().forget(harness::wish("o-gone")).await.expect("forgotten");
        assert_eq!(desk.look().await, Looked { prepared: 1, ..Looked::default() });
        assert_eq!(desk.states().await, []);
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_forgotten_stands_in_no_row_about_somebody_else_and_in_nothing_that_was_said_of_a_file() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o-1", 3).await;
        // Who brought whom; the last row's openid is wrong, and told.
        desk.tables.insert("who.csv".into(), "openid,券号,谁带来的\no-1,A,o-gone\no-2,o-gone,\no-3,o-gone,x\n".into());
        let head = format!(
            "{WEEKLY}\npage = \"p?by={{{{谁带来的 | default(-)}}}}\"\naudience = {{ file = \"who.csv\", key = \"券号\" }}"
        );
        let (plan, loaded) = desk.load_with(&head, Options::default()).await;
        assert!(loaded.is_some() && plan.problems.len() == 2, "{:?}", plan.problems);
        let done = desk.rig.store().forget(harness::wish("o-gone")).await.expect("forgotten");
        desk.look().await;
        let pages: Vec<Option<String>> = desk.reminders().await.into_iter().map(|stored| stored.page).collect();
        let pseudonym = desk.rig.store().names().pseudonyms().name("o-gone");
        assert_eq!(pages, [Some(format!("p?by={pseudonym}"))]);
        drop(done);
        desk.rig.store().close().await;
        assert!(!desk.rig.test.everything().await.contains("o-gone"));
        desk.rig.restart().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hold_kept_from_being_prepared_is_made_up_for_if_it_is_ended_by_sending_and_says_why_if_not() {
    // Nothing is taken for sent, or what was due before the event, or when it was.
    let at = START + 11 * HOUR;
    let before = at - 1;
    for (misfire, taken, messages, why) in [
        ("once", None, 1, None),
        ("once", Some(before), 1, None),
        ("once", Some(at), 0, Some("restored")),
        ("skip", None, 0, Some("on_hold")),
        ("skip", Some(before), 0, Some("on_hold")),
        ("skip", Some(at), 0, Some("restored")),
    ] {
        on_both_rigs(plain, async |rig| {
            let mut desk = Desk::new(rig);
            desk.taps("o1", 3).await;
            let at = format!("at = {{ cron = \"0 19 * * *\", misfire = \"{misfire}\" }}\nexpires = \"2h\"");
            desk.load(&format!("{at}\naudience = [\"o1\"]")).await;
            desk.rig.store().set_hold().await.expect("on hold");
            desk.is_down(12 * HOUR);
            desk.rig.store().end_hold(taken).await.expect("ended");
            desk.look().await;
            desk.rig.pass(10_000, 1_000).await;
            assert_eq!(desk.rig.messages().len(), messages, "{misfire}, {taken:?}");
            let today = ("2027-03-01T19:00".to_owned(), why.unwrap_or_default());
            assert_eq!(
                desk.left_out().await,
                if why.is_some() { vec![today] } else { Vec::new() },
                "{misfire}, {taken:?}"
            );
            desk.passes(DAY, HOUR).await;
            assert_eq!(desk.rig.messages().len(), messages + 1, "and it goes on");
            desk.rig
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_had_passed_when_its_table_was_loaded_goes_at_once_if_the_file_says_so_and_is_noted_if_not() {
    for late in ["skip", "send"] {
        on_both_rigs(plain, async |rig| {
            let mut desk = Desk::new(rig);
            desk.taps("o1", 5).await;
            // It is eight in the morning.
            let table = "编号,活动,时间\nE1,早茶,2027-03-01 03:00\nE2,早课,2027-03-01 07:00\nE3,午餐,2027-03-01 12:00\n";
            desk.tables.insert("events.csv".into(), table.into());
            let head = format!(
                "at = {{ events = {{ file = \"events.csv\", key = \"编号\", column = \"时间\" }} }}\nlate = \"{late}\"\nexpires = \"3h\"\naudience = [\"o1\"]"
            );
            let (plan, loaded) = desk.load_with(&head, Options::default()).await;
            assert_eq!(loaded, Some(Loaded::default()), "{:?}", plan.problems);
            let goes = u64::from(late == "send");
            assert_eq!(counts(&plan), [("later", 1 + goes)], "{late}");
            let noted = plan.notes.list.iter().filter(|note| note.code == "late").count() as u64;
            assert_eq!(noted, 2 - goes, "{late}: the deadline of one has passed, too");
            assert_eq!(desk.look().await, Looked { prepared: 1 + goes, ..Looked::default() }, "{late}");
            desk.rig.pass(5_000, 1_000).await;
            let said: Vec<String> = desk.rig.messages().iter().map(|message| message.data["thing1"].clone()).collect();
            assert_eq!(said, if goes == 1 { vec!["早课"] } else { Vec::new() });
            let left_out: Vec<(String, &str)> =
                [("E2", "late"), ("E1", "late")].iter().skip(usize::from(goes == 1)).map(|(n, w)| ((*n).to_owned(), *w)).collect();
            assert_eq!(desk.left_out().await, left_out);
            // The same again, and with another edge: what went does not go again.
            desk.load(&head).await;
            desk.load(&format!("{head}\nstrict = true")).await;
            desk.passes(6 * HOUR, 10 * MINUTE).await;
            assert_eq!(desk.rig.messages().len() as u64, 1 + goes, "{late}");
            desk.rig
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_shift_brings_back_what_was_decided_nor_sends_it_twice() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 9).await;
        let head = "at = { cron = \"0 9,11 * * *\", ahead = \"5m\" }\naudience = [\"o1\"]";
        desk.load(head).await;
        // Nobody is there at nine, and that is found out at ten; at eleven somebody is.
        desk.is_down(2 * HOUR);
        assert_eq!(desk.look().await.missed, 1);
        desk.passes(2 * HOUR, 5 * MINUTE).await;
        assert_eq!(desk.rig.messages().len(), 1);
        // It is noon. Both would lie ahead again.
        desk.shift(4 * HOUR).await;
        desk.look().await;
        // Long gone from the books, and known all the same.
        let row = desk.rig.store().schedule("class").await.expect("answers").expect("there");
        assert!(row.decided.is_some_and(|decided| decided >= START + 2 * HOUR), "{row:?}");
        desk.passes(9 * HOUR, 10 * MINUTE).await;
        assert_eq!(desk.rig.messages().len(), 1, "neither comes");
        assert_eq!(desk.left_out().await, [("2027-03-01T09:00".to_owned(), "missed")]);
        // Tomorrow's come, later by the shift; moved back before it was prepared, one has passed, and is left out with its reason.
        desk.passes(16 * HOUR, 5 * MINUTE).await;
        assert_eq!(desk.rig.messages().len(), 2, "that of nine, at one");
        desk.shift(-4 * HOUR).await;
        desk.passes(6 * HOUR, 10 * MINUTE).await;
        assert_eq!(desk.rig.messages().len(), 2);
        assert_eq!(desk.left_out().await[0], ("2027-03-02T11:00".to_owned(), "missed"));
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_missed_or_expired_comes_again_when_it_is_put_off() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 5).await;
        let table = |day: u32| {
            format!("编号,活动,时间\nE1,早课,2027-03-0{day} 09:00\nE2,午餐,2027-03-0{day} 10:00\nE3,晚课,2027-03-01 08:30\n")
        };
        let head = "at = { events = { file = \"events.csv\", key = \"编号\", column = \"时间\" }, ahead = \"5m\" }\nexpires = \"30m\"\naudience = [\"o1\"]";
        desk.tables.insert("events.csv".into(), table(1));
        desk.load(head).await;
        // E3 is sent, E1 expires in a pause, and E2 is missed: nothing is left to look for.
        desk.passes(40 * MINUTE, 5 * MINUTE).await;
        desk.rig.store().pause_schedule("class", "test").await.expect("answers");
        desk.passes(60 * MINUTE, 5 * MINUTE).await;
        desk.is_down(2 * HOUR);
        desk.look().await;
        desk.rig.store().resume_schedule("class", "test", desk.rig.clock().now()).await.expect("answers");
        let row = desk.rig.store().schedule("class").await.expect("answers").expect("there");
        assert_eq!((row.next_at, desk.rig.messages().len()), (None, 1));
        desk.shift(30 * MINUTE).await;
        assert_eq!(desk.look().await, Looked::default(), "a shift brings back none of them");
        // Both are put off to the next day.
        desk.tables.insert("events.csv".into(), table(2));
        desk.load(head).await;
        desk.passes(DAY, 5 * MINUTE).await;
        let said: Vec<String> = desk.rig.messages().iter().map(|message| message.data["thing1"].clone()).collect();
        assert_eq!(said, ["晚课", "早课", "午餐"]);
        desk.rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_takes_what_a_recurrence_knows_of_times_long_gone_and_nothing_is_sent_again() {
    on_both_rigs(plain, async |rig| {
        let mut desk = Desk::new(rig);
        desk.taps("o1", 9).await;
        let head = "at = { cron = \"0 9 * * *\" }\naudience = [\"o1\"]";
        desk.load(head).await;
        desk.look().await;
        desk.passes(3 * DAY, HOUR).await;
        let (store, row) =
            (desk.rig.store().clone(), desk.rig.store().schedule("class").await.expect("answers").expect("there"));
        let known = async || store.identities(row.id, ("", "", ""), 99).await.expect("answers").len();
        assert_eq!((known().await, desk.rig.messages().len()), (4, 3), "three days, and tomorrow");
        let terms = Retention { history: Some(DAY), ..Retention::default() };
        let mut walk = Walk::default();
        for _ in 0..3 {
            store.erase_step(&mut walk, &terms, desk.rig.clock().now()).await.expect("answers");
        }
        assert_eq!(known().await, 2, "today's and tomorrow's");
        desk.load(head).await;
        desk.shift(2 * DAY).await;
        desk.passes(2 * DAY, HOUR).await;
        assert_eq!(desk.rig.messages().len(), 3, "tomorrow's is two days later, and none of before comes again");
        desk.rig
    })
    .await;
}
