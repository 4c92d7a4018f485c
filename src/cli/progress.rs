//! How far long work has come: a line that moves on a terminal, and plain lines now and then elsewhere.

use super::{
    clean::one_line,
    out::{Out, talk},
};
use crate::words::{Message, say};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    cell::Cell,
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

/// Where there is no terminal, a line so often.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// What is done within this needs no progress.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How far some work has come. A program that asked for JSON is not told.
pub struct Progress {
    out: Out,
    bar: Option<ProgressBar>,
    told_at: Cell<Instant>,
}

impl Progress {
    /// Of work that begins now.
    pub fn new(out: Out) -> Self {
        let bar = (!out.json && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.with_style(ProgressStyle::with_template("{spinner} {msg}").expect("it is a template"))
        });
        Self { out, bar, told_at: Cell::new(Instant::now()) }
    }

    /// It has come so far.
    pub fn show(&self, how_far: &Message) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(one_line(&how_far.say(self.out.voice)).into_owned());
                bar.tick();
            }
            None if !self.out.json && self.told_at.get().elapsed() >= LINE_EVERY => {
                self.told_at.set(Instant::now());
                talk!("{}", how_far.say(self.out.voice));
            }
            None => {}
        }
    }

    /// Writes other lines without drawing over them.
    pub fn aside(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// The work has ended.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Waits for work of which nobody can say how far it has come, and says what it is and for how long it has lasted.
pub async fn during<T>(out: Out, what: Message, work: impl Future<Output = T>) -> T {
    let (begun, progress) = (Instant::now(), Progress::new(out));
    let mut work = std::pin::pin!(work);
    let done = loop {
        match tokio::time::timeout(AT_ONCE, &mut work).await {
            Ok(done) => break done,
            Err(_) => {
                let lasted = begun.elapsed().as_secs() * 1_000;
                progress.show(&say!("still_at_it", what = what, lasted = lasted));
            }
        }
    };
    progress.clear();
    done
}
