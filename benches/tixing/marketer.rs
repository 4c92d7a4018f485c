//! A marketer's file: planned, loaded, loaded again, paused; beside what reading the same table takes, and what `reminders/batch` makes of
//! the same rows.

use super::{Bench, Place, TEMPLATE, key, openid, program, usage};
use rust_xlsxwriter::Workbook;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tixing::{
    clock::SystemClock,
    daemon::Daemon,
    domain::{
        consent::{Feed, Report},
        schedule::Change,
    },
    schedule::{
        gather::Input,
        load::{Batches, Office, Options, Planning, Progress},
        sheet::{self, Reader, Source, Wanted, spec::TableSpec},
    },
    store::Store,
};

const COLUMNS: [&str; 4] = ["openid", "编号", "活动名称", "地点"];

/// The file over a table. Its reminders are years ahead, so that they stay where they are.
fn text(name: &str, table: &str) -> String {
    format!(
        "name = \"{name}\"\napp = \"coffee\"\ntemplate = \"event-start\"\npage = \"pages/event/detail?id={{{{编号}}}}\"\n\
         at = 2031-03-01T10:00:00\naudience = {{ file = \"{table}\", key = \"编号\" }}\n\
         [data]\nthing1 = \"{{{{活动名称}}}}\"\ntime2 = \"{{{{@event | datetime}}}}\"\nthing5 = \"{{{{地点 | default(见活动页)}}}}\"\n"
    )
}

fn cells(i: usize) -> [String; 4] {
    [
        openid(i),
        format!("A-{i}"),
        "周三读书会".into(),
        if i.is_multiple_of(3) { String::new() } else { "三楼301室".into() },
    ]
}

fn write_csv(path: &Path, n: usize) {
    let mut file = BufWriter::new(File::create(path).expect("made"));
    writeln!(file, "{}", COLUMNS.join(",")).expect("written");
    (0..n).for_each(|i| writeln!(file, "{}", cells(i).join(",")).expect("written"));
}

fn write_xlsx(path: &Path, n: usize) {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet_with_constant_memory().expect("a sheet");
    let rows = std::iter::once(COLUMNS.map(str::to_owned)).chain((0..n).map(cells));
    for (row, cells) in (0..).zip(rows) {
        for (column, cell) in (0..).zip(cells) {
            sheet.write_string(row, column, cell).expect("written");
        }
    }
    book.save(path).expect("saved");
}

pub fn reader() -> Reader {
    Reader { program: program().expect("target/release/tixing is built") }
}

/// What reading and decoding alone takes.
fn read(path: &Path, name: &str) -> (usize, Duration) {
    let begun = Instant::now();
    let wanted: Vec<Wanted> = COLUMNS.iter().map(|column| Wanted::Column((*column).to_owned())).collect();
    let mut table = sheet::open(&reader(), &Source { path, name }, &TableSpec::default(), &wanted).expect("a table");
    let mut rows = 0;
    while table.next().expect("a row").is_some() {
        rows += 1;
    }
    (rows, begun.elapsed())
}

/// Everybody accepts once.
pub async fn accept(store: &Store, n: usize) {
    let report = |i| Report {
        app: "coffee".into(),
        openid: openid(i),
        results: [(TEMPLATE.to_owned(), true)].into(),
        at: 1_803_859_200_000,
        feed: Feed::Client,
        source: "bench".into(),
        event: None,
        ticket: None,
    };
    for from in (0..n).step_by(4_000) {
        store.record((from..(from + 4_000).min(n)).map(report).collect()).await.expect("recorded");
    }
}

/// The largest memory of this process's children, in megabytes, as they were while `work` ran; and of this one.
pub async fn watched<T>(work: impl Future<Output = T>) -> (T, f64, f64) {
    let (over, child, own) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let watch = {
        let (over, child, own) = (Arc::clone(&over), Arc::clone(&child), Arc::clone(&own));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                own.fetch_max(usage().rss as u64, Ordering::Relaxed);
                let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
                for task in tasks {
                    let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
                    for pid in children.split_whitespace() {
                        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                        let rss = status.lines().find_map(|line| {
                            line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok()
                        });
                        child.fetch_max(rss.unwrap_or_default() / 1_024, Ordering::Relaxed);
                    }
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        })
    };
    let done = work.await;
    over.store(true, Ordering::Relaxed);
    watch.join().expect("it ends");
    (done, child.load(Ordering::Relaxed) as f64, own.load(Ordering::Relaxed) as f64)
}

/// One who works with a file.
struct Desk {
    daemon: Daemon,
    place: Place,
}

impl Desk {
    async fn start(bench: &Bench, name: &str, users: usize) -> Self {
        let place = bench.place(name);
        let daemon =
            Daemon::start(bench.config(&place, "http://127.0.0.1:1"), SystemClock::shared()).await.expect("starts");
        accept(daemon.api.store(), users).await;
        Self { daemon, place }
    }

    fn office(&self) -> Office {
        let (config, store) = (Arc::clone(self.daemon.api.config()), self.daemon.api.store().clone());
        let (clock, reader) = (SystemClock::shared(), Arc::new(reader()));
        Office { config, store, clock, reader, batches: Batches::default() }
    }

    fn input(&self, name: &str, table: &str) -> Input {
        let tables = BTreeMap::from([(table.to_owned(), self.place.folder.join(table))]);
        Input { text: text(name, table), name: "file.toml".into(), tables, has_schedule: true, ..Input::default() }
    }

    async fn plan(&self, table: &str) -> Planning {
        let progress: Progress = Arc::new(|_, _| {});
        let input = Arc::new(self.input("spring", table));
        let planning = self.office().plan(input, &Options::default(), &progress).await.expect("the store answers");
        assert!(planning.ready.is_some(), "{:?}", planning.plan.problems.list.first());
        planning
    }

    /// Plans and loads; how long each took.
    async fn load(&self, table: &str) -> (Planning, Duration, Duration) {
        let begun = Instant::now();
        let mut planning = self.plan(table).await;
        let planned = begun.elapsed();
        let progress: Progress = Arc::new(|_, _| {});
        let input = self.input("spring", table);
        let loaded = self.office().load(&input, &mut planning, &Options::default(), &progress).await;
        assert!(loaded.expect("the store answers").is_some(), "{:?}", planning.plan.problems.list.first());
        (planning, planned, begun.elapsed())
    }
}

/// A hundred thousand rows, as CSV and as a workbook.
pub async fn plan(bench: &Bench) {
    let n = 100_000;
    let desk = Desk::start(bench, "plan", n).await;
    write_csv(&desk.place.folder.join("list.csv"), n);
    write_xlsx(&desk.place.folder.join("list.xlsx"), n);
    for table in ["list.csv", "list.xlsx"] {
        let (rows, floor) = read(&desk.place.folder.join(table), table);
        let before = usage().rss;
        let begun = Instant::now();
        let (planning, child, peak) = watched(desk.plan(table)).await;
        let took = begun.elapsed();
        assert_eq!((rows, planning.plan.count(Change::New)), (n, n as u64));
        println!(
            "plan: {n} rows of {table}, {}: {:.2} s; reading alone {:.2} s ({:.1} times that); {:.0} MB more at most, the child {child:.0} MB",
            bench.database(),
            took.as_secs_f64(),
            floor.as_secs_f64(),
            took.as_secs_f64() / floor.as_secs_f64(),
            peak - before,
        );
    }
    desk.daemon.stop().await.expect("stops");
}

/// What `reminders/batch` makes of the same rows, their consents recorded before.
async fn batch(bench: &Bench, n: usize) -> f64 {
    let desk = Desk::start(bench, "batch", n).await;
    let key = key(&desk.daemon).await;
    let piece = move |k: usize| {
        let line = |i: usize| {
            let [openid, id, name, place] = cells(i);
            let place = if place.is_empty() { "见活动页" } else { &place };
            format!(
                "{{\"app\":\"coffee\",\"openid\":\"{openid}\",\"template\":\"event-start\",\"at\":\"2031-03-01T10:00:00+08:00\",\
                 \"page\":\"pages/event/detail?id={id}\",\"data\":{{\"thing1\":\"{name}\",\"time2\":\"2031年3月1日 10:00\",\"thing5\":\"{place}\"}}}}\n"
            )
        };
        Ok::<_, std::io::Error>(bytes::Bytes::from((k * 1_000..((k + 1) * 1_000).min(n)).map(line).collect::<String>()))
    };
    let begun = Instant::now();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter((0..n.div_ceil(1_000)).map(piece)));
    let url = format!("http://{}/v1/reminders/batch", desk.daemon.address);
    let mut answer = reqwest::Client::new().post(url).bearer_auth(&key).body(body).send().await.expect("an answer");
    while answer.chunk().await.expect("an answer").is_some() {}
    let rate = n as f64 / begun.elapsed().as_secs_f64();
    let stored = desk.daemon.api.store().tally().await.expect("answers")["coffee"]["scheduled"];
    assert_eq!(stored, n as i64, "all are stored");
    desk.daemon.stop().await.expect("stops");
    rate
}

/// Many rows with a consent each: loaded, loaded again, shown, paused.
pub async fn load(bench: &Bench, n: usize) {
    let floor = batch(bench, n).await;
    println!("load: floor, reminders/batch of the same {n} rows, {}: {floor:.0}/s", bench.database());
    let desk = Desk::start(bench, "load", n).await;
    write_csv(&desk.place.folder.join("list.csv"), n);
    let rate = |took: Duration| n as f64 / took.as_secs_f64();
    let before = usage().rss;
    let ((planning, planned, took), _, peak) = watched(desk.load("list.csv")).await;
    assert_eq!(planning.plan.count(Change::New), n as u64);
    drop(planning);
    println!(
        "load: {n} rows, {}: {:.0}/s with its plan ({:.0}/s), {:.2} of the floor; {:.0} MB more at most",
        bench.database(),
        rate(took),
        rate(planned),
        rate(took) / floor,
        peak - before,
    );
    let before = usage().rss;
    let ((planning, _, took), _, peak) = watched(desk.load("list.csv")).await;
    assert_eq!(planning.plan.count(Change::Same), n as u64);
    drop(planning);
    println!(
        "load: the same again: {:.0}/s, {:.2} of the floor; {:.0} MB more at most",
        rate(took),
        rate(took) / floor,
        peak - before
    );
    let key = key(&desk.daemon).await;
    let http = reqwest::Client::new();
    let url = format!("http://{}/v1/schedules/spring", desk.daemon.address);
    let mut shown = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        let answer = http.get(&url).bearer_auth(&key).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("whole");
        shown.push(begun.elapsed());
    }
    shown.sort_unstable();
    let mut paused = Vec::new();
    for verb in ["pause", "resume", "pause"] {
        let begun = Instant::now();
        let answer = http.post(format!("{url}/{verb}")).bearer_auth(&key).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("whole");
        paused.push(begun.elapsed());
    }
    println!(
        "load: schedules show of {n}: p50 {:?}, p99 {:?}; pause, resume, pause: {paused:?}",
        shown[100], shown[197]
    );
    desk.daemon.stop().await.expect("stops");
}

/// Plans a large file for as long as something else is measured.
pub struct Planner {
    task: tokio::task::JoinHandle<usize>,
    over: Arc<AtomicBool>,
}

impl Planner {
    /// Begins, on the daemon that sends.
    pub async fn begin(daemon: &Daemon, place: &Place, n: usize) -> Self {
        let path = place.folder.join("list.csv");
        write_csv(&path, n);
        let (config, store) = (Arc::clone(daemon.api.config()), daemon.api.store().clone());
        let (clock, reader) = (SystemClock::shared(), Arc::new(reader()));
        let office = Office { config, store, clock, reader, batches: Batches::default() };
        let tables = BTreeMap::from([("list.csv".to_owned(), path)]);
        let text = text("spring", "list.csv").replace("\"coffee\"", "\"tea\"");
        let input = Arc::new(Input { text, name: "file.toml".into(), tables, has_schedule: true, ..Input::default() });
        let over = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&over);
        let task = tokio::spawn(async move {
            let mut plans = 0;
            let progress: Progress = Arc::new(|_, _| {});
            while !done.load(Ordering::Relaxed) {
                let planning = office.plan(Arc::clone(&input), &Options::default(), &progress).await;
                assert!(planning.expect("the store answers").ready.is_some(), "a good file");
                plans += 1;
            }
            plans
        });
        Self { task, over }
    }

    /// Ends after the plan that is under way; how many there were.
    pub async fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.task.await.expect("it ends")
    }
}
