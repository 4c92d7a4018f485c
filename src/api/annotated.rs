//! `/v1/schedules/annotate`: the rows as a workbook again, with what is wrong.

use super::{
    Api,
    auth::Caller,
    extract::Query,
    plans::{AnnotateQuery, FilesBody},
    problem::Problem,
    schedule_report::{BookSchema, as_book, aside, unwritten},
};
use crate::{
    schedule::annotate::{self, planned::of_plan},
    store::keys::Scope,
    words::{Voice, say},
};
use axum::{
    extract::{Request, State},
    response::Response,
};
use std::{io::Seek, sync::Arc};

/// The tables of a schedule as a workbook, each wrong cell marked and explained, and all problems on a sheet of their own. It can be loaded in
/// the place of the table.
#[utoipa::path(post, path = "/v1/schedules/annotate", operation_id = "annotate_schedule", tag = "schedules", params(AnnotateQuery),
    request_body(content = FilesBody, content_type = "multipart/form-data"), responses(
    (status = 200, description = "The workbook", body = BookSchema, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (status = 422, description = "No table could be read")))]
pub async fn annotate(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<AnnotateQuery>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let (_turn, upload) = api.receive(&caller, request).await?;
    let upload = Arc::new(upload);
    let (plan, zone) = api.planned(&caller, voice, query.into(), &upload).await?;
    let (reader, voice) = (Arc::clone(&api.reader), voice.in_zone(zone));
    let file = aside(move || {
        let find = |name: &str| upload.input.tables.get(name).cloned();
        let planned = match of_plan(&plan, find, &reader, voice) {
            Ok(planned) => planned,
            Err(why) => return Ok(Err(why)),
        };
        let mut file = tempfile::tempfile().map_err(|e| unwritten(&e))?;
        annotate::write(planned.sheets, &planned.told, planned.more, voice, &std::env::temp_dir(), &mut file)?;
        file.rewind().map_err(|e| unwritten(&e))?;
        Ok(Ok(file))
    });
    as_book(
        file.await?.map_err(|why| Problem::new("no_file", why))?,
        &format!("{}.xlsx", say!("annotate_sheet").say(voice)),
    )
}
