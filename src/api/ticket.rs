//! Tickets in the API: an accept names the id that its dialog was opened with, or another ticket that the platform knows.

use crate::{
    config::App,
    domain::{
        Invalid,
        consent::{Ticket, TicketKind},
        draft::one_of,
        template::Kind,
    },
    store::{Minted, Pseudonyms, Store},
    words::say,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest id of a ticket.
const LONGEST: usize = 64;

/// A ticket: what a send names to the platform instead of an accept.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: kind and id")]
#[schema(as = Ticket)]
pub struct TicketBody {
    /// One of the platform's kinds, such as `form` or `payment`.
    pub kind: String,
    /// Its id, as the client was given it.
    #[schema(min_length = 1, max_length = 64)]
    pub id: String,
}

impl From<Ticket> for TicketBody {
    fn from(Ticket { kind, id }: Ticket) -> Self {
        Self { kind, id }
    }
}

/// Whose a ticket is said to be.
pub(super) struct Whose<'a> {
    pub app: &'a App,
    pub openid: &'a str,
    /// The templates that it is for, by id or alias.
    pub templates: &'a [&'a str],
}

/// The ticket that an accept names, if it names one. Its fields lie at `base`.
///
/// # Errors
/// The field at fault. An id that was prepared for another user or template is refused, and a ticket for a template whose accept stands for
/// any number of sends: no send of it would ever name the ticket.
pub(super) fn named(
    of: &Whose<'_>,
    store: &Store,
    subscribe_id: Option<String>,
    ticket: Option<TicketBody>,
    base: &str,
) -> Result<Option<(TicketKind, Ticket)>, Invalid> {
    let bad = |member: &str, why| Err(Invalid::new("bad_value", format!("{base}/{member}"), why));
    let (kinds, platform) = (of.app.platform.tickets.kinds, of.app.platform.word);
    let (member, kind, id) = match (subscribe_id, ticket) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return bad("ticket", say!("subscribe_id_and_ticket")),
        (Some(id), None) => match kinds.iter().find(|kind| kind.minted) {
            Some(kind) => ("subscribe_id", *kind, id),
            None => return bad("subscribe_id", say!("tickets_unknown", platform = platform)),
        },
        (None, Some(TicketBody { kind, id })) => {
            let words: Vec<&str> = kinds.iter().filter(|kind| !kind.minted).map(|kind| kind.word).collect();
            if words.is_empty() {
                return bad("ticket", say!("tickets_unknown", platform = platform));
            }
            one_of(&kind, &words, &format!("{base}/ticket/kind"))?;
            let known = kinds.iter().find(|known| known.word == kind).expect("one of their words");
            ("ticket/id", *known, id)
        }
    };
    if id.is_empty() || id.len() > LONGEST || !id.bytes().all(|b| b.is_ascii_graphic()) {
        return bad(member, say!("bad_ticket_id", most = LONGEST));
    }
    if of.templates.len() > 1 {
        return bad(member, say!("ticket_for_several", n = of.templates.len()));
    }
    let pseudonyms = store.names().pseudonyms();
    for template in of.templates.iter().filter_map(|template| of.app.template(template)) {
        let minted = Minted { app: &of.app.name, openid: of.openid, template: &template.code };
        if template.kind == Kind::LongTerm {
            return bad(
                member,
                say!("ticket_for_long_term", template = template.name.as_ref().unwrap_or(&template.code)),
            );
        }
        if kind.minted && Pseudonyms::looks_minted(&id) && !pseudonyms.has_minted(&id, minted) {
            return bad(member, say!("subscribe_id_of_another"));
        }
    }
    Ok(Some((kind, Ticket { kind: kind.word.to_owned(), id })))
}

/// The template that an id was prepared for, if it was by us for one of this user's.
pub(super) fn prepared_for<'a>(app: &'a App, store: &Store, openid: &str, id: &str) -> Option<&'a str> {
    let pseudonyms = store.names().pseudonyms();
    let mut codes = app.templates.iter().map(|template| template.code.as_str());
    codes.find(|&template| pseudonyms.has_minted(id, Minted { app: &app.name, openid, template }))
}
