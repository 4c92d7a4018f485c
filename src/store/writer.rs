//! The one task that writes. Commands that arrive while a commit is under way share the next one (group commit); settlements go
//! before marks, marks before everything else.

use super::{
    chain,
    command::{Added, Answer, AnySingle, Command, Inserted, QUEUE, Writer},
    consents,
    database::{BUSY_TIMEOUT, Database},
    deeds::{Deed, bare, no_body},
    dialect::Dialect,
    error::{StoreError, is_collision},
    fence, forgotten,
    gates::{Kept, Known},
    identity, insert,
    lacks::Lacks,
    mark::mark,
    names::Names,
    port::{Entry, Job, Marked, OnCommit, Ring},
    procedures::Procedures,
    progress::Keeper,
    pulse::Trouble,
    settle::settle,
    tx::{Carried, Tx, Way, is_late},
};
use crate::{
    clock::SharedClock,
    config::{Durability, Replication},
    domain::{
        Millis, SECOND,
        consent::Report,
        node::NodeId,
        reason::Reason,
        recall::{Recall, Step},
        reminder::{NewReminder, ReminderId},
    },
    trip::trip,
    words::say,
};
use sqlx::{AnyConnection, Row};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior},
};

/// At most so many inserted and recorded rows share a transaction, so that a mark never waits long behind an import.
const ROWS_PER_COMMIT: usize = 4_000;
/// How long a transaction may take, and a connection.
const COMMIT_LIMIT: Duration = Duration::from_secs(15);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long it may take to write again what a standby lacks, and how often that is tried: then it counts as lost.
const AGAIN_LIMIT: Duration = Duration::from_secs(60);
const AGAIN_TRIES: u32 = 3;
/// SQLite's log is folded into the file this often, so that little is lost with the log.
const CHECKPOINT: Duration = Duration::from_secs(60);

struct WriterTask {
    database: Database,
    conn: Option<AnyConnection>,
    /// What the connection knows.
    procedures: Procedures,
    /// SQLite's.
    keeper: Option<Keeper>,
    checkpoint_at: Instant,
    /// How far the store has come that no loss of power forgets.
    durable: Millis,
    carried: Carried,
    names: Arc<Names>,
    gates: Kept,
    clock: SharedClock,
    on_commit: watch::Receiver<Option<Arc<OnCommit>>>,
    trouble: Trouble,
    /// What it has written lately, in case the database forgets it.
    recall: Recall<Deed>,
    /// What of that others must write something for first, and the number of the commit that stands for it.
    left: (i64, Vec<Deed>),
    /// How often writing again has taken too long.
    too_slow: u32,
    /// Whether it is known that the connection leads to a server that has all that was written before.
    is_known: bool,
    /// The nodes that this process was before, and how many commits it made as such.
    former: Vec<(NodeId, i64)>,
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

/// Starts the writer on `conn`. It ends when all handles are gone and everything asked is done.
///
/// # Errors
/// When the system gives it no thread.
pub(super) fn start(
    database: Database,
    conn: AnyConnection,
    keeper: Option<Keeper>,
    carried: Carried,
    (names, gates): (Arc<Names>, Kept),
    clock: SharedClock,
    (on_commit, trouble): (watch::Receiver<Option<Arc<OnCommit>>>, Trouble),
) -> io::Result<Writer> {
    let (urgent, mut urgent_asked) = mpsc::channel(QUEUE);
    let (ordinary, mut ordinary_asked) = mpsc::channel(QUEUE);
    let (conn, checkpoint_at, dialect) = (Some(conn), Instant::now(), database.dialect);
    let mut task = WriterTask {
        database,
        conn,
        procedures: Procedures::default(),
        keeper,
        checkpoint_at,
        durable: 0,
        carried,
        names,
        gates,
        clock,
        on_commit,
        trouble,
        recall: Recall::default(),
        left: Default::default(),
        too_slow: 0,
        is_known: false,
        former: Vec::new(),
    };
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
    fn of(rows: Vec<R>, answer: Answer<Vec<T>>) -> Self {
        Self { asked: vec![(rows.len(), answer)], rows }
    }

    /// What each command brought.
    fn split(self) -> impl Iterator<Item = (Vec<R>, Answer<Vec<T>>)> {
        let mut rows = self.rows.into_iter();
        self.asked.into_iter().map(move |(n, answer)| (rows.by_ref().take(n).collect(), answer))
    }

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
            // The caller may have gone away; the transaction stands.
            let _ = answer.send(result.as_ref().map(|all| all[from..from + n].to_vec()).map_err(Clone::clone));
            from += n;
        }
    }
}

#[derive(Default)]
struct Group {
    settles: Gathered<Entry, bool>,
    marks: Gathered<Job, Marked>,
    records: Gathered<Report, Option<Added>>,
    inserts: Gathered<NewReminder, Inserted>,
    singles: Vec<Box<dyn AnySingle>>,
}

struct Done {
    settles: Vec<bool>,
    marks: Vec<Marked>,
    records: Vec<Option<Added>>,
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
                Command::Fold(_) | Command::Close(_) => unreachable!("taken out before"),
            }
        }
        group
    }

    /// Consents go before inserts, so that a backend may send both at once and the reminder finds its consent.
    async fn apply(&mut self, tx: &mut Tx<'_>) -> sqlx::Result<Done> {
        fence::keep(tx, fence::epochs(&self.marks.rows, &self.settles.rows)).await?;
        let settles = settle(tx, &self.settles.rows).await?;
        let marks = if self.marks.rows.is_empty() { Vec::new() } else { mark(tx, &self.marks.rows).await? };
        let records = consents::record(tx, &self.records.rows).await?;
        let inserts = insert::insert(tx, &self.inserts.rows).await?;
        for single in &mut self.singles {
            single.run(tx).await?;
        }
        Ok(Done { settles, marks, records, inserts })
    }

    fn of_settles(rows: Vec<Entry>) -> Self {
        Self { settles: Gathered { rows, asked: Vec::new() }, ..Self::default() }
    }

    fn of_inserts(rows: Vec<NewReminder>) -> Self {
        Self { inserts: Gathered { rows, asked: Vec::new() }, ..Self::default() }
    }

    /// Tells those who asked.
    fn answer(self, done: Result<Done, StoreError>) {
        match done {
            Ok(done) => {
                self.settles.answer(&Ok(done.settles));
                self.marks.answer(&Ok(done.marks));
                self.records.answer(&Ok(done.records));
                self.inserts.answer(&Ok(done.inserts));
                self.singles.into_iter().for_each(|single| single.answer(Ok(())));
            }
            Err(e) => {
                self.settles.answer(&Err(e.clone()));
                self.marks.answer(&Err(e.clone()));
                self.records.answer(&Err(e.clone()));
                self.inserts.answer(&Err(e.clone()));
                self.singles.into_iter().for_each(|single| single.answer(Err(e.clone())));
            }
        }
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

    /// Whether it has more than what is asked one by one.
    fn brings_rows(&self) -> bool {
        let rows = [self.settles.rows.len(), self.marks.rows.len(), self.records.rows.len(), self.inserts.rows.len()];
        rows.iter().any(|n| *n > 0)
    }

    /// What is to be remembered of it, now that it is committed; takes its rows. In the order in which they were written.
    fn deeds(&mut self, done: &Done) -> Vec<Deed> {
        let body = no_body();
        let written = self.settles.rows.drain(..).zip(&done.settles).filter(|(_, written)| **written);
        let ends: Vec<Entry> = written.map(|(entry, _)| entry).collect();
        let marked = self.marks.rows.drain(..).zip(&done.marks);
        let marked = marked.filter(|(_, marked)| matches!(marked, Marked::Yes | Marked::By(_)));
        let marks: Vec<Job> = marked.map(|(job, _)| bare(job, &body)).collect();
        let records = self.records.rows.drain(..).zip(&done.records).filter(|(_, added)| added.is_some());
        let records: Vec<Report> = records.map(|(report, _)| report).collect();
        let created = self.inserts.rows.drain(..).zip(&done.inserts);
        let created = created.filter_map(|(new, verdict)| match verdict {
            Inserted::Created(id) => Some((*id, new)),
            _ => None,
        });
        let of_rows = [Deed::Ends(ends), Deed::Marks(marks), Deed::Consents(records), Deed::Inserts(created.collect())];
        let of_rows = of_rows.into_iter().filter(|deed| deed.rows() > 0);
        of_rows.chain(self.singles.iter().filter_map(|single| single.deed())).collect()
    }

    /// The instants that the engine should look at again.
    fn ring(&self) -> Option<Ring> {
        let inserts = self.inserts.rows.iter().map(|new| Ring { from: new.at, until: new.at });
        inserts.chain(self.singles.iter().filter_map(|single| single.ring())).reduce(Ring::and)
    }
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
        if self.database.is_there().is_err() {
            return;
        }
        if Instant::now() >= self.checkpoint_at {
            self.checkpoint().await;
            // A log that has what was erased is looked at again at the next second.
            self.checkpoint_at = Instant::now() + if self.carried.erased { Duration::ZERO } else { CHECKPOINT };
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
            if self.keeper.is_some() && self.carried.erased && self.database.is_there().is_ok() {
                self.checkpoint().await;
                if self.carried.erased {
                    self.checkpoint_at = Instant::now();
                }
            }
            let _ = answer.send(Ok(self.keeper.is_none() || !self.carried.erased));
        }
    }

    /// Folds the log into the file, as far as no reader still needs it; what is left is done the next time. A log that has what was erased
    /// is emptied too: else its old pages would lie beside the file until newer ones are written over them.
    async fn checkpoint(&mut self) {
        let Some(conn) = &mut self.conn else { return };
        let (started, empties) = (Instant::now(), self.carried.erased);
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
                    self.durable = self.carried.reached();
                    self.carried.erased = false;
                }
                tracing::debug!(pages = folded, of = all, took = ?started.elapsed(), "the log is folded into the file");
            }
            Ok(Err(e)) => {
                tracing::warn!(error = %StoreError::from(e), "the log could not be folded into the file; it is tried again");
            }
            Err(_) => self.conn = None,
        }
    }

    /// Leaves a file that needs no log; nothing is lost if that fails.
    async fn close(mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            self.checkpoint().await;
            keeper.finish().await;
            if self.database.is_there().is_ok() {
                keeper.keep(self.durable).await;
                keeper.finish().await;
            }
        }
        if let Some(conn) = self.conn.take() {
            let _ = sqlx::Connection::close(conn).await;
        }
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
            if let Ok(done) = &done
                && self.carried.node().is_some()
            {
                self.keep_for_later(group, done);
                let deeds = group.deeds(done);
                let rows = deeds.iter().map(Deed::rows).sum();
                self.recall.remember(self.carried.chain.reached(), self.clock.monotonic(), rows, deeds);
            }
        }
        done
    }

    /// What became of calls whose marks are lacking still is written once these are written again: their rows are not found before.
    fn keep_for_later(&mut self, group: &Group, done: &Done) {
        if self.left.1.is_empty() {
            return;
        }
        let marks = self.left.1.iter().filter_map(|deed| if let Deed::Marks(jobs) = deed { Some(jobs) } else { None });
        let lacking: Vec<ReminderId> = marks.flatten().map(|job| job.due.id).collect();
        let late = group.settles.rows.iter().zip(&done.settles).filter(|(entry, written)| {
            !**written && entry.target.epoch.is_none() && lacking.contains(&entry.target.due.id)
        });
        let late: Vec<Entry> = late.map(|(entry, _)| entry.clone()).collect();
        if !late.is_empty() {
            self.left.1.push(Deed::Ends(late));
        }
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
        self.database.is_there()?;
        if self.conn.is_none() {
            let connect = tokio::time::timeout(CONNECT_LIMIT, self.database.connect_writer());
            let silent = |_| {
                StoreError::Unavailable(say!("store_no_connection_within", limit = CONNECT_LIMIT.as_millis() as u64))
            };
            (self.conn, self.procedures) = (Some(connect.await.map_err(silent)??), Procedures::default());
            self.is_known = false;
        }
        self.look_back().await?;
        let conn = self.conn.as_mut().expect("just connected");
        let now = self.clock.now();
        // From here on the database alone knows whether it is kept.
        let mut committing = false;
        let work = async {
            let mut tx = Tx::begin(
                (conn, &mut self.procedures),
                self.database.dialect,
                &self.names,
                &mut self.carried,
                now,
                way,
            );
            let done = group.apply(&mut tx).await?;
            tx.rings |= group.ring().is_some_and(|ring| ring.from < now + SOON);
            group.trip(false);
            let (reached, gates) = tx.commit(&mut committing).await?;
            group.trip(true);
            Ok::<(Done, Millis, Vec<(i64, Known)>), sqlx::Error>((done, reached, gates))
        };
        match tokio::time::timeout(COMMIT_LIMIT, work).await {
            Ok(Ok((done, reached, gates))) => {
                self.carried.committed(reached);
                self.carried.chain.confirmed();
                self.gates.change(gates);
                if self.database.durability == Durability::Full {
                    self.durable = reached;
                }
                Ok(Tried::Done(done))
            }
            Ok(Err(e)) => {
                // The database's own word is that nothing was kept; a broken connection says nothing.
                let late = way == Way::Swift && is_late(&e);
                let lost = committing && !late && !matches!(e, sqlx::Error::Database(_));
                let collided = is_collision(&e);
                let is_broken = chain::is_broken(&e);
                if committing {
                    // Whatever it says: a server that shuts down may have kept it.
                    self.carried.chain.doubted();
                }
                let error = StoreError::from(e);
                let conn = self.conn.as_mut().expect("still there");
                let undone = tokio::time::timeout(CONNECT_LIMIT, sqlx::query("ROLLBACK").execute(conn)).await;
                // SQLite says so of a transaction that it has rolled back by itself.
                let is_open = matches!(undone, Ok(Err(_))) && self.database.dialect == Dialect::Sqlite;
                if !is_open && !matches!(undone, Ok(Ok(_))) {
                    self.conn = None;
                }
                if is_broken {
                    return Err(self.forgot().await);
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
                self.conn = None;
                if committing {
                    self.carried.chain.doubted();
                }
                let why = say!("store_commit_too_slow", limit = COMMIT_LIMIT.as_millis() as u64);
                tracing::error!(committing, "{why}");
                Err(if committing { StoreError::Silent(why) } else { StoreError::Unavailable(why) })
            }
        }
    }

    /// The database has forgotten commits: the store is put on hold before anything else is written.
    async fn forgot(&mut self) -> StoreError {
        self.is_known = false;
        match self.look_back().await {
            Ok(()) => StoreError::Unavailable(say!("store_forgot_commits")),
            // The next transaction finds it again.
            Err(e) => e,
        }
    }

    /// Before anything is written to a server that nothing was written to before: looks whether it has all that this process has written, holds the
    /// store if it may not, and writes again what is lacking.
    async fn look_back(&mut self) -> Result<(), StoreError> {
        let Some(me) = self.carried.node() else { return Ok(()) };
        let being = self.carried.being();
        let was_asked = being.was_asked();
        if self.is_known && !was_asked {
            if let Some(former) = self.carried.chain.node().filter(|node| *node != me) {
                // It goes on as another node, on the same server.
                self.former.push((former, self.carried.chain.made()));
                self.recall.becomes(i64::MAX, 0);
                self.carried.chain.go_on(me, 0);
            }
            return Ok(());
        }
        let looked = tokio::time::timeout(AGAIN_LIMIT, self.tell(me)).await;
        let failed = match looked {
            Ok(Ok(())) => {
                (self.is_known, self.too_slow) = (true, 0);
                return Ok(());
            }
            Ok(Err(e)) => e,
            Err(_) => {
                self.too_slow += 1;
                if self.too_slow >= AGAIN_TRIES {
                    self.left = Default::default();
                    let (made, at) = (self.carried.chain.made(), self.clock.monotonic());
                    self.recall.give_up(made, at, Deed::Unknown(1));
                    tracing::error!(
                        "the database takes too long to take again what it has forgotten: it counts as lost"
                    );
                }
                StoreError::Unavailable(say!("store_commit_too_slow", limit = AGAIN_LIMIT.as_millis() as u64))
            }
        };
        // The next transaction does it again.
        self.conn = None;
        if was_asked {
            being.is_asked();
        }
        Err(failed)
    }

    async fn tell(&mut self, me: NodeId) -> Result<(), StoreError> {
        let Some(conn) = self.conn.as_mut() else {
            return Err(StoreError::Unavailable(say!("store_connection_lost")));
        };
        let (being, now) = (self.carried.being(), self.clock.now());
        let (_, replication) = being.word();
        let node = self.carried.chain.node().unwrap_or(me);
        let made = self.carried.chain.made();
        let found = forgotten::look(conn, node, &being, &self.former).await?;
        let lacking = found.of_former + (made - found.n.unwrap_or_default()).max(0);
        match found.step(made, replication == Replication::Synchronous) {
            Step::GoOn => {
                // Nobody waits any more: an operator may have ended the hold.
                self.left.1.clear();
                return Ok(());
            }
            Step::Wait => return Err(StoreError::Unavailable(say!("store_is_a_standby"))),
            Step::Note => return Ok(identity::note_timeline(conn).await?),
            Step::HoldAndTell => {
                if lacking > 0 {
                    forgotten::say_lacking(lacking);
                }
                identity::hold_until_told(conn, now, (lacking > 0 || found.n.is_none()).then_some(node)).await?;
            }
            Step::Tell if lacking > 0 => forgotten::say_lacking(lacking),
            Step::Tell => {}
        }
        let Some(there) = found.n else {
            // Its number may be another's by now: nothing is written under it. It joins anew as soon as its beat is refused.
            forgotten::give_up(conn, &Lacks { nodes: 1, ..Lacks::default() }, &being, node).await?;
            return Err(StoreError::Unavailable(say!("store_forgot_node")));
        };
        let mut missing = self.recall.missing(there, made);
        let is_second = missing.deeds.is_empty() && missing.unknown == 0 && !self.left.1.is_empty();
        if self.left.0 <= there {
            // The commit that stands for it is there: it is not among what is missing.
            missing.deeds = [self.left.1.clone(), missing.deeds].concat();
        }
        missing.unknown += found.of_former;
        let unknown = (missing.unknown > 0).then_some(Deed::Unknown(missing.unknown));
        let now_monotonic = self.clock.monotonic();
        let before = if node == me {
            self.recall.again(there, now_monotonic, unknown);
            self.carried.chain.go_on(me, there);
            there
        } else {
            let begun = forgotten::commits(conn, me).await?;
            self.recall.becomes(there, begun + 1);
            self.recall.again(begun, now_monotonic, unknown);
            self.carried.chain.go_on(me, begun);
            // What was left as the former node is numbered anew.
            self.left.0 = begun + 1;
            begun
        };
        let written_as = before + 1;
        self.former.clear();
        let mut tx = Tx::begin(
            (conn, &mut self.procedures),
            self.database.dialect,
            &self.names,
            &mut self.carried,
            now,
            Way::Careful,
        );
        let mut committing = false;
        let left = &mut self.left;
        let written = async {
            let told = forgotten::tell(&mut tx, &being, (missing.deeds, missing.unknown), is_second).await?;
            if let Some(told) = &told {
                // If this is not written after all, all of it is missing again, and nothing is left of an earlier time.
                *left = (written_as, told.left.clone());
            }
            let (reached, gates) = tx.commit(&mut committing).await?;
            Ok::<_, sqlx::Error>((told, reached, gates))
        };
        match written.await {
            Ok((told, reached, gates)) => {
                self.carried.committed(reached);
                self.carried.chain.confirmed();
                self.gates.change(gates);
                if let Some(told) = told {
                    told.lacks.tell();
                    tracing::warn!(
                        rows = told.written,
                        later = told.left.len(),
                        ended = told.ended,
                        "what the database had forgotten is written again"
                    );
                }
                Ok(())
            }
            Err(e) if committing || !matches!(e, sqlx::Error::Database(_)) || is_collision(&e) => {
                if committing {
                    self.carried.chain.doubted();
                }
                Err(e.into())
            }
            Err(e) => {
                let error = StoreError::from(e);
                tracing::error!(%error, "what the database has forgotten could not be written again");
                let conn = self.conn.as_mut().expect("still there");
                sqlx::query("ROLLBACK").execute(&mut *conn).await?;
                forgotten::give_up(conn, &Lacks { refused: true, ..Lacks::default() }, &being, me).await?;
                Ok(())
            }
        }
    }
}
