//! A table over HTTP: what is read of it.

use super::{
    Api,
    auth::Caller,
    extract::{Query, json},
    problem::Problem,
};
use crate::{
    domain::timing::cut,
    schedule::{
        look::{Wanted, look_at},
        sheet::{Encoding, Source},
    },
    store::keys::Scope,
    words::{Voice, say},
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// One part: the table, under the name of its file.
#[derive(Debug, ToSchema)]
#[schema(as = SheetFile)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct SheetBody {
    /// Any other name will do.
    #[schema(format = Binary, content_media_type = "application/octet-stream", required = false, nullable = false)]
    table: Option<String>,
}

/// How a table is read.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SheetQuery {
    /// The sheet; the first visible one with content without it.
    #[param(nullable = false)]
    sheet: Option<String>,
    /// The header's row; the first one with content without it.
    #[param(nullable = false, minimum = 1)]
    header: Option<u32>,
    /// `utf-8`, `gb18030`, `big5` or `utf-16`.
    #[param(nullable = false)]
    encoding: Option<String>,
    /// Rows to show; 20 without it, at most 1,000.
    #[param(nullable = false, maximum = 1000)]
    limit: Option<u32>,
}

/// What is read of a table: what it is, its columns, its first rows, and what would refuse a row.
#[utoipa::path(post, path = "/v1/sheet", operation_id = "read_sheet", tag = "schedules", params(SheetQuery),
    request_body(content = SheetBody, content_type = "multipart/form-data",
    description = "One part: the table, under its name"), responses(
    (status = 200, description = "What was read", body = SheetSchema),
    (status = 422, description = "It can't be read: the code says why")))]
pub async fn read(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<SheetQuery>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let encoding = match query.encoding.as_deref() {
        None => None,
        Some(word) => Some(Encoding::from_word(word).ok_or_else(|| {
            let allowed = Encoding::WORDS.map(|(word, _)| word);
            Problem::new("bad_value", say!("not_one_of", found = cut(word), allowed = allowed)).at("/encoding")
        })?),
    };
    for (value, least, most, param) in [(query.header, 1, u32::MAX, "/header"), (query.limit, 0, 1_000, "/limit")] {
        if let Some(found) = value.filter(|value| !(least..=most).contains(value)) {
            let detail = say!("query_out_of_bounds", found = found, least = least, most = most);
            return Err(Problem::new("bad_value", detail).at(param));
        }
    }
    let (_turn, upload) = api.receive(&caller, request).await?;
    let wanted = Wanted { sheet: query.sheet, header: query.header, encoding, limit: query.limit.unwrap_or(20) };
    let Some((name, path)) = upload.input.tables.iter().next().map(|(name, path)| (name.clone(), path.clone())) else {
        return Err(Problem::new("no_file", say!("no_table_part")));
    };
    let reader = Arc::clone(&api.reader);
    let read = move || look_at(&reader, &Source { path: &path, name: &name }, &wanted);
    let seen =
        tokio::task::spawn_blocking(read).await.map_err(|_| Problem::new("internal", say!("fault_of_tixing")))?;
    let seen = seen.map_err(|problem| Problem::new(problem.code, problem.detail))?;
    Ok(json(StatusCode::OK, &seen.json(voice)))
}

/// What was read of a table.
#[derive(Debug, ToSchema)]
#[schema(as = Sheet)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct SheetSchema {
    file: String,
    /// `csv` or `xlsx`.
    kind: String,
    #[schema(required = true)]
    encoding: Option<String>,
    #[schema(required = true)]
    delimiter: Option<String>,
    sheets: Vec<SheetOfBook>,
    #[schema(required = true)]
    sheet: Option<String>,
    /// The header's row.
    header: u32,
    columns: Vec<String>,
    /// How many rows have content.
    total: u64,
    rows: Vec<SheetRow>,
    notes: Vec<SheetNote>,
}

/// A sheet of a workbook.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct SheetOfBook {
    name: String,
    hidden: bool,
}

/// A row of a table, its cells from column A on as text.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct SheetRow {
    row: u32,
    cells: Vec<String>,
    #[schema(required = false, nullable = false)]
    hidden: Option<bool>,
}

/// What was guessed of a table, or would refuse a row.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct SheetNote {
    code: String,
    #[schema(nullable = false)]
    row: Option<u32>,
    #[schema(nullable = false)]
    column: Option<String>,
    #[schema(nullable = false)]
    cell: Option<String>,
    detail: String,
}
