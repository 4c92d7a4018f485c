//! The journal of systemd, by its own protocol.
//!
//! `journalctl -u tixing` shows the message and nothing else, so the message carries all that the event says, as on a terminal. Beside it
//! each field stands by itself (`F_APP=coffee`), for those who filter.

use super::outlet::{LONGEST, Outlet, told};
use std::{
    fmt::{self, Write as _},
    io,
    os::unix::net::UnixDatagram,
    path::Path,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        FormatFields,
        format::{DefaultFields, Writer},
    },
    layer::Context,
};

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// Whether systemd has connected stderr to the journal. `JOURNAL_STREAM` names that very file, for a child may inherit the variable with
/// another stderr.
pub fn has_stderr() -> bool {
    let said = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(io::stderr()).is_ok_and(|stderr| said == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// A socket, if somebody listens at `path`: the journal passes over what is empty.
///
/// # Errors
/// When nobody does.
pub fn connect(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.send_to(&[], path)?;
    Ok(socket)
}

/// Writes events as entries of the journal.
pub struct Journal(Outlet);

impl Journal {
    /// Into this outlet.
    pub fn new(outlet: Outlet) -> Self {
        Self(outlet)
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.push(entry(event));
    }
}

/// The entry that says how many were lost.
pub fn lost(n: u64) -> Vec<u8> {
    let mut entry = Entry::default();
    entry.head(Level::WARN);
    entry.field("MESSAGE", &told(n));
    entry.0
}

fn entry(event: &Event<'_>) -> Vec<u8> {
    let (meta, mut entry) = (event.metadata(), Entry::default());
    entry.head(*meta.level());
    entry.field("TARGET", meta.target());
    if let Some((file, line)) = meta.file().zip(meta.line()) {
        entry.field("CODE_FILE", file);
        entry.field("CODE_LINE", &line.to_string());
    }
    let mut message = String::new();
    // Writing to a string does not fail, and neither do the values of ours.
    let _ = DefaultFields::new().format_fields(Writer::new(&mut message), event);
    entry.field("MESSAGE", &message);
    event.record(&mut entry);
    entry.0
}

/// Fields, each with its name, its length and its value, which may have several lines.
#[derive(Default)]
struct Entry(Vec<u8>);

impl Entry {
    fn head(&mut self, level: Level) {
        // As syslog counts: 3 is an error, 7 is for developers. What the daemon says day by day is a notice.
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "5",
            Level::DEBUG => "6",
            Level::TRACE => "7",
        };
        self.field("PRIORITY", priority);
        self.field("SYSLOG_IDENTIFIER", "tixing");
    }

    fn field(&mut self, name: &str, value: &str) {
        let room = LONGEST.saturating_sub(self.0.len());
        let value = &value[..value.floor_char_boundary(room)];
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }

    /// A field of the event. The journal's own names have no prefix, and cannot be taken by ours.
    fn own(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return;
        }
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name: String = field.name().chars().take(32).map(letter).collect();
        self.field(&format!("F_{name}"), value);
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.own(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(text, "{value:?}");
        self.own(field, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, time::Duration};
    use tracing_subscriber::layer::SubscriberExt;

    /// Reads an entry as the journal does.
    fn read(mut entry: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|b| *b == b'\n').expect("a name ends");
            let name = String::from_utf8(entry[..end].to_vec()).expect("ASCII");
            let (length, rest) = entry[end + 1..].split_at(8);
            let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
            let value = String::from_utf8(rest[..length].to_vec()).expect("UTF-8");
            assert_eq!(rest[length], b'\n', "a value ends");
            fields.insert(name, value);
            entry = &rest[length + 1..];
        }
        fields
    }

    /// What a journal gets when this is logged.
    fn told_to_a_journal(log: impl FnOnce()) -> BTreeMap<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let journal = UnixDatagram::bind(&path).expect("bound");
        journal.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        let socket = connect(&path).expect("somebody listens");
        let mut entry = vec![0; 2 * LONGEST];
        assert_eq!(journal.recv(&mut entry).expect("the first knock"), 0);
        let outlet = Outlet::start(move |entry| drop(socket.send_to(entry, &path)), lost);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Journal::new(outlet)), log);
        let n = journal.recv(&mut entry).expect("an entry");
        read(&entry[..n])
    }

    #[test]
    fn journalctl_shows_which_app_is_paused_why_and_until_when_and_can_filter_by_each() {
        let why = "the secret is wrong\n(line two)";
        let told = told_to_a_journal(|| {
            tracing::warn!(app = "coffee", code = "a_code", %why, until = "2031-03-01T02:00:00.000Z", n = 3, "the app's sends are paused");
        });
        let message = &told["MESSAGE"];
        for said in
            ["the app's sends are paused", "coffee", "a_code", "the secret is wrong", "2031-03-01T02:00:00.000Z"]
        {
            assert!(message.contains(said), "{message}");
        }
        let fields =
            ["PRIORITY", "SYSLOG_IDENTIFIER", "F_APP", "F_CODE", "F_WHY", "F_N"].map(|name| told[name].as_str());
        assert_eq!(fields, ["4", "tixing", "coffee", "a_code", why, "3"]);
        assert!(told["CODE_FILE"].ends_with("journal.rs"));
    }

    #[test]
    fn an_entry_without_end_is_cut_and_still_read() {
        let long = "字".repeat(LONGEST);
        let told = told_to_a_journal(|| tracing::error!(long, "much to say"));
        assert!(told["MESSAGE"].contains("much to say") && told.contains_key("F_LONG"), "{:?}", told.keys());
        let lost = read(&lost(7));
        assert_eq!(lost["MESSAGE"], "7 lines of the log were lost: its reader did not keep up");
    }
}
