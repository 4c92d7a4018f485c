//! Wrong cells, as the check of files and the page of a schedule show them.

use super::frame::{number, text};
use crate::words::{Voice, say};
use serde_json::Value;

/// So many are shown; of those beyond their number.
pub const SHOWN: usize = 50;

/// A wrong cell.
pub struct Bad {
    /// File, row or line, and cell.
    pub place: String,
    /// What stands there.
    pub value: String,
    /// What is wrong.
    pub detail: String,
    /// What would be right.
    pub fix: String,
}

/// The first problems that the API tells, and how many more there are, in words. What stands in a cell may be an openid, which is nothing for
/// those who may only look: they get the codes alone.
pub fn of(told: &Value, writes: bool, voice: Voice) -> (Vec<Bad>, String) {
    let all: Vec<&Value> = told["problems"].as_array().into_iter().flatten().collect();
    let counted = told["more_problems"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_i64()).sum::<i64>();
    let more = counted + all.len().saturating_sub(SHOWN) as i64;
    let more = if more > 0 { say!("console_more_problems", n = number(more)).say(voice) } else { String::new() };
    (all.into_iter().take(SHOWN).map(|problem| bad(problem, writes)).collect(), more)
}

fn bad(problem: &Value, writes: bool) -> Bad {
    let row = ["row", "line"].iter().find_map(|member| problem[*member].as_i64());
    let row = row.map(|n| format!(":{n}")).unwrap_or_default();
    let cell = problem["cell"].as_str().or(problem["column"].as_str()).unwrap_or_default();
    Bad {
        place: format!("{}{row} {cell}", text(&problem["file"])).trim().to_owned(),
        value: if writes { text(&problem["value"]) } else { String::new() },
        detail: text(&problem[if writes { "detail" } else { "code" }]),
        fix: if writes { text(&problem["fix"]) } else { String::new() },
    }
}
