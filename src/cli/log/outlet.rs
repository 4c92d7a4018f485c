//! Where the log's lines leave the program: a short queue, and a thread that writes.
//!
//! Whoever reads the log may stall: a terminal that is held by Ctrl-S, a container's log driver, a journal on a full disk. A thread that
//! wrote to it would then stand still, and nothing would be sent. So a line that finds no place is lost, and how many were is told as soon
//! as there is place again.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

/// So many lines wait for the reader.
const QUEUE: usize = 2_048;
/// A line is not longer, in bytes: with [`QUEUE`] this bounds the memory that a stalled reader takes.
pub const LONGEST: usize = 16 * 1024;

enum Item {
    Line(Vec<u8>),
    /// Everything before it is written.
    Flush(SyncSender<()>),
}

/// A handle on the queue.
#[derive(Clone)]
pub struct Outlet {
    queue: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

impl Outlet {
    /// Starts the thread. `write` may take as long as it likes; `lost` is the line that says how many lines were lost.
    pub fn start(write: impl FnMut(&[u8]) + Send + 'static, lost: fn(u64) -> Vec<u8>) -> Self {
        let (queue, lines) = sync_channel(QUEUE);
        let outlet = Self { queue, lost: Arc::default() };
        let counted = Arc::clone(&outlet.lost);
        let thread = std::thread::Builder::new().name("log".into());
        // Without a thread there is no log, and the daemon could not have started its others either.
        let _ = thread.spawn(move || run(&lines, write, &counted, lost));
        outlet
    }

    /// Takes a line, or loses it. It never waits.
    pub fn push(&self, line: Vec<u8>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Item::Line(line)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was pushed is written, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, is_done) = sync_channel(1);
        let deadline = Instant::now() + limit;
        let mut item = Item::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(item) {
            if Instant::now() >= deadline {
                return;
            }
            item = back;
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = is_done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// The text layer writes each line whole.
impl io::Write for Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut kept = line[..line.len().min(LONGEST)].to_vec();
        if kept.len() < line.len() {
            kept.extend_from_slice("…\n".as_bytes());
        }
        self.push(kept);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(lines: &Receiver<Item>, mut write: impl FnMut(&[u8]), lost: &AtomicU64, say: fn(u64) -> Vec<u8>) {
    while let Ok(item) = lines.recv() {
        match item {
            Item::Line(line) => write(&line),
            // Nobody may wait for it any more.
            Item::Flush(done) => drop(done.try_send(())),
        }
        let n = lost.swap(0, Ordering::Relaxed);
        if n > 0 {
            write(&say(n));
        }
    }
}

/// What is said about lost lines.
pub fn told(lines: u64) -> String {
    format!("{lines} lines of the log were lost: its reader did not keep up")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, mpsc};

    #[test]
    fn a_reader_that_stalls_delays_nobody_and_is_told_how_many_lines_it_missed() {
        let (read, reading) = mpsc::channel::<()>();
        let written = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&written);
        let write = move |line: &[u8]| {
            // It stalls until the other end says that it reads.
            let _ = reading.recv();
            kept.lock().expect("whole").push(String::from_utf8_lossy(line).into_owned());
        };
        let outlet = Outlet::start(write, |n| told(n).into_bytes());
        let many = QUEUE + 500;
        (0..many).for_each(|i| outlet.push(i.to_string().into_bytes()));
        outlet.flush(Duration::ZERO);
        // From here on it reads all.
        drop(read);
        outlet.flush(Duration::from_secs(20));
        let written = written.lock().expect("whole");
        let lines = written.iter().filter(|line| line.parse::<usize>().is_ok()).count();
        let missed: Vec<&String> = written.iter().filter(|line| line.contains("lost")).collect();
        assert!((QUEUE..=QUEUE + 1).contains(&lines), "{lines}");
        assert_eq!(missed, [&told((many - lines) as u64)]);
        assert_eq!(written[0], "0", "what came first is kept");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let (sent, got) = mpsc::channel();
        let mut outlet = Outlet::start(move |line| drop(sent.send(line.to_vec())), |n| told(n).into_bytes());
        let line = vec![b'x'; LONGEST + 1];
        assert_eq!(io::Write::write(&mut outlet, &line).expect("taken"), line.len());
        let kept = got.recv().expect("a line");
        assert!(kept.len() < LONGEST + 8 && kept.ends_with("…\n".as_bytes()));
    }
}
