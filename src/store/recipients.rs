//! Users as rows: an openid stands in `recipient` alone, and everything else names a small integer.

use super::{
    dialect::{Dialect, Rows},
    error::meanwhile,
    names::Names,
    tx::{Tx, bound},
};
use sqlx::{AnyConnection, Row};
use std::collections::{HashMap, HashSet};

/// Finds, and with `create` makes, the rows of users; of those who were forgotten there is none. Until the transaction ends nobody of them is
/// forgotten, and whoever has locked their rows waits for it: so it sees all that is theirs.
pub(super) async fn recipients(
    tx: &mut Tx<'_>,
    wanted: &[(i64, String)],
    create: bool,
) -> sqlx::Result<HashMap<(i64, String), i64>> {
    let mut users: Vec<(i64, &str)> = wanted.iter().map(|(app, openid)| (*app, openid.as_str())).collect();
    users.sort_unstable();
    users.dedup();
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    const COLUMNS: [&str; 2] = ["app", "openid"];
    let wanted = tx.dialect.rows(COLUMNS, users.iter().map(|(app, openid)| [(*app).into(), (*openid).into()]));
    let mut found = find(tx, &wanted).await?;
    if create {
        users.retain(|(app, openid)| !found.contains_key(&(*app, (*openid).to_owned())));
        let gone = forgotten(tx, &users).await?;
        users.retain(|(app, openid)| !gone.contains(&(*app, (*openid).to_owned())));
        if !users.is_empty() {
            let missing = tx.dialect.rows(COLUMNS, users.iter().map(|(app, openid)| [(*app).into(), (*openid).into()]));
            let create = "INSERT INTO recipient (app, openid) SELECT r.app, r.openid FROM {rows} WHERE true
                 ON CONFLICT (app, openid) DO NOTHING";
            tx.run(create, &missing).await?;
            // It may have waited for a transaction that has forgotten one of them since it was asked.
            if tx.dialect == Dialect::Postgres && !forgotten(tx, &users).await?.is_empty() {
                return Err(meanwhile());
            }
            found.extend(find(tx, &missing).await?);
        }
    }
    Ok(found)
}

/// Until the transaction ends nobody of an app is forgotten but those who are by now, so that a text that names nobody of these stays so.
pub(super) async fn keep_forgotten(tx: &mut Tx<'_>, app: i64) -> sqlx::Result<()> {
    tx.lock("SELECT id FROM app WHERE id = $1 FOR SHARE", app).await
}

/// Until the transaction ends nobody else changes who of an app is forgotten, and no text is written that may name one of its users.
pub(super) async fn change_forgotten(tx: &mut Tx<'_>, app: i64) -> sqlx::Result<()> {
    tx.lock("SELECT id FROM app WHERE id = $1 FOR UPDATE", app).await
}

/// Until the transaction ends nothing comes to a user: what others were about to add is there.
pub(super) async fn have_alone(tx: &mut Tx<'_>, recipient: i64) -> sqlx::Result<()> {
    tx.lock("SELECT id FROM recipient WHERE id = $1 FOR UPDATE", recipient).await
}

/// The users of these rows (app, openid) who are known.
async fn find(tx: &mut Tx<'_>, wanted: &Rows) -> sqlx::Result<HashMap<(i64, String), i64>> {
    let from = "FROM {rows} JOIN recipient p ON p.app = r.app AND p.openid = r.openid {keep p}";
    let rows: Vec<(i64, String, i64)> = tx.packed(&["p.app", "p.openid", "p.id"], from, wanted).await?;
    Ok(rows.into_iter().map(|(app, openid, id)| ((app, openid), id)).collect())
}

/// Those of `users` who were forgotten. A known user is not among them, so only unknown ones need to be asked for.
pub(super) async fn forgotten(tx: &mut Tx<'_>, users: &[(i64, &str)]) -> sqlx::Result<HashSet<(i64, String)>> {
    let (conn, dialect, names) = tx.parts().await?;
    forgotten_among(conn, dialect, names, users).await
}

/// The same on any connection.
pub(super) async fn forgotten_among(
    conn: &mut AnyConnection,
    dialect: Dialect,
    names: &Names,
    users: &[(i64, &str)],
) -> sqlx::Result<HashSet<(i64, String)>> {
    if users.is_empty() || sqlx::query("SELECT app FROM forgotten LIMIT 1").fetch_optional(&mut *conn).await?.is_none()
    {
        return Ok(HashSet::new());
    }
    let tags: Vec<String> = users.iter().map(|(_, openid)| names.pseudonyms().tag(openid)).collect();
    let cells = users.iter().zip(&tags).map(|((app, _), tag)| [(*app).into(), tag.as_str().into()]);
    let rows = dialect.rows(["app", "tag"], cells);
    let sql = dialect.sql("SELECT f.app, f.tag FROM {rows} JOIN forgotten f ON f.app = r.app AND f.tag = r.tag", &rows);
    let found = bound(&sql, &rows).fetch_all(conn).await?;
    let found: HashSet<(i64, String)> = found.iter().map(|row| (row.get("app"), row.get("tag"))).collect();
    let gone = users.iter().zip(tags).filter(|((app, _), tag)| found.contains(&(*app, tag.clone())));
    Ok(gone.map(|((app, openid), _)| (*app, (*openid).to_owned())).collect())
}
