//! Files that come with a request: each part goes to disk as it arrives, so that a table of half a gigabyte costs no memory.

use super::{extract::content, problem::Problem};
use crate::{
    domain::timing::cut,
    schedule::gather::{self, Input, leads_out},
    words::say,
};
use axum::{
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::header,
};
use percent_encoding::percent_decode_str;
use std::{io, path::Path, time::Duration};
use tokio::io::AsyncWriteExt;

/// Bytes of a schedule's file.
const MAX_SCHEDULE: usize = 256 * 1024;
/// Bytes of a table.
const MAX_TABLE: u64 = 512 * 1024 * 1024;
/// Tables of one request.
const MAX_TABLES: usize = 8;
/// Time without a byte after which a request is let go.
const IDLE: Duration = Duration::from_secs(30);

/// What came, on disk until it is dropped.
pub(super) struct Upload {
    /// The parts.
    pub input: Input,
    _folder: tempfile::TempDir,
}

/// Takes in a request of several parts. `inside`: a name of a table must not lead out of its folder.
pub(super) async fn receive(request: Request, inside: bool) -> Result<Upload, Problem> {
    content(request.headers(), &["multipart/form-data"])?;
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|_| Problem::new("unsupported_media_type", say!("not_multipart")))?;
    let folder = tempfile::tempdir().map_err(disk)?;
    let mut input = Input { inside, ..Input::default() };
    let mut has_schedule = false;
    while let Some(part) = in_time(parts.next_field()).await? {
        let name = part.name().map_or_else(|| extended_name(&part), str::to_owned);
        if name == "schedule" {
            input.name = part.file_name().unwrap_or("schedule.toml").to_owned();
            (input.text, input.not_utf8) = text(part).await?;
            has_schedule = true;
            continue;
        }
        if input.tables.len() >= MAX_TABLES {
            return Err(Problem::new("too_large", say!("too_many_tables", most = MAX_TABLES)));
        }
        if inside && leads_out(&name) {
            return Err(Problem::new("outside_folder", say!("outside_folder", name = cut(&name))));
        }
        if input.tables.contains_key(&name) {
            return Err(Problem::new("bad_value", say!("table_sent_twice", name = cut(&name))));
        }
        // The name is the sender's, and is no path of ours.
        let path = folder.path().join(format!("table-{}", input.tables.len()));
        save(part, &path).await?;
        input.tables.insert(name, path);
    }
    input.has_schedule = has_schedule;
    Ok(Upload { input, _folder: folder })
}

/// The name of a part whose sender writes it as RFC 5987 has it, `name*=utf-8''%E5%90%8D`: some do so with names that are not ASCII.
fn extended_name(part: &Field<'_>) -> String {
    let disposition = part.headers().get(header::CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
    let parameters = disposition.unwrap_or_default().split(';').map(str::trim);
    let value = parameters.filter_map(|parameter| parameter.strip_prefix("name*=")).next().unwrap_or_default();
    let encoded = value.get(7..).filter(|_| value[..7].eq_ignore_ascii_case("utf-8''")).unwrap_or_default();
    percent_decode_str(encoded).decode_utf8_lossy().into_owned()
}

async fn in_time<T>(part: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Problem> {
    match tokio::time::timeout(IDLE, part).await {
        Ok(Ok(part)) => Ok(part),
        Ok(Err(_)) => Err(Problem::new("bad_value", say!("upload_broke_off"))),
        Err(_) => Err(Problem::new("too_slow", say!("upload_too_slow", seconds = IDLE.as_secs()))),
    }
}

/// The text of the schedule, and the line of the first character that is not UTF-8.
async fn text(mut part: Field<'_>) -> Result<(String, Option<u32>), Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = in_time(part.chunk()).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_SCHEDULE {
            return Err(Problem::new("too_large", say!("schedule_too_large", most = MAX_SCHEDULE)));
        }
    }
    Ok(gather::text(&bytes))
}

async fn save(mut part: Field<'_>, path: &Path) -> Result<(), Problem> {
    let mut file = tokio::io::BufWriter::with_capacity(1 << 18, tokio::fs::File::create_new(path).await.map_err(disk)?);
    let mut size = 0;
    while let Some(chunk) = in_time(part.chunk()).await? {
        size += chunk.len() as u64;
        if size > MAX_TABLE {
            return Err(Problem::new("too_large", say!("table_too_large", most = MAX_TABLE)));
        }
        file.write_all(&chunk).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)
}

/// The disk that uploads go to failed.
pub(super) fn disk(error: io::Error) -> Problem {
    tracing::warn!(%error, "the folder for temporary files failed");
    Problem::new("unavailable", say!("spool_failed", why = error.to_string()))
}
