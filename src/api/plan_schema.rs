//! How a plan is described in the OpenAPI document. The code makes it as [`Plan::json`](crate::schedule::plan::Plan::json).

use super::schedules::NextJson;
use crate::{
    domain::reminder::ReminderId,
    schedule::{load::Loaded, plan::Rows as RowCounts},
};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a load of a schedule's file would do, or has done.
#[derive(Debug, ToSchema)]
#[schema(as = SchedulePlan)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct PlanSchema {
    /// The schedule's name.
    schedule: Option<String>,
    /// The app's name.
    app: Option<String>,
    /// The template as the file names it.
    template: Option<String>,
    /// SHA-256 of the file and its tables, in hex.
    digest: String,
    /// The file's name.
    from: String,
    /// The tables that were read.
    tables: Vec<TableSchema>,
    rows: RowCounts,
    /// How many reminders come to what.
    reminders: BTreeMap<String, u64>,
    reach: ReachSchema,
    /// The earliest instant of what is planned.
    #[schema(required = true, format = DateTime)]
    first_at: Option<String>,
    /// The latest.
    #[schema(required = true, format = DateTime)]
    last_at: Option<String>,
    /// How long it takes at the app's rate, in milliseconds.
    takes_ms: i64,
    /// How it recurs, in words; null if it does not.
    #[schema(required = true)]
    recurs: Option<String>,
    /// Its next five occurrences.
    next: Vec<NextJson>,
    /// Only the app's testers can be reached.
    test_mode: bool,
    /// What is wrong: the first thousand.
    problems: Vec<FileProblem>,
    /// How many there are beyond, by code.
    more_problems: BTreeMap<String, u64>,
    /// What is worth knowing: the first thousand.
    notes: Vec<FileProblem>,
    /// How many there are beyond, by code.
    more_notes: BTreeMap<String, u64>,
    /// What was written; null if nothing was. Only of a load.
    #[schema(required = false)]
    loaded: Option<Loaded>,
    /// Since when the schedule is paused: nothing of it is sent before somebody resumes it. Only of a load.
    #[schema(required = false, format = DateTime)]
    paused_at: Option<String>,
    /// The next occurrence that is prepared, if it recurs. Only of a load.
    #[schema(required = false)]
    next_to_prepare: Option<NextToPrepare>,
}

/// The next occurrence that is prepared.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct NextToPrepare {
    #[schema(format = DateTime)]
    event: String,
    /// When its audience is looked at, and its reminders are stored.
    #[schema(format = DateTime)]
    prepare_at: String,
}

/// A table that was read.
#[derive(Debug, ToSchema)]
#[schema(as = ScheduleTable)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct TableSchema {
    file: String,
    /// `csv` or `xlsx`.
    kind: String,
    #[schema(required = true)]
    sheet: Option<String>,
    #[schema(required = true)]
    encoding: Option<String>,
    /// The header's row.
    header: u32,
}

/// Whom a schedule reaches.
#[derive(Debug, ToSchema)]
#[schema(as = ScheduleReach)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct ReachSchema {
    /// Users of right rows.
    people: u64,
    /// Those with a consent record in this app, spent or not.
    known: u64,
    /// Those with an available consent, or a waiting reminder of this schedule that holds one.
    with_consent: u64,
    /// Those who have a reminder of it, one that waits or one that was sent, or get one by it.
    reminded: u64,
    /// Who holds the consents of those that found none: a schedule by its name, or `api`.
    held_elsewhere: Vec<HeldSchema>,
    /// Those who were forgotten at their wish.
    forgotten: u64,
}

/// A schedule that holds consents.
#[derive(Debug, ToSchema)]
#[schema(as = HeldElsewhere)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct HeldSchema {
    by: String,
    reminders: u64,
}

/// A problem or a note, and where it is. A mistake of the schedule's own file has `line` in place of `row`.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct FileProblem {
    code: String,
    file: Option<String>,
    #[schema(required = false, nullable = false)]
    line: Option<u32>,
    #[schema(required = false)]
    row: Option<u32>,
    column: Option<String>,
    /// Such as `C5`.
    cell: Option<String>,
    value: Option<String>,
    /// The field of the message at fault.
    param: Option<String>,
    /// One sentence: what was found, what is allowed, what to do.
    detail: String,
    /// The bare replacement, if there is one.
    fix: Option<String>,
}

/// Whom a trial goes to.
#[derive(Debug, ToSchema)]
#[schema(as = Trial)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct TrialSchema {
    row: Option<u32>,
    key: String,
    sent: Vec<TriedSchema>,
    /// Testers who have no consent for the template.
    no_consent: Vec<String>,
}

/// A tester who gets a message.
#[derive(Debug, ToSchema)]
#[schema(as = Tried)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct TriedSchema {
    openid: String,
    #[schema(value_type = ReminderId)]
    id: String,
}
