//! The way out where there is only one: an HTTP proxy between this machine and the platforms.
//!
//! A platform is asked over TLS, so the proxy is asked to connect (CONNECT) and sees the platform's name and nothing of what is said. What
//! goes over plain HTTP (the sandbox) is handed to the proxy whole.

use secrecy::{ExposeSecret, SecretString};

/// A proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its address, as `http://host:port`. There is no secret in it, so that it can be shown.
    pub url: String,
    /// Hosts that are reached without it: names with what is below them, addresses, networks.
    pub except: Vec<String>,
    /// What shows who asks, as `user:password`; empty for nothing.
    pub credentials: SecretString,
}

impl Proxy {
    /// All but the secret.
    pub fn address(self) -> impl PartialEq {
        (self.url, self.except)
    }

    /// User and password, if the text is both.
    pub fn split(credentials: &str) -> Option<(&str, &str)> {
        let (user, password) = credentials.split_once(':')?;
        let visible = |text: &str| text.chars().all(|c| !c.is_control());
        (!user.is_empty() && visible(user) && visible(password)).then_some((user, password))
    }

    /// As the client knows it.
    pub(super) fn of_client(&self) -> reqwest::Result<reqwest::Proxy> {
        let proxy = reqwest::Proxy::all(&self.url)?;
        let proxy = proxy.no_proxy(reqwest::NoProxy::from_string(&self.except.join(",")));
        Ok(match Self::split(self.credentials.expose_secret()) {
            Some((user, password)) => proxy.basic_auth(user, password),
            None => proxy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_a_user_and_a_password() {
        assert_eq!(Proxy::split("me:pass:word"), Some(("me", "pass:word")));
        assert_eq!(Proxy::split("me:"), Some(("me", "")));
        for bad in ["", "me", ":word", "me:wo\nrd"] {
            assert_eq!(Proxy::split(bad), None, "{bad:?}");
        }
    }
}
