//! What this process has written lately among several daemons, and what it does where the database may have forgotten it: before anything is
//! written to a server that nothing was written to before, it looks whether that has all of it.

use super::{
    chain::Chain,
    deeds::Deed,
    error::{StoreError, is_collision},
    forgotten::{self, Told},
    group::{Done, Group},
    identity,
    lacks::Lacks,
    port::Entry,
    tx::Way,
    write_conn::WriteConn,
};
use crate::{
    config::Replication,
    domain::{
        node::NodeId,
        past::{Again, Counts, Past},
        recall::Step,
        reminder::ReminderId,
    },
    words::say,
};
use std::time::Duration;

/// How long it may take to write again what a standby lacks, and how often that is tried: then it counts as lost.
const AGAIN_LIMIT: Duration = Duration::from_secs(60);
const AGAIN_TRIES: u32 = 3;

/// What this process has written lately.
#[derive(Default)]
pub(super) struct Memory {
    past: Past<Deed>,
    /// How often writing again has taken too long.
    too_slow: u32,
    /// Whether it is known that the connection leads to a server that has all that was written before.
    is_known: bool,
}

impl Memory {
    /// Nothing is known of the server any more.
    pub fn doubts(&mut self) {
        self.is_known = false;
    }

    /// A group is committed: what matters of it is remembered; takes its rows.
    pub fn committed(&mut self, group: &mut Group, done: &Done, conn: &WriteConn) {
        if conn.carried.node().is_none() {
            return;
        }
        self.keep_for_later(group, done);
        let deeds = group.deeds(done);
        let rows = deeds.iter().map(Deed::rows).sum();
        self.past.remember(conn.carried.chain.made(), conn.clock.monotonic(), rows, deeds);
    }

    /// What became of calls whose marks are lacking still is written once these are written again: their rows are not found before.
    fn keep_for_later(&mut self, group: &Group, done: &Done) {
        if self.past.left().is_empty() {
            return;
        }
        let marks = self.past.left().iter().filter_map(|deed| match deed {
            Deed::Marks(jobs) => Some(jobs),
            _ => None,
        });
        let lacking: Vec<ReminderId> = marks.flatten().map(|job| job.due.id).collect();
        let late = group.settles.rows.iter().zip(&done.settles).filter(|(entry, written)| {
            !**written && entry.target.epoch.is_none() && lacking.contains(&entry.target.due.id)
        });
        let late: Vec<Entry> = late.map(|(entry, _)| entry.clone()).collect();
        if !late.is_empty() {
            self.past.leaves_more(Deed::Ends(late));
        }
    }

    /// Looks whether the server that is connected has all that this process has written, if that is not known; holds the store if it may not, and
    /// writes again what is lacking.
    ///
    /// # Errors
    /// When nothing may be written yet: it is to be done again.
    pub async fn look_back(&mut self, conn: &mut WriteConn) -> Result<(), StoreError> {
        let Some(me) = conn.carried.node() else { return Ok(()) };
        let being = conn.carried.being();
        let was_asked = being.was_asked();
        if self.is_known && !was_asked {
            self.goes_on_as(me, conn);
            return Ok(());
        }
        let failed = match tokio::time::timeout(AGAIN_LIMIT, self.tell(me, conn)).await {
            Ok(Ok(())) => {
                (self.is_known, self.too_slow) = (true, 0);
                self.goes_on_as(me, conn);
                return Ok(());
            }
            Ok(Err(e)) => e,
            Err(_) => {
                self.too_slow += 1;
                if self.too_slow >= AGAIN_TRIES {
                    self.past.give_up(conn.carried.chain.made(), conn.clock.monotonic(), Deed::Unknown(1));
                    tracing::error!(
                        "the database takes too long to take again what it has forgotten: it counts as lost"
                    );
                }
                StoreError::Unavailable(say!("store_commit_too_slow", limit = AGAIN_LIMIT.as_millis() as u64))
            }
        };
        // The next transaction does it again.
        conn.give_up();
        if was_asked {
            being.is_asked();
        }
        Err(failed)
    }

    /// The server has all that this process has written, which may be another node by now.
    fn goes_on_as(&mut self, me: NodeId, conn: &mut WriteConn) {
        if let Some(former) = conn.carried.chain.node().filter(|node| *node != me) {
            self.past.goes_on(former, conn.carried.chain.made());
            conn.carried.chain.go_on(me, 0);
        }
    }

    /// Looks, and does what follows.
    async fn tell(&mut self, me: NodeId, conn: &mut WriteConn) -> Result<(), StoreError> {
        let (being, now) = (conn.carried.being(), conn.clock.now());
        let (_, replication) = being.word();
        let node = conn.carried.chain.node().unwrap_or(me);
        let made = conn.carried.chain.made();
        let Some(raw) = conn.raw() else {
            return Err(StoreError::Unavailable(say!("store_connection_lost")));
        };
        let found = forgotten::look(raw, node, &being, self.past.former()).await?;
        let lacking = found.of_former + (made - found.n.unwrap_or_default()).max(0);
        match found.step(made, replication == Replication::Synchronous) {
            // It has written nothing, and its joining is forgotten.
            Step::GoOn if found.n.is_none() => return Err(StoreError::Unavailable(say!("store_forgot_node"))),
            Step::GoOn => {
                // Nobody waits any more: an operator may have ended the hold.
                self.past.leaves_nothing();
                return Ok(());
            }
            Step::Wait => return Err(StoreError::Unavailable(say!("store_is_a_standby"))),
            Step::Note => return Ok(identity::note_timeline(raw).await?),
            Step::HoldAndTell => {
                identity::hold_until_told(raw, now, (lacking > 0 || found.n.is_none()).then_some(node)).await?;
            }
            Step::Tell => {}
        }
        if lacking > 0 {
            forgotten::say_lacking(lacking);
            being.lacks(lacking);
        }
        let Some(there) = found.n else {
            // Its number may be another's by now: nothing is written under it. It joins anew as soon as its beat is refused, and goes on from nothing.
            let lost = Lacks { nodes: 1, ..Lacks::all(self.past.all(made)) };
            forgotten::give_up(raw, &lost, &being, node).await?;
            (self.past, conn.carried.chain) = (Past::default(), Chain::default());
            return Err(StoreError::Unavailable(say!("store_forgot_node")));
        };
        let begun = if node == me { there } else { forgotten::commits(raw, me).await? };
        let counts = Counts { there, made, of_former: found.of_former, is_another: node != me, begun };
        let again = self.past.again(counts, conn.clock.monotonic(), Deed::Unknown);
        conn.carried.chain.go_on(me, begun);
        self.write_again(again, me, conn).await
    }

    /// Writes it again, as far as others have written theirs.
    async fn write_again(&mut self, again: Again<Deed>, me: NodeId, conn: &mut WriteConn) -> Result<(), StoreError> {
        let Again { missing, is_second } = again;
        let (being, now, n) = (conn.carried.being(), conn.clock.now(), conn.carried.chain.made() + 1);
        let mut committing = false;
        let past = &mut self.past;
        let mut tx = conn.begin(now, Way::Careful);
        let written = async {
            let told = forgotten::tell(&mut tx, &being, (missing.deeds, missing.unknown), is_second).await?;
            if let Some(told) = &told {
                past.leaves(n, told.left.clone());
            }
            let committed = tx.commit(&mut committing).await?;
            Ok::<_, sqlx::Error>((told, committed))
        };
        match written.await {
            Ok((told, committed)) => {
                conn.committed(committed);
                told.iter().for_each(Told::say);
                Ok(())
            }
            Err(e) if committing || !matches!(e, sqlx::Error::Database(_)) || is_collision(&e) => {
                if committing {
                    conn.carried.chain.doubted();
                }
                Err(e.into())
            }
            Err(e) => {
                let error = StoreError::from(e);
                tracing::error!(%error, "what the database has forgotten could not be written again");
                conn.roll_back().await;
                let lost = || StoreError::Unavailable(say!("store_connection_lost"));
                let raw = conn.raw().ok_or_else(lost)?;
                forgotten::give_up(raw, &Lacks { refused: true, ..Lacks::default() }, &being, me).await?;
                Ok(())
            }
        }
    }
}
