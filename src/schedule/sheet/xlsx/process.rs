//! The child from the outside: it is started, listened to, and always ended.

use super::{
    choose::Request,
    frames::{Frame, read},
    package::damaged,
};
use crate::{schedule::problem::Problem, words::say};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

/// A child that says nothing for so long has lost its way.
const SILENCE: Duration = Duration::from_secs(180);
/// What a request may have in bytes: it is an argument of a program.
const MAX_REQUEST: usize = 120 << 10;
/// What the child's allocator is told by its environment. What mimalloc reserves counts as memory only once it is used: otherwise the first gibibyte
/// would count before there is a limit, and whether anything beyond it was to be had would be a matter of luck.
const ALLOCATOR: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");
/// The verb of the child, which no help names.
pub const VERB: &str = "sheet-child";

/// A running child.
pub struct Process {
    child: Child,
    errors: Option<ChildStderr>,
    frames: Receiver<std::io::Result<Option<Frame>>>,
    done: bool,
}

impl Process {
    /// Starts it on a workbook.
    ///
    /// # Errors
    /// `too_large` if too much is asked of it, `damaged` if it cannot be started.
    pub fn start(program: &Path, workbook: File, request: &Request) -> Result<Self, Problem> {
        let request = serde_json::to_string(request).expect("a request serialises");
        if request.len() > MAX_REQUEST {
            return Err(Problem::new("too_large", say!("xlsx_too_many_wanted")));
        }
        let mut command = Command::new(program);
        command.args([VERB, &request]).env_clear().env(ALLOCATOR.0, ALLOCATOR.1);
        command.stdin(workbook).stdout(Stdio::piped()).stderr(Stdio::piped());
        let cannot = |e: std::io::Error| Problem::new("damaged", say!("xlsx_child_failed", why = e.to_string()));
        let mut child = command.spawn().map_err(cannot)?;
        let mut pipe = child.stdout.take().expect("it is piped");
        let errors = child.stderr.take();
        // Only so much is read ahead as fits into memory without being noticed.
        let (send, frames) = sync_channel(4);
        thread::spawn(move || {
            loop {
                let frame = read(&mut pipe);
                let last =
                    !matches!(frame, Ok(Some(Frame::Head(_) | Frame::Rows(_) | Frame::Look(_) | Frame::Copied(_))));
                if send.send(frame).is_err() || last {
                    return;
                }
            }
        });
        Ok(Self { child, errors, frames, done: false })
    }

    /// What it says next.
    ///
    /// # Errors
    /// Its refusal; `too_large` if it broke its limits, `damaged` if it ended in any other way than by its own word.
    pub fn frame(&mut self) -> Result<Frame, Problem> {
        let said = self.frames.recv_timeout(SILENCE);
        match said {
            Ok(Ok(Some(Frame::Refused(refusal)))) => {
                self.done = true;
                Err(super::refused(refusal))
            }
            Ok(Ok(Some(frame))) => {
                self.done = matches!(frame, Frame::End);
                Ok(frame)
            }
            Ok(Ok(None)) => Err(self.ended()),
            Ok(Err(e)) if e.kind() == ErrorKind::UnexpectedEof => Err(self.ended()),
            // What is no frame does not come from a child of ours; Drop ends it.
            Ok(Err(_)) => Err(damaged("its reader lost its way")),
            Err(RecvTimeoutError::Disconnected) => Err(damaged("it ended before its end")),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                Err(Problem::new("too_large", say!("xlsx_takes_too_long")))
            }
        }
    }

    /// Why it ended in the middle: its pipe is closed, so it has ended, or is about to.
    fn ended(&mut self) -> Problem {
        let mut words = Vec::new();
        if let Some(errors) = self.errors.take() {
            let _ = errors.take(4096).read_to_end(&mut words);
        }
        let words = String::from_utf8_lossy(&words);
        for _ in 0..100 {
            match self.child.try_wait() {
                Ok(Some(status)) if broke_limits(status, &words) => {
                    return Problem::new("too_large", say!("xlsx_breaks_limits"));
                }
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                _ => break,
            }
        }
        damaged("its reader ended in the middle")
    }
}

/// Whether it ended because it took too much memory or time, or because the system had none left.
fn broke_limits(status: ExitStatus, words: &str) -> bool {
    const SIGKILL: i32 = 9;
    const SIGXCPU: i32 = 24;
    words.contains("memory allocation of") || matches!(status.signal(), Some(SIGKILL | SIGXCPU))
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be in the middle of a workbook that nobody wants any more.
        if !self.done {
            let _ = self.child.kill();
        }
        // Without this it would stay in the table of processes.
        let _ = self.child.wait();
    }
}
