//! The one task that writes. Commands that arrive while a commit is under way share the next one (group commit); settlements go
//! before marks, marks before everything else.

use super::{
    Names, Opened, StoreError, consents,
    queue::{self, Job, Marked, Settle},
    reminders::{self, Inserted},
    tx::{Ids, Tx},
};
use crate::{
    clock::SharedClock,
    domain::{Millis, consent::Report, reminder::NewReminder},
    trip::trip,
};
use sqlx::AnyConnection;
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What can be asked of the writer.
pub(super) enum Command {
    Settle(Vec<Settle>, Answer<Vec<bool>>),
    Mark(Vec<Job>, Answer<Vec<Marked>>),
    Insert(Vec<NewReminder>, Answer<Vec<Inserted>>),
    Record(Vec<Report>, Answer<Vec<Option<usize>>>),
    Single(Box<dyn AnySingle>),
    Close(Answer<()>),
}

/// A command that comes one at a time: whatever is to be written that is not settled, marked, inserted or recorded in bulk.
pub(super) trait Single: Send + Sync + 'static {
    /// What it answers.
    type Done: Send;

    /// Its statements. They may run a second time, in another transaction, when the first did not commit.
    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = sqlx::Result<Self::Done>> + Send;

    /// The instants that the engine should look at again.
    fn ring(&self) -> Option<Ring> {
        None
    }

    /// Points just before and just after the commit.
    fn trip_points(&self) -> Option<[&'static str; 2]> {
        None
    }
}

/// Any [`Single`], with what it did and whom to tell.
pub(super) trait AnySingle: Send {
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> Pin<Box<dyn Future<Output = sqlx::Result<()>> + Send + 'a>>;
    fn ring(&self) -> Option<Ring>;
    fn trip_points(&self) -> Option<[&'static str; 2]>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct AskedSingle<S: Single> {
    single: S,
    done: Option<S::Done>,
    answer: Answer<S::Done>,
}

impl<S: Single> AnySingle for AskedSingle<S> {
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> Pin<Box<dyn Future<Output = sqlx::Result<()>> + Send + 'a>> {
        Box::pin(async {
            self.done = Some(self.single.run(tx).await?);
            Ok(())
        })
    }

    fn ring(&self) -> Option<Ring> {
        self.single.ring()
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        self.single.trip_points()
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { done, answer, .. } = *self;
        // Whoever asked may have gone away; the transaction stands.
        let _ = answer.send(committed.map(|()| done.expect("it ran before the commit")));
    }
}

impl Command {
    fn rows(&self) -> usize {
        match self {
            Self::Settle(rows, _) => rows.len(),
            Self::Mark(rows, _) => rows.len(),
            Self::Insert(rows, _) => rows.len(),
            Self::Record(rows, _) => rows.len(),
            _ => 1,
        }
    }
}

/// At most so many rows that nobody sends with share a transaction, so that a mark never waits long behind an import.
const ROWS_PER_COMMIT: usize = 4_000;
/// Commands that may wait before those who ask have to wait too.
const QUEUE: usize = 256;

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Writer {
    urgent: mpsc::Sender<Command>,
    ordinary: mpsc::Sender<Command>,
}

/// The earliest and latest instants that a commit brought or moved, so that the engine looks there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    /// Earliest.
    pub from: Millis,
    /// Latest.
    pub until: Millis,
}

impl Ring {
    /// All that is in reach.
    pub const EVERYTHING: Self = Self { from: Millis::MIN, until: Millis::MAX };

    fn and(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), until: self.until.max(other.until) }
    }
}

/// Told after each commit.
pub type OnCommit = Box<dyn Fn(Option<Ring>, Duration) + Send + Sync>;

impl Writer {
    /// Sends a command and waits until its transaction is durable.
    pub async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let command = command(answer);
        let queue =
            if matches!(command, Command::Settle(..) | Command::Mark(..)) { &self.urgent } else { &self.ordinary };
        queue.send(command).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// The same for a single command.
    pub async fn do_one<S: Single>(&self, single: S) -> Result<S::Done, StoreError> {
        self.ask(|answer| Command::Single(Box::new(AskedSingle { single, done: None, answer }))).await
    }
}

struct WriterTask {
    opened: Opened,
    conn: Option<AnyConnection>,
    ids: Ids,
    names: Arc<Names>,
    clock: SharedClock,
    on_commit: watch::Receiver<Option<Arc<OnCommit>>>,
}

/// Starts the writer on `conn`. It ends when all handles are gone and everything asked is done.
pub(super) fn start(
    opened: Opened,
    conn: AnyConnection,
    last_id: i64,
    names: Arc<Names>,
    clock: SharedClock,
    on_commit: watch::Receiver<Option<Arc<OnCommit>>>,
) -> Writer {
    let (urgent, mut urgent_asked) = mpsc::channel(QUEUE);
    let (ordinary, mut ordinary_asked) = mpsc::channel(QUEUE);
    let mut task = WriterTask { opened, conn: Some(conn), ids: Ids::after(last_id), names, clock, on_commit };
    tokio::spawn(async move {
        let mut closing = None;
        while closing.is_none() {
            let first = tokio::select! {
                biased;
                Some(command) = urgent_asked.recv() => command,
                Some(command) = ordinary_asked.recv() => command,
                else => break,
            };
            let mut group = vec![first];
            while let Ok(command) = urgent_asked.try_recv() {
                group.push(command);
            }
            let mut rows: usize = group.iter().map(Command::rows).sum();
            while rows < ROWS_PER_COMMIT {
                let Ok(command) = ordinary_asked.try_recv() else { break };
                rows += command.rows();
                group.push(command);
            }
            while let Some(i) = group.iter().position(|command| matches!(command, Command::Close(_))) {
                closing = Some(group.remove(i));
            }
            task.run(group).await;
        }
        if let Some(conn) = task.conn {
            // Closing folds the WAL into the file; nothing is lost if it fails.
            let _ = sqlx::Connection::close(conn).await;
        }
        if let Some(Command::Close(answer)) = closing {
            let _ = answer.send(Ok(()));
        }
    });
    Writer { urgent, ordinary }
}

/// All commands of one kind in a group: their rows in one list, and who asked for how many.
struct Gathered<R, T> {
    rows: Vec<R>,
    asked: Vec<(usize, Answer<Vec<T>>)>,
}

impl<R, T> Default for Gathered<R, T> {
    fn default() -> Self {
        Self { rows: Vec::new(), asked: Vec::new() }
    }
}

impl<R, T> Gathered<R, T> {
    fn add(&mut self, rows: Vec<R>, answer: Answer<Vec<T>>) {
        self.asked.push((rows.len(), answer));
        self.rows.extend(rows);
    }

    fn answer(self, result: &Result<Vec<T>, StoreError>)
    where
        T: Clone,
    {
        let mut from = 0;
        for (n, answer) in self.asked {
            // Whoever asked may have gone away; the transaction stands.
            let _ = answer.send(result.as_ref().map(|all| all[from..from + n].to_vec()).map_err(Clone::clone));
            from += n;
        }
    }
}

#[derive(Default)]
struct Group {
    settles: Gathered<Settle, bool>,
    marks: Gathered<Job, Marked>,
    records: Gathered<Report, Option<usize>>,
    inserts: Gathered<NewReminder, Inserted>,
    singles: Vec<Box<dyn AnySingle>>,
}

struct Done {
    settles: Vec<bool>,
    marks: Vec<Marked>,
    records: Vec<Option<usize>>,
    inserts: Vec<Inserted>,
}

impl Group {
    fn gather(commands: Vec<Command>) -> Self {
        let mut group = Self::default();
        for command in commands {
            match command {
                Command::Settle(rows, answer) => group.settles.add(rows, answer),
                Command::Mark(rows, answer) => group.marks.add(rows, answer),
                Command::Record(rows, answer) => group.records.add(rows, answer),
                Command::Insert(rows, answer) => group.inserts.add(rows, answer),
                Command::Single(single) => group.singles.push(single),
                Command::Close(_) => unreachable!("taken out before"),
            }
        }
        group
    }

    /// Consents go before inserts, so that a backend may send both at once and the reminder finds its consent.
    async fn apply(&mut self, tx: &mut Tx<'_>) -> sqlx::Result<Done> {
        let settles = queue::settle(tx, &self.settles.rows).await?;
        let marks = if self.marks.rows.is_empty() { Vec::new() } else { queue::mark(tx, &self.marks.rows).await? };
        let records = consents::record(tx, &self.records.rows).await?;
        let inserts = reminders::insert(tx, &self.inserts.rows).await?;
        for single in &mut self.singles {
            single.run(tx).await?;
        }
        Ok(Done { settles, marks, records, inserts })
    }

    /// A point for each kind of command in the group, before the commit or after it.
    fn trip(&self, after: bool) {
        let here = [
            (!self.settles.rows.is_empty(), ["settle.before_commit", "settle.after_commit"]),
            (!self.marks.rows.is_empty(), ["mark.before_commit", "mark.after_commit"]),
            (!self.records.rows.is_empty(), ["record.before_commit", "record.after_commit"]),
            (!self.inserts.rows.is_empty(), ["insert.before_commit", "insert.after_commit"]),
        ];
        let singles = self.singles.iter().filter_map(|single| single.trip_points());
        let here = here.into_iter().filter_map(|(here, points)| here.then_some(points));
        here.chain(singles).for_each(|points| trip(points[usize::from(after)]));
    }

    /// The instants that the engine should look at again.
    fn ring(&self) -> Option<Ring> {
        let inserts = self.inserts.rows.iter().map(|new| Ring { from: new.at, until: new.at });
        inserts.chain(self.singles.iter().filter_map(|single| single.ring())).reduce(Ring::and)
    }
}

impl WriterTask {
    async fn run(&mut self, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        let mut group = Group::gather(commands);
        let started = std::time::Instant::now();
        let mut done = self.commit(&mut group).await;
        if let Err(StoreError::Refused(_)) = done {
            // One row that the database refuses must not take the others with it: settlements and marks are retried without it.
            let mut urgent = Group {
                settles: std::mem::take(&mut group.settles),
                marks: std::mem::take(&mut group.marks),
                ..Group::default()
            };
            let first = self.commit(&mut urgent).await;
            match first {
                Ok(done) => {
                    urgent.settles.answer(&Ok(done.settles));
                    urgent.marks.answer(&Ok(done.marks));
                }
                Err(e) => {
                    urgent.settles.answer(&Err(e.clone()));
                    urgent.marks.answer(&Err(e));
                }
            }
            done = self.commit(&mut group).await;
        }
        let ring = group.ring();
        match done {
            Ok(done) => {
                let told = self.on_commit.borrow().clone();
                if let Some(told) = told {
                    told(ring, started.elapsed());
                }
                group.settles.answer(&Ok(done.settles));
                group.marks.answer(&Ok(done.marks));
                group.records.answer(&Ok(done.records));
                group.inserts.answer(&Ok(done.inserts));
                group.singles.into_iter().for_each(|single| single.answer(Ok(())));
            }
            Err(e) => {
                group.settles.answer(&Err(e.clone()));
                group.marks.answer(&Err(e.clone()));
                group.records.answer(&Err(e.clone()));
                group.inserts.answer(&Err(e.clone()));
                group.singles.into_iter().for_each(|single| single.answer(Err(e.clone())));
            }
        }
    }

    /// One transaction. A connection that failed is given up and made anew by the next one.
    async fn commit(&mut self, group: &mut Group) -> Result<Done, StoreError> {
        self.opened.is_there()?;
        if self.conn.is_none() {
            let connect = tokio::time::timeout(Duration::from_secs(5), self.opened.connect_writer());
            self.conn = Some(connect.await.map_err(|_| StoreError::Unavailable("no connection within 5 s".into()))??);
        }
        let conn = self.conn.as_mut().expect("just connected");
        let now = self.clock.now();
        let work = async {
            let mut tx = Tx::begin(conn, self.opened.dialect, &self.names, &mut self.ids, now).await?;
            let done = group.apply(&mut tx).await?;
            group.trip(false);
            tx.commit().await?;
            group.trip(true);
            Ok::<Done, sqlx::Error>(done)
        };
        let result = tokio::time::timeout(Duration::from_secs(30), work).await;
        match result {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(e)) => {
                let error = StoreError::from(e);
                let conn = self.conn.as_mut().expect("still there");
                if sqlx::query("ROLLBACK").execute(conn).await.is_err()
                    && self.opened.dialect == super::Dialect::Postgres
                {
                    self.conn = None;
                }
                tracing::error!(error = %error, "a commit failed; nothing of it was kept, and those who asked were told");
                Err(error)
            }
            Err(_) => {
                self.conn = None;
                Err(StoreError::Unavailable("the database did not finish a transaction within 30 s".into()))
            }
        }
    }
}
