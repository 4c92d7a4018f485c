//! `[console]`: the pages for people.

use super::{Server, check::Check, place::Place};
use crate::{
    domain::{DAY, HOUR, MINUTE, Millis, timing::parse_duration},
    words::{Lang, Message, say},
};
use serde::Deserialize;

/// How the console is reached, and for how long somebody stays signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Where people reach it, such as `https://tixing.example.com`: scheme, host and port. Without it the address that a request names.
    pub origin: Option<String>,
    /// A session ends when nothing was asked for so long, in milliseconds.
    pub session: Millis,
    /// The language of whoever has chosen none.
    pub lang: Lang,
}

impl Console {
    /// Whether people reach it by TLS.
    pub fn is_https(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.starts_with("https://"))
    }

    /// Whether what people type can be read on the way: they come from other machines, and not by TLS.
    pub fn is_in_clear(&self, server: &Server) -> bool {
        let from_here = |origin: &String| {
            let host = origin.strip_prefix("http://").unwrap_or_default();
            host == "localhost" || ["localhost:", "127.", "[::1]"].iter().any(|here| host.starts_with(here))
        };
        let named = self.origin.as_ref().map_or_else(|| server.listen.ip().is_loopback(), from_here);
        !self.is_https() && !named
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    enabled: bool,
    origin: Option<String>,
    session: Option<String>,
    lang: Option<String>,
}

/// A session lasts so long after the last request, unless the file says otherwise.
const SESSION: Millis = 12 * HOUR;

impl Raw {
    pub fn check(&self, server: Option<&Server>, check: &mut Check<'_>) -> Option<Console> {
        let place = Place::table("console");
        let origin = self.origin.as_deref().and_then(|text| check.good(&place.key("origin"), origin(text)));
        let session = self.session.as_deref().and_then(|text| check.good(&place.key("session"), session(text)));
        let lang = self.lang.as_deref().and_then(|text| check.good(&place.key("lang"), lang(text)));
        let console = Console { origin, session: session.unwrap_or(SESSION), lang: lang.unwrap_or(Lang::Zh) };
        if self.enabled && server.is_some_and(|server| console.is_in_clear(server)) {
            check.warning(say!("console_in_clear"));
        }
        self.enabled.then_some(console)
    }
}

/// Scheme, host and port, and nothing after them.
fn origin(text: &str) -> Result<String, Message> {
    let wrong = || say!("not_an_origin", text = text);
    let url: reqwest::Url = text.parse().map_err(|_| wrong())?;
    let origin = url.origin().ascii_serialization();
    let is_web = matches!(url.scheme(), "http" | "https");
    if is_web && text.trim_end_matches('/') == origin { Ok(origin) } else { Err(wrong()) }
}

fn session(text: &str) -> Result<Millis, Message> {
    match parse_duration(text)? {
        ms if (5 * MINUTE..=7 * DAY).contains(&ms) => Ok(ms),
        _ => Err(say!("session_out_of_bounds")),
    }
}

fn lang(text: &str) -> Result<Lang, Message> {
    match text {
        "zh" => Ok(Lang::Zh),
        "en" => Ok(Lang::En),
        _ => Err(say!("not_a_language")),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{GOOD, read, refused};

    #[test]
    fn every_mistake_is_told_and_a_console_that_others_can_listen_to_is_warned_of() {
        let with = |lines: &str| GOOD.replace("[store]", &format!("[console]\nenabled = true\n{lines}\n[store]"));
        refused(&[
            (
                "[store]",
                "[console]\norigin = \"tixing.example\"\n[store]",
                "tixing.toml:5: «tixing.example» is not an origin",
            ),
            ("[store]", "[console]\norigin = \"https://a.example/console\"\n[store]", "is not an origin"),
            ("[store]", "[console]\nsession = \"1m\"\n[store]", "tixing.toml:5: a session lasts 5 min to 7 d"),
            ("[store]", "[console]\nlang = \"fr\"\n[store]", "tixing.toml:5: "),
        ]);
        let console = |lines: &str| read(&with(lines), &[]).expect("good");
        assert!(read(&GOOD, &[]).expect("good").console.is_none());
        let there = console("origin = \"https://tixing.example:8443/\"");
        let console_of = there.console.as_ref().expect("enabled");
        assert_eq!(console_of.origin.as_deref(), Some("https://tixing.example:8443"));
        let warned = |lines: &str, listen: &str| {
            let text = with(lines).replace("127.0.0.1:8700", listen);
            let config = read(&text, &[]).expect("good");
            config.warnings.iter().any(|warning| warning.to_string().contains("console"))
        };
        assert!(warned("", "0.0.0.0:8700") && warned("origin = \"http://a.example\"", "0.0.0.0:8700"));
        assert!(warned("origin = \"http://a.example\"", "127.0.0.1:8700"), "a proxy without TLS");
        assert!(!warned("origin = \"http://localhost:8700\"", "127.0.0.1:8700"));
        assert!(!warned("", "127.0.0.1:8700") && !warned("origin = \"https://a.example\"", "0.0.0.0:8700"));
    }
}
