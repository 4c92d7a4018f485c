//! Several daemons on one PostgreSQL, in SQL: who beats, who has which lane, who takes over. What follows from it is [`crate::domain::node`]'s.
//!
//! Each statement names what it has seen — a beat, an epoch — and does nothing where that is no longer so. So it does not matter how many
//! nodes do the same at the same time: one wins.

use super::{
    Store, command::Single, dialect::Dialect, error::StoreError, identity, me::Me, names, port::Asked,
    reminders::Stored, schema, tx::Tx,
};
use crate::{
    config::Replication,
    domain::{
        Millis,
        node::{LaneSeen, NodeId, NodeSeen, NodeState, Peer, SILENCE, SKEWED, View},
    },
    words::say,
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row, any::AnyRow};
use std::{collections::BTreeMap, sync::Arc};

/// A connection that is made when it is needed, and anew when it has failed.
type Line = tokio::sync::Mutex<Option<AnyConnection>>;

/// A node's connections.
#[derive(Clone, Default)]
pub(super) struct Lines {
    heart: Arc<Line>,
    eyes: Arc<Line>,
}

/// What a node says of itself when it joins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewNode {
    /// What its operator calls it.
    pub name: String,
    /// The machine's id, and the one of its start.
    pub machine: String,
    /// The machine's start.
    pub boot: String,
    /// The file that it keeps locked as long as it runs; empty without one.
    pub lock: String,
    /// What stands in that file and nowhere else.
    pub secret: String,
    /// The apps that it is configured with, each with a digest of what the nodes must agree on.
    pub apps: BTreeMap<String, String>,
    /// Into how many lanes it divides an app, where that is more than one.
    pub shards: BTreeMap<String, u32>,
    /// What a standby of the database has that takes over, as its operator says.
    pub replication: Replication,
}

/// What became of a node that an operator says has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buried {
    /// It is gone.
    Yes,
    /// There is no such node.
    NotFound,
    /// It works, or was heard of a moment ago.
    Works,
}

/// A node, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Which.
    pub id: NodeId,
    /// What its operator calls it.
    pub name: String,
    /// How it stands.
    pub state: NodeState,
    /// The version of its tixing.
    pub version: String,
    /// The apps that it is configured with, each with a digest of what the nodes must agree on.
    pub configured: BTreeMap<String, String>,
    /// Its machine, and the start of that.
    pub machine: String,
    /// The start of its machine.
    pub boot: String,
    /// How far its clock is from the database's.
    pub skew: Millis,
    /// When it began, by its clock.
    pub started_at: Millis,
    /// How long ago it last beat, by the database's clock.
    pub silent_for: Millis,
    /// The apps of which it has lanes, and how many of each.
    pub lanes: BTreeMap<String, i64>,
    /// Rows that it left in the middle of being sent, or in doubt.
    pub left: i64,
}

/// What one look brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// The nodes and the lanes.
    pub view: View,
    /// As which nodes the process that looks has ever joined, of those that are not gone. It knows nothing of one if the answer was lost.
    pub joined: Vec<NodeId>,
    /// How often each slot has rung.
    pub rings: BTreeMap<i64, i64>,
    /// The store is on hold.
    pub on_hold: bool,
    /// What the owners say of their lanes, by lane.
    pub statuses: BTreeMap<i64, String>,
    /// How often somebody wanted the templates of a lane's app read, by lane.
    pub wanted: BTreeMap<i64, i64>,
    /// When a platform's templates were last listed.
    pub listed_at: Millis,
    /// How often a key was made or revoked.
    pub keys: i64,
    /// Lanes that nobody has who works, and in which reminders wait.
    pub deserted: usize,
    /// Who has each duty.
    pub duties: BTreeMap<String, Option<NodeId>>,
}

/// What a node asks of the database that it shares with others. The seam for simulations.
pub trait Nodes: Send + Sync {
    /// Joins; answers which node this is from now on.
    fn join(&self, new: NewNode, now: Millis) -> Asked<NodeId>;
    /// Says that a node lives, what time it is there, and whether that is distrusted. `false`: others hold it for dead, and it is to join anew.
    fn beat(&self, me: NodeId, now: Millis, distrusted: bool) -> Asked<bool>;
    /// Looks at all nodes and lanes.
    fn look(&self) -> Asked<Looked>;
    /// Takes the lanes of a node that was last seen at this beat, each for the node that should have it. `false`: it has beaten since, or another was
    /// first.
    fn take_over(&self, silent: NodeId, beat: i64, lanes: Vec<(i64, NodeId)>) -> Asked<bool>;
    /// Gives a lane, seen with this owner and epoch, to a node. `false`: another was first.
    fn give(&self, lane: LaneSeen, to: NodeId) -> Asked<bool>;
    /// A node takes nothing more: its lanes go to these, all at once.
    fn leave(&self, me: NodeId, lanes: Vec<(i64, NodeId)>) -> Asked<()>;
    /// It is known that a node has ended.
    fn gone(&self, node: NodeId) -> Asked<()>;
    /// Says how a lane stands, if it is still the node's under this epoch.
    fn tell(&self, me: NodeId, lane: i64, epoch: i64, status: String) -> Asked<()>;
    /// A duty that was seen with this owner goes to a node. `false`: another was first.
    fn take_duty(&self, name: String, from: Option<NodeId>, to: NodeId) -> Asked<bool>;
}

/// The lowest slot that nobody has who may still write.
const JOIN: &str =
    "WITH joined AS (INSERT INTO node (name, slot, machine, boot, lock, secret, version, schema, apps, shards, started_at, seen_at)
     SELECT $1, MIN(s.n), $2, $3, $4, $5, $6, $7, $8, $9, $10, $10 FROM generate_series(1, 63) AS s(n)
     WHERE NOT EXISTS (SELECT 1 FROM node WHERE slot = s.n AND state <> 'gone') HAVING MIN(s.n) IS NOT NULL
     RETURNING id, slot), begun AS (INSERT INTO chain (node, n) SELECT id, 0 FROM joined) SELECT id, slot FROM joined";

/// A node that has joined.
struct Joined {
    id: NodeId,
    slot: i64,
    /// The largest id that anybody has given out.
    last_id: i64,
}

async fn join(conn: &mut AnyConnection, new: &NewNode, schema: i64, now: Millis) -> Result<Joined, StoreError> {
    let apps = serde_json::to_string(&new.apps).expect("texts serialise");
    let shards = serde_json::to_string(&new.shards).expect("numbers serialise");
    // First: a standby that has the node has its lanes, too. Where it has neither, the node joins anew and makes both again.
    for (app, shards) in &new.shards {
        names::make_lanes(conn, app, *shards).await?;
    }
    let query = sqlx::query(JOIN).bind(&new.name).bind(&new.machine).bind(&new.boot).bind(&new.lock).bind(&new.secret);
    let query = query.bind(env!("CARGO_PKG_VERSION")).bind(schema).bind(apps).bind(shards).bind(now);
    let row = query.fetch_optional(&mut *conn).await?.ok_or_else(|| StoreError::Wrong(say!("node_no_slot")))?;
    // Whoever sends by the whole limits of an app that this one divides looks again before the next mark, and finds this one.
    for app in new.shards.keys() {
        let sql = "UPDATE lane SET epoch = epoch + 1 WHERE app = (SELECT id FROM app WHERE name = $1)";
        sqlx::query(sql).bind(app).execute(&mut *conn).await?;
    }
    let last = sqlx::query("SELECT COALESCE(MAX(id), 0) AS last FROM reminder").fetch_one(conn).await?;
    Ok(Joined { id: NodeId(row.get("id")), slot: row.get("slot"), last_id: last.get("last") })
}

/// Writes down who is proved to have ended.
pub(super) async fn write_ended(conn: &mut AnyConnection, proof: &Proof) -> sqlx::Result<()> {
    for trace in unproven(conn).await?.iter().filter(|trace| proof(trace)) {
        tracing::info!(
            node = trace.id.0,
            "an earlier daemon has surely ended: this one has the lock file that it held"
        );
        gone(conn, trace.id).await?;
    }
    Ok(())
}

/// Joins. Nobody else joins at the same time.
pub(super) async fn begin(
    conn: &mut AnyConnection,
    new: &NewNode,
    schema: i64,
    now: Millis,
    me: &Me,
) -> Result<(), StoreError> {
    if !new.shards.is_empty() {
        schema::keep_out_before_shards(conn).await?;
    }
    let Joined { id, slot, last_id } = join(conn, new, schema, now).await?;
    me.says(&new.secret, new.replication);
    me.becomes(id, slot, last_id);
    Ok(())
}

/// Whether no other node may be at work.
pub(super) async fn is_first(conn: &mut AnyConnection, dialect: Dialect, me: &Me) -> sqlx::Result<bool> {
    if dialect == Dialect::Sqlite {
        return Ok(true);
    }
    let sql = "SELECT id FROM node WHERE state <> 'gone' AND id <> $1 LIMIT 1";
    let other = sqlx::query(sql).bind(me.id().map_or(0, |id| id.0)).fetch_optional(conn).await?;
    Ok(other.is_none())
}

/// The nodes that are not known to be gone, with what proves that they are: the file that they lock and what stands in it.
async fn unproven(conn: &mut AnyConnection) -> sqlx::Result<Vec<Trace>> {
    let sql = format!(
        "SELECT id, machine, boot, lock, secret, {SILENT_FOR} AS silent_for FROM node WHERE state <> 'gone' ORDER BY id"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(conn).await?;
    Ok(rows.iter().map(trace).collect())
}

/// Whether what a node has left proves that it has ended.
pub type Proof = Box<dyn Fn(&Trace) -> bool + Send>;

/// What a node has left by which it can be told whether it still runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Which.
    pub id: NodeId,
    /// Its machine.
    pub machine: String,
    /// The start of that.
    pub boot: String,
    /// The file that it locks.
    pub lock: String,
    /// What stands in it.
    pub secret: String,
    /// How long ago the database heard of it, by its own clock.
    pub silent_for: Millis,
}

fn trace(row: &AnyRow) -> Trace {
    Trace {
        id: NodeId(row.get("id")),
        machine: row.get("machine"),
        boot: row.get("boot"),
        lock: row.get("lock"),
        secret: row.get("secret"),
        silent_for: row.get("silent_for"),
    }
}

/// How long ago the database heard of a node, in milliseconds by its own clock.
const SILENT_FOR: &str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) - seen_at";

const GONE: &str = "UPDATE node SET state = 'gone' WHERE id = $1 AND state <> 'gone'";

async fn gone(conn: &mut AnyConnection, node: NodeId) -> sqlx::Result<()> {
    sqlx::query(GONE).bind(node.0).execute(conn).await.map(drop)
}

/// How long a transaction of this file may keep a lane from others.
const LIMITS: &str = "SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '3s'";

impl Store {
    /// A node's own connection for all but its beats, which no other question keeps waiting.
    async fn with_line<T, E: Into<StoreError>>(
        &self,
        ask: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        self.on_line(&self.lines.eyes, ask).await
    }

    async fn on_line<T, E: Into<StoreError>>(
        &self,
        line: &Line,
        ask: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        debug_assert_eq!(self.database.dialect, Dialect::Postgres, "SQLite has one daemon");
        let mut line = line.lock().await;
        let mut conn = match line.take() {
            Some(conn) => conn,
            None => AnyConnection::connect(&self.database.url).await?,
        };
        // Whoever gives up waiting drops the connection with what it was at.
        let answer = ask(&mut conn).await.map_err(Into::into)?;
        *line = Some(conn);
        Ok(answer)
    }

    /// The node that this process is, if it is one among several.
    pub fn node(&self) -> Option<NodeId> {
        self.me.id()
    }

    /// An operator says that a node has ended. One that was heard of a moment ago has not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn bury(&self, node: NodeId) -> Result<Buried, StoreError> {
        if self.database.dialect == Dialect::Sqlite {
            return Ok(Buried::NotFound);
        }
        let (now, (_, replication)) = (self.clock.now(), self.me.word());
        self.with_line(async |conn| {
            identity::notice(conn, now, replication).await?;
            let sql = format!(
                "UPDATE node SET state = 'gone' WHERE id = $1 AND (state IN ('lapsed', 'gone') OR {SILENT_FOR} > $2)"
            );
            let buried = sqlx::query(AssertSqlSafe(sql)).bind(node.0).bind(SILENCE).execute(&mut *conn).await?;
            if buried.rows_affected() > 0 {
                return Ok::<_, sqlx::Error>(Buried::Yes);
            }
            let known = sqlx::query("SELECT id FROM node WHERE id = $1").bind(node.0).fetch_optional(conn).await?;
            Ok(if known.is_some() { Buried::Works } else { Buried::NotFound })
        })
        .await
    }

    /// Has a node hand over what it has, and take nothing more. `false`: none such lives.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn drain(&self, node: NodeId) -> Result<bool, StoreError> {
        if self.database.dialect == Dialect::Sqlite {
            return Ok(false);
        }
        let sql = "UPDATE node SET state = 'leaving' WHERE id = $1 AND state IN ('live', 'leaving')";
        self.with_line(async |conn| {
            let drained = sqlx::query(sql).bind(node.0).execute(&mut *conn).await?.rows_affected() > 0;
            sqlx::query(RING_ALL).execute(conn).await?;
            Ok::<_, sqlx::Error>(drained)
        })
        .await
    }

    /// Who has a reminder under way, or has left it in doubt, and was not heard of since: its number and its name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn left_by(&self, stored: &Stored) -> Result<Option<(NodeId, String)>, StoreError> {
        if self.database.dialect == Dialect::Sqlite || stored.due.state.is_final() {
            return Ok(None);
        }
        let sql = "SELECT n.id, n.name FROM due d JOIN node n ON n.id = d.node
             WHERE d.lane = $1 AND d.due_at = $2 AND d.id = $3 AND d.state <> 0 AND n.state = 'lapsed'";
        let query = sqlx::query(sql).bind(stored.lane).bind(stored.due.due_at).bind(stored.due.id.0);
        let row = query.fetch_optional(&self.read).await?;
        Ok(row.map(|row| (NodeId(row.get("id")), row.get("name"))))
    }

    /// Takes away what only older versions of tixing need, once no daemon of one lives. On SQLite nothing is left to wait.
    ///
    /// # Errors
    /// When one lives, or the database does not answer.
    pub async fn contract(&self) -> Result<(), StoreError> {
        match self.database.dialect {
            Dialect::Sqlite => Ok(()),
            dialect => self.with_line(async |conn| schema::contract(conn, dialect.newest_schema()).await).await,
        }
    }

    /// What those say of themselves that live.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        let sql =
            "SELECT name, version, machine, boot, apps FROM node WHERE state IN ('live', 'leaving') ORDER BY name, id";
        let rows = sqlx::query(sql).fetch_all(&self.read).await?;
        let peer = |row: &AnyRow| Peer {
            name: row.get("name"),
            version: row.get("version"),
            machine: row.get("machine"),
            boot: row.get("boot"),
            configured: serde_json::from_str(row.get("apps")).unwrap_or_default(),
        };
        Ok(rows.iter().map(peer).collect())
    }

    /// All nodes that are not gone, and of each name the last that ended within a day, as operators see them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        if self.database.dialect == Dialect::Sqlite {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT n.id, n.name, n.state, n.version, n.apps AS configured, n.machine, n.boot, n.skew, n.started_at,
                 {SILENT_FOR} AS silent_for,
                 (SELECT COALESCE(json_object_agg(a.name, a.n), '{{}}') FROM
                  (SELECT a.name, COUNT(*) AS n FROM lane l JOIN app a ON a.id = l.app WHERE l.node = n.id GROUP BY a.name) a)::text AS lanes,
                 COALESCE(u.n, 0) AS left_behind
             FROM node n LEFT JOIN (SELECT node, COUNT(*) AS n FROM (
                 SELECT node FROM due WHERE doubt_since IS NOT NULL AND state <> 0
                 UNION ALL SELECT d.node FROM lane l JOIN due d ON d.lane = l.id AND d.due_at <= $2 AND d.doubt_since IS NULL AND d.state <> 0
             ) begun GROUP BY node) u ON u.node = n.id
             WHERE n.state <> 'gone' OR n.seen_at > $1
                 AND NOT EXISTS (SELECT 1 FROM node later WHERE later.name = n.name AND later.state = 'gone' AND later.id > n.id)
             ORDER BY n.state = 'gone', n.name, n.id"
        );
        // What is being sent has become due, by the clock of whoever sends it; what is in doubt has an index.
        let (day, due) = (self.clock.now() - crate::domain::DAY, self.clock.now() + crate::domain::MINUTE);
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(day).bind(due).fetch_all(&self.read).await?;
        let node = |row: &AnyRow| NodeRow {
            id: NodeId(row.get("id")),
            name: row.get("name"),
            state: NodeState::from_word(row.get("state")).expect("the database's CHECK allows these only"),
            version: row.get("version"),
            configured: serde_json::from_str(row.get("configured")).unwrap_or_default(),
            machine: row.get("machine"),
            boot: row.get("boot"),
            skew: row.get("skew"),
            started_at: row.get("started_at"),
            silent_for: row.get("silent_for"),
            lanes: serde_json::from_str(row.get("lanes")).unwrap_or_default(),
            left: row.get("left_behind"),
        };
        Ok(rows.iter().map(node).collect())
    }
}

async fn look(conn: &mut AnyConnection, me: &Me, now: Millis) -> sqlx::Result<Looked> {
    // Before the nodes: an epoch that somebody has raised at joining shows only with the node that has joined.
    let lanes = "SELECT l.id, a.name, l.shard, l.node, l.epoch, l.status, l.wanted, n.id IS NULL AS ownerless,
             (l.shard > 0 OR n.id IS NULL) AND EXISTS (SELECT 1 FROM due d WHERE d.lane = l.id) AS waits
         FROM lane l JOIN app a ON a.id = l.app LEFT JOIN node n ON n.id = l.node AND n.state IN ('live', 'leaving') ORDER BY l.id";
    let rows = sqlx::query(lanes).fetch_all(&mut *conn).await?;
    let lane = |row: &AnyRow| LaneSeen {
        lane: row.get("id"),
        app: row.get("name"),
        shard: u32::try_from(row.get::<i64, _>("shard")).unwrap_or_default(),
        waits: row.get::<i64, _>("shard") > 0 && row.get("waits"),
        node: row.get::<Option<i64>, _>("node").map(NodeId),
        epoch: row.get("epoch"),
    };
    let lanes = rows.iter().map(lane).collect();
    let wanted = rows.iter().map(|row| (row.get("id"), row.get("wanted"))).collect();
    // With whether this process is waited for: by its word, since it may have joined anew.
    let sql = "SELECT id, name, state, beat, apps, shards, skew, clock_distrusted, secret,
             EXISTS (SELECT 1 FROM awaited WHERE node = id) AS awaited
         FROM node WHERE state <> 'gone'";
    let nodes = sqlx::query(sql).fetch_all(&mut *conn).await?;
    let (mine, _) = me.word();
    let (ours, others): (Vec<&AnyRow>, Vec<&AnyRow>) =
        nodes.iter().partition(|row| row.get::<String, _>("secret") == mine);
    me.sees(others.iter().map(|row| (row.get("id"), row.get("secret"))), now);
    if ours.iter().any(|row| row.get("awaited")) {
        me.is_asked();
    }
    let joined = ours.iter().map(|row| NodeId(row.get("id"))).collect();
    let nodes = nodes.iter().map(|row| NodeSeen {
        id: NodeId(row.get("id")),
        name: row.get("name"),
        state: NodeState::from_word(row.get("state")).expect("the database's CHECK allows these only"),
        beat: row.get("beat"),
        apps: serde_json::from_str::<BTreeMap<String, String>>(row.get("apps"))
            .unwrap_or_default()
            .into_keys()
            .collect(),
        shards: serde_json::from_str(row.get("shards")).unwrap_or_default(),
        on_time: row.get::<i64, _>("skew").abs() <= SKEWED && !row.get::<bool, _>("clock_distrusted"),
    });
    let nodes = nodes.collect();
    let statuses =
        rows.iter().filter_map(|row| Some((row.get("id"), row.get::<Option<String>, _>("status")?))).collect();
    let rings = sqlx::query("SELECT slot, n FROM ring").fetch_all(&mut *conn).await?;
    let rings = rings.iter().map(|row| (row.get("slot"), row.get("n"))).collect();
    let duties = sqlx::query("SELECT name, node FROM duty").fetch_all(&mut *conn).await?;
    let duties = duties.iter().map(|row| (row.get("name"), row.get::<Option<i64>, _>("node").map(NodeId))).collect();
    let listed = sqlx::query("SELECT COALESCE(MAX(read_at), 0) AS at, (SELECT COUNT(*) + COUNT(revoked_at) FROM api_key) AS keys FROM listing").fetch_one(&mut *conn).await?;
    let same = identity::same_timeline(me.knows_timeline());
    let sql = format!("SELECT EXISTS (SELECT 1 FROM hold WHERE released_at IS NULL) AS on_hold, {same} AS same");
    let hold = sqlx::query(AssertSqlSafe(sql)).fetch_one(conn).await?;
    let took_over = !hold.get::<bool, _>("same");
    if took_over {
        me.is_asked();
    }
    Ok(Looked {
        view: View { nodes, lanes },
        joined,
        rings,
        // Nobody has looked yet whether it must be.
        on_hold: hold.get::<bool, _>("on_hold") || took_over,
        statuses,
        wanted,
        listed_at: listed.get("at"),
        keys: listed.get("keys"),
        deserted: rows.iter().filter(|row| row.get("ownerless") && row.get("waits")).count(),
        duties,
    })
}

/// Gives lanes to nodes. Each changes its epoch, so that whoever marks in it at this moment is waited for, and later marks do nothing.
async fn hand_over(conn: &mut AnyConnection, from: NodeId, lanes: &[(i64, NodeId)]) -> sqlx::Result<()> {
    for (lane, to) in lanes {
        let sql = "UPDATE lane SET node = $1, epoch = epoch + 1 WHERE id = $2 AND node = $3";
        sqlx::query(sql).bind(to.0).bind(lane).bind(from.0).execute(&mut *conn).await?;
    }
    Ok(())
}

async fn take_over(conn: &mut AnyConnection, silent: NodeId, beat: i64, lanes: &[(i64, NodeId)]) -> sqlx::Result<bool> {
    let mut tx = conn.begin().await?;
    sqlx::raw_sql(LIMITS).execute(&mut *tx).await?;
    let sql = "UPDATE node SET state = 'lapsed' WHERE id = $1 AND beat = $2 AND state IN ('live', 'leaving')";
    if sqlx::query(sql).bind(silent.0).bind(beat).execute(&mut *tx).await?.rows_affected() == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    hand_over(&mut tx, silent, lanes).await?;
    tx.commit().await?;
    Ok(true)
}

async fn leave(conn: &mut AnyConnection, me: NodeId, lanes: &[(i64, NodeId)]) -> sqlx::Result<()> {
    let mut tx = conn.begin().await?;
    sqlx::raw_sql(LIMITS).execute(&mut *tx).await?;
    let sql = "UPDATE node SET state = 'leaving' WHERE id = $1 AND state = 'live'";
    sqlx::query(sql).bind(me.0).execute(&mut *tx).await?;
    hand_over(&mut tx, me, lanes).await?;
    // Whoever listens takes them at once.
    sqlx::query(RING_ALL).execute(&mut *tx).await?;
    tx.commit().await
}

/// Wakes those who listen. Who does not hear it looks once a second.
const RING_ALL: &str = "SELECT pg_notify('tixing', '')";

impl Store {
    /// An app's templates are to be read from its platform now, by whoever has its lane.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn want_templates(&self, app: &str) -> Result<(), StoreError> {
        self.writer.do_one(WantTemplates(self.names.app(app).home)).await
    }

    /// Reads again what others may have changed and this process keeps in memory.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.names.read_lanes(&mut *self.read.acquire().await?).await?;
        self.read_gates().await?;
        self.read_listings().await
    }
}

struct WantTemplates(i64);

impl Single for WantTemplates {
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let sql = "UPDATE lane SET wanted = wanted + 1 WHERE id = $1";
        sqlx::query(sql).bind(self.0).execute(tx.conn().await?).await?;
        tx.rings = true;
        Ok(())
    }
}

impl Store {
    /// Commits of this daemon that the database was found to have forgotten since this was last asked.
    pub fn take_forgotten(&self) -> u64 {
        self.me.take_forgotten()
    }
}

impl Nodes for Store {
    fn join(&self, new: NewNode, now: Millis) -> Asked<NodeId> {
        let store = self.clone();
        Box::pin(async move {
            let schema = store.database.dialect.newest_schema();
            let join = async |conn: &mut AnyConnection| {
                let joined = join(conn, &new, schema, now).await?;
                store.names.read_lanes(conn).await?;
                Ok::<_, StoreError>(joined)
            };
            let joined = store.with_line(join).await?;
            store.me.becomes(joined.id, joined.slot, joined.last_id);
            Ok(joined.id)
        })
    }

    fn beat(&self, me: NodeId, now: Millis, distrusted: bool) -> Asked<bool> {
        let store = self.clone();
        Box::pin(async move {
            let sql = "UPDATE node SET beat = beat + 1, seen_at = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT),
                     skew = $2 - CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT), clock_distrusted = $3
                     WHERE id = $1 AND state IN ('live', 'leaving') AND secret = $4";
            // The number alone may be another's by now: a standby that took over may have forgotten who had joined last.
            let (secret, _) = store.me.word();
            let beat = async |conn: &mut AnyConnection| {
                sqlx::query(sql).bind(me.0).bind(now).bind(distrusted).bind(secret).execute(conn).await
            };
            Ok(store.on_line(&store.lines.heart, beat).await?.rows_affected() > 0)
        })
    }

    fn look(&self) -> Asked<Looked> {
        let store = self.clone();
        Box::pin(async move {
            let now = store.clock.monotonic();
            let looked = store.with_line(async |conn| look(conn, &store.me, now).await).await?;
            if store.me.has_to_tell() {
                // The writer does it with the next transaction, and there may be no other.
                let store = store.clone();
                tokio::spawn(async move { store.writes().await });
            }
            Ok(looked)
        })
    }

    fn take_over(&self, silent: NodeId, beat: i64, lanes: Vec<(i64, NodeId)>) -> Asked<bool> {
        let store = self.clone();
        Box::pin(async move { store.with_line(async |conn| take_over(conn, silent, beat, &lanes).await).await })
    }

    fn give(&self, lane: LaneSeen, to: NodeId) -> Asked<bool> {
        let store = self.clone();
        let owner = lane.node.map_or_else(|| "node IS NULL".to_owned(), |node| format!("node = {}", node.0));
        let sql = format!("UPDATE lane SET node = $1, epoch = epoch + 1 WHERE id = $2 AND epoch = $3 AND {owner}");
        Box::pin(async move {
            let give = async |conn: &mut AnyConnection| {
                let query = sqlx::query(AssertSqlSafe(sql)).bind(to.0).bind(lane.lane).bind(lane.epoch);
                let given = query.execute(&mut *conn).await?.rows_affected() > 0;
                sqlx::query(RING_ALL).execute(conn).await?;
                Ok::<_, sqlx::Error>(given)
            };
            store.with_line(give).await
        })
    }

    fn leave(&self, me: NodeId, lanes: Vec<(i64, NodeId)>) -> Asked<()> {
        let store = self.clone();
        Box::pin(async move { store.with_line(async |conn| leave(conn, me, &lanes).await).await })
    }

    fn gone(&self, node: NodeId) -> Asked<()> {
        let store = self.clone();
        Box::pin(async move {
            // It has written again what a standby lacks that took over: of whoever is gone nobody waits for that.
            store.writes().await?;
            store.with_line(async |conn| gone(conn, node).await).await
        })
    }

    fn tell(&self, me: NodeId, lane: i64, epoch: i64, status: String) -> Asked<()> {
        let store = self.clone();
        Box::pin(async move {
            let sql = "UPDATE lane SET status = $4 WHERE id = $1 AND node = $2 AND epoch = $3";
            let tell = async |conn: &mut AnyConnection| {
                sqlx::query(sql).bind(lane).bind(me.0).bind(epoch).bind(status).execute(conn).await.map(drop)
            };
            store.with_line(tell).await
        })
    }

    fn take_duty(&self, name: String, from: Option<NodeId>, to: NodeId) -> Asked<bool> {
        let store = self.clone();
        let owner = from.map_or_else(|| "node IS NULL".to_owned(), |node| format!("node = {}", node.0));
        let sql = format!("UPDATE duty SET node = $1, epoch = epoch + 1 WHERE name = $2 AND {owner}");
        Box::pin(async move {
            let take = async |conn: &mut AnyConnection| {
                sqlx::query(AssertSqlSafe(sql)).bind(to.0).bind(name).execute(conn).await
            };
            Ok(store.with_line(take).await?.rows_affected() > 0)
        })
    }
}
