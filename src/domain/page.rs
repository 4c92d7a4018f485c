//! The page of the mini-program that opens on tap: what holds on every platform, and each platform's own [`PageRules`].

use super::{Invalid, text::bounded};
use crate::words::say;

/// What a platform takes as a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRules {
    /// Whether a message needs one.
    pub needed: bool,
    /// Whether it may have a query.
    pub query: bool,
    /// Characters that it has at most.
    pub most: usize,
}

impl PageRules {
    /// A page is taken or left out, with a query or without one.
    pub const FREE: Self = Self { needed: false, query: true, most: 1_024 };

    /// Checks a page such as `pages/event?id=42`, or that there is none. Its path stays in the mini-program; its query says what it likes.
    ///
    /// # Errors
    /// `bad_value` at `/page`.
    pub fn check(&self, page: Option<&str>) -> Result<(), Invalid> {
        let bad = |why| Err(Invalid::new("bad_value", "/page", why));
        let Some(page) = page else { return if self.needed { bad(say!("page_needed")) } else { Ok(()) } };
        bounded(page, self.most, "/page")?;
        let path = page.split(['?', '#']).next().unwrap_or_default();
        // «//host/…» and «scheme:…» are addresses.
        let slashes = path.len() - path.trim_start_matches(['/', '\\']).len();
        let leaves = slashes > 1
            || path.contains("://")
            || path.split('/').next().is_some_and(|first| first.contains(':'))
            || path.split(['/', '\\']).any(|segment| segment == "..");
        if leaves || page.chars().any(char::is_whitespace) {
            return bad(if self.query { say!("not_a_page") } else { say!("not_a_bare_page") });
        }
        if !self.query && path.len() < page.len() {
            return bad(say!("page_without_query"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pages_path_stays_in_the_mini_program_and_its_query_says_what_it_likes() {
        for (path, good) in [
            ("pages/event", true),
            ("/pages/event?id=42&from=mp", true),
            ("pages/web?url=https://example.com/../a", true),
            ("pages/a..b/..c", true),
            ("", false),
            ("https://example.com", false),
            ("//example.com/a", false),
            ("/\\example.com", false),
            ("http:/example.com", false),
            ("javascript:alert(1)", false),
            ("pages/a:b", true),
            ("../evil", false),
            ("pages/../../evil?x=1", false),
            ("pages/..", false),
            ("pages\\..\\evil", false),
            ("pages/a b", false),
            ("pages/a?x=a b", false),
            ("pages/a\u{3000}b", false),
            ("pages/a\nb", false),
        ] {
            assert_eq!(PageRules::FREE.check(Some(path)).is_ok(), good, "{path:?}");
        }
        let free = |length| PageRules::FREE.check(Some(&"a".repeat(length)));
        assert!(free(1_024).is_ok() && free(1_025).is_err() && PageRules::FREE.check(None).is_ok());
    }

    #[test]
    fn a_platform_that_takes_a_path_alone_and_needs_it_says_so() {
        let rules = PageRules { needed: true, query: false, most: 128 };
        for (page, good) in [
            (Some("pages/event"), true),
            (Some("pages/event?id=42"), false),
            (Some("pages/event#top"), false),
            (None, false),
        ] {
            assert_eq!(rules.check(page).is_ok(), good, "{page:?}");
        }
        let said = |rules: PageRules| rules.check(Some("https://x")).expect_err("no page").detail.to_string();
        assert!(!said(rules).contains('?'), "what is proposed is taken: {}", said(rules));
        assert!(said(PageRules::FREE).contains("pages/event?id=42"));
    }
}
