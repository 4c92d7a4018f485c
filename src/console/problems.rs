//! Wrong cells, as the check of files and the page of a schedule show them.

use super::frame::{number, text};
use crate::words::{Voice, say};
use serde_json::Value;
use std::collections::BTreeMap;

/// So many stand on a page.
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

/// A page of the problems that the API tells.
#[derive(Default)]
pub struct Problems {
    /// Those of the page.
    pub shown: Vec<Bad>,
    /// How often each kind came, and the first of its kind.
    pub kinds: Vec<(String, String)>,
    /// The pages before and after this one; 0 where there is none.
    pub before: usize,
    /// See `before`.
    pub after: usize,
    /// How many more were counted and are not listed, in words.
    pub more: String,
}

impl Problems {
    /// The `page`th of what the API tells, from 1 on. What stands in a cell may be an openid, which is nothing for those who may only look: they
    /// get the codes alone.
    pub fn of(told: &Value, page: usize, writes: bool, voice: Voice) -> Self {
        let all: Vec<&Value> = told["problems"].as_array().into_iter().flatten().collect();
        let pages = all.len().div_ceil(SHOWN).max(1);
        let page = page.clamp(1, pages);
        let beyond = |code: &str| told["more_problems"][code].as_i64().unwrap_or_default();
        let mut kinds: BTreeMap<&str, (i64, &Value)> = BTreeMap::new();
        for problem in &all {
            kinds.entry(problem["code"].as_str().unwrap_or_default()).or_insert((0, problem)).0 += 1;
        }
        let mut kinds: Vec<_> = kinds.into_iter().map(|(code, (n, first))| (n + beyond(code), first)).collect();
        kinds.sort_by_key(|(n, _)| -n);
        let more = told["more_problems"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_i64()).sum::<i64>();
        Self {
            shown: all.iter().skip((page - 1) * SHOWN).take(SHOWN).map(|problem| bad(problem, writes)).collect(),
            kinds: kinds.into_iter().map(|(n, first)| (number(n), bad(first, writes).detail)).collect(),
            before: page - 1,
            after: if page < pages { page + 1 } else { 0 },
            more: if more > 0 { say!("console_more_problems", n = number(more)).say(voice) } else { String::new() },
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn more_problems_than_a_page_holds_stand_on_several_and_are_counted_by_kind() {
        let one = |i: usize| json!({ "code": if i == 7 { "late" } else { "bad_field" }, "detail": format!("d{i}"), "file": "l.csv", "row": i });
        let told = json!({ "problems": (0..120).map(one).collect::<Vec<_>>(), "more_problems": { "bad_field": 2_000, "late": 0 } });
        let page = |n| Problems::of(&told, n, true, Voice::default());
        let shape = |p: &Problems| (p.shown.len(), p.before, p.after, p.shown[0].place.clone());
        assert_eq!(shape(&page(0)), (50, 0, 2, "l.csv:0".to_owned()));
        assert_eq!(shape(&page(3)), (20, 2, 0, "l.csv:100".to_owned()));
        assert_eq!(shape(&page(99)), shape(&page(3)));
        let (kinds, more) = (page(1).kinds, page(1).more);
        assert_eq!(kinds, [("2,119".to_owned(), "d0".to_owned()), ("1".to_owned(), "d7".to_owned())]);
        assert_eq!(more, "2,000 more");
        let looks = Problems::of(&told, 1, false, Voice::default());
        assert_eq!((looks.shown[0].detail.as_str(), looks.kinds[1].1.as_str()), ("bad_field", "late"));
        assert!(Problems::of(&Value::Null, 1, true, Voice::default()).shown.is_empty());
    }
}
