//! What the daemon's engine takes for its store: slow, failing, cut off in the middle of a commit, and, on demand, quietly wrong.
//!
//! Underneath is the model of the store, or the store itself. The store has threads of its own, which virtual time does not know:
//! each call stops the simulation until the store has answered, and how long that took, the seed says.

use super::{pending::Pending, sabotage::Sabotage};
use crate::harness::{
    self,
    model::{LANE, Model, Seen, Term},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::{AnyConnection, Connection};
use std::{
    collections::BTreeMap,
    fmt::Debug,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tixing::{
    clock::SharedClock,
    config::{App, Durability},
    domain::{
        DAY, Millis,
        consent::{Allowance, Balance, Report, SAME_TAP},
        draft::Change,
        due::Due,
        push::Push,
        reminder::{Claim, NewReminder, ReminderId, State},
        retention::Retention,
        settle::{Consent, Counted, Next},
        story::Event,
        template::{Listing, Template},
    },
    store::{
        Inserted, OnCommit, Ring, Store, StoreError, backup,
        change::Changed,
        doubts::{Decided, Resolved, Verdict},
        gates::Gates,
        hold::Hold,
        lists::Filter,
        port::{Asked, Entry, Job, Marked, Open, Queue},
        pushes::NewPush,
        reminders::Stored,
        retention::Walk,
    },
    words::Message,
};
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinSet,
};

/// The runtime of all stores.
fn runtime() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    RUNTIME.get_or_init(build).handle()
}

/// Waits for the store, and nothing happens meanwhile.
pub fn wait<T: Send + 'static>(work: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> T {
    attempt(work).expect("the store's task ends").expect("the store answers")
}

/// Waits for work that may die on its way.
pub fn attempt<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (done, told) = std::sync::mpsc::sync_channel(1);
    runtime().spawn(async move { done.send(work.await) });
    told.recv().ok()
}

/// Opens a store, from a thread that may wait: opening is no future that threads could share.
fn open(folder: &Path, apps: &[App], clock: SharedClock) -> Store {
    let url = format!("sqlite:{}", folder.join("tixing.db").display());
    let open = || runtime().block_on(Store::open(&url, Durability::Full, apps, clock));
    let opened = std::thread::scope(|scope| scope.spawn(open).join()).expect("no panic");
    opened.unwrap_or_else(|e| panic!("the store opens: {e}"))
}

/// What is written down.
#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "a life has one")]
enum Books {
    Model(Arc<Mutex<Model>>),
    Store(Store),
}

impl Books {
    fn prefetch(&self, after: (Millis, i64), until: Millis, limit: i64, open: Arc<Open>) -> Vec<Job> {
        match self {
            Self::Model(model) => {
                model.lock().expect("whole").prefetch(after, until, usize::try_from(limit).expect("some"))
            }
            Self::Store(store) => wait(store.prefetch_open(LANE, after, until, limit, open)),
        }
    }

    fn past_deadline(&self, now: Millis, limit: i64, open: Arc<Open>) -> Vec<Job> {
        match self {
            Self::Model(model) => {
                model.lock().expect("whole").past_deadline(now, usize::try_from(limit).expect("some"))
            }
            Self::Store(store) => wait(store.past_deadline(LANE, now, limit, open)),
        }
    }

    fn mark(&self, jobs: Vec<Job>, now: Millis) -> Vec<Marked> {
        match self {
            Self::Model(model) => model.lock().expect("whole").mark(&jobs, now),
            Self::Store(store) => wait(store.mark(jobs)),
        }
    }

    fn settle(&self, settles: Vec<Entry>) -> Vec<bool> {
        match self {
            Self::Model(model) => model.lock().expect("whole").settle(&settles),
            Self::Store(store) => wait(store.settle(settles)),
        }
    }
}

/// A backup.
pub enum Backup {
    Model(Box<Model>),
    File(PathBuf),
}

/// How the disk behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// A call takes up to so long, before and after it takes effect.
    pub slow_ms: u64,
    /// How often a call fails, half of them after it took effect.
    pub fails: f64,
    /// How often a call is not answered for a minute, half of them though it took effect.
    pub hangs: f64,
}

/// The store of one life of the daemon.
pub struct Disk {
    books: Books,
    clock: SharedClock,
    /// The ids of the app's templates.
    templates: Vec<String>,
    folder: PathBuf,
    rng: Mutex<StdRng>,
    pub weather: Mutex<Weather>,
    /// Calls that have not been answered.
    pub pending: Pending,
    told: Arc<Mutex<Option<OnCommit>>>,
    sabotage: Option<Sabotage>,
    /// Writes that were answered before they were done; a crash forgets them.
    late: Mutex<JoinSet<()>>,
    /// What the platform listed last; the model forgets it in a crash.
    listing: Mutex<Option<Arc<Listing>>>,
}

impl Disk {
    fn over(
        books: Books,
        apps: &[App],
        clock: SharedClock,
        folder: PathBuf,
        seed: u64,
        sabotage: Option<Sabotage>,
    ) -> Arc<Self> {
        Arc::new(Self {
            books,
            clock,
            templates: apps[0].templates.iter().map(|template| template.code.clone()).collect(),
            folder,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            weather: Mutex::default(),
            pending: Pending::default(),
            told: Arc::default(),
            sabotage,
            late: Mutex::default(),
            listing: Mutex::default(),
        })
    }

    /// The model.
    pub fn model(app: &App, clock: SharedClock, seed: u64, sabotage: Option<Sabotage>) -> Arc<Self> {
        let worth = |template: &Template| match template.allowance() {
            Allowance::Times { sends, .. } if sabotage == Some(Sabotage::EndNotLookedAt) => {
                Allowance::Times { sends, period: DAY }
            }
            allowance => allowance,
        };
        let templates = app.templates.iter().map(|template| (template.code.clone(), worth(template))).collect();
        let mut model = Model::of(templates, app.consents);
        model.denies_all = sabotage == Some(Sabotage::DeniedTicketVoidsOthers);
        let (books, apps) = (Books::Model(Arc::new(Mutex::new(model))), std::slice::from_ref(app));
        Self::over(books, apps, clock, PathBuf::new(), seed, sabotage)
    }

    /// A fresh store in a real file.
    pub fn file(folder: &Path, apps: &[App], clock: SharedClock, seed: u64, sabotage: Option<Sabotage>) -> Arc<Self> {
        let books = Books::Store(open(folder, apps, Arc::clone(&clock)));
        Self::over(books, apps, clock, folder.to_owned(), seed, sabotage)
    }

    /// The store, where there is one.
    pub fn store(&self) -> Option<Store> {
        match &self.books {
            Books::Model(_) => None,
            Books::Store(store) => Some(store.clone()),
        }
    }

    /// Where its file is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All reminders of the store.
    pub fn stored(&self) -> Vec<Stored> {
        let Some(store) = self.store() else { return Vec::new() };
        let filter = Filter { apps: vec!["coffee".into()], limit: 10_000, ..Filter::default() };
        wait(async move { store.list(&filter).await })
    }

    /// A fault: the store no longer knows which reminder a row of a file is.
    pub fn forget_identities(&self) {
        let url = format!("sqlite:{}", self.folder.join("tixing.db").display());
        attempt(async move {
            let mut conn = AnyConnection::connect(&url).await.expect("connects");
            sqlx::query("DELETE FROM planned").execute(&mut conn).await.expect("answers");
            conn.close().await.expect("closes");
        });
    }

    /// The store as a loss of power leaves it: the file as it is at this moment, with the beginning of a commit that was never
    /// finished behind it, and with the file beside it that says how far it had come as it is, older, or empty, since nobody waits until that
    /// one is durable; opened by another daemon. None of this puts it on hold. The model has nothing to lose: what it answered is written.
    pub fn after_crash(self: &Arc<Self>, apps: &[App], clock: SharedClock, seed: u64) -> Arc<Self> {
        self.late.lock().expect("whole").abort_all();
        if matches!(self.books, Books::Model(_)) {
            return Arc::clone(self);
        }
        let mut rng = StdRng::seed_from_u64(seed);
        let folder = self.folder.join("next");
        std::fs::create_dir(&folder).expect("a folder");
        // What says how far it had come is read first: it may say less than the others have, and never more.
        for name in ["tixing.db-progress", "tixing.db", "tixing.db-wal"] {
            let read = std::fs::read(self.folder.join(name));
            assert!(read.is_ok() || name.ends_with("wal"), "{name} is there from the first start on");
            let mut bytes = read.unwrap_or_default();
            if name.ends_with("wal") {
                bytes.extend((0..rng.random_range(0..9_000)).map(|_| rng.random::<u8>()));
            }
            if name.ends_with("progress") {
                // By a die of its own.
                match StdRng::seed_from_u64(!seed).random_range(0..4) {
                    0 => bytes.clear(),
                    1 => bytes = b"0 as it was made".to_vec(),
                    _ => {}
                }
            }
            std::fs::write(folder.join(name), bytes).expect("written");
        }
        let held = self.hold();
        self.close();
        let books = Books::Store(open(&folder, apps, Arc::clone(&clock)));
        let next = Self::over(books, apps, clock, folder, rng.random(), self.sabotage);
        assert_eq!(next.hold(), held, "a loss of power alone puts nothing on hold");
        *next.weather.lock().expect("whole") = *self.weather.lock().expect("whole");
        next
    }

    /// A backup, made while all goes on.
    pub fn backup(&self, number: u32, clock: SharedClock) -> Backup {
        match &self.books {
            Books::Model(model) => Backup::Model(Box::new(model.lock().expect("whole").clone())),
            Books::Store(store) => {
                let (store, path) = (store.clone(), self.folder.join(format!("backup-{number}.db")));
                let to = path.clone();
                wait(async move {
                    store.backup(&to, &*clock).await.unwrap_or_else(|e| panic!("a backup is made: {e}"));
                    Ok(())
                });
                Backup::File(path)
            }
        }
    }

    /// A backup in the place of the store, on hold; and the last reminder that it is in doubt about.
    pub fn restore(self: &Arc<Self>, backup: Backup, apps: &[App], clock: SharedClock) -> (Arc<Self>, ReminderId) {
        self.late.lock().expect("whole").abort_all();
        match (&self.books, backup) {
            (Books::Model(model), Backup::Model(saved)) => {
                let last_id = saved.last_id();
                model.lock().expect("whole").restore(*saved);
                (Arc::clone(self), last_id)
            }
            (Books::Store(_), Backup::File(path)) => {
                let folder = self.folder.join("next");
                std::fs::create_dir(&folder).expect("a folder");
                self.close();
                let (to, now) = (folder.join("tixing.db"), clock.now());
                wait(async move {
                    backup::restore(&path, &to, now).await.unwrap_or_else(|e| panic!("a backup is restored: {e}"));
                    Ok(())
                });
                let store = open(&folder, apps, Arc::clone(&clock));
                let seed = self.rng.lock().expect("whole").random();
                let next = Self::over(Books::Store(store), apps, clock, folder, seed, self.sabotage);
                let hold = next.hold().expect("it is on hold");
                assert_eq!(hold.reasons.len(), 1, "and for nothing else");
                *next.weather.lock().expect("whole") = *self.weather.lock().expect("whole");
                (next, hold.last_id)
            }
            _ => unreachable!("a backup is of its kind"),
        }
    }

    /// The hold that the store itself says it is on.
    fn hold(&self) -> Option<Hold> {
        match &self.books {
            Books::Model(_) => None,
            Books::Store(store) => {
                let store = store.clone();
                wait(async move { store.hold().await })
            }
        }
    }

    /// The hold has ended. What became due by `taken` was taken for sent.
    pub fn end_hold(&self, taken: Millis) {
        match &self.books {
            Books::Model(model) => model.lock().expect("whole").held = None,
            Books::Store(store) => {
                let store = store.clone();
                wait(async move { store.end_hold(Some(taken)).await });
            }
        }
    }

    pub fn close(&self) {
        if let Books::Store(store) = &self.books {
            let store = store.clone();
            wait(async move {
                store.close().await;
                Ok(())
            });
        }
    }

    /// Runs a call in the disk's weather.
    fn ask<T: Debug + Send + 'static>(
        &self,
        asked: &'static str,
        call: impl FnOnce(Books) -> T + Send + 'static,
    ) -> Asked<T> {
        let weather = *self.weather.lock().expect("whole");
        let mut rng = self.rng.lock().expect("whole");
        let mut delay = || if weather.slow_ms == 0 { 0 } else { rng.random_range(0..=weather.slow_ms) };
        let (mut before, mut after) = (delay(), delay());
        let fails = rng.random::<f64>() < weather.fails;
        let fails_early = fails && rng.random();
        if rng.random::<f64>() < weather.hangs {
            *if rng.random() { &mut before } else { &mut after } += 60_000;
        }
        let books = self.books.clone();
        let pending = self.pending.begin();
        Box::pin(async move {
            let _pending = pending;
            let failure = || Err(StoreError::Unavailable(Message::text("the disk, says the simulation")));
            pass(before).await;
            if fails_early {
                tracing::trace!(asked, "fails before it takes effect");
                return failure();
            }
            let result = call(books);
            tracing::trace!(asked, ?result, "takes effect");
            pass(after).await;
            tracing::trace!(asked, fails, "is answered");
            if fails { failure() } else { Ok(result) }
        })
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    fn ring(&self, ring: Ring) {
        // The store rings by itself.
        if matches!(self.books, Books::Model(_))
            && let Some(told) = &*self.told.lock().expect("whole")
        {
            told(Some(ring), Duration::ZERO);
        }
    }
}

/// What backends ask, and what people look at.
impl Disk {
    /// Faults in what is told of a ticket.
    fn spoil(&self, event: &mut Option<String>, ticket: &mut Option<Allowance>) {
        let Some(Allowance::Ticket { until, .. }) = ticket else { return };
        if self.is(Sabotage::EndNotLookedAt) {
            *until = None;
        }
        if self.is(Sabotage::TicketCountsTwice) {
            *event = Some(self.rng.lock().expect("whole").random::<u64>().to_string());
            if let Books::Model(model) = &self.books {
                model.lock().expect("whole").forget_tickets();
            }
        }
    }

    pub fn insert(&self, mut new: NewReminder) -> Inserted {
        let at = new.at;
        if let Some(accepted) = &mut new.accepted {
            self.spoil(&mut accepted.event, &mut accepted.ticket);
        }
        let inserted = match &self.books {
            Books::Model(model) => model.lock().expect("whole").insert(new),
            Books::Store(store) => {
                let store = store.clone();
                wait(async move { store.insert(vec![new]).await })[0]
            }
        };
        self.ring(Ring { from: at, until: at });
        inserted
    }

    pub fn record(&self, mut report: Report) -> Option<usize> {
        self.spoil(&mut report.event, &mut report.ticket);
        match &self.books {
            Books::Model(model) => model.lock().expect("whole").record(&report),
            Books::Store(store) => {
                let store = store.clone();
                wait(async move { store.record(vec![report]).await })[0]
            }
        }
    }

    /// A user wishes to be forgotten.
    pub fn forget(&self, openid: &str, now: Millis) {
        match &self.books {
            Books::Model(model) => model.lock().expect("whole").forget(openid, now),
            Books::Store(store) => {
                let (store, wish) = (store.clone(), harness::wish(openid));
                wait(async move { store.forget(wish).await });
            }
        }
        self.ring(Ring::EVERYTHING);
    }

    /// They have come back.
    pub fn let_in(&self, openid: &str, now: Millis) {
        match &self.books {
            Books::Model(model) => drop(model.lock().expect("whole").let_in(openid, now)),
            Books::Store(store) => {
                let (store, wish) = (store.clone(), harness::wish(openid));
                wait(async move { store.let_in(wish).await });
            }
        }
    }

    /// Writes down which consents have ended, as the daemon does now and then; the model reckons it.
    pub fn end_consents(&self, now: Millis) {
        if let Some(store) = self.store() {
            let terms = Retention::default();
            wait(async move { store.erase_step(&mut Walk::default(), &terms, now).await });
        }
    }

    /// The term of everything that has ended is over.
    pub fn erase(&self, now: Millis) {
        match &self.books {
            Books::Model(model) => model.lock().expect("whole").erase(Term::History, now),
            Books::Store(store) => {
                let (store, terms) = (store.clone(), Retention { history: Some(0), ..Retention::default() });
                wait(async move { store.erase_step(&mut Walk::default(), &terms, now).await });
            }
        }
    }

    /// What the platform pushes; answers how many consents it added.
    pub fn push(&self, mut push: Push, now: Millis) -> usize {
        if self.is(Sabotage::PushCountsTwice) {
            push.at += self.rng.lock().expect("whole").random_range(0..1_000);
        }
        if self.is(Sabotage::BothFeedsCount) {
            push.at += 2 * SAME_TAP;
        }
        match &self.books {
            Books::Model(model) => model.lock().expect("whole").push(&push, now),
            Books::Store(store) => {
                let (store, push) = (store.clone(), NewPush { app: "coffee".into(), push });
                wait(async move { store.push(push).await }).granted
            }
        }
    }

    /// What an operator decides about a doubt; whether that was to be decided.
    pub fn resolve(&self, id: ReminderId, verdict: Verdict, now: Millis) -> bool {
        match &self.books {
            Books::Model(model) => {
                let state = match verdict {
                    Verdict::Sent => Some(State::Sent),
                    Verdict::Unconfirmed => Some(State::Unconfirmed),
                    Verdict::Resend => None,
                    Verdict::NotSent => unreachable!("nobody says so here"),
                };
                let decided = model.lock().expect("whole").resolve(id, state, now);
                self.ring(Ring::EVERYTHING);
                decided
            }
            Books::Store(store) => {
                let store = store.clone();
                let decided =
                    wait(async move { store.resolve(Decided { id, verdict, actor: Message::text("sim") }).await });
                decided == Resolved::Yes
            }
        }
    }

    pub fn cancel(&self, id: ReminderId, now: Millis) -> Changed {
        match &self.books {
            Books::Model(model) => model.lock().expect("whole").cancel(id, now),
            Books::Store(store) => {
                let store = store.clone();
                wait(async move { store.cancel(id).await })
            }
        }
    }

    pub fn change(&self, id: ReminderId, change: Change, now: Millis) -> Changed {
        let changed = match &self.books {
            Books::Model(model) => model.lock().expect("whole").change(id, &change, now),
            Books::Store(store) => {
                let (store, change) = (store.clone(), change.clone());
                wait(async move { store.change(id, change).await })
            }
        };
        self.ring(change.at.map_or(Ring::EVERYTHING, |(at, _)| Ring { from: at, until: at }));
        changed
    }

    /// What waits and is due by `now`; nothing is said of a file.
    pub fn waiting(&self, now: Millis) -> Vec<(Millis, ReminderId)> {
        match &self.books {
            Books::Model(model) => model.lock().expect("whole").waiting(now),
            Books::Store(_) => Vec::new(),
        }
    }

    pub fn everything(&self) -> Vec<Seen> {
        match &self.books {
            Books::Model(model) => model.lock().expect("whole").everything(),
            Books::Store(_) => {
                let seen = |s: Stored| Seen {
                    id: s.due.id,
                    openid: s.openid,
                    at: s.due.at,
                    expires_at: s.due.expires_at,
                    data: s.data,
                    claim: s.claim,
                    state: s.due.state,
                    is_planned: s.origin.is_some(),
                };
                self.stored().into_iter().map(seen).collect()
            }
        }
    }

    pub fn events(&self, id: ReminderId) -> Vec<Event> {
        match &self.books {
            Books::Model(model) => model.lock().expect("whole").events(id),
            Books::Store(store) => {
                let store = store.clone();
                wait(async move {
                    match store.reminder(id).await? {
                        Some(stored) => store.events(&stored).await,
                        None => Ok(Vec::new()),
                    }
                })
            }
        }
    }

    pub fn balance(&self, openid: &str, template: &str) -> Balance {
        match &self.books {
            Books::Model(model) => model.lock().expect("whole").balance(openid, template, self.clock.now()),
            Books::Store(store) => {
                let (store, user) = (store.clone(), openid.to_owned());
                let mut balances = wait(async move { store.balances("coffee", &user).await });
                balances.remove(template).unwrap_or_default()
            }
        }
    }

    /// The counts that the store keeps beside its rows; the model keeps none.
    pub fn tally(&self) -> Option<BTreeMap<String, i64>> {
        match &self.books {
            Books::Model(_) => None,
            Books::Store(store) => {
                let store = store.clone();
                wait(async move { store.tally().await }).remove("coffee")
            }
        }
    }
}

async fn pass(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// `due` as its row stands now, if it lives: for faults that do not look at the fence.
fn refreshed(due: &mut Due, living: &[Job]) {
    if let Some(now) = living.iter().find(|job| job.due.id == due.id) {
        (due.state, due.fence, due.due_at) = (now.due.state, now.due.fence, now.due.due_at);
    }
}

fn living(books: &Books) -> Vec<Job> {
    books.prefetch((Millis::MIN, 0), Millis::MAX, 10_000, Arc::default())
}

impl Queue for Disk {
    fn lane(&self, _: &str) -> i64 {
        LANE
    }

    fn code(&self, template: i64) -> &str {
        match &self.books {
            Books::Model(_) => &self.templates[usize::try_from(template).expect("few") - 1],
            Books::Store(store) => Queue::code(store, template),
        }
    }

    fn pseudonym(&self, openid: &str) -> String {
        match &self.books {
            Books::Model(_) => String::new(),
            Books::Store(store) => store.pseudonym(openid),
        }
    }

    fn listing(&self, app: &str) -> Option<Arc<Listing>> {
        match &self.books {
            Books::Model(_) => self.listing.lock().expect("whole").clone(),
            Books::Store(store) => store.listing(app),
        }
    }

    fn keep_listing(&self, app: &str, listing: Arc<Listing>) -> Asked<()> {
        *self.listing.lock().expect("whole") = Some(Arc::clone(&listing));
        let app = app.to_owned();
        self.ask("keep_listing", move |books| match books {
            Books::Model(_) => {}
            Books::Store(store) => wait(Queue::keep_listing(&store, &app, listing)),
        })
    }

    fn template(&self, _: i64, code: &str) -> Option<i64> {
        match &self.books {
            Books::Model(_) => i64::try_from(self.templates.iter().position(|known| known == code)? + 1).ok(),
            Books::Store(store) => Queue::template(store, LANE, code),
        }
    }

    fn on_commit(&self, told: OnCommit) {
        match &self.books {
            Books::Model(_) => *self.told.lock().expect("whole") = Some(told),
            Books::Store(store) => store.on_commit(told),
        }
    }

    fn gates(&self) -> Arc<Gates> {
        match &self.books {
            Books::Store(store) if !self.is(Sabotage::ScheduleGateNotAsked) => store.gates(),
            _ => Arc::default(),
        }
    }

    fn prefetch_open(
        &self,
        _: i64,
        after: (Millis, i64),
        until: Millis,
        limit: i64,
        open: Arc<Open>,
    ) -> Asked<Vec<Job>> {
        let [unsent, known, blind, timeless, forgets, passes_over] = [
            Sabotage::CutOffCountsAsUnsent,
            Sabotage::DoubtCountsAsUnsent,
            Sabotage::ConsentNotLookedAt,
            Sabotage::DeadlineReadAtInsertOnly,
            Sabotage::ResendForgetsItsDoubt,
            Sabotage::RowPassedOver,
        ]
        .map(|sabotage| self.is(sabotage));
        let read = self.ask("prefetch", move |books| {
            let mut jobs = books.prefetch(after, until, limit, open);
            if passes_over && jobs.len() > 1 {
                jobs.remove(0);
            }
            for job in &mut jobs {
                if (unsent && job.due.state == State::Sending) || (known && job.due.state == State::InDoubt) {
                    job.due.state = State::Scheduled;
                }
                if forgets && job.due.state == State::Scheduled {
                    job.due.doubt_since = None;
                }
                if blind {
                    job.claim = Claim::Reserve;
                }
                if timeless {
                    job.due.expires_at = Millis::MAX;
                }
            }
            jobs
        });
        if !self.is(Sabotage::HungReadFindsNothing) {
            return read;
        }
        Box::pin(async move {
            let nothing = |_| Ok(Vec::new());
            tokio::time::timeout(Duration::from_secs(5), read).await.unwrap_or_else(nothing)
        })
    }

    fn past_deadline(&self, _: i64, now: Millis, limit: i64, open: Arc<Open>) -> Asked<Vec<Job>> {
        let timeless = self.is(Sabotage::DeadlineReadAtInsertOnly);
        self.ask(
            "past_deadline",
            move |books| if timeless { Vec::new() } else { books.past_deadline(now, limit, open) },
        )
    }

    fn past_deadline_closed(
        &self,
        _: i64,
        after: (Millis, i64),
        now: Millis,
        open: Arc<Open>,
    ) -> Asked<(Vec<Job>, tixing::store::port::Next)> {
        self.ask("past_deadline_closed", move |books| match books {
            Books::Model(_) => (Vec::new(), None),
            Books::Store(store) => wait(store.past_deadline_closed(LANE, after, now, open)),
        })
    }

    fn wake_suspended(&self, _: i64, now: Millis) -> Asked<u64> {
        let told = Arc::clone(&self.told);
        self.ask("wake_suspended", move |books| match books {
            Books::Model(model) => {
                let woken = model.lock().expect("whole").wake_suspended(now);
                if let Some(told) = told.lock().expect("whole").as_ref().filter(|_| woken > 0) {
                    told(Some(Ring::EVERYTHING), Duration::ZERO);
                }
                woken
            }
            Books::Store(store) => wait(Queue::wake_suspended(&store, LANE, now)),
        })
    }

    fn mark(&self, mut jobs: Vec<Job>) -> Asked<Vec<Marked>> {
        let clock = Arc::clone(&self.clock);
        if self.is(Sabotage::SendBeforeMark) {
            // Answered at once, written a moment later: by a daemon that may be dead by then.
            let verdicts = vec![Marked::Yes; jobs.len()];
            let written = self.ask("mark", move |books| books.mark(jobs, clock.now()));
            self.late.lock().expect("whole").spawn(async move { drop(written.await) });
            return Box::pin(async move { Ok(verdicts) });
        }
        let unfenced = [Sabotage::MarkWithoutFence, Sabotage::CutOffCountsAsUnsent, Sabotage::DoubtCountsAsUnsent]
            .iter()
            .any(|sabotage| self.is(*sabotage));
        self.ask("mark", move |books| {
            if unfenced {
                let living = living(&books);
                jobs.iter_mut().for_each(|job| refreshed(&mut job.due, &living));
            }
            books.mark(jobs, clock.now())
        })
    }

    fn settle(&self, mut settles: Vec<Entry>) -> Asked<Vec<bool>> {
        let [unfenced, freed, kept, forgotten, soon, ends] = [
            Sabotage::SettleWithoutFence,
            Sabotage::ConsentFreedAfterSend,
            Sabotage::ConsentNotGivenBack,
            Sabotage::SettlementForgotten,
            Sabotage::DoubtLookedAtTooSoon,
            Sabotage::BusyEndsForGood,
        ]
        .map(|sabotage| self.is(sabotage));
        self.ask("settle", move |books| {
            if unfenced {
                let living = living(&books);
                settles.iter_mut().for_each(|settle| refreshed(&mut settle.target.due, &living));
            }
            for Entry { target, settlement, ended_at, .. } in &mut settles {
                let lost = matches!(settlement.code.as_deref(), Some("interrupted" | "unknown"));
                if let Next::Doubt { look_at } = &mut settlement.next
                    && soon
                    && lost
                {
                    *look_at = target.due.again_at(*ended_at + 1_000);
                }
                if ends
                    && target.due.tries > 2
                    && matches!(settlement.next, Next::Again { counted, .. } if counted != Counted::No)
                {
                    (settlement.next, settlement.consent) = (Next::Final(State::Failed), Consent::Free);
                }
                if freed && settlement.next == Next::Final(State::Sent) {
                    settlement.consent = Consent::Free;
                }
                if kept && settlement.consent == Consent::Free {
                    settlement.consent = Consent::Keep;
                }
            }
            let last = if forgotten && settles.len() > 1 { settles.pop() } else { None };
            let mut written = books.settle(settles);
            written.extend(last.map(|_| true));
            written
        })
    }
}
