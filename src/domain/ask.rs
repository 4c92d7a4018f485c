//! What a mini-program should ask a user for now, from what waits for a consent and what the ledger holds.

use super::{
    Millis,
    consent::Balance,
    template::{Kind, Template},
};
use std::collections::BTreeMap;

/// The reminders that wait for a consent of one template at their instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// How many reminders.
    pub n: i64,
    /// The first of their instants.
    pub first: Millis,
}

/// A template to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The template.
    pub template: &'a Template,
    /// Reminders that will find no consent at their instants; 0 if none waits and the user has none left.
    pub missing: i64,
    /// The first of their instants.
    pub first: Option<Millis>,
}

/// The templates to ask for in one popup, the most pressing first: those that reminders wait for, by instant, then those of which the
/// user has none left, in the order of the configuration. One kind only, since a popup does not mix them, and at most `most`.
pub fn ask<'a>(
    templates: &'a [Template],
    balances: &BTreeMap<String, Balance>,
    wanted: &BTreeMap<String, Wanted>,
    most: usize,
) -> Vec<Ask<'a>> {
    let judge = |template: &'a Template| {
        let available = balances.get(&template.code).map_or(0, |balance| balance.available);
        let wanted = wanted.get(&template.code);
        let n = wanted.map_or(0, |wanted| wanted.n);
        // A standing consent pays for all of them.
        let missing = if template.kind == Kind::LongTerm && available > 0 { 0 } else { (n - available).max(0) };
        let first = wanted.map(|wanted| wanted.first).filter(|_| missing > 0);
        (missing > 0 || available == 0).then_some(Ask { template, missing, first })
    };
    let mut asks: Vec<Ask<'a>> = templates.iter().filter_map(judge).collect();
    // Stable, so the rest stays as configured.
    asks.sort_by_key(|ask| ask.first.unwrap_or(Millis::MAX));
    let kind = asks.first().map(|ask| ask.template.kind);
    asks.retain(|ask| Some(ask.template.kind) == kind);
    asks.truncate(most);
    asks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_first_comes_first_and_kinds_are_not_mixed() {
        let template = |code: &str, kind| Template {
            name: None,
            code: code.into(),
            kind,
            title: String::new(),
            fields: BTreeMap::new(),
            on_doubt: Default::default(),
            times: None,
            characters: None,
        };
        let templates = [
            template("a", Kind::OneTime),
            template("b", Kind::OneTime),
            template("l", Kind::LongTerm),
            template("c", Kind::OneTime),
            template("d", Kind::OneTime),
        ];
        // (available by template, waiting (how many, since when) by template, most) → asked for
        type Row<'a> = (&'a [(&'a str, i64)], &'a [(&'a str, i64, Millis)], usize, &'a [(&'a str, i64)]);
        let table: [Row<'_>; 7] = [
            (&[], &[], 3, &[("a", 0), ("b", 0), ("c", 0)]),
            (&[], &[("c", 2, 50), ("b", 1, 90)], 3, &[("c", 2), ("b", 1), ("a", 0)]),
            (&[("c", 1), ("b", 1)], &[("c", 2, 50), ("b", 1, 90)], 2, &[("c", 1), ("a", 0)]),
            (&[], &[("l", 5, 1), ("a", 1, 2)], 3, &[("l", 5)]),
            (&[("l", 1)], &[("l", 5, 1), ("a", 1, 2)], 1, &[("a", 1)]),
            (&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("l", 1)], &[], 3, &[]),
            (&[("a", 1), ("b", 1), ("c", 1), ("d", 1)], &[], 3, &[("l", 0)]),
        ];
        for (available, waiting, most, wanted) in table {
            let balance = |n| Balance { available: n, ..Balance::default() };
            let balances = available.iter().map(|(code, n)| ((*code).to_owned(), balance(*n))).collect();
            let waits = waiting.iter().map(|(code, n, first)| ((*code).to_owned(), Wanted { n: *n, first: *first }));
            let asks = ask(&templates, &balances, &waits.collect(), most);
            let got: Vec<(&str, i64)> = asks.iter().map(|a| (a.template.code.as_str(), a.missing)).collect();
            assert_eq!(got, wanted, "{available:?} {waiting:?}");
        }
    }
}
