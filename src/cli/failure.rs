//! How a command ends when it does not end well, and with which exit code.

use super::flag;
use crate::{
    config::Problems,
    daemon::StartError,
    words::{Message, Voice, say},
};
use serde_json::{Value, json};

/// The exit codes, as the manual pages list them.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "Done."),
    (1, "Failed."),
    (2, "A usage error, or a value that is not as documented."),
    (3, "Some rows, lines or ids were refused; the others are done."),
    (4, "There is no such thing."),
    (69, "The daemon, the store or a platform cannot be reached."),
    (75, "It passes by itself: try again."),
    (78, "The configuration is wrong: only a person can change it."),
];

/// How a command ended.
#[derive(Debug)]
pub enum Failure {
    /// Exit 1.
    Failed(Message),
    /// Exit 1, and stdout has told a program why.
    Told(Message),
    /// Exit 2.
    Usage(Message),
    /// The API's refusal, a problem as it answers it. Exit by its status.
    Refused(Value),
    /// Exit 3.
    SomeRefused(Message),
    /// Exit 4.
    NotFound(Message),
    /// Exit 69.
    Unreachable(Message),
    /// It passes by itself; the same may be tried again. Exit 75.
    Passing(Message),
    /// Exit 78.
    Config(Message),
    /// The configuration has these. Exit 78.
    Configuration(Problems),
}

impl Failure {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Told(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(problem) => match problem["status"].as_u64() {
                Some(400) => 2,
                Some(404) => 4,
                Some(503) => 69,
                _ => 1,
            },
            Self::SomeRefused(_) => 3,
            Self::NotFound(_) => 4,
            Self::Unreachable(_) => 69,
            Self::Passing(_) => 75,
            Self::Config(_) | Self::Configuration(_) => 78,
        }
    }

    /// The reason, for people.
    pub fn message(&self) -> Message {
        match self {
            Self::Failed(what)
            | Self::Told(what)
            | Self::Usage(what)
            | Self::SomeRefused(what)
            | Self::NotFound(what)
            | Self::Unreachable(what)
            | Self::Passing(what)
            | Self::Config(what) => what.clone(),
            Self::Refused(problem) => refusal(problem),
            Self::Configuration(problems) => problems.message(),
        }
    }

    /// The same as this voice says it.
    pub fn say(&self, voice: Voice) -> String {
        self.message().say(voice)
    }

    /// The same for whoever wrote this command: a field is called as the command line calls it.
    #[must_use]
    pub fn of_command(self, command: &clap::Command) -> Self {
        match self {
            Self::Refused(mut problem) => {
                let name = |one: &mut Value| {
                    if let Some(flag) = one["param"].as_str().and_then(|param| flag::of(command, param)) {
                        one["flag"] = flag.into();
                    }
                };
                name(&mut problem);
                problem["problems"].as_array_mut().into_iter().flatten().for_each(name);
                Self::Refused(problem)
            }
            other => other,
        }
    }

    /// As `--json` tells it on stderr.
    pub fn json(&self) -> Value {
        let mut error = match self {
            Self::Refused(problem) => problem.clone(),
            other => json!({ "detail": other.message().to_string() }),
        };
        error["exit"] = self.code().into();
        json!({ "error": error })
    }
}

/// A refusal of the API: one sentence, or a line for each field at fault.
fn refusal(problem: &Value) -> Message {
    let fields = problem["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines = fields.iter().filter(|one| one["param"].is_string()).rev().map(sentence);
    match lines.next() {
        Some(last) => lines.fold(last, |rest, line| say!("lines", first = line, rest = rest)),
        None => sentence(problem),
    }
}

fn sentence(problem: &Value) -> Message {
    let text = |name: &str| problem[name].as_str();
    let field = text("flag").or_else(|| text("param")).map(|field| say!("refused_field", param = field));
    let detail = text("detail").map_or_else(|| say!("refused_without_reason"), Message::text);
    say!("refused_by_api", field = field, detail = detail, code = text("code").unwrap_or("?"))
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Configuration(problems)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(what) => Self::Config(what),
            StartError::Unreachable(what) => Self::Unreachable(what),
            StartError::Passing(what) => Self::Passing(what),
            StartError::Other(what) => Self::Failed(what),
        }
    }
}

impl From<Message> for Failure {
    fn from(what: Message) -> Self {
        Self::Failed(what)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::manual, *};

    #[test]
    fn every_field_at_fault_is_told_on_a_line_with_its_flag() {
        let command = manual::command();
        let add = command.find_subcommand("reminder").and_then(|command| command.find_subcommand("add"));
        let wrong = |param: &str, detail: &str| json!({ "param": param, "detail": detail, "code": "bad_field" });
        let mut problem = wrong("/openid", "has a space");
        problem["status"] = 422.into();
        problem["problems"] = json!([wrong("/openid", "has a space"), wrong("/data/foo", "is no field")]);
        let failure = Failure::Refused(problem).of_command(add.expect("there is one"));
        let said = failure.say(Voice::default());
        assert_eq!(said, "--openid: has a space (bad_field)\n--data foo: is no field (bad_field)");
        assert_eq!(failure.json()["error"]["problems"][1]["flag"], "--data foo");
    }
}
