//! The one task that writes. Commands that arrive while a commit is under way share the next one (group commit); settlements go
//! before marks, marks before everything else.

use super::{
    Names, Opened, StoreError, backup, consents,
    doubts::{self, Decided, Resolved},
    keys::{self, NewApiKey},
    pushes::{self, NewPush, Taken},
    queue::{self, Job, Marked, Settle},
    reminders::{self, Change, Changed, Inserted},
    tx::{Ids, Tx},
};
use crate::{
    clock::SharedClock,
    domain::{
        Millis,
        consent::Report,
        reminder::{NewReminder, ReminderId},
    },
    trip::trip,
};
use sqlx::AnyConnection;
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What can be asked of the writer.
pub(super) enum Command {
    Settle(Vec<Settle>, Answer<Vec<bool>>),
    Mark(Vec<Job>, Answer<Vec<Marked>>),
    Insert(Vec<NewReminder>, Answer<Vec<Inserted>>),
    Record(Vec<Report>, Answer<Vec<usize>>),
    Push(Box<NewPush>, Answer<Taken>),
    Resolve(Box<Decided>, Answer<Resolved>),
    Cancel(ReminderId, Answer<Changed>),
    Change(ReminderId, Box<Change>, Answer<Changed>),
    CreateKey(Box<NewApiKey>, Answer<i64>),
    RevokeKey(i64, Answer<bool>),
    SetHold(Answer<()>),
    EndHold(Answer<()>),
    Tidy(Answer<u64>),
    Close(Answer<()>),
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
/// Rows of one slice of tidying.
const TIDY: i64 = 500;
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

enum Single {
    Push(Box<NewPush>, Answer<Taken>),
    Resolve(Box<Decided>, Answer<Resolved>),
    Cancel(ReminderId, Answer<Changed>),
    Change(ReminderId, Box<Change>, Answer<Changed>),
    CreateKey(Box<NewApiKey>, Answer<i64>),
    RevokeKey(i64, Answer<bool>),
    SetHold(Answer<()>),
    EndHold(Answer<()>),
    Tidy(Answer<u64>),
}

enum SingleDone {
    Pushed(Box<Taken>),
    Resolved(Resolved),
    Changed(Changed),
    KeyCreated(i64),
    KeyRevoked(bool),
    Nothing(()),
    Tidied(u64),
}

impl Single {
    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<SingleDone> {
        Ok(match self {
            Self::Push(push, _) => SingleDone::Pushed(Box::new(pushes::take(tx, push).await?)),
            Self::Resolve(decided, _) => SingleDone::Resolved(doubts::resolve(tx, decided).await?),
            Self::Cancel(id, _) => SingleDone::Changed(reminders::cancel(tx, *id).await?),
            Self::Change(id, change, _) => SingleDone::Changed(reminders::change(tx, *id, change).await?),
            Self::CreateKey(key, _) => SingleDone::KeyCreated(keys::create(tx, key).await?),
            Self::RevokeKey(id, _) => SingleDone::KeyRevoked(keys::revoke(tx, *id).await?),
            Self::SetHold(_) => SingleDone::Nothing(backup::set_hold(tx).await?),
            Self::EndHold(_) => SingleDone::Nothing(backup::end_hold(tx).await?),
            Self::Tidy(_) => SingleDone::Tidied(pushes::forget_old(tx, TIDY).await?),
        })
    }

    fn answer(self, done: Result<SingleDone, StoreError>) {
        match (self, done) {
            (Self::Cancel(_, a) | Self::Change(_, _, a), Ok(SingleDone::Changed(changed))) => drop(a.send(Ok(changed))),
            (Self::Push(_, a), Ok(SingleDone::Pushed(taken))) => drop(a.send(Ok(*taken))),
            (Self::Push(_, a), Err(e)) => drop(a.send(Err(e))),
            (Self::Resolve(_, a), Ok(SingleDone::Resolved(resolved))) => drop(a.send(Ok(resolved))),
            (Self::Resolve(_, a), Err(e)) => drop(a.send(Err(e))),
            (Self::CreateKey(_, a), Ok(SingleDone::KeyCreated(id))) => drop(a.send(Ok(id))),
            (Self::RevokeKey(_, a), Ok(SingleDone::KeyRevoked(done))) => drop(a.send(Ok(done))),
            (Self::SetHold(a) | Self::EndHold(a), Ok(SingleDone::Nothing(()))) => drop(a.send(Ok(()))),
            (Self::SetHold(a) | Self::EndHold(a), Err(e)) => drop(a.send(Err(e))),
            (Self::Tidy(a), Ok(SingleDone::Tidied(n))) => drop(a.send(Ok(n))),
            (Self::Tidy(a), Err(e)) => drop(a.send(Err(e))),
            (Self::Cancel(_, a) | Self::Change(_, _, a), Err(e)) => drop(a.send(Err(e))),
            (Self::CreateKey(_, a), Err(e)) => drop(a.send(Err(e))),
            (Self::RevokeKey(_, a), Err(e)) => drop(a.send(Err(e))),
            _ => unreachable!("each command answers in its own kind"),
        }
    }
}

#[derive(Default)]
struct Group {
    settles: Gathered<Settle, bool>,
    marks: Gathered<Job, Marked>,
    records: Gathered<Report, usize>,
    inserts: Gathered<NewReminder, Inserted>,
    singles: Vec<Single>,
}

struct Done {
    settles: Vec<bool>,
    marks: Vec<Marked>,
    records: Vec<usize>,
    inserts: Vec<Inserted>,
    singles: Vec<SingleDone>,
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
                Command::Push(push, answer) => group.singles.push(Single::Push(push, answer)),
                Command::Resolve(decided, answer) => group.singles.push(Single::Resolve(decided, answer)),
                Command::Cancel(id, answer) => group.singles.push(Single::Cancel(id, answer)),
                Command::Change(id, change, answer) => group.singles.push(Single::Change(id, change, answer)),
                Command::CreateKey(key, answer) => group.singles.push(Single::CreateKey(key, answer)),
                Command::RevokeKey(id, answer) => group.singles.push(Single::RevokeKey(id, answer)),
                Command::SetHold(answer) => group.singles.push(Single::SetHold(answer)),
                Command::EndHold(answer) => group.singles.push(Single::EndHold(answer)),
                Command::Tidy(answer) => group.singles.push(Single::Tidy(answer)),
                Command::Close(_) => unreachable!("taken out before"),
            }
        }
        group
    }

    /// Consents go before inserts, so that a backend may send both at once and the reminder finds its consent.
    async fn apply(&self, tx: &mut Tx<'_>) -> sqlx::Result<Done> {
        let settles = queue::settle(tx, &self.settles.rows).await?;
        let marks = if self.marks.rows.is_empty() { Vec::new() } else { queue::mark(tx, &self.marks.rows).await? };
        let records = consents::record(tx, &self.records.rows).await?;
        let inserts = reminders::insert(tx, &self.inserts.rows).await?;
        let mut singles = Vec::with_capacity(self.singles.len());
        for single in &self.singles {
            singles.push(single.run(tx).await?);
        }
        Ok(Done { settles, marks, records, inserts, singles })
    }

    /// A point for each kind of command in the group.
    fn trip(&self, points: [&'static str; 6]) {
        let single = |wanted: fn(&Single) -> bool| self.singles.iter().any(wanted);
        let here = [
            !self.settles.rows.is_empty(),
            !self.marks.rows.is_empty(),
            !self.records.rows.is_empty(),
            !self.inserts.rows.is_empty(),
            single(|single| matches!(single, Single::Cancel(..))),
            single(|single| matches!(single, Single::Change(..))),
        ];
        for (point, _) in points.into_iter().zip(here).filter(|(_, here)| *here) {
            trip(point);
        }
    }

    /// The instants that the engine should look at again.
    fn ring(&self) -> Option<Ring> {
        let changed = self.singles.iter().filter_map(|single| match single {
            Single::Change(_, change, _) => change.at.as_ref().map(|(at, _)| *at),
            _ => None,
        });
        // A change of the body alone, or a decision, must be read again too; where it lies is not known here, so all of it is looked at.
        let body = self.singles.iter().any(|s| match s {
            Single::Change(_, change, _) => change.at.is_none(),
            Single::Resolve(..) => true,
            _ => false,
        });
        let instants = self.inserts.rows.iter().map(|new| new.at).chain(changed);
        let (from, until) =
            instants.fold((Millis::MAX, Millis::MIN), |(from, until), at| (from.min(at), until.max(at)));
        match (body, from <= until) {
            (true, _) => Some(Ring { from: Millis::MIN, until: Millis::MAX }),
            (false, true) => Some(Ring { from, until }),
            (false, false) => None,
        }
    }
}

impl WriterTask {
    async fn run(&mut self, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        let mut group = Group::gather(commands);
        let started = std::time::Instant::now();
        let mut done = self.commit(&group).await;
        if let Err(StoreError::Refused(_)) = done {
            // One row that the database refuses must not take the others with it: settlements and marks are retried without it.
            let urgent = Group {
                settles: std::mem::take(&mut group.settles),
                marks: std::mem::take(&mut group.marks),
                ..Group::default()
            };
            let first = self.commit(&urgent).await;
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
            done = self.commit(&group).await;
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
                for (single, done) in group.singles.into_iter().zip(done.singles) {
                    single.answer(Ok(done));
                }
            }
            Err(e) => {
                group.settles.answer(&Err(e.clone()));
                group.marks.answer(&Err(e.clone()));
                group.records.answer(&Err(e.clone()));
                group.inserts.answer(&Err(e.clone()));
                for single in group.singles {
                    single.answer(Err(e.clone()));
                }
            }
        }
    }

    /// One transaction. A connection that failed is given up and made anew by the next one.
    async fn commit(&mut self, group: &Group) -> Result<Done, StoreError> {
        if self.conn.is_none() {
            let connect = tokio::time::timeout(Duration::from_secs(5), self.opened.connect_writer());
            self.conn = Some(connect.await.map_err(|_| StoreError::Unavailable("no connection within 5 s".into()))??);
        }
        let conn = self.conn.as_mut().expect("just connected");
        let now = self.clock.now();
        let work = async {
            let mut tx = Tx::begin(conn, self.opened.dialect, &self.names, &mut self.ids, now).await?;
            let done = group.apply(&mut tx).await?;
            group.trip([
                "settle.before_commit",
                "mark.before_commit",
                "record.before_commit",
                "insert.before_commit",
                "cancel.before_commit",
                "change.before_commit",
            ]);
            tx.commit().await?;
            group.trip([
                "settle.after_commit",
                "mark.after_commit",
                "record.after_commit",
                "insert.after_commit",
                "cancel.after_commit",
                "change.after_commit",
            ]);
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
