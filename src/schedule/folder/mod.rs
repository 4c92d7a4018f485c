//! The watched folder: what lies in it is what is loaded.
//!
//! ```text
//! inside    files are reached from the folder alone                (openat2)
//! scan      what lies there now, and how it stands
//! snapshot  a file and its tables, open as they stood
//! judge     one file: loaded, or what is wrong with it
//! look      the folder: what has changed, what is quiet, what is gone
//! book      what was found out: stored, and told
//! watch     when to look: the file system tells, SIGHUP, and every few seconds
//! ```
//!
//! A look sleeps nowhere: whoever turns it says when. It never stops a send, and nothing here cancels a reminder that a load would not.

mod inside;
mod scan;
mod snapshot;
mod judge;
mod book;
mod look;
pub mod watch;

pub use look::{Folder, QUIET, RETRY};
pub use scan::MOST_FILES;
