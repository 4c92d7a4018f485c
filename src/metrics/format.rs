//! The two texts that scrapers read. They differ little: OpenMetrics names a counter without `_total` in its description, has a type for
//! what is only information, says units, and marks the end.

use std::fmt::Write;

/// A text that metrics can be had in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Version 1.0.0 of OpenMetrics.
    OpenMetrics,
    /// Version 0.0.4 of Prometheus's own text, which everything reads.
    Plain,
}

impl Format {
    /// What an `Accept` header asks for: OpenMetrics only if it is named.
    pub fn asked(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Plain }
    }

    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// OpenMetrics text as plain text.
pub fn plain(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        let described = |kind: &str| line.strip_prefix(kind).and_then(|rest| rest.split_once(' '));
        if let Some((_, what)) = described("# HELP ") {
            help = what;
        } else if let Some((name, kind)) = described("# TYPE ") {
            let (name, kind) = match kind {
                "counter" => (format!("{name}_total"), kind),
                "info" => (format!("{name}_info"), "gauge"),
                _ => (name.to_owned(), kind),
            };
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a String takes everything");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_answered() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            ("", Format::Plain),
            ("*/*", Format::Plain),
            ("text/plain", Format::Plain),
            ("text/html,*/*;q=0.8", Format::Plain),
            (prometheus, Format::OpenMetrics),
        ] {
            assert_eq!(Format::asked(accept), format, "{accept}");
        }
    }

    #[test]
    fn plain_text_says_the_same() {
        let open = "# HELP a_seconds How long it takes.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1\n\
                    # HELP b What runs.\n# TYPE b info\nb_info{version=\"1\"} 1\n\
                    # HELP c Now.\n# TYPE c gauge\nc 2\n# EOF\n";
        let same = "# HELP a_seconds_total How long it takes.\n# TYPE a_seconds_total counter\na_seconds_total 1\n\
                    # HELP b_info What runs.\n# TYPE b_info gauge\nb_info{version=\"1\"} 1\n\
                    # HELP c Now.\n# TYPE c gauge\nc 2\n";
        assert_eq!(plain(open), same);
    }
}
