//! Lists in SQL, walked in slices. Each statement looks at a bounded number of rows, whatever is asked and however much is stored: none keeps
//! a connection for long, and a list can stop anywhere and go on later.

use super::{
    Store,
    dialect::Dialect,
    error::StoreError,
    reminders::{OF_DUE, OF_END, STORED, Stored, stored},
    states::{LAST_STATE, LIVING, state_number},
    tx::bound,
};
use crate::domain::{
    Millis,
    reminder::{ReminderId, State},
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

/// Rows that one statement looks at.
pub(super) const SLICE: usize = 2_000;
/// Reminders of one user that one statement reads whole.
const AT_ONCE: usize = 500;

/// A place in the order of lists.
type Key = (Millis, i64);

/// In which order a list goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The oldest instant first.
    #[default]
    Oldest,
    /// The newest instant first.
    Newest,
}

impl Order {
    /// Whether `a` comes before `b`.
    fn is_before(self, a: Key, b: Key) -> bool {
        match self {
            Self::Oldest => a < b,
            Self::Newest => a > b,
        }
    }

    /// In SQL: what lies behind a place, and the direction.
    fn sql(self) -> (&'static str, &'static str) {
        match self {
            Self::Oldest => (">", "ASC"),
            Self::Newest => ("<", "DESC"),
        }
    }

    /// In SQL: what lies before a place.
    fn back(self) -> &'static str {
        match self {
            Self::Oldest => "<",
            Self::Newest => ">",
        }
    }
}

/// Which reminders to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these apps.
    pub apps: Vec<String>,
    /// Only this user's.
    pub openid: Option<String>,
    /// Only of these templates, by app the platform's id; all templates of an app that is not among them.
    pub templates: BTreeMap<String, String>,
    /// Only of this schedule: then the order is that of the instants alone, also of one that is retried.
    pub schedule: Option<i64>,
    /// Only in these states; in all if there is none.
    pub states: Vec<State>,
    /// Only those of which the platform has said that they were delivered, or were not.
    pub delivered: Option<bool>,
    /// Instants at or after this.
    pub from: Option<Millis>,
    /// Instants before this.
    pub to: Option<Millis>,
    /// Only those of which something has changed at this or later ([`Stored::updated_at`]).
    pub changed_since: Option<Millis>,
    /// In which order.
    pub order: Order,
    /// Only after this place in the order.
    pub after: Option<(Millis, ReminderId)>,
    /// At most so many.
    pub limit: usize,
}

impl Filter {
    /// The place behind which the list begins.
    fn start(&self) -> Key {
        let bound = match self.order {
            Order::Oldest => (self.from.unwrap_or(Millis::MIN).saturating_sub(1), i64::MAX),
            Order::Newest => (self.to.unwrap_or(Millis::MAX), i64::MIN),
        };
        let after = self.after.map(|(at, id)| (at, id.0));
        after.filter(|after| self.order.is_before(bound, *after)).unwrap_or(bound)
    }

    /// The place before which it ends. No id is this small, or this large.
    fn end(&self) -> Key {
        match self.order {
            Order::Oldest => (self.to.unwrap_or(Millis::MAX), i64::MIN),
            Order::Newest => (self.from.unwrap_or(Millis::MIN).saturating_sub(1), i64::MAX),
        }
    }

    fn allows(&self, state: State) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }

    /// Those of its states that are living, or final.
    fn states_that_are(&self, is_final: bool) -> Vec<State> {
        State::ALL.into_iter().filter(|state| state.is_final() == is_final && self.allows(*state)).collect()
    }

    /// Whether it lets a reminder through, wherever that lies in the order.
    fn wants(&self, stored: &Stored) -> bool {
        let of_schedule = |id: i64| stored.origin.as_ref().is_some_and(|origin| origin.schedule == id);
        self.apps.contains(&stored.app)
            && self.schedule.is_none_or(of_schedule)
            && self.allows(stored.due.state)
            && (self.delivered.is_none() || stored.delivered == self.delivered)
            && self.changed_since.is_none_or(|since| stored.updated_at() >= since)
            && self.templates.get(&stored.app).is_none_or(|code| stored.template == *code)
    }
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// In the order of the list, by instant and id.
    pub items: Vec<Stored>,
    /// Where the next page goes on, if there may be more.
    pub next: Option<(Millis, ReminderId)>,
    /// Time ran out before the page was full: all up to `next` was looked at.
    pub cut_short: bool,
}

/// A way to walk through one lane in the order of lists.
struct Way {
    /// The table, and the index by which it is walked.
    table: String,
    /// Its short name.
    short: &'static str,
    /// Its instant.
    at: &'static str,
    /// The condition of the index, in its own words: rows outside it are not even looked at.
    walked: String,
    /// The tables that are joined to it.
    joined: &'static str,
    /// The condition on the rows that are looked at.
    wanted: String,
}

/// `IN (…)` with the words of states.
fn words(states: &[State]) -> String {
    states.iter().map(|state| format!("'{}'", state.word())).collect::<Vec<_>>().join(", ")
}

impl Way {
    fn living(dialect: Dialect, states: &[State]) -> Self {
        let (index, walked) = match states {
            [State::InDoubt] => (dialect.by("doubtful"), "AND d.doubt_since IS NOT NULL"),
            _ => (String::new(), ""),
        };
        let numbers: Vec<String> = states.iter().map(|state| state_number(*state).to_string()).collect();
        let all = numbers.len() == 3;
        let wanted = if all { String::new() } else { format!("AND d.state IN ({})", numbers.join(", ")) };
        let table = format!("due d {index}");
        Self { table, short: "d", at: "d.due_at", walked: walked.into(), joined: "", wanted }
    }

    /// Those that have ended in these states, of which one is `sent`: with the many there are the few.
    fn ended(states: &[State]) -> Self {
        let all = states.len() == State::ALL.len() - 3;
        let of = if all { String::new() } else { format!(" AND o.state IN ({})", words(states)) };
        let wanted = format!("AND o.next_at IS NULL{of}");
        Self { table: "outcome o ".into(), short: "o", at: "o.at", walked: String::new(), joined: "", wanted }
    }

    /// Those that have ended in this state, which is not `sent`.
    fn ended_otherwise(dialect: Dialect, state: State) -> Self {
        let walked = format!("AND o.next_at IS NULL AND o.state <> 'sent' AND o.state = '{}'", state.word());
        let table = format!("outcome o {}", dialect.by("ended_otherwise"));
        Self { table, short: "o", at: "o.at", walked, joined: "", wanted: String::new() }
    }

    fn told(dialect: Dialect, delivered: bool, states: &[State]) -> Self {
        let (index, walked, wanted) = if delivered {
            (String::new(), "", "AND k.failure IS NULL AND o.next_at IS NULL")
        } else {
            (dialect.by("undelivered"), "AND k.failure IS NOT NULL", "AND o.next_at IS NULL")
        };
        let all = states.len() == State::ALL.len() - 3;
        let of = if all { String::new() } else { format!(" AND o.state IN ({})", words(states)) };
        Self {
            table: format!("receipt k {index}"),
            short: "k",
            at: "k.at",
            walked: walked.into(),
            joined: "JOIN outcome o ON o.lane = k.lane AND o.at = k.at AND o.id = k.id",
            wanted: format!("{wanted}{of}"),
        }
    }

    fn ended_and_delivered(dialect: Dialect, state: State) -> Self {
        let delivered = "AND EXISTS (SELECT 1 FROM receipt k WHERE k.lane = o.lane AND k.at = o.at AND k.id = o.id AND k.failure IS NULL)";
        Self { wanted: delivered.into(), ..Self::ended_otherwise(dialect, state) }
    }

    /// The ways that together find everything that a filter lets through.
    fn all(dialect: Dialect, filter: &Filter) -> Vec<Self> {
        let (living, ended) = (filter.states_that_are(false), filter.states_that_are(true));
        let sent = ended.contains(&State::Sent);
        let mut ways = Vec::new();
        match filter.delivered {
            None => {
                ways.extend((!living.is_empty()).then(|| Self::living(dialect, &living)));
                match sent {
                    true => ways.push(Self::ended(&ended)),
                    false => ways.extend(ended.iter().map(|state| Self::ended_otherwise(dialect, *state))),
                }
            }
            // Delivered reminders have mostly ended as sent: other ends are far fewer than receipts.
            Some(true) if !sent => ways.extend(ended.iter().map(|state| Self::ended_and_delivered(dialect, *state))),
            Some(delivered) => ways.extend((!ended.is_empty()).then(|| Self::told(dialect, delivered, &ended))),
        }
        if let Some(since) = filter.changed_since {
            ways.iter_mut().for_each(|way| way.wanted += &way.changed(since));
        }
        ways
    }

    /// The condition that something has changed of a row since. What was never marked, changed or moved tells that by its fence.
    fn changed(&self, since: Millis) -> String {
        let receipt = |short: &str, at: &str| {
            format!(
                "EXISTS (SELECT 1 FROM receipt q WHERE q.lane = {short}.lane AND q.at = {at} AND q.id = {short}.id AND q.received_at >= {since})"
            )
        };
        match self.short {
            "d" => {
                let first = ReminderId::first_at(since).0;
                let happened = format!(
                    "EXISTS (SELECT 1 FROM outcome x WHERE x.lane = d.lane AND x.at = m.at AND x.id = d.id AND x.ended_at >= {since})"
                );
                let told = receipt("d", "m.at");
                format!(
                    " AND (d.id >= {first} OR d.fence > 0 AND (COALESCE(m.changed_at, 0) >= {since} OR {happened} OR {told}))"
                )
            }
            "o" => format!(" AND (o.ended_at >= {since} OR {})", receipt("o", "o.at")),
            _ => format!(" AND (k.received_at >= {since} OR o.ended_at >= {since})"),
        }
    }

    /// The statement that tells where a slice ends, if more follows.
    fn end_of_slice(&self, order: Order) -> String {
        let Self { table, short, at, walked, .. } = self;
        let ((behind, direction), before) = (order.sql(), order.back());
        format!(
            "SELECT {at} AS at, {short}.id FROM {table} WHERE {short}.lane = $1 AND ({at}, {short}.id) {behind} ($2, $3) AND {at} {before} $4 {walked}
             ORDER BY {at} {direction}, {short}.id {direction} LIMIT 1 OFFSET {}",
            SLICE - 1
        )
    }

    /// The statement that finds what is wanted of a slice.
    fn found(&self, order: Order) -> String {
        let Self { table, short, at, walked, joined, wanted } = self;
        let ((behind, direction), before) = (order.sql(), order.back());
        let (of_due, ended) = if *short == "d" { (OF_DUE, "NULL") } else { (OF_END, "o.state") };
        format!(
            "SELECT {STORED}, {of_due}, {ended} AS ended
             FROM {table} {joined} JOIN reminder m ON m.id = {short}.id JOIN recipient p ON p.id = m.recipient
             WHERE {short}.lane = $1 AND ({at}, {short}.id) {behind} ($2, $3) AND ({at}, {short}.id) {before}= ($4, $5) {walked} {wanted}
               AND ($6 = 0 OR m.template = $6)
             ORDER BY {at} {direction}, {short}.id {direction} LIMIT $7"
        )
    }
}

/// A walk on its way.
struct Walk {
    way: Way,
    lane: i64,
    /// 0 for any.
    template: i64,
    /// All up to here was looked at.
    at: Key,
    /// There is no more.
    done: bool,
    /// Reminders that were found and are not yet on a page.
    found: VecDeque<Stored>,
}

fn key(stored: &Stored) -> Key {
    (stored.due.due_at, stored.due.id.0)
}

/// Its place among those of its schedule.
fn key_at(stored: &Stored) -> Key {
    (stored.due.at, stored.due.id.0)
}

impl Walk {
    /// The first place of which this walk cannot say yet that nothing lies before it.
    fn next(&self) -> Key {
        self.found.front().map_or(self.at, key)
    }

    /// Looks at the next slice, for at most so many.
    async fn go_on(&mut self, store: &Store, filter: &Filter, at_most: usize) -> Result<(), StoreError> {
        let (sql, last) = (self.way.end_of_slice(filter.order), filter.end());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.lane).bind(self.at.0).bind(self.at.1).bind(last.0);
        let end = query.fetch_optional(&store.read).await?.map(|row| (row.get("at"), row.get("id")));
        let (until, at_most) = (end.unwrap_or(last), at_most.min(SLICE));
        let sql = self.way.found(filter.order);
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.lane).bind(self.at.0).bind(self.at.1);
        let query = query.bind(until.0).bind(until.1).bind(self.template).bind(at_most as i64);
        let rows = query.fetch_all(&store.read).await?;
        self.found.extend(rows.iter().map(|row| stored(row, &store.names)));
        (self.at, self.done) = match self.found.back() {
            Some(last) if rows.len() == at_most => (key(last), false),
            _ => (until, end.is_none()),
        };
        Ok(())
    }
}

/// Until when a list may take its time.
#[derive(Clone, Copy)]
struct Patience(Option<Instant>);

impl Patience {
    fn is_over(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

impl Store {
    /// Reminders in the order of (instant, id), however long it takes. The instant of a living one that is retried is that of its next try.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Stored>, StoreError> {
        let page = self.walk(filter, Patience(None)).await?;
        Ok(page.map(|page| page.items).unwrap_or_default())
    }

    /// The same, and where the next page goes on. When the time is over the page is short, and the pages together are complete all the same.
    /// `None` if that was too little for all reminders of one user, which are put in order before any is given.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn page(&self, filter: &Filter, within: Duration) -> Result<Option<Page>, StoreError> {
        self.walk(filter, Patience(Some(Instant::now() + within))).await
    }

    async fn walk(&self, filter: &Filter, patience: Patience) -> Result<Option<Page>, StoreError> {
        if let Some(openid) = &filter.openid {
            return self.of_user(filter, openid, patience).await;
        }
        if let Some(schedule) = filter.schedule {
            return self.of_schedule(filter, schedule, patience).await.map(Some);
        }
        let mut walks: Vec<Walk> = Vec::new();
        let start = filter.start();
        for app in &filter.apps {
            let place = self.names.app(app);
            let template = filter.templates.get(app).map(|code| self.names.find_template(place.id, code).unwrap_or(-1));
            for lane in self.names.lanes_of(app) {
                let walk = |way| Walk {
                    way,
                    lane,
                    template: template.unwrap_or_default(),
                    at: start,
                    done: false,
                    found: VecDeque::new(),
                };
                walks.extend(Way::all(self.database.dialect, filter).into_iter().map(walk));
            }
        }
        let mut items: Vec<Stored> = Vec::new();
        loop {
            walks.retain(|walk| !walk.done || !walk.found.is_empty());
            let first = walks.iter_mut().reduce(|a, b| if filter.order.is_before(b.next(), a.next()) { b } else { a });
            let Some(first) = first else {
                return Ok(Some(Page { items, next: None, cut_short: false }));
            };
            if items.len() >= filter.limit {
                let next = items.last().map(|last| (last.due.due_at, last.due.id));
                return Ok(Some(Page { items, next, cut_short: false }));
            }
            if let Some(stored) = first.found.pop_front() {
                // One that has ended since it was found living is found again in its place.
                if items.last().is_none_or(|last| last.due.id != stored.due.id) {
                    items.push(stored);
                }
            } else if patience.is_over() && first.at != start {
                let next = Some((first.at.0, ReminderId(first.at.1)));
                return Ok(Some(Page { items, next, cut_short: true }));
            } else {
                // One more than is wanted tells whether there are more.
                first.go_on(self, filter, filter.limit.saturating_sub(items.len()).saturating_add(1)).await?;
            }
        }
    }

    /// Of one user, all of whose reminders are looked at, because nothing lists them in order.
    async fn of_user(&self, filter: &Filter, openid: &str, patience: Patience) -> Result<Option<Page>, StoreError> {
        let mut found: BTreeMap<Key, Stored> = BTreeMap::new();
        let (mut more, mut looked) = (false, false);
        let (start, end) = (filter.start(), filter.end());
        for app in &filter.apps {
            let ids: Vec<i64> = self.ids_of_user(app, openid).await?.into_iter().collect();
            for some in ids.chunks(AT_ONCE) {
                if looked && patience.is_over() {
                    return Ok(None);
                }
                looked = true;
                let rows = self.database.dialect.rows(["id"], some.iter().map(|id| [(*id).into()]));
                let sql = format!(
                    "SELECT {STORED}, {OF_DUE}, {LAST_STATE} AS ended
                     FROM {{rows}} JOIN reminder m ON m.id = r.id JOIN recipient p ON p.id = m.recipient {LIVING}"
                );
                let sql = self.database.dialect.sql(&sql, &rows);
                let all = bound(&sql, &rows).fetch_all(&self.read).await?;
                let all = all.iter().map(|row| stored(row, &self.names)).filter(|stored| filter.wants(stored));
                let places = all.map(|stored| (key(&stored), stored));
                found.extend(places.filter(|(place, _)| {
                    filter.order.is_before(start, *place) && !filter.order.is_before(end, *place)
                }));
                while found.len() > filter.limit {
                    let last = match filter.order {
                        Order::Oldest => found.pop_last(),
                        Order::Newest => found.pop_first(),
                    };
                    more = last.is_some();
                }
            }
        }
        let mut items: Vec<Stored> = found.into_values().collect();
        if filter.order == Order::Newest {
            items.reverse();
        }
        let next = items.last().filter(|_| more).map(|last| (last.due.due_at, last.due.id));
        Ok(Some(Page { items, next, cut_short: false }))
    }

    /// Of one schedule, along the index of its instants.
    async fn of_schedule(&self, filter: &Filter, schedule: i64, patience: Patience) -> Result<Page, StoreError> {
        let mut at = filter.start();
        let ((behind, direction), before) = (filter.order.sql(), filter.order.back());
        let mut items: Vec<Stored> = Vec::new();
        let place = |stored: &Stored| (stored.due.at, stored.due.id);
        loop {
            let sql = format!(
                "SELECT {STORED}, {OF_DUE}, {LAST_STATE} AS ended
                 FROM (SELECT * FROM reminder o WHERE o.schedule = $1 AND (o.at, o.id) {behind} ($2, $3) AND o.at {before} $4
                       ORDER BY o.at {direction}, o.id {direction} LIMIT {AT_ONCE}) m
                 JOIN recipient p ON p.id = m.recipient {LIVING} ORDER BY m.at {direction}, m.id {direction}"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(schedule).bind(at.0).bind(at.1);
            let rows = query.bind(filter.end().0).fetch_all(&self.read).await?;
            for stored in rows.iter().map(|row| stored(row, &self.names)) {
                at = key_at(&stored);
                let is_wanted = filter.wants(&stored);
                if is_wanted && items.len() >= filter.limit {
                    let next = items.last().map(place);
                    return Ok(Page { items, next, cut_short: false });
                }
                items.extend(is_wanted.then_some(stored));
            }
            if rows.len() < AT_ONCE {
                return Ok(Page { items, next: None, cut_short: false });
            }
            if patience.is_over() {
                return Ok(Page { items, next: Some((at.0, ReminderId(at.1))), cut_short: true });
            }
        }
    }

    /// The ids of a user's reminders.
    async fn ids_of_user(&self, app: &str, openid: &str) -> Result<BTreeSet<i64>, StoreError> {
        let sql = "SELECT id FROM recipient WHERE app = $1 AND openid = $2";
        let query = sqlx::query(sql).bind(self.names.app(app).id).bind(openid);
        let Some(user) = query.fetch_optional(&self.read).await? else { return Ok(BTreeSet::new()) };
        let user: i64 = user.get("id");
        let mut ids = BTreeSet::new();
        let mut after: (i64, i64) = (0, 0);
        loop {
            let sql = format!(
                "SELECT c.template, c.n, c.reminder FROM consent c WHERE c.recipient = $1 AND (c.template, c.n) > ($2, $3)
                 ORDER BY c.template, c.n LIMIT {SLICE}"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(user).bind(after.0).bind(after.1);
            let rows = query.fetch_all(&self.read).await?;
            ids.extend(rows.iter().filter_map(|row| row.get::<Option<i64>, _>("reminder")));
            match rows.last() {
                Some(last) if rows.len() == SLICE => after = (last.get("template"), last.get("n")),
                _ => break,
            }
        }
        let mut after = 0;
        loop {
            let sql = format!(
                "SELECT reminder FROM unheld WHERE recipient = $1 AND reminder > $2 ORDER BY reminder LIMIT {SLICE}"
            );
            let rows = sqlx::query(AssertSqlSafe(sql)).bind(user).bind(after).fetch_all(&self.read).await?;
            let reminder = |row: &AnyRow| -> i64 { row.get("reminder") };
            ids.extend(rows.iter().map(reminder));
            match rows.last() {
                Some(last) if rows.len() == SLICE => after = reminder(last),
                _ => return Ok(ids),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{AnyConnection, Connection};

    #[tokio::test]
    async fn no_list_sorts_or_goes_through_a_whole_table() {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().expect("a folder");
        let url = crate::store::file::url(&folder.path().join("tixing.db"), "rwc");
        let mut conn = AnyConnection::connect(&url).await.expect("opens");
        crate::store::schema::SQLITE.run(&mut conn).await.expect("the schema");
        let mut seen = BTreeSet::new();
        let some = [vec![], vec![State::Sent, State::Failed], vec![State::Failed, State::Expired, State::InDoubt]];
        let all = some.into_iter().chain(State::ALL.map(|state| vec![state]));
        for (states, order) in all.flat_map(|states| [(states.clone(), Order::Oldest), (states, Order::Newest)]) {
            for (delivered, changed_since) in
                [None, Some(true), Some(false)].into_iter().flat_map(|d| [(d, None), (d, Some(7))])
            {
                let filter = Filter { states: states.clone(), delivered, changed_since, ..Filter::default() };
                for way in Way::all(Dialect::Sqlite, &filter) {
                    for sql in [way.end_of_slice(order), way.found(order)] {
                        let plan = format!("EXPLAIN QUERY PLAN {sql}");
                        let plan = sqlx::query(AssertSqlSafe(plan)).fetch_all(&mut conn).await.expect("explained");
                        let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
                        assert!(!steps.iter().any(|s| s.contains("SCAN") || s.contains("TEMP")), "{sql}: {steps:?}");
                        let sign = if order == Order::Oldest { '>' } else { '<' };
                        let ordered =
                            ["(at,id)", "(due_at,id)"].iter().any(|key| steps[0].contains(&format!("{key}{sign}")))
                                && (steps[0].contains("lane=? AND state=? AND ") || steps[0].contains("lane=? AND "));
                        assert!(ordered, "{sql}: {steps:?}");
                        let outcome =
                            steps.iter().find(|step| step.starts_with("SEARCH o ")).filter(|_| way.short == "k");
                        assert!(outcome.is_none_or(|step| step.contains("at=? AND id=?")), "{sql}: {steps:?}");
                        seen.extend(
                            steps[0].split("INDEX ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned),
                        );
                    }
                }
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["doubtful", "ended_otherwise", "undelivered"]);
    }
}
