//! What can be asked of the writer, and the way to it.

use super::{
    deeds::Deed,
    error::StoreError,
    port::{Entry, Job, Marked, Ring},
    tx::Tx,
};
use crate::domain::{
    Millis,
    consent::Report,
    reminder::{NewReminder, ReminderId, State},
};
use std::{future::Future, pin::Pin};
use tokio::sync::{mpsc, oneshot};

/// The templates of which a report has added a consent.
pub(super) type Added = Vec<String>;

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What can be asked of the writer.
pub(super) enum Command {
    Settle(Vec<Entry>, Answer<Vec<bool>>),
    Mark(Vec<Job>, Answer<Vec<Marked>>),
    Insert(Vec<NewReminder>, Answer<Vec<Inserted>>),
    Record(Vec<Report>, Answer<Vec<Option<Added>>>),
    Single(Box<dyn AnySingle>),
    /// Folds SQLite's log into the file and empties it; whether nothing of before is left in it.
    Fold(Answer<bool>),
    Close(Answer<()>),
}

/// A command that does not come in bulk: all but settlements, marks, inserts and records.
pub(super) trait Single: Send + Sync + 'static {
    /// What it does, in words: the log names it so where the database has forgotten it. `None` where that would do no harm, or where [`Self::deed`]
    /// knows more.
    const WHAT: Option<&'static str>;

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

    /// What is to be remembered of it, in case the database forgets it.
    fn deed(&self, _done: &Self::Done) -> Option<Deed> {
        Self::WHAT.map(Deed::Other)
    }
}

/// Any [`Single`], with its answer and its caller.
pub(super) trait AnySingle: Send {
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> Pin<Box<dyn Future<Output = sqlx::Result<()>> + Send + 'a>>;
    fn ring(&self) -> Option<Ring>;
    fn trip_points(&self) -> Option<[&'static str; 2]>;
    fn deed(&self) -> Option<Deed>;
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

    fn deed(&self) -> Option<Deed> {
        self.single.deed(self.done.as_ref()?)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { done, answer, .. } = *self;
        // The caller may have gone away; the transaction stands.
        let _ = answer.send(committed.map(|()| done.expect("it ran before the commit")));
    }
}

impl Command {
    /// Whether the caller waits no longer.
    pub fn was_given_up(&self) -> bool {
        match self {
            Self::Settle(_, answer) => answer.is_closed(),
            Self::Mark(_, answer) => answer.is_closed(),
            _ => false,
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            Self::Settle(rows, _) => rows.len(),
            Self::Mark(rows, _) => rows.len(),
            Self::Insert(rows, _) => rows.len(),
            Self::Record(rows, _) => rows.len(),
            _ => 1,
        }
    }
}

/// What an insert came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// A new reminder, which holds its consent.
    Created(ReminderId),
    /// The same key and body came before: that reminder, and where it stands.
    Replayed(ReminderId, State),
    /// The key belongs to another body: that reminder's.
    KeyConflict(ReminderId),
    /// The key belongs to a reminder that was cancelled, whatever the body; nothing was written.
    KeyCancelled(ReminderId),
    /// The key belonged to a reminder that has ended and is no longer kept, or whose user was forgotten; nothing was written.
    Spent,
    /// No consent was available to reserve; nothing was written.
    NoConsent,
    /// The consents that are available end before its instant, the last of them then; nothing was written.
    ConsentsEnd(Millis),
    /// The user was forgotten at their wish; nothing was written.
    Forgotten,
    /// The database refuses this very content; nothing was written.
    Refused,
}

/// Commands that may wait before those who ask have to wait too.
pub(super) const QUEUE: usize = 256;

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Writer {
    pub urgent: mpsc::Sender<Command>,
    pub ordinary: mpsc::Sender<Command>,
}

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

    /// The same for a single command that waits behind no import: it shares the next transaction.
    pub async fn do_one_next<S: Single>(&self, single: S) -> Result<S::Done, StoreError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Single(Box::new(AskedSingle { single, done: None, answer }));
        self.urgent.send(command).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// The same for a single command.
    pub async fn do_one<S: Single>(&self, single: S) -> Result<S::Done, StoreError> {
        self.ask(|answer| Command::Single(Box::new(AskedSingle { single, done: None, answer }))).await
    }
}
