//! `proxy`: the only way out, where there is one. In an app it is that app's, at the top of the file it is everybody's.

use super::{
    check::{Check, unknown_word},
    place::Place,
    secret::Source,
};
use crate::{
    platform::proxy::Proxy,
    words::{Message, say},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// An app's word for no proxy, where there is one for all.
const NONE: &str = "none";
/// Hosts that are reached without it.
const EXCEPT: usize = 64;
const KEYS: &[&str] = &["url", "except", "credentials"];
/// Variables of the environment that other programs take a proxy from.
const VARIABLES: &[&str] =
    &["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/// The value of the key. It is never printed: somebody may have written a password there.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Raw(toml::Value);

/// What an app says of its way out.
pub(super) enum Way {
    By(Proxy),
    Direct,
}

impl Raw {
    /// The way that it names, or nothing and a problem.
    pub fn check(&self, place: &Place<'_>, check: &mut Check<'_>) -> Option<Way> {
        let none = toml::Table::new();
        let (url, more) = match &self.0 {
            toml::Value::String(word) if word == NONE => return Some(Way::Direct),
            toml::Value::String(url) => (url, &none),
            toml::Value::Table(table) => match table.get("url") {
                Some(toml::Value::String(url)) => (url, table),
                _ => return check.good(place, Err(say!("bad_proxy"))),
            },
            _ => return check.good(place, Err(say!("bad_proxy"))),
        };
        for key in more.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            check.problem(&place.key(key), unknown_word(key, KEYS));
        }
        let url = check.good(&place.key("url"), address(url));
        let except = check.good(&place.key("except"), except(more.get("except")));
        let credentials = match more.get("credentials") {
            None => Some(SecretString::default()),
            Some(_) => self.credentials().and_then(|source| credentials(&source, &place.key("credentials"), check)),
        };
        Some(Way::By(Proxy { url: url?, except: except?, credentials: credentials? }))
    }

    /// The secret that it names.
    pub fn credentials(&self) -> Option<Source> {
        Some(Source::of(self.0.get("credentials")?.clone()))
    }
}

fn address(text: &str) -> Result<String, Message> {
    let url = reqwest::Url::parse(text).map_err(|_| say!("bad_proxy"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(say!("proxy_with_secret"));
    }
    let plain = url.scheme() == "http" && url.has_host() && url.path() == "/" && url.query().is_none();
    if plain { Ok(text.trim_end_matches('/').to_owned()) } else { Err(say!("bad_proxy")) }
}

fn except(found: Option<&toml::Value>) -> Result<Vec<String>, Message> {
    let bad = || say!("bad_proxy_except", most = EXCEPT);
    let Some(found) = found else { return Ok(Vec::new()) };
    let hosts = found.as_array().filter(|hosts| hosts.len() <= EXCEPT).ok_or_else(bad)?;
    let is_host =
        |host: &str| (1..=253).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    hosts.iter().map(|host| host.as_str().filter(|host| is_host(host)).map(str::to_owned).ok_or_else(bad)).collect()
}

fn credentials(source: &Source, place: &Place<'_>, check: &mut Check<'_>) -> Option<SecretString> {
    let read = source.read(place, check)?;
    let text = read.expose_secret();
    // One that was passed over is empty.
    if !text.is_empty() && Proxy::split(text).is_none() {
        check.problem(place, say!("bad_proxy_credentials"));
    }
    Some(read)
}

/// Warns of variables that say a proxy to other programs: tixing would go by none, and nobody would know why nothing gets out.
pub(super) fn warn_of_variables(check: &mut Check<'_>) {
    let is_set = |name: &str| (check.env)(name).is_some_and(|value| !value.trim().is_empty());
    // Their values may have a password.
    let names: Vec<&str> = VARIABLES.iter().copied().filter(|name| is_set(name)).collect();
    if !names.is_empty() {
        check.warning(say!("proxy_variables", names = names));
    }
}

#[cfg(test)]
mod tests {
    use super::EXCEPT;
    use crate::config::{
        Config, parse,
        tests::{GOOD, read, refused},
    };
    use secrecy::ExposeSecret;
    use std::path::Path;

    const ZONE: &str = "timezone = \"Asia/Shanghai\"";

    fn with(for_all: &str, of_app: &str) -> Config {
        let env = |name: &str| match name {
            "COFFEE" => Some("s3cret".to_owned()),
            "PROXY" => Some("me:hunter2\n".to_owned()),
            "https_proxy" => Some("http://me:hunter2@proxy:1".to_owned()),
            _ => None,
        };
        let text = format!("{for_all}\n{}", GOOD.replace(ZONE, &format!("{ZONE}\n{of_app}")));
        parse(Path::new("tixing.toml"), &text, &env, Default::default()).expect("good")
    }

    #[test]
    fn a_proxy_is_for_an_app_or_for_all_and_an_app_may_go_without() {
        let (one, other) = ("proxy = \"http://127.0.0.1:3128\"", "proxy = \"http://proxy.example:8080/\"");
        for (for_all, of_app, by) in [
            ("", "", None),
            ("", one, Some("http://127.0.0.1:3128")),
            (one, "", Some("http://127.0.0.1:3128")),
            (one, other, Some("http://proxy.example:8080")),
            (one, "proxy = \"none\"", None),
        ] {
            let config = with(for_all, of_app);
            assert_eq!(config.apps[0].proxy.as_ref().map(|proxy| &*proxy.url), by, "{for_all} {of_app}");
            let warned = config.warnings.iter().map(ToString::to_string).any(|warning| warning.contains("https_proxy"));
            assert_eq!(warned, for_all.is_empty() && of_app.is_empty(), "{:?}", config.warnings);
            assert!(!format!("{config:?}").contains("hunter2"));
        }
    }

    #[test]
    fn its_credentials_are_a_secret_and_some_hosts_are_reached_without_it() {
        let whole =
            "proxy = { url = \"http://p:1\", credentials = { env = \"PROXY\" }, except = [\"tokens.example\"] }";
        let (config, plain) = (with("", whole), with("", "proxy = \"http://p:1\""));
        let proxy = config.apps[0].proxy.as_ref().expect("one");
        assert_eq!(
            (proxy.credentials.expose_secret(), &*proxy.except),
            ("me:hunter2", &["tokens.example".to_owned()][..])
        );
        assert!(!config.apps[0].has_secrets_of(&plain.apps[0]), "new credentials are new secrets");
        let other = with("", &whole.replace("p:1", "q:1"));
        let renewed = plain.apps[0].with_secrets_of(&other.apps[0]);
        assert_eq!(renewed.proxy.expect("one").credentials.expose_secret(), "", "another proxy's are not for this one");
        assert!(!config.is_like(&plain) && config.is_like(&with("", whole)));
    }

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        let many = format!("proxy = {{ url = \"http://p:1\", except = [{}] }}", "\"a\",".repeat(EXCEPT + 1));
        refused(&[
            (ZONE, "proxy = 3128", "tixing.toml:11: a proxy is written as"),
            (ZONE, "proxy = \"127.0.0.1:3128\"", "tixing.toml:11: a proxy is written as"),
            (ZONE, "proxy = \"socks5://127.0.0.1:1080\"", "tixing.toml:11: a proxy is written as"),
            (ZONE, "proxy = { adress = \"http://p:1\" }", "tixing.toml:11: a proxy is written as"),
            (ZONE, "proxy = \"http://me:hunter2@p:1\"", "tixing.toml:11: a secret is never written"),
            (ZONE, "proxy = { url = \"http://p:1\", credentials = \"me:hunter2\" }", "a secret is never written"),
            (ZONE, "proxy = { url = \"http://p:1\", credentials = { env = \"COFFEE\" } }", "as user:password"),
            (ZONE, "proxy = { url = \"http://p:1\", exept = [] }", "did you mean «except»?"),
            (ZONE, "proxy = { url = \"http://p:1\", except = [\"a,b\"] }", "at most 64"),
            (ZONE, &many, "at most 64"),
        ]);
        let problems = read(&format!("proxy = \"p:1\"{}", *GOOD), &[]).expect_err("no address");
        assert!(problems.contains("tixing.toml:1: a proxy is written as"), "{problems}");
    }
}
