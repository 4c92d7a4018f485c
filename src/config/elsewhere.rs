//! `token` of an app: the central service that keeps its tokens, in place of the platform.

use super::{check::Check, place::Place, secret};
use crate::{platform::elsewhere::Source, words::say};
use secrecy::ExposeSecret;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    url: String,
    header: Option<secret::Source>,
    #[serde(default = "pointer")]
    pointer: String,
    #[serde(default = "expires")]
    expires: String,
}

fn pointer() -> String {
    "/access_token".into()
}

fn expires() -> String {
    "/expires_in".into()
}

impl Raw {
    pub fn check(&self, place: &Place<'_>, check: &mut Check<'_>) -> Option<Source> {
        let url = reqwest::Url::parse(&self.url).ok();
        let web = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        match url.filter(web) {
            None => check.problem(&place.key("url"), say!("bad_token_url")),
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                check.problem(&place.key("url"), say!("token_url_with_secret"));
            }
            Some(_) => {}
        }
        for (key, pointer) in [("pointer", &self.pointer), ("expires", &self.expires)] {
            if !pointer.starts_with('/') || pointer.len() > 256 {
                check.problem(&place.key(key), say!("bad_json_pointer", key = key, found = pointer));
            }
        }
        let header = match &self.header {
            None => String::new().into(),
            Some(source) => {
                let header = source.read(&place.key("header"), check)?;
                let header_text = header.expose_secret();
                // One that was passed over is empty.
                if !header_text.is_empty() && Source::split(header_text).is_none() {
                    check.problem(&place.key("header"), say!("bad_token_header"));
                }
                header
            }
        };
        Some(Source { url: self.url.clone(), header, pointer: self.pointer.clone(), expires: self.expires.clone() })
    }

    /// The secret that it names.
    pub fn source(&self) -> Option<&secret::Source> {
        self.header.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{GOOD, read, refused};

    #[test]
    fn an_app_whose_tokens_come_from_elsewhere_needs_no_secret() {
        let token = "token = { url = \"https://tokens.example/coffee\" }";
        let config = read(&GOOD.replace("secret = { env = \"COFFEE\" }", token), &[]).expect("good");
        let source = config.apps[0].token.as_ref().expect("a source");
        assert_eq!((&*source.pointer, &*source.expires), ("/access_token", "/expires_in"));
    }

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        let zone = "timezone = \"Asia/Shanghai\"";
        refused(&[
            (zone, "token = { url = \"tokens.example\" }", "tixing.toml:11: this is no web address"),
            (
                zone,
                "token = { url = \"https://me:hunter2@tokens.example\" }",
                "tixing.toml:11: a secret is never written",
            ),
            (
                zone,
                "token = { url = \"https://a.example\", pointer = \"data.token\" }",
                "tixing.toml:11: pointer is «data.token»",
            ),
            (
                zone,
                "token = { url = \"https://a.example\", header = { env = \"COFFEE\" } }",
                "tixing.toml:11: the header's text",
            ),
            (zone, "token = { url = \"https://a.example\", header = \"X-Key: hunter2\" }", "a secret is never written"),
        ]);
    }
}
