//! The watched folder: what lies in it is loaded, what is wrong is told, and what is gone cancels nothing.

use crate::harness::{
    EVENT, START, TestStore, accept, config, databases, fresh, fresh_url, on_both,
    program::{Program, Site},
};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tixing::{
    clock::{Clock, ManualClock},
    domain::{HOUR, Millis, SECOND},
    schedule::{
        folder::{Folder, MOST_FILES, QUIET},
        gather::Input,
        load::{Loaded, Office, Options, Progress},
    },
    store::{Store, folder::FolderProblem, schedule_tasks::TaskBegun, schedules::ScheduleRow},
    words::{Lang, Message, Voice},
};

/// A folder and who looks at it, turned by hand.
struct Desk {
    store: Store,
    clock: Arc<ManualClock>,
    office: Office,
    folder: Folder,
    dir: PathBuf,
    _dir: tempfile::TempDir,
}

impl Desk {
    fn new(test: &TestStore) -> Self {
        Self::over(&test.store, &test.clock)
    }

    fn over(store: &Store, clock: &Arc<ManualClock>) -> Self {
        let _dir = tempfile::tempdir().expect("a folder");
        let dir = _dir.path().join("schedules");
        fs::create_dir(&dir).expect("made");
        let office = Office {
            config: Arc::new(config("http://127.0.0.1:1")),
            store: store.clone(),
            clock: clock.clone(),
            reader: Arc::default(),
            batches: Default::default(),
        };
        let folder = Folder::new(office.clone(), dir.clone());
        Self { store: store.clone(), clock: clock.clone(), office, folder, dir, _dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Puts a file there at once, as whoever writes beside and renames.
    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let beside = self.dir.parent().expect("above").join("beside");
        fs::write(&beside, text).expect("written");
        fs::rename(beside, self.path(name)).expect("renamed");
    }

    async fn look(&mut self) -> bool {
        self.folder.look().await.expect("the store answers").soon
    }

    /// Looks until all is quiet, two seconds at a time.
    async fn settle(&mut self) {
        for _ in 0..10 {
            if !self.look().await {
                return;
            }
            self.clock.advance(QUIET);
        }
        panic!("it does not become quiet");
    }

    /// The daemon starts anew.
    fn restart(&mut self) {
        self.folder = Folder::new(self.office.clone(), self.dir.clone());
    }

    async fn schedule(&self, name: &str) -> Option<ScheduleRow> {
        self.store.schedule(name).await.expect("answers")
    }

    async fn waiting(&self, name: &str) -> i64 {
        let Some(row) = self.schedule(name).await else { return -1 };
        self.store.schedule_counts(row.id).await.expect("answers").get("scheduled").copied().unwrap_or_default()
    }

    async fn orphaned(&self, name: &str) -> bool {
        self.schedule(name).await.expect("there").orphaned_at.is_some()
    }

    async fn problems(&self) -> Vec<FolderProblem> {
        self.store.folder_problems().await.expect("answers")
    }

    /// File and code of each problem.
    async fn codes(&self) -> Vec<(String, String)> {
        let file = |path: &str| Path::new(path).file_name().expect("a name").to_string_lossy().into_owned();
        self.problems().await.into_iter().map(|problem| (file(&problem.path), problem.code)).collect()
    }

    /// Each schedule with how many reminders wait, and each problem: `spring 2, summer 1 orphaned; b.toml name_taken`.
    async fn stands(&self) -> String {
        let mut schedules = Vec::new();
        for row in self.store.schedules().await.expect("answers") {
            let orphaned = if row.orphaned_at.is_some() { " orphaned" } else { "" };
            schedules.push(format!("{} {}{orphaned}", row.name, self.waiting(&row.name).await));
        }
        let problems: Vec<String> =
            self.codes().await.into_iter().map(|(file, code)| format!("; {file} {code}")).collect();
        schedules.join(", ") + &problems.concat()
    }

    /// One thing after the other is done to the folder; each time all becomes quiet, and then it stands so.
    async fn lives(&mut self, story: Vec<(Act, &str)>) {
        for (i, (act, expected)) in story.into_iter().enumerate() {
            let told = format!("{i}: {act:?}");
            match act {
                Act::Put(name, text) => self.put(name, text),
                Act::Remove(name) => fs::remove_file(self.path(name)).expect("there"),
                Act::Rename(from, to) => fs::rename(self.path(from), self.path(to)).expect("renamed"),
                Act::Restart => self.restart(),
                Act::Nothing => {}
            }
            self.settle().await;
            assert_eq!(self.stands().await, expected, "after {told}");
        }
    }

    async fn accept(&self, openids: &[&str]) {
        let taps = openids.iter().map(|openid| accept("coffee", openid, EVENT)).collect();
        self.store.record(taps).await.expect("recorded");
    }
}

/// What somebody does to the folder.
#[derive(Debug)]
enum Act {
    Put(&'static str, String),
    Remove(&'static str),
    Rename(&'static str, &'static str),
    /// The daemon starts anew.
    Restart,
    Nothing,
}

fn said(problem: &FolderProblem) -> String {
    let message: Message = serde_json::from_str(&problem.detail).expect("a message");
    assert_ne!(message.say(Voice::new(Lang::Zh)), message.say(Voice::new(Lang::En)));
    message.say(Voice::new(Lang::En))
}

/// A schedule for a list.
fn list(name: &str, openids: &[&str]) -> String {
    format!(
        "name = \"{name}\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = 2031-03-01T10:00:00\naudience = {openids:?}\n
[data]\nthing1 = \"读书会\"\ntime2 = \"{{{{@event | datetime}}}}\"\n"
    )
}

/// A schedule for a table of users and names.
fn table(name: &str, file: &str) -> String {
    list(name, &[])
        .replace("audience = []", &format!("audience = {{ file = \"{file}\" }}"))
        .replace("读书会", "{{名称}}")
}

fn codes(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(file, code)| ((*file).into(), (*code).into())).collect()
}

#[tokio::test]
async fn a_file_is_loaded_once_it_is_quiet_and_again_when_its_table_changes() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1", "o2", "o3"]).await;
        assert!(!desk.look().await, "an empty folder");
        desk.put("a.toml", table("spring", "people/a.csv"));
        fs::create_dir(desk.path("people")).expect("made");
        fs::write(desk.path("people/a.csv"), "openid,名称\no1,茶会\n").expect("written");
        assert!(desk.look().await);
        desk.clock.advance(QUIET - 1);
        assert!(desk.look().await);
        assert_eq!(desk.waiting("spring").await, -1, "it was not quiet for two seconds");
        desk.clock.advance(1);
        assert!(!desk.look().await);
        assert_eq!(desk.waiting("spring").await, 1);
        let row = desk.schedule("spring").await.expect("there");
        assert_eq!(row.path.as_deref(), desk.path("a.toml").to_str());
        assert!(desk.folder.places().contains(&desk.path("people")), "where tables lie is watched");

        fs::write(desk.path("people/a.csv"), "openid,名称\no1,茶会\no2,茶会\n").expect("written");
        desk.settle().await;
        assert_eq!(desk.waiting("spring").await, 2);
        assert_eq!(desk.codes().await, []);

        let loaded = desk.schedule("spring").await.expect("there").loaded_at;
        desk.clock.advance(60 * SECOND);
        desk.settle().await;
        desk.restart();
        desk.settle().await;
        assert_eq!(desk.schedule("spring").await.expect("there").loaded_at, loaded, "nothing has changed");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_being_written_is_left_alone_until_it_is_whole() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        let openids: Vec<String> = (0..40).map(|i| format!("o{i}")).collect();
        desk.accept(&openids.iter().map(String::as_str).collect::<Vec<_>>()).await;
        desk.look().await;
        desk.put("a.toml", table("spring", "a.csv"));
        // The table grows for a minute, a row each second and a half.
        let mut csv = "openid,名称\n".to_owned();
        for openid in &openids {
            csv += &format!("{openid},茶会\n");
            fs::write(desk.path("a.csv"), &csv).expect("written");
            assert!(desk.look().await);
            desk.clock.advance(1_500);
            assert!(desk.look().await);
            assert_eq!(desk.waiting("spring").await, -1);
        }
        desk.settle().await;
        assert_eq!(desk.waiting("spring").await, 40);

        // Replaced half-way: the schedule's file names a column that the old table lacks.
        desk.put("a.toml", table("spring", "a.csv").replace("{{名称}}", "{{标题}}"));
        desk.look().await;
        desk.clock.advance(1_900);
        desk.look().await;
        desk.put("a.csv", csv.replace("名称", "标题"));
        desk.look().await;
        desk.clock.advance(1_900);
        assert!(desk.look().await);
        assert_eq!(desk.codes().await, [], "the new file was never read with the old table");
        desk.settle().await;
        assert_eq!((desk.codes().await, desk.waiting("spring").await), (Vec::new(), 40));

        // Cut off: a file that ends in the middle changes nothing.
        let whole = fs::read_to_string(desk.path("a.toml")).expect("there");
        fs::write(desk.path("a.toml"), &whole[..whole.len() / 2]).expect("written");
        desk.settle().await;
        assert_eq!(desk.codes().await.len(), 1, "it is told");
        assert_eq!(desk.waiting("spring").await, 40);
        fs::write(desk.path("a.toml"), whole).expect("written");
        desk.settle().await;
        assert_eq!(desk.codes().await, []);
    })
    .await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_told_until_it_is_right() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1", "o2"]).await;
        desk.put("a.toml", list("spring", &["o1", "o2"]));
        desk.settle().await;
        let before = desk.schedule("spring").await.expect("there");
        let bad = list("spring", &["o1"]).replace("at = 2031", "att = 2031").replace("thing1", "thing9");
        desk.put("a.toml", &bad);
        desk.settle().await;
        assert_eq!(desk.schedule("spring").await.as_ref(), Some(&before));
        assert_eq!(desk.waiting("spring").await, 2);
        let problems = desk.problems().await;
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        let told = (problem.schedule.as_deref(), problem.app.as_deref(), problem.path.as_str());
        assert_eq!(told, (Some("spring"), Some("coffee"), desk.path("a.toml").to_str().expect("UTF-8")));
        let sentence = said(problem);
        assert!(sentence.contains("line 4") && sentence.contains("tixing plan"), "{sentence}");
        // Changed, and still wrong in the same way: since when stays.
        desk.clock.advance(HOUR / 2);
        desk.put("a.toml", bad + "# still\n");
        desk.settle().await;
        assert_eq!(desk.problems().await[0].since, problem.since);
        desk.restart();
        desk.settle().await;
        assert_eq!(desk.problems().await[0].since, problem.since, "also when the daemon starts again");
        desk.put("a.toml", list("spring", &["o1", "o2"]));
        desk.settle().await;
        assert_eq!(desk.codes().await, []);
        // One that was never loaded goes away with its problem.
        desk.put("b.toml", "name = 3");
        desk.settle().await;
        assert_eq!(desk.codes().await.len(), 1);
        fs::remove_file(desk.path("b.toml")).expect("there");
        desk.settle().await;
        assert_eq!(desk.codes().await, []);
    })
    .await;
}

#[tokio::test]
async fn a_strict_file_with_a_wrong_row_is_a_bad_file_and_any_other_loads_its_right_rows() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1", "o2"]).await;
        let long = "openid,名称\no1,茶会\no2,一二三四五六七八九十一二三四五六七八九十零\n";
        fs::write(desk.path("a.csv"), long).expect("written");
        desk.put("a.toml", table("lax", "a.csv"));
        desk.put("b.toml", format!("strict = true\n{}", table("strict", "a.csv")));
        desk.settle().await;
        assert_eq!((desk.waiting("lax").await, desk.waiting("strict").await), (1, -1));
        assert_eq!(desk.codes().await, codes(&[("b.toml", "bad_field")]));
        let sentence = said(&desk.problems().await[0]);
        assert!(sentence.contains("1 of 2 rows") && sentence.contains("strict"), "{sentence}");
    })
    .await;
}

#[tokio::test]
async fn what_is_no_file_of_the_folder_is_told_and_hangs_nothing() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1"]).await;
        let outside = desk.dir.parent().expect("above").join("outside.toml");
        fs::write(&outside, list("outside", &["o1"])).expect("written");
        fs::write(desk.dir.parent().expect("above").join("outside.csv"), "openid,名称\no1,茶会\n").expect("written");
        rustix::fs::mknodat(rustix::fs::CWD, desk.path("fifo.toml"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("a FIFO");
        rustix::fs::mknodat(rustix::fs::CWD, desk.path("t.csv"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("a FIFO");
        fs::create_dir(desk.path("folder.toml")).expect("made");
        symlink("../outside.toml", desk.path("out.toml")).expect("linked");
        symlink(&outside, desk.path("out-absolute.toml")).expect("linked");
        symlink("/dev/null", desk.path("null.toml")).expect("linked");
        symlink("/proc/self/environ", desk.path("proc.toml")).expect("linked");
        symlink("circle.toml", desk.path("circle.toml")).expect("linked");
        symlink("nowhere", desk.path("dangling.toml")).expect("linked");
        symlink("../outside.csv", desk.path("linked.csv")).expect("linked");
        desk.put("table-linked.toml", table("t1", "linked.csv"));
        desk.put("table-up.toml", table("t2", "../outside.csv"));
        desk.put("table-absolute.toml", table("t3", "/etc/passwd"));
        desk.put("table-fifo.toml", table("t4", "t.csv"));
        desk.put("table-missing.toml", table("t5", "missing.csv"));
        desk.put("large.toml", format!("{}# {}", list("large", &["o1"]), "x".repeat(256 * 1024)));
        desk.put("latin.toml", [list("latin", &["o1"]).as_bytes(), b"# \xe9\n"].concat());
        for passed_over in [".hidden.toml", "~$a.toml", "a.toml~", "a.csv"] {
            desk.put(passed_over, "no schedule");
        }
        fs::create_dir(desk.path("sub")).expect("made");
        desk.put("sub/deep.toml", list("deep", &["o1"]));
        // A link that stays inside, as mounted folders have.
        desk.put("sub/inside", list("inside", &["o1"]));
        symlink("sub", desk.path("..data")).expect("linked");
        symlink("..data/inside", desk.path("inside.toml")).expect("linked");
        desk.settle().await;
        let expected = [
            ("circle.toml", "outside_folder"),
            ("dangling.toml", "no_file"),
            ("fifo.toml", "no_file"),
            ("folder.toml", "no_file"),
            ("large.toml", "too_large"),
            ("latin.toml", "bad_toml"),
            ("null.toml", "outside_folder"),
            ("out-absolute.toml", "outside_folder"),
            ("out.toml", "outside_folder"),
            ("proc.toml", "outside_folder"),
            ("table-absolute.toml", "outside_folder"),
            ("table-fifo.toml", "no_file"),
            ("table-linked.toml", "outside_folder"),
            ("table-missing.toml", "no_file"),
            ("table-up.toml", "outside_folder"),
        ];
        assert_eq!(desk.codes().await, codes(&expected));
        desk.problems().await.iter().for_each(|problem| assert!(!said(problem).contains("folder_"), "{problem:?}"));
        let loaded: Vec<String> =
            desk.store.schedules().await.expect("answers").into_iter().map(|row| row.name).collect();
        assert_eq!(loaded, ["inside"], "and nothing else");
        // The link is turned to another version, as mounted folders do.
        desk.accept(&["o2"]).await;
        fs::create_dir(desk.path("sub2")).expect("made");
        desk.put("sub2/inside", list("inside", &["o1", "o2"]));
        fs::remove_file(desk.path("..data")).expect("there");
        symlink("sub2", desk.path("..data")).expect("linked");
        desk.settle().await;
        assert_eq!(desk.waiting("inside").await, 2);
    })
    .await;
}

#[tokio::test]
async fn of_two_files_of_one_name_the_first_by_path_has_it_and_the_second_is_refused() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1", "o2", "o3"]).await;
        let tea = |name| list(name, &["o1"]).replace("coffee", "tea");
        desk.lives(vec![
            (Act::Put("j.toml", list("spring", &["o1"])), "spring 1"),
            // A copy that sorts behind it.
            (Act::Put("j2.toml", list("spring", &["o1", "o2"])), "spring 1; j2.toml name_taken"),
            (Act::Restart, "spring 1; j2.toml name_taken"),
            (Act::Put("j.toml", list("spring", &["o2", "o1"])), "spring 2; j2.toml name_taken"),
            (Act::Put("j2.toml", list("spring", &["o1", "o2", "o3"])), "spring 2; j2.toml name_taken"),
            (Act::Remove("j.toml"), "spring 3"),
            // One that sorts before it.
            (Act::Put("a.toml", list("spring", &["o1"])), "spring 1; j2.toml name_taken"),
            (Act::Rename("a.toml", "z.toml"), "spring 3; z.toml name_taken"),
            (Act::Remove("z.toml"), "spring 3"),
            (Act::Rename("j2.toml", "a.toml"), "spring 3"),
            (Act::Put("a.toml", list("spring", &["o1"])), "spring 1"),
            (Act::Put("c.toml", tea("spring")), "spring 1; c.toml name_taken"),
            (Act::Remove("c.toml"), "spring 1"),
        ])
        .await;
        desk.put("y.toml", list("summer", &["o2"]));
        desk.put("x.toml", list("summer", &["o3"]));
        desk.lives(vec![
            (Act::Nothing, "spring 1, summer 1; y.toml name_taken"),
            // Its file names another by now, so the name is free.
            (Act::Put("x.toml", list("autumn", &[])), "spring 1, summer 1; x.toml no_rows"),
        ])
        .await;
        let row = desk.schedule("summer").await.expect("there");
        assert_eq!(row.path.as_deref(), desk.path("y.toml").to_str());
        let problems = desk.problems().await;
        assert!(problems.iter().all(|problem| !problem.path.ends_with("y.toml")), "{problems:?}");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_gone_makes_an_orphan_that_still_goes_and_comes_back() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1", "o2"]).await;
        desk.put("a.toml", list("spring", &["o1"]));
        desk.settle().await;
        fs::remove_file(desk.path("a.toml")).expect("there");
        assert!(desk.look().await);
        assert!(!desk.orphaned("spring").await, "a file may be gone for a moment");
        desk.lives(vec![(Act::Nothing, "spring 1 orphaned")]).await;
        let since = desk.schedule("spring").await.expect("there").orphaned_at;
        desk.clock.advance(60 * SECOND);
        desk.lives(vec![(Act::Restart, "spring 1 orphaned")]).await;
        assert_eq!(desk.schedule("spring").await.expect("there").orphaned_at, since);
        desk.lives(vec![(Act::Put("a.toml", list("spring", &["o1"])), "spring 1")]).await;
        // Gone while nobody looked.
        fs::remove_file(desk.path("a.toml")).expect("there");
        let broken = list("spring", &["o1", "o2"]).replace("thing1", "thing9");
        desk.lives(vec![
            (Act::Restart, "spring 1 orphaned"),
            // Back under another name, with other content, and broken at first.
            (Act::Put("z.toml", broken), "spring 1; z.toml missing_field"),
            (Act::Put("z.toml", list("spring", &["o1", "o2"])), "spring 2"),
            (Act::Rename("z.toml", "y.toml"), "spring 2"),
        ])
        .await;
        let path = desk.schedule("spring").await.expect("there").path;
        assert_eq!(path.as_deref(), desk.path("y.toml").to_str(), "one schedule, whose path follows");
        desk.lives(vec![
            // Another name in the same file: the schedule of the old one has none.
            (Act::Put("y.toml", list("summer", &["o1"])), "spring 2 orphaned, summer 0"),
            // Not to be read at all: nothing is known of it, and nothing changes.
            (Act::Put("y.toml", "name = \"sum".into()), "spring 2 orphaned, summer 0; y.toml bad_toml"),
        ])
        .await;
        let begun = desk.store.begin_cancel("spring", "test").await.expect("answers");
        let TaskBegun::Yes(work) = begun else { panic!("it begins") };
        assert!(desk.store.work_off(work).await.expect("answers"));
        desk.put("y.toml", list("spring", &["o1"]));
        desk.settle().await;
        let sentence = said(&desk.problems().await[0]);
        assert!(sentence.contains("tixing load") && sentence.contains("--revive"), "{sentence}");
    })
    .await;
}

#[tokio::test]
async fn what_somebody_loads_over_http_lasts_until_the_next_look_since_the_folder_is_the_truth() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1", "o2", "o3"]).await;
        desk.put("a.toml", list("spring", &["o1"]));
        desk.settle().await;
        let Some(_) = desk.load(None, list("spring", &["o1", "o2"])).await else { panic!("it is loaded") };
        assert_eq!(desk.waiting("spring").await, 2);
        desk.lives(vec![(Act::Nothing, "spring 1")]).await;
        let row = desk.schedule("spring").await.expect("there");
        assert_eq!((row.path.as_deref(), row.in_folder), (desk.path("a.toml").to_str(), true));
        let loaded = row.loaded_at;
        desk.clock.advance(10 * SECOND);
        desk.lives(vec![(Act::Nothing, "spring 1")]).await;
        assert_eq!(desk.schedule("spring").await.expect("there").loaded_at, loaded, "and it is loaded once");
        // The folder asks nobody about a few, and says so.
        let report: Value = serde_json::from_str(&row.report.expect("loaded")).expect("JSON");
        assert_eq!(report["reminders"]["removed"], 1);
        // Cancelled by hand, it stays so: the file says the same as when it was loaded.
        let begun = desk.store.begin_cancel("spring", "test").await.expect("answers");
        let TaskBegun::Yes(work) = begun else { panic!("it begins") };
        assert!(desk.store.work_off(work).await.expect("answers"));
        desk.lives(vec![(Act::Nothing, "spring 0"), (Act::Restart, "spring 0")]).await;
    })
    .await;
}

#[tokio::test]
async fn a_file_that_never_stands_still_is_told_after_a_minute_and_read_when_it_does() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1", "o2"]).await;
        desk.put("a.toml", list("spring", &["o1"]));
        desk.settle().await;
        let changes = async |desk: &mut Desk, seconds: i64| {
            for i in 0..seconds {
                desk.put("a.toml", list("spring", &["o1", "o2"]) + &"#".repeat(usize::try_from(i % 7).expect("small")));
                assert!(desk.look().await);
                desk.clock.advance(SECOND);
            }
        };
        changes(&mut desk, 60).await;
        assert_eq!(desk.stands().await, "spring 1", "not for a whole minute");
        changes(&mut desk, 2).await;
        assert_eq!(desk.stands().await, "spring 1; a.toml busy");
        let problem = desk.problems().await.remove(0);
        assert!(said(&problem).contains("two seconds"), "{problem:?}");
        changes(&mut desk, 30).await;
        assert_eq!(desk.problems().await, [problem], "told once");
        desk.lives(vec![(Act::Nothing, "spring 2")]).await;
        // It was quiet in between, so a new minute begins.
        changes(&mut desk, 59).await;
        assert_eq!(desk.stands().await, "spring 2");
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_vanishes_orphans_nothing() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1"]).await;
        desk.put("a.toml", list("spring", &["o1"]));
        desk.settle().await;
        let away = desk.dir.with_extension("away");
        fs::rename(&desk.dir, &away).expect("renamed");
        desk.settle().await;
        assert_eq!(desk.codes().await, codes(&[("schedules", "no_file")]));
        assert!(said(&desk.problems().await[0]).contains("not there"));
        desk.clock.advance(60 * SECOND);
        desk.settle().await;
        assert!(!desk.orphaned("spring").await);
        // A file in its place is no folder either.
        fs::write(&desk.dir, "").expect("written");
        desk.settle().await;
        assert_eq!(desk.codes().await, codes(&[("schedules", "no_file")]));
        fs::remove_file(&desk.dir).expect("there");
        fs::rename(&away, &desk.dir).expect("renamed");
        desk.settle().await;
        assert_eq!(desk.codes().await, []);
        assert_eq!((desk.orphaned("spring").await, desk.waiting("spring").await), (false, 1));
    })
    .await;
}

#[tokio::test]
async fn the_folder_never_removes_most_of_what_waits_and_says_how_somebody_can() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        let openids: Vec<String> = (0..50).map(|i| format!("o{i}")).collect();
        let openids: Vec<&str> = openids.iter().map(String::as_str).collect();
        desk.accept(&openids).await;
        desk.put("a.toml", list("spring", &openids));
        desk.settle().await;
        assert_eq!(desk.waiting("spring").await, 50);
        desk.put("a.toml", list("spring", &openids[..10]));
        desk.settle().await;
        assert_eq!(desk.waiting("spring").await, 50);
        assert_eq!(desk.codes().await, codes(&[("a.toml", "removes_too_many")]));
        let sentence = said(&desk.problems().await[0]);
        let command = format!("tixing load {} --allow-removals", desk.path("a.toml").display());
        assert!(sentence.contains(&command), "{sentence}");

        // Somebody does so by hand: the problem is over, and the schedule stays the folder's.
        let text = fs::read_to_string(desk.path("a.toml")).expect("there");
        let Some(_) = desk.load(Some("a.toml"), text).await else { panic!("it is loaded") };
        desk.settle().await;
        assert_eq!((desk.waiting("spring").await, desk.codes().await), (10, Vec::new()));
        fs::remove_file(desk.path("a.toml")).expect("there");
        desk.settle().await;
        assert!(desk.orphaned("spring").await);
    })
    .await;
}

#[tokio::test]
async fn rows_without_consent_are_tried_again_each_hour_until_their_last_instant() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1"]).await;
        let soon = list("spring", &["o1", "o2"]).replace("2031-03-01T10:00:00", "2027-03-01T12:30:00");
        desk.put("a.toml", &soon);
        desk.put("b.toml", list("full", &["o1"]));
        desk.settle().await;
        assert_eq!((desk.waiting("spring").await, desk.waiting("full").await), (1, 0));
        desk.accept(&["o2"]).await;
        desk.clock.advance(HOUR - 10 * SECOND);
        desk.settle().await;
        assert_eq!(desk.waiting("spring").await, 1, "not yet an hour");
        desk.clock.advance(10 * SECOND);
        desk.settle().await;
        assert_eq!(desk.waiting("spring").await, 2);
        let loaded = desk.schedule("spring").await.expect("there").loaded_at;
        desk.clock.advance(2 * HOUR);
        desk.settle().await;
        assert_eq!(desk.schedule("spring").await.expect("there").loaded_at, loaded, "nobody lacks a consent");
        let before = desk.schedule("full").await.expect("there").loaded_at;
        desk.clock.advance(2 * HOUR);
        desk.settle().await;
        assert_eq!(desk.schedule("full").await.expect("there").loaded_at, before, "nothing is written for nothing");
        // The hour goes on over a restart, and ends with the last instant.
        desk.restart();
        desk.accept(&["o1"]).await;
        desk.settle().await;
        desk.look().await;
        assert_eq!(desk.waiting("full").await, 1);
        assert!(desk.clock_now() > START + 4 * HOUR + HOUR / 2, "spring's instant at 04:30 UTC has passed");
        desk.accept(&["o3"]).await;
        desk.clock.advance(2 * HOUR);
        desk.settle().await;
        assert_eq!(desk.schedule("spring").await.expect("there").loaded_at, loaded);
    })
    .await;
}

impl Desk {
    /// Somebody loads a file by hand; without a name over HTTP.
    async fn load(&self, name: Option<&str>, text: String) -> Option<Loaded> {
        let path = name.map(|name| self.path(name).to_str().expect("UTF-8").to_owned());
        let input = Arc::new(Input { text, path, has_schedule: true, ..Input::default() });
        let options = Options { allow_removals: true, ..Options::default() };
        let progress: Progress = Arc::new(|_, _| {});
        let Ok(mut planning) = self.office.plan(Arc::clone(&input), &options, &progress).await else { panic!("plans") };
        let Ok(loaded) = self.office.load(&input, &mut planning, &options, &progress).await else { panic!("loads") };
        loaded
    }

    fn clock_now(&self) -> Millis {
        Clock::now(&*self.clock)
    }
}

#[tokio::test]
async fn while_the_store_is_on_hold_the_folder_is_not_read() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1"]).await;
        desk.put("a.toml", list("spring", &["o1"]));
        desk.store.set_hold().await.expect("set");
        desk.settle().await;
        desk.clock.advance(60 * SECOND);
        desk.settle().await;
        assert_eq!((desk.waiting("spring").await, desk.codes().await), (-1, Vec::new()));
        desk.store.end_hold(Some(Clock::now(&*desk.clock))).await.expect("ended");
        desk.settle().await;
        assert_eq!(desk.waiting("spring").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_schedule_that_somebody_works_on_is_tried_again_at_the_next_look() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1", "o2"]).await;
        desk.put("a.toml", list("spring", &["o1"]));
        desk.settle().await;
        let begun = desk.store.begin_shift("spring", 60_000, "test", desk.clock_now()).await.expect("answers");
        let Ok(TaskBegun::Yes(work)) = begun else { panic!("it begins") };
        desk.put("a.toml", list("spring", &["o1", "o2"]));
        desk.settle().await;
        assert_eq!((desk.waiting("spring").await, desk.codes().await), (1, Vec::new()));
        assert!(desk.store.work_off(work).await.expect("answers"));
        desk.look().await;
        assert_eq!(desk.waiting("spring").await, 2);
    })
    .await;
}

#[tokio::test]
async fn an_app_or_a_template_that_left_the_configuration_is_told() {
    on_both(async |test| {
        let mut desk = Desk::new(&test);
        desk.accept(&["o1"]).await;
        desk.put("a.toml", list("spring", &["o1"]));
        desk.put("b.toml", list("autumn", &["o1"]).replace("coffee", "tea"));
        desk.lives(vec![(Act::Nothing, "autumn 0, spring 1")]).await;
        let mut changed = config("http://127.0.0.1:1");
        changed.apps.retain(|app| app.name == "coffee");
        changed.apps[0].templates.retain(|template| template.code != EVENT);
        let whole = std::mem::replace(&mut desk.office.config, Arc::new(changed));
        let gone = "autumn 0, spring 1; a.toml unknown_template; b.toml unknown_app";
        desk.lives(vec![(Act::Restart, gone)]).await;
        desk.office.config = whole;
        desk.lives(vec![(Act::Restart, "autumn 0, spring 1")]).await;
    })
    .await;
}

#[tokio::test]
async fn a_hundred_thousand_files_hang_nothing_and_ten_thousand_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::at(START);
    let url = format!("sqlite:{}", folder.path().join("tixing.db").display());
    let store = crate::harness::open(&url, &clock).await;
    let dir = folder.path().join("schedules");
    fs::create_dir(&dir).expect("made");
    let office = Office {
        config: Arc::new(config("http://127.0.0.1:1")),
        store: store.clone(),
        clock: clock.clone(),
        reader: Arc::default(),
        batches: Default::default(),
    };
    let mut looks = Folder::new(office, dir.clone());
    // One that is loaded, and beyond the ten thousand afterwards.
    store.record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
    fs::write(dir.join("z.toml"), list("last", &["o1"])).expect("written");
    assert!(!looks.look().await.expect("answers").soon);
    // Empty ones, which are told: the first by name, and no more than that.
    for i in 0..100_000 {
        fs::File::create(dir.join(format!("f{i:06}.toml"))).expect("made");
    }
    let begun = Instant::now();
    looks.look().await.expect("answers");
    clock.advance(QUIET);
    looks.look().await.expect("answers");
    eprintln!("two looks at 100,000 files took {:?}", begun.elapsed());
    let problems = store.folder_problems().await.expect("answers");
    assert_eq!(problems.len(), MOST_FILES + 1);
    assert_eq!((problems[0].code.as_str(), problems[0].path.as_str()), ("too_large", dir.to_str().expect("UTF-8")));
    assert!(problems.last().expect("some").path.ends_with("f009999.toml"));
    clock.advance(QUIET);
    looks.look().await.expect("answers");
    clock.advance(QUIET);
    looks.look().await.expect("answers");
    let row = store.schedule("last").await.expect("answers").expect("there");
    assert_eq!(row.orphaned_at, None, "a file that is not read is not gone");
    store.close().await;
}

/// Permissions do not bind root: who runs the tests as root runs this one as nobody.
#[tokio::test]
async fn a_file_without_permission_is_told_and_read_once_it_may_be() {
    if rustix::process::geteuid().is_root() {
        return runs_as_nobody("folder::a_file_without_permission_is_told_and_read_once_it_may_be");
    }
    let test = fresh("sqlite").await;
    let mut desk = Desk::new(&test);
    desk.accept(&["o1"]).await;
    desk.put("a.toml", list("spring", &["o1"]));
    let may_be_read = |desk: &Desk, mode| {
        fs::set_permissions(desk.path("a.toml"), fs::Permissions::from_mode(mode)).expect("set");
    };
    may_be_read(&desk, 0o000);
    assert!(fs::File::open(desk.path("a.toml")).is_err(), "it binds this user");
    desk.lives(vec![(Act::Nothing, "; a.toml no_file")]).await;
    assert!(said(&desk.problems().await[0]).contains("permission"));
    may_be_read(&desk, 0o600);
    desk.lives(vec![(Act::Nothing, "spring 1")]).await;
    may_be_read(&desk, 0o000);
    desk.lives(vec![(Act::Nothing, "spring 1; a.toml no_file")]).await;
    // And the folder itself.
    fs::set_permissions(&desk.dir, fs::Permissions::from_mode(0o000)).expect("set");
    desk.settle().await;
    assert!(desk.codes().await.contains(&("schedules".to_owned(), "no_file".to_owned())));
    fs::set_permissions(&desk.dir, fs::Permissions::from_mode(0o700)).expect("set");
    may_be_read(&desk, 0o600);
    desk.lives(vec![(Act::Nothing, "spring 1")]).await;
    test.store.close().await;
}

/// Runs a test of this binary as the user nobody.
fn runs_as_nobody(test: &str) {
    let own = std::env::current_exe().expect("it runs");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--"]).arg(own);
    command.args(["--exact", test, "--nocapture"]).env("TMPDIR", "/tmp");
    let Ok(ran) = command.output() else {
        return eprintln!("NOT JUDGED: permissions do not bind root, and there is no setpriv to become somebody else");
    };
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    match ran.status.code() {
        // This binary lies where nobody may not go.
        Some(126 | 127) => eprintln!("NOT JUDGED: nobody may not run the tests: {said}"),
        code => assert!(code == Some(0) && said.contains("1 passed"), "{said}"),
    }
}

/// The real daemon with a watched folder.
struct Served {
    site: Site,
    program: Program,
    _store: tempfile::TempDir,
}

impl Served {
    fn new(database: &str) -> Self {
        let store = tempfile::tempdir().expect("a folder");
        let site = Site::new(&fresh_url(database, store.path()), "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"");
        let configuration = fs::read_to_string(site.path("tixing.toml")).expect("there");
        fs::write(site.path("tixing.toml"), format!("[schedules]\ndir = \"schedules\"\n{configuration}"))
            .expect("written");
        fs::create_dir(site.path("schedules")).expect("made");
        let program = site.serve_with_key();
        Self { site, program, _store: store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path("schedules").join(name)
    }

    /// Asks for a schedule until it is so. On a quiet machine that takes some two seconds and is told; this one may do much else.
    async fn soon(&self, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let (_, answer) = self.program.get("/v1/schedules").await;
            if done(&answer) {
                eprintln!("{what}: after {:?}", begun.elapsed());
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e48_a_file_is_loaded_by_itself_and_what_is_wrong_is_told_everywhere() {
    for database in databases() {
        let served = Served::new(database);
        let accepted = |openid: &str| {
            format!("{}\n", json!({ "app": "coffee", "openid": openid, "results": { "event-start": "accept" } }))
        };
        served.program.batch("/v1/consents/batch", accepted("o1") + &accepted("o2")).await;
        let n = |answer: &Value| answer["items"][0]["reminders"]["scheduled"].as_i64().unwrap_or(-1);
        fs::write(served.path("a.toml"), table("spring", "a.csv")).expect("written");
        fs::write(served.path("a.csv"), "openid,名称\no1,茶会\n").expect("written");
        served.soon("dropped in", |answer| n(answer) == 1).await;
        fs::write(served.path("a.csv"), "openid,名称\no1,茶会\no2,茶会\n").expect("written");
        served.soon("its table edited", |answer| n(answer) == 2).await;
        fs::write(served.path("a.toml"), table("spring", "a.csv").replace("thing1", "thing9")).expect("written");
        let answer = served.soon("a mistake", |answer| answer["files"][0].is_object()).await;
        assert_eq!(n(&answer), 2, "nothing changes");
        let file = &answer["files"][0];
        assert_eq!((&file["schedule"], &file["code"]), (&json!("spring"), &json!("missing_field")), "{file}");
        assert_eq!(answer["items"][0]["problem"], file["detail"], "the schedule tells of it too");
        let (_, listed, told) = served.site.run(&["schedules", "list"]);
        assert!(told.contains("a.toml") && listed.contains("spring"), "{listed}{told}");
        let begun = Instant::now();
        while !served
            .program
            .http
            .get(format!("{}/metrics", served.program.base))
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("text")
            .contains("tixing_folder_problems 1")
        {
            assert!(begun.elapsed() < Duration::from_secs(15), "metrics");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (_, doctor, _) = served.site.run(&["doctor"]);
        assert!(doctor.contains("watched folder"), "{doctor}");
        // A key for another app sees neither the file nor its schedule.
        let (_, key, _) = served.site.run(&["key", "create", "--name", "tea", "--app", "tea"]);
        let request = served.program.http.get(format!("{}/v1/schedules", served.program.base)).bearer_auth(key.trim());
        let answer: Value =
            serde_json::from_str(&request.send().await.expect("an answer").text().await.expect("text")).expect("JSON");
        assert_eq!(answer, json!({ "items": [], "files": [] }));

        fs::remove_file(served.path("a.toml")).expect("there");
        let answer = served.soon("deleted", |answer| answer["items"][0]["orphaned"] == true).await;
        assert_eq!((n(&answer), &answer["items"][0]["state"], &answer["files"]), (2, &json!("active"), &json!([])));
        let (_, _, told) = served.site.run(&["schedules", "list"]);
        assert!(told.contains("tixing schedules cancel spring"), "{told}");
        let (_, shown, _) = served.site.run(&["schedules", "show", "spring"]);
        assert!(shown.contains("tixing schedules cancel spring"), "{shown}");
        let (_, doctor, _) = served.site.run(&["doctor"]);
        assert!(doctor.contains("tixing schedules cancel"), "{doctor}");
        fs::write(served.path("a.toml"), table("spring", "a.csv")).expect("written");
        served.soon("back again", |answer| answer["items"][0]["orphaned"] == false).await;
        // SIGHUP tries again what has a problem, and the daemon goes on.
        served.program.signal("-HUP");
        fs::rename(served.site.path("schedules"), served.site.path("away")).expect("renamed");
        served.soon("the folder vanishes", |answer| answer["files"][0]["code"] == "no_file").await;
        fs::rename(served.site.path("away"), served.site.path("schedules")).expect("renamed");
        served.soon("and is back", |answer| answer["files"] == json!([])).await;
        fs::write(served.path("a.csv"), "openid,名称\no1,茶会\n").expect("written");
        served.soon("and is watched", |answer| n(answer) == 1).await;
        // Whom the folder took off without asking is said by all that a person may look at.
        for verb in [["schedules", "list"].as_slice(), &["schedules", "show", "spring"]] {
            let (_, shown, told) = served.site.run(&[verb, &["--lang", "en"]].concat());
            assert!((shown.clone() + &told).contains("cancelled 1 reminder."), "{verb:?}: {shown}{told}");
        }
        let (status, log) = served.program.terminate();
        assert!(status.success(), "{log}");
        assert_eq!(log.matches("nothing of it is loaded").count(), 2, "each change is logged once: {log}");
        assert!(log.contains("tixing schedules cancel spring") && !log.contains("o1"), "{log}");
        assert!(log.contains("nobody was asked"), "{log}");
    }
}

#[tokio::test]
async fn a_thousand_files_that_were_loaded_before_are_read_at_a_start_in_two_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = fresh_url("sqlite", folder.path());
    let clock = ManualClock::at(START);
    let store = crate::harness::open(&url, &clock).await;
    let mut desk = Desk::over(&store, &clock);
    desk.accept(&["o1"]).await;
    let rows: String = (0..100).map(|i| format!("o{i},茶会\n")).collect();
    for i in 0..1_000 {
        fs::write(desk.path(&format!("t{i}.csv")), format!("openid,名称\n{rows}")).expect("written");
        fs::write(desk.path(&format!("s{i}.toml")), table(&format!("s{i}"), &format!("t{i}.csv"))).expect("written");
    }
    desk.settle().await;
    assert_eq!((desk.store.schedules().await.expect("answers").len(), desk.codes().await), (1_000, Vec::new()));
    let before = desk.store.schedules().await.expect("answers");
    desk.restart();
    let begun = Instant::now();
    desk.look().await;
    let took = begun.elapsed();
    eprintln!("a start with 1,000 files took {took:?}");
    assert_eq!(desk.store.schedules().await.expect("answers"), before, "nothing was written");
    assert!(took < Duration::from_secs(2), "{took:?}");
    desk.store.close().await;
}
