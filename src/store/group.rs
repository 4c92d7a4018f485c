//! Commands that share a transaction.

use super::{
    command::{Added, Answer, AnySingle, Command, Inserted},
    consents,
    deeds::{Deed, bare, no_body},
    dialect::Plans,
    error::StoreError,
    fence, insert,
    mark::mark,
    port::{Entry, Job, Marked, Ring},
    settle::settle,
    tx::Tx,
};
use crate::{
    domain::{consent::Report, reminder::NewReminder},
    trip::trip,
};

/// All commands of one kind in a group: their rows in one list, and who asked for how many.
pub(super) struct Gathered<R, T> {
    pub rows: Vec<R>,
    asked: Vec<(usize, Answer<Vec<T>>)>,
}

impl<R, T> Default for Gathered<R, T> {
    fn default() -> Self {
        Self { rows: Vec::new(), asked: Vec::new() }
    }
}

impl<R, T> Gathered<R, T> {
    pub fn of(rows: Vec<R>, answer: Answer<Vec<T>>) -> Self {
        Self { asked: vec![(rows.len(), answer)], rows }
    }

    /// What each command brought.
    pub fn split(self) -> impl Iterator<Item = (Vec<R>, Answer<Vec<T>>)> {
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

/// Commands that share a transaction.
#[derive(Default)]
pub(super) struct Group {
    pub settles: Gathered<Entry, bool>,
    pub marks: Gathered<Job, Marked>,
    pub records: Gathered<Report, Option<Added>>,
    pub inserts: Gathered<NewReminder, Inserted>,
    pub singles: Vec<Box<dyn AnySingle>>,
}

/// What they came to.
pub(super) struct Done {
    pub settles: Vec<bool>,
    pub marks: Vec<Marked>,
    pub records: Vec<Option<Added>>,
    pub inserts: Vec<Inserted>,
}

impl Group {
    pub fn gather(commands: Vec<Command>) -> Self {
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
    pub async fn apply(&mut self, tx: &mut Tx<'_>) -> sqlx::Result<Done> {
        if self.brings_rows() {
            tx.plan(Plans::ByKey).await?;
        }
        fence::keep(tx, fence::epochs(&self.marks.rows, &self.settles.rows)).await?;
        let settles = settle(tx, &self.settles.rows).await?;
        let marks = if self.marks.rows.is_empty() { Vec::new() } else { mark(tx, &self.marks.rows).await? };
        let records = consents::record(tx, &self.records.rows).await?;
        let inserts = insert::insert(tx, &self.inserts.rows).await?;
        if !self.singles.is_empty() {
            tx.plan(Plans::Freely).await?;
        }
        for single in &mut self.singles {
            single.run(tx).await?;
        }
        Ok(Done { settles, marks, records, inserts })
    }

    pub fn of_settles(rows: Vec<Entry>) -> Self {
        Self { settles: Gathered { rows, asked: Vec::new() }, ..Self::default() }
    }

    pub fn of_inserts(rows: Vec<NewReminder>) -> Self {
        Self { inserts: Gathered { rows, asked: Vec::new() }, ..Self::default() }
    }

    /// Tells those who asked.
    pub fn answer(self, done: Result<Done, StoreError>) {
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
    pub fn trip(&self, after: bool) {
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
    pub fn brings_rows(&self) -> bool {
        let rows = [self.settles.rows.len(), self.marks.rows.len(), self.records.rows.len(), self.inserts.rows.len()];
        rows.iter().any(|n| *n > 0)
    }

    /// What is to be remembered of it, now that it is committed; takes its rows. In the order in which they were written.
    pub fn deeds(&mut self, done: &Done) -> Vec<Deed> {
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
    pub fn ring(&self) -> Option<Ring> {
        let inserts = self.inserts.rows.iter().map(|new| Ring { from: new.at, until: new.at });
        inserts.chain(self.singles.iter().filter_map(|single| single.ring())).reduce(Ring::and)
    }
}
