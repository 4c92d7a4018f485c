//! The one task that writes. Commands that arrive while a commit is under way share the next one (group commit); settlements go
//! before marks, marks before everything else.

use super::{
    chain,
    command::{Command, Inserted, QUEUE, Writer},
    database::BUSY_TIMEOUT,
    dialect::Dialect,
    error::{StoreError, is_collision},
    group::{Done, Gathered, Group},
    memory::Memory,
    port::{Entry, OnCommit},
    progress::Keeper,
    pulse::Trouble,
    tx::{Way, is_late},
    write_conn::WriteConn,
};
use crate::{
    config::Durability,
    domain::{Millis, SECOND, reason::Reason, reminder::NewReminder},
    words::say,
};
use sqlx::Row;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior},
};

/// At most so many inserted and recorded rows share a transaction, so that a mark never waits long behind an import.
const ROWS_PER_COMMIT: usize = 4_000;
/// How long a transaction may take.
const COMMIT_LIMIT: Duration = Duration::from_secs(15);
/// SQLite's log is folded into the file this often, so that little is lost with the log.
const CHECKPOINT: Duration = Duration::from_secs(60);

struct WriterTask {
    conn: WriteConn,
    /// SQLite's.
    keeper: Option<Keeper>,
    checkpoint_at: Instant,
    /// How far the store has come that no loss of power forgets.
    durable: Millis,
    on_commit: watch::Receiver<Option<Arc<OnCommit>>>,
    trouble: Trouble,
    /// What it has written lately, among several daemons.
    memory: Memory,
}

/// What became of a transaction that was tried.
enum Tried {
    /// It is committed.
    Done(Done),
    /// Its way was swift, and some row had changed since it was read.
    Late,
    /// Another writer was first.
    Collided(StoreError),
}

/// What is due within this time is told to other nodes: later ones they read by themselves.
const SOON: Millis = 15 * SECOND;

/// So often a transaction is done again because another writer was first.
const COLLISIONS: u32 = 3;
/// A pause before that, longer each time.
const COLLIDED: Duration = Duration::from_millis(10);

/// Up to ten milliseconds.
fn jitter() -> Duration {
    Duration::from_micros(rand::random_range(0..10_000))
}

/// Starts the writer. It ends when all handles are gone and everything asked is done.
///
/// # Errors
/// When the system gives it no thread.
pub(super) fn start(
    conn: WriteConn,
    keeper: Option<Keeper>,
    (on_commit, trouble): (watch::Receiver<Option<Arc<OnCommit>>>, Trouble),
) -> io::Result<Writer> {
    let (urgent, mut urgent_asked) = mpsc::channel(QUEUE);
    let (ordinary, mut ordinary_asked) = mpsc::channel(QUEUE);
    let (checkpoint_at, dialect) = (Instant::now(), conn.database.dialect);
    let memory = Memory::default();
    let mut task = WriterTask { conn, keeper, checkpoint_at, durable: 0, on_commit, trouble, memory };
    let writes = async move {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closing = None;
        while closing.is_none() {
            let first = tokio::select! {
                biased;
                // Not once all handles are gone, or it would never end.
                _ = seconds.tick(), if task.keeper.is_some() && !ordinary_asked.is_closed() => {
                    task.keep().await;
                    continue;
                }
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
            let folds: Vec<Command> = group.extract_if(.., |command| matches!(command, Command::Fold(_))).collect();
            task.run(group).await;
            task.fold(folds).await;
        }
        task.close().await;
        if let Some(Command::Close(answer)) = closing {
            let _ = answer.send(Ok(()));
        }
    };
    // SQLite's connections belong to no runtime: on a thread of its own, no other is woken to hand on what its thread answers.
    match dialect {
        Dialect::Sqlite => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            std::thread::Builder::new().name("writer".into()).spawn(move || runtime.block_on(writes))?;
        }
        Dialect::Postgres => drop(tokio::spawn(writes)),
    }
    Ok(Writer { urgent, ordinary })
}

impl WriterTask {
    async fn run(&mut self, mut commands: Vec<Command>) {
        // A caller that has given up counts on nothing having been written: a mark that was written now would belong to no lane.
        commands.retain(|command| !command.was_given_up());
        if commands.is_empty() {
            return;
        }
        let mut group = Group::gather(commands);
        match self.commit(&mut group).await {
            Err(StoreError::Refused(_)) => self.run_apart(group).await,
            done => group.answer(done),
        }
    }

    /// The database refuses something of a group. Each command goes by itself, so that none fails for another's sake; and of settlements
    /// and inserts, which carry what others have written, each row.
    async fn run_apart(&mut self, group: Group) {
        let Group { settles, marks, records, inserts, singles } = group;
        for (rows, answer) in settles.split() {
            let settled = self.apart(rows, Group::of_settles, |group| group.settles.rows, |done| done.settles).await;
            let settled = match settled {
                Ok(rows) => self.settle_plainly(rows).await,
                Err(e) => Err(e),
            };
            let _ = answer.send(settled);
        }
        for (rows, answer) in marks.split() {
            let mut alone = Group { marks: Gathered::of(rows, answer), ..Group::default() };
            let done = self.commit(&mut alone).await;
            alone.answer(done);
        }
        for (rows, answer) in records.split() {
            let mut alone = Group { records: Gathered::of(rows, answer), ..Group::default() };
            let done = self.commit(&mut alone).await;
            alone.answer(done);
        }
        for (rows, answer) in inserts.split() {
            let inserted = self.apart(rows, Group::of_inserts, |group| group.inserts.rows, |done| done.inserts).await;
            let verdict = |row: Result<Inserted, NewReminder>| row.unwrap_or(Inserted::Refused);
            let _ = answer.send(inserted.map(|rows| rows.into_iter().map(verdict).collect()));
        }
        for single in singles {
            let mut alone = Group { singles: vec![single], ..Group::default() };
            let done = self.commit(&mut alone).await;
            alone.answer(done);
        }
    }

    /// Writes rows in ever smaller parts, in order; answers those alone that the database refuses as they are.
    async fn apart<R, T>(
        &mut self,
        rows: Vec<R>,
        group: impl Fn(Vec<R>) -> Group,
        rows_of: impl Fn(Group) -> Vec<R>,
        done_of: impl Fn(Done) -> Vec<T>,
    ) -> Result<Vec<Result<T, R>>, StoreError> {
        let (mut parts, mut all) = (vec![rows], Vec::new());
        while let Some(part) = parts.pop() {
            let mut part = group(part);
            match self.commit(&mut part).await {
                Ok(done) => all.extend(done_of(done).into_iter().map(Ok)),
                Err(StoreError::Refused(_)) => {
                    let mut rows = rows_of(part);
                    let half = rows.split_off(rows.len() / 2);
                    if rows.is_empty() {
                        all.extend(half.into_iter().map(Err));
                    } else {
                        parts.extend([half, rows]);
                    }
                }
                // What came before is kept.
                Err(e) if all.is_empty() => return Err(e),
                Err(e) => return Err(StoreError::Silent(e.message())),
            }
        }
        Ok(all)
    }

    /// A settlement that the database refuses is written without the platform's words. If that is refused too, its row stays as it is and is
    /// found in doubt: one settlement never stops the others.
    async fn settle_plainly(&mut self, rows: Vec<Result<bool, Entry>>) -> Result<Vec<bool>, StoreError> {
        let mut written = Vec::with_capacity(rows.len());
        for row in rows {
            written.push(match row {
                Ok(written) => written,
                Err(mut entry) => {
                    tracing::error!(reminder = %entry.target.due.id, "the database refuses what the platform said of a message; it is kept without");
                    let said = &mut entry.settlement;
                    (said.reason, said.text, said.message_id) = (Some(Reason::Unwritable), None, None);
                    said.code = said.code.take().map(|_| Reason::Unwritable.code().to_owned());
                    match self.commit(&mut Group::of_settles(vec![entry])).await {
                        Ok(done) => done.settles == [true],
                        Err(StoreError::Refused(_)) => false,
                        Err(e) => return Err(e),
                    }
                }
            });
        }
        Ok(written)
    }

    /// What is to be done for SQLite's file once a second, between commits.
    async fn keep(&mut self) {
        if self.conn.database.is_there().is_err() {
            return;
        }
        if Instant::now() >= self.checkpoint_at {
            self.checkpoint().await;
            // A log that has what was erased is looked at again at the next second.
            self.checkpoint_at = Instant::now() + if self.conn.carried.erased { Duration::ZERO } else { CHECKPOINT };
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.keep(self.durable).await;
        }
    }

    /// Empties the log for those who have erased something, and tells them whether nothing of it is left. While a reader still needs the
    /// log it is tried again every second.
    async fn fold(&mut self, folds: Vec<Command>) {
        for command in folds {
            let Command::Fold(answer) = command else { unreachable!("these are folds") };
            if self.keeper.is_some() && self.conn.carried.erased && self.conn.database.is_there().is_ok() {
                self.checkpoint().await;
                if self.conn.carried.erased {
                    self.checkpoint_at = Instant::now();
                }
            }
            let _ = answer.send(Ok(self.keeper.is_none() || !self.conn.carried.erased));
        }
    }

    /// Folds the log into the file, as far as no reader still needs it; what is left is done the next time. A log that has what was erased
    /// is emptied too: else its old pages would lie beside the file until newer ones are written over them.
    async fn checkpoint(&mut self) {
        let (started, empties) = (Instant::now(), self.conn.carried.erased);
        let Some(conn) = self.conn.raw() else { return };
        let fold = async {
            if !empties {
                return sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(conn).await;
            }
            // It waits for readers, and everything else waits for it.
            sqlx::query("PRAGMA busy_timeout = 50").execute(&mut *conn).await?;
            let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *conn).await;
            sqlx::query(BUSY_TIMEOUT).execute(conn).await?;
            row
        };
        match tokio::time::timeout(COMMIT_LIMIT, fold).await {
            Ok(Ok(row)) => {
                let [busy, all, folded]: [i64; 3] = std::array::from_fn(|column| row.get(column));
                if busy == 0 && all == folded {
                    self.durable = self.conn.carried.reached();
                    self.conn.carried.erased = false;
                }
                tracing::debug!(pages = folded, of = all, took = ?started.elapsed(), "the log is folded into the file");
            }
            Ok(Err(e)) => {
                tracing::warn!(error = %StoreError::from(e), "the log could not be folded into the file; it is tried again");
            }
            Err(_) => self.conn.give_up(),
        }
    }

    /// Leaves a file that needs no log; nothing is lost if that fails.
    async fn close(mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            self.checkpoint().await;
            keeper.finish().await;
            if self.conn.database.is_there().is_ok() {
                keeper.keep(self.durable).await;
                keeper.finish().await;
            }
        }
        self.conn.close().await;
    }

    /// One transaction. A connection that failed is given up and made anew by the next one.
    async fn commit(&mut self, group: &mut Group) -> Result<Done, StoreError> {
        let started = std::time::Instant::now();
        let done = self.transact(group).await;
        if group.brings_rows() && !matches!(done, Err(StoreError::Refused(_))) {
            self.trouble.committed(done.as_ref().map(drop).map_err(Clone::clone));
        }
        if done.is_ok() {
            let told = self.on_commit.borrow().clone();
            if let Some(told) = told {
                told(group.ring(), started.elapsed());
            }
            if let Ok(done) = &done {
                self.memory.committed(group, done, &self.conn);
            }
        }
        done
    }

    async fn transact(&mut self, group: &mut Group) -> Result<Done, StoreError> {
        let (mut way, mut collisions) = (Way::Swift, 0);
        loop {
            match self.attempt(group, way).await? {
                Tried::Done(done) => return Ok(done),
                Tried::Late => {
                    assert!(way == Way::Swift, "who is careful is never late");
                    way = Way::Careful;
                }
                Tried::Collided(error) => {
                    collisions += 1;
                    if collisions > COLLISIONS {
                        tracing::error!(error = %error, "a commit failed; nothing of it was kept, and those who asked were told");
                        return Err(error);
                    }
                    tracing::debug!(error = %error, collisions, "another writer was first; the commit is done again");
                    // Whoever was first is through by then; both again at the same time would meet again.
                    tokio::time::sleep(COLLIDED * collisions + jitter()).await;
                    way = Way::Careful;
                }
            }
        }
    }

    /// Nothing was kept unless it is done.
    async fn attempt(&mut self, group: &mut Group, way: Way) -> Result<Tried, StoreError> {
        self.conn.database.is_there()?;
        if self.conn.connect().await? {
            self.memory.doubts();
        }
        self.memory.look_back(&mut self.conn).await?;
        let now = self.conn.clock.now();
        // From here on the database alone knows whether it is kept.
        let mut committing = false;
        let work = async {
            let mut tx = self.conn.begin(now, way);
            let done = group.apply(&mut tx).await?;
            tx.rings |= group.ring().is_some_and(|ring| ring.from < now + SOON);
            group.trip(false);
            let committed = tx.commit(&mut committing).await?;
            group.trip(true);
            Ok::<_, sqlx::Error>((done, committed))
        };
        match tokio::time::timeout(COMMIT_LIMIT, work).await {
            Ok(Ok((done, committed))) => {
                let reached = committed.reached;
                self.conn.committed(committed);
                if self.conn.database.durability == Durability::Full {
                    self.durable = reached;
                }
                Ok(Tried::Done(done))
            }
            Ok(Err(e)) => {
                // The database's own word is that nothing was kept; a broken connection says nothing.
                let late = way == Way::Swift && is_late(&e);
                let lost = committing && !late && !matches!(e, sqlx::Error::Database(_));
                let collided = is_collision(&e);
                let is_broken = committing && chain::is_broken(&e);
                if committing {
                    // Whatever it says: a server that shuts down may have kept it.
                    self.conn.carried.chain.doubted();
                }
                let error = StoreError::from(e);
                self.conn.roll_back().await;
                if is_broken {
                    // The store is put on hold before anything else is written.
                    self.memory.doubts();
                    // If it is well, the next transaction finds it again.
                    self.memory.look_back(&mut self.conn).await?;
                    return Err(error);
                }
                if late {
                    return Ok(Tried::Late);
                }
                if collided {
                    return Ok(Tried::Collided(error));
                }
                if lost {
                    tracing::error!(error = %error, "the answer to a commit was lost; those who asked were told that it may have been kept");
                    return Err(StoreError::Silent(error.message()));
                }
                tracing::error!(error = %error, "a commit failed; nothing of it was kept, and those who asked were told");
                Err(error)
            }
            Err(_) => {
                self.conn.give_up();
                if committing {
                    self.conn.carried.chain.doubted();
                }
                let why = say!("store_commit_too_slow", limit = COMMIT_LIMIT.as_millis() as u64);
                tracing::error!(committing, "{why}");
                Err(if committing { StoreError::Silent(why) } else { StoreError::Unavailable(why) })
            }
        }
    }
}
