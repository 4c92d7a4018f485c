//! Files that browsers hand in. They are kept as a draft, in pieces, for a day at most.

use super::{Console, ask::error, choices::Said, person::Person};
use crate::{
    store::{StoreError, drafts::MAX_DRAFTS},
    words::{Message, say},
};
use axum::{
    body::{Body, Bytes},
    extract::{Multipart, multipart::Field},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use data_encoding::BASE32_NOPAD;
use rand::RngExt;
use std::time::Duration;

/// Bytes of a draft.
const MAX_DRAFT: usize = 64 * 1024 * 1024;
/// Bytes of a piece.
const PIECE: usize = 1024 * 1024;
/// Tables of a draft.
const MAX_TABLES: usize = 8;
/// Characters of a file's name.
const MAX_NAME: usize = 200;
/// Bytes of all that is typed beside the files.
const MAX_TYPED: usize = 1024 * 1024;
/// Time without a byte after which an upload is let go.
const IDLE: Duration = Duration::from_secs(30);
/// Uploads that are taken in at once: each holds a piece in memory, and pieces are written beside what the engine writes.
pub const AT_ONCE: usize = 4;
/// How long an upload waits for its turn.
const TURN: Duration = Duration::from_secs(60);
/// The file of the schedule, by the name of its part.
pub const SCHEDULE: &str = "schedule";
/// How the name begins under which a file lies that is to take another's place. No file that is handed in has such a name.
const INCOMING: char = '\u{1}';

/// Why an upload was not taken.
pub enum Untaken {
    /// What is wrong with it.
    Wrong(Message),
    /// The person has as many drafts as are kept.
    TooMany,
    /// The store has not kept it.
    Store(StoreError),
}

impl From<StoreError> for Untaken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Untaken {
    /// What is said of it, unless it is the store's fault.
    ///
    /// # Errors
    /// That fault.
    pub fn told(self) -> Result<(StatusCode, Message), StoreError> {
        match self {
            Self::Wrong(wrong) => Ok((StatusCode::UNPROCESSABLE_ENTITY, wrong)),
            Self::TooMany => Ok((StatusCode::CONFLICT, say!("console_too_many_drafts", most = MAX_DRAFTS))),
            Self::Store(e) => Err(e),
        }
    }
}

/// What was handed in.
#[derive(Default)]
pub struct Handed {
    /// The names of the files.
    pub files: Vec<String>,
    /// What was typed beside them.
    pub typed: Said,
}

/// A name that nobody guesses.
fn random() -> String {
    let random: [u8; 20] = rand::rng().random();
    BASE32_NOPAD.encode(&random).to_lowercase()
}

/// The names of a draft's tables.
pub fn tables(files: Vec<(String, i64)>) -> Vec<String> {
    let names = files.into_iter().map(|(name, _)| name);
    names.filter(|name| name != SCHEDULE && !name.starts_with(INCOMING)).collect()
}

/// By what a draft's owner is known.
pub fn owner(person: &Person) -> i64 {
    person.caller.key().unwrap_or(0)
}

impl Console {
    /// Begins a draft, and lets `fill` put its files into it; if that fails nothing is kept. Answers its id.
    pub async fn draft_of<F>(&self, person: &Person, fill: F) -> Result<String, Untaken>
    where
        F: AsyncFnOnce(&str) -> Result<(), Untaken>,
    {
        let id = random();
        if !self.api.store().begin_draft(id.clone(), owner(person)).await? {
            return Err(Untaken::TooMany);
        }
        match fill(&id).await {
            Ok(()) => Ok(id),
            Err(untaken) => {
                self.api.store().discard_draft(&id, owner(person)).await?;
                Err(untaken)
            }
        }
    }

    /// Takes in the parts of an upload, piece by piece: it costs no more memory than a piece.
    pub async fn take_in(&self, id: &str, parts: Multipart) -> Result<Handed, Untaken> {
        self.take(id, parts, None).await
    }

    /// Takes in one file, in the place of `file` if it is given; else of the one of its name, or of the only one of `tables`.
    pub async fn take_in_place(
        &self,
        id: &str,
        parts: Multipart,
        file: Option<&str>,
        tables: &[String],
    ) -> Result<(), Untaken> {
        let incoming = format!("{INCOMING}{}", random());
        let placed = self.put_in_place(id, parts, &incoming, file, tables).await;
        if placed.is_err() {
            self.api.store().drop_from_draft(id, &incoming).await?;
        }
        placed
    }

    async fn put_in_place(
        &self,
        id: &str,
        parts: Multipart,
        incoming: &str,
        file: Option<&str>,
        tables: &[String],
    ) -> Result<(), Untaken> {
        let handed = self.take(id, parts, Some(incoming)).await?;
        let name = handed.files.first().ok_or_else(|| Untaken::Wrong(say!("console_choose_a_table")))?;
        let only = match tables {
            [only] => Some(only.as_str()),
            _ => tables.iter().find(|table| *table == name).map(String::as_str),
        };
        let unclear = || Untaken::Wrong(say!("console_which_table", name = name, tables = tables));
        let place = file.or(only).ok_or_else(unclear)?;
        Ok(self.api.store().replace_in_draft(id, place, incoming).await?)
    }

    /// Puts the schedule's file in the place of the one that is there.
    pub async fn put_schedule(&self, id: &str, text: String) -> Result<(), StoreError> {
        let incoming = format!("{INCOMING}{}", random());
        self.api.store().add_to_draft(id, &incoming, 0, text.into_bytes()).await?;
        self.api.store().replace_in_draft(id, SCHEDULE, &incoming).await
    }

    /// The text of a draft's schedule.
    pub async fn schedule_of(&self, id: &str) -> Result<String, StoreError> {
        let bytes = self.api.store().draft_piece(id, SCHEDULE, 0).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The files of a draft, each with the number of its pieces.
    ///
    /// # Errors
    /// The page that says that the person has no such draft, or that the store does not answer.
    pub async fn files_of(
        &self,
        person: &Person,
        headers: &HeaderMap,
        id: &str,
    ) -> Result<Vec<(String, i64)>, Response> {
        match self.api.store().draft(id, owner(person), self.clock.now()).await {
            Ok(Some(files)) => Ok(files),
            Ok(None) => {
                let frame = self.frame(Some(person), headers, "/console/new");
                Err(error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")))
            }
            Err(e) => Err(self.unavailable(headers, &e)),
        }
    }

    async fn take(&self, id: &str, mut parts: Multipart, under: Option<&str>) -> Result<Handed, Untaken> {
        let broken = || Untaken::Wrong(say!("console_upload_broke_off"));
        let turn = tokio::time::timeout(TURN, self.uploads.acquire()).await;
        let _turn = turn.map_err(|_| Untaken::Wrong(say!("files_under_way", most = AT_ONCE)))?;
        let (mut left, mut left_to_type, mut handed) = (MAX_DRAFT, MAX_TYPED, Handed::default());
        loop {
            let next = tokio::time::timeout(IDLE, parts.next_field()).await.map_err(|_| broken())?;
            let Some(mut field) = next.map_err(|_| broken())? else { return Ok(handed) };
            if field.file_name().is_none() {
                let name = field.name().unwrap_or_default().to_owned();
                let mut typed = Vec::new();
                while let Some(chunk) = chunk(&mut field).await? {
                    let beyond = || Untaken::Wrong(say!("console_form_too_large"));
                    left_to_type = left_to_type.checked_sub(chunk.len()).ok_or_else(beyond)?;
                    typed.extend_from_slice(&chunk);
                }
                handed.typed.insert(name, String::from_utf8_lossy(&typed).into_owned());
                continue;
            }
            let Some(name) = name_of(&field)? else { continue };
            if handed.files.contains(&name) {
                return Err(Untaken::Wrong(say!("table_sent_twice", name = name)));
            }
            let most = if under.is_some() { 1 } else { MAX_TABLES };
            if handed.files.iter().filter(|file| *file != SCHEDULE).count() >= most {
                return Err(Untaken::Wrong(say!("too_many_tables", most = most)));
            }
            let file = under.unwrap_or(&name);
            let (mut piece, mut n) = (Vec::new(), 0);
            while let Some(chunk) = chunk(&mut field).await? {
                left = left
                    .checked_sub(chunk.len())
                    .ok_or_else(|| Untaken::Wrong(say!("table_too_large", most = MAX_DRAFT)))?;
                piece.extend_from_slice(&chunk);
                if piece.len() >= PIECE {
                    self.api.store().add_to_draft(id, file, n, std::mem::take(&mut piece)).await?;
                    n += 1;
                }
            }
            self.api.store().add_to_draft(id, file, n, piece).await?;
            handed.files.push(name);
        }
    }

    /// The files of a draft as the API takes them, the schedule first: what follows is read by it.
    pub fn files(&self, id: &str, files: Vec<(String, i64)>) -> (String, Body) {
        let boundary = format!("tixing-{id}");
        let (schedule, tables): (Vec<_>, Vec<_>) = files.into_iter().partition(|(name, _)| name == SCHEDULE);
        let mut steps = Vec::new();
        for (name, pieces) in schedule.into_iter().chain(tables).filter(|(name, _)| !name.starts_with(INCOMING)) {
            let quoted = name.replace(['"', '\r', '\n'], "_");
            steps.push(Err(format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"{quoted}\"; filename=\"{quoted}\"\r\ncontent-type: application/octet-stream\r\n\r\n"
            )));
            steps.extend((0..pieces).map(|n| Ok((name.clone(), n))));
            steps.push(Err("\r\n".to_owned()));
        }
        steps.push(Err(format!("--{boundary}--\r\n")));
        let (store, id) = (self.api.store().clone(), id.to_owned());
        let stream = futures_util::stream::unfold(steps.into_iter(), move |mut steps| {
            let (store, id) = (store.clone(), id.clone());
            async move {
                let bytes = match steps.next()? {
                    Err(text) => Ok(Bytes::from(text)),
                    Ok((file, n)) => store.draft_piece(&id, &file, n).await.map(Bytes::from),
                };
                Some((bytes.map_err(|e| std::io::Error::other(e.to_string())), steps))
            }
        });
        (format!("multipart/form-data; boundary={boundary}"), Body::from_stream(stream))
    }
}

async fn chunk(field: &mut Field<'_>) -> Result<Option<Bytes>, Untaken> {
    let broken = || Untaken::Wrong(say!("console_upload_broke_off"));
    let chunk = tokio::time::timeout(IDLE, field.chunk()).await.map_err(|_| broken())?;
    chunk.map_err(|_| broken())
}

/// By which name a part is kept; none of one without a file.
fn name_of(field: &Field<'_>) -> Result<Option<String>, Untaken> {
    let file = field.file_name().unwrap_or_default();
    if file.is_empty() {
        return Ok(None);
    }
    if field.name() == Some(SCHEDULE) {
        return Ok(Some(SCHEDULE.to_owned()));
    }
    // What stands before it is a folder of the sender's.
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_name =
        !name.is_empty() && name != SCHEDULE && name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    if is_name { Ok(Some(name.to_owned())) } else { Err(Untaken::Wrong(say!("console_bad_file_name"))) }
}
