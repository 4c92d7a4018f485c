//! Names to small integers and back: apps, their lanes and templates.

use super::{dialect::Dialect, error::unknown_name as unknown, pseudonyms::Pseudonyms};
use crate::{
    config::App,
    domain::{
        consent::{Allowance, Feeds},
        node::shard_of,
    },
};
use sqlx::{AnyConnection, Row};
use std::{
    collections::{HashMap, HashSet},
    sync::RwLock,
};

/// An app's row and its first lane's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The app.
    pub id: i64,
    /// The lane of its first shard: what concerns the whole app is kept there.
    pub home: i64,
}

/// All lanes. Another daemon may divide an app while this one runs.
#[derive(Debug, Default)]
struct Lanes {
    /// The app of each lane.
    apps: HashMap<i64, i64>,
    /// The lanes of each app, by shard.
    of_apps: HashMap<i64, Vec<i64>>,
}

/// Names to small integers and back; but for the lanes they are fixed while the daemon runs.
#[derive(Debug)]
pub struct Names {
    pub(super) apps: HashMap<String, Place>,
    names_of_apps: HashMap<i64, String>,
    lanes: RwLock<Lanes>,
    /// Into how many lanes the new reminders of an app go, where that is more than one.
    shards: HashMap<i64, u32>,
    templates: HashMap<(i64, String), i64>,
    codes: HashMap<i64, (i64, String)>,
    /// What one accept of a template is worth; of those left out, one send.
    allowances: HashMap<i64, Allowance>,
    /// Apps whose consents can end by themselves or be tickets.
    limited: HashSet<i64>,
    feeds: HashMap<i64, Feeds>,
    pub(super) configured: HashSet<String>,
    pseudonyms: Pseudonyms,
}

impl Names {
    pub(super) fn nameless(pseudonyms: Pseudonyms) -> Self {
        Self {
            apps: HashMap::new(),
            names_of_apps: HashMap::new(),
            lanes: RwLock::default(),
            shards: HashMap::new(),
            templates: HashMap::new(),
            codes: HashMap::new(),
            allowances: HashMap::new(),
            limited: HashSet::new(),
            feeds: HashMap::new(),
            configured: HashSet::new(),
            pseudonyms,
        }
    }

    pub(crate) fn app(&self, name: &str) -> Place {
        *self.apps.get(name).expect("the API and the engine name configured apps only")
    }

    pub(super) fn template(&self, app: i64, code: &str) -> i64 {
        *self.templates.get(&(app, code.to_owned())).expect("only configured templates are named")
    }

    pub(super) fn find_template_of_lane(&self, lane: i64, code: &str) -> Option<i64> {
        self.find_template(self.app_id_of_lane(lane)?, code)
    }

    pub(super) fn find_template(&self, app: i64, code: &str) -> Option<i64> {
        self.templates.get(&(app, code.to_owned())).copied()
    }

    /// Which feeds count for an app.
    pub(super) fn feeds(&self, app: i64) -> Feeds {
        self.feeds.get(&app).copied().unwrap_or_default()
    }

    /// What one accept of a template is worth.
    pub(super) fn allowance(&self, template: i64) -> Allowance {
        self.allowances.get(&template).cloned().unwrap_or(Allowance::Once)
    }

    /// Whether an accept of a template stands for many sends.
    pub(super) fn standing(&self, template: i64) -> bool {
        self.allowances.get(&template) == Some(&Allowance::Standing)
    }

    /// Whether an app's consents can end by themselves or be tickets.
    pub(super) fn limited(&self, app: i64) -> bool {
        self.limited.contains(&app)
    }

    /// The same of a lane's app. Of one that another daemon has made a moment ago it may be so.
    pub(super) fn limited_lane(&self, lane: i64) -> bool {
        !self.limited.is_empty() && self.app_id_of_lane(lane).is_none_or(|app| self.limited(app))
    }

    /// What users are called in logs.
    pub fn pseudonyms(&self) -> &Pseudonyms {
        &self.pseudonyms
    }

    /// The platform's id of a template.
    pub fn code(&self, template: i64) -> &str {
        self.codes.get(&template).map_or("?", |(_, code)| code)
    }

    /// The name of an app.
    pub(super) fn app_of_id(&self, app: i64) -> &str {
        self.names_of_apps.get(&app).map_or("?", String::as_str)
    }

    fn lanes(&self) -> std::sync::RwLockReadGuard<'_, Lanes> {
        self.lanes.read().expect("nobody panics while writing them")
    }

    /// The app whose lane this is; none of a lane that another daemon has made a moment ago.
    pub(super) fn app_id_of_lane(&self, lane: i64) -> Option<i64> {
        self.lanes().apps.get(&lane).copied()
    }

    /// The lanes of an app, by shard.
    pub(crate) fn lanes_of(&self, app: &str) -> Vec<i64> {
        self.lanes().of_apps.get(&self.app(app).id).cloned().unwrap_or_default()
    }

    /// The lane that a user's new reminders go to. All of one user go through one lane, so that one of them waits for the other.
    pub(super) fn lane_of_user(&self, app: Place, openid: &str) -> i64 {
        match self.shards.get(&app.id) {
            None => app.home,
            Some(shards) => self.lanes().of_apps[&app.id][shard_of(openid, *shards) as usize],
        }
    }

    /// The first lane of a lane's app.
    pub(super) fn home_of(&self, lane: i64) -> i64 {
        self.app_id_of_lane(lane).and_then(|app| self.lanes().of_apps[&app].first().copied()).unwrap_or(lane)
    }

    /// The app of a template.
    pub(super) fn app_of_template(&self, template: i64) -> i64 {
        self.codes.get(&template).expect("only configured templates are named").0
    }

    /// The app of a template that was read from the store: another daemon may have been configured with it since this one started.
    ///
    /// # Errors
    /// When this one does not know it.
    pub(super) fn app_of_stored(&self, template: i64) -> sqlx::Result<i64> {
        self.codes.get(&template).map(|(app, _)| *app).ok_or_else(unknown)
    }

    /// The first lane of that app.
    ///
    /// # Errors
    /// As [`Self::app_of_stored`].
    pub(super) fn home_of_stored(&self, template: i64) -> sqlx::Result<i64> {
        let app = self.app_of_stored(template)?;
        self.lanes().of_apps.get(&app).and_then(|lanes| lanes.first().copied()).ok_or_else(unknown)
    }

    /// An app's templates.
    pub(super) fn templates(&self, app: i64) -> impl Iterator<Item = i64> {
        self.codes.iter().filter(move |(_, (of, _))| *of == app).map(|(template, _)| *template)
    }

    /// All lanes.
    pub fn all_lanes(&self) -> Vec<i64> {
        self.lanes().apps.keys().copied().collect()
    }

    /// The name of the app whose lane this is.
    pub fn app_of_lane(&self, lane: i64) -> &str {
        self.app_id_of_lane(lane).map_or("?", |app| self.app_of_id(app))
    }

    /// Reads which lanes there are: other daemons make some, too.
    pub(super) async fn read_lanes(&self, conn: &mut AnyConnection) -> sqlx::Result<()> {
        let mut lanes = Lanes::default();
        for row in sqlx::query("SELECT id, app FROM lane ORDER BY app, shard").fetch_all(conn).await? {
            let (lane, app): (i64, i64) = (row.get("id"), row.get("app"));
            lanes.apps.insert(lane, app);
            lanes.of_apps.entry(app).or_default().push(lane);
        }
        *self.lanes.write().expect("nobody panics while writing them") = lanes;
        Ok(())
    }
}

/// Into how many lanes an app is divided: the one daemon of a file has nobody to share them with.
fn shards(dialect: Dialect, app: &App) -> u32 {
    if dialect == Dialect::Sqlite { 1 } else { app.shards }
}

/// Stores an app, and its first lanes.
pub(super) async fn make_lanes(conn: &mut AnyConnection, app: &str, lanes: u32) -> sqlx::Result<()> {
    let sql = "INSERT INTO app (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
    sqlx::query(sql).bind(app).execute(&mut *conn).await?;
    for shard in 0..lanes {
        let sql =
            "INSERT INTO lane (app, shard) SELECT id, $2 FROM app WHERE name = $1 ON CONFLICT (app, shard) DO NOTHING";
        sqlx::query(sql).bind(app).bind(i64::from(shard)).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Stores the names of the configured apps and templates, and reads all that are stored.
pub(super) async fn learn(conn: &mut AnyConnection, dialect: Dialect, apps: &[App]) -> sqlx::Result<Names> {
    for app in apps {
        make_lanes(conn, &app.name, shards(dialect, app)).await?;
        for template in &app.templates {
            sqlx::query("INSERT INTO template (app, code) SELECT id, $2 FROM app WHERE name = $1 ON CONFLICT (app, code) DO NOTHING")
                .bind(&app.name)
                .bind(&template.code)
                .execute(&mut *conn)
                .await?;
        }
    }
    let mut names = Names::nameless(Pseudonyms::of(conn).await?);
    names.read_lanes(conn).await?;
    let rows =
        sqlx::query("SELECT a.id, a.name, l.id AS lane FROM app a JOIN lane l ON l.app = a.id WHERE l.shard = 0");
    for row in rows.fetch_all(&mut *conn).await? {
        let (name, place) = (row.get::<String, _>("name"), Place { id: row.get("id"), home: row.get("lane") });
        names.names_of_apps.insert(place.id, name.clone());
        names.apps.insert(name, place);
    }
    for row in sqlx::query("SELECT id, app, code FROM template").fetch_all(&mut *conn).await? {
        let (id, app, code): (i64, i64, String) = (row.get("id"), row.get("app"), row.get("code"));
        names.codes.insert(id, (app, code.clone()));
        names.templates.insert((app, code), id);
    }
    for app in apps {
        names.configured.insert(app.name.clone());
        let place = names.app(&app.name);
        names.feeds.insert(place.id, app.consents);
        if shards(dialect, app) > 1 {
            names.shards.insert(place.id, app.shards);
        }
        if app.platform.consents_end() {
            names.limited.insert(place.id);
        }
        for template in &app.templates {
            let (id, allowance) = (names.template(place.id, &template.code), template.allowance());
            if allowance != Allowance::Once {
                names.allowances.insert(id, allowance);
            }
        }
    }
    Ok(names)
}
