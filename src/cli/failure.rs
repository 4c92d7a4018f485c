//! How a command ends when it does not end well, and with which exit code.

use crate::daemon::StartError;
use serde_json::{Value, json};

/// How a command ended.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Exit 1.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
    /// Exit 2.
    #[error("{0}")]
    Usage(String),
    /// The API's refusal, a problem as it answers it. Exit by its status.
    #[error("{}", sentence(.0))]
    Refused(Value),
    /// Exit 3.
    #[error("{0}")]
    SomeRefused(String),
    /// Exit 4.
    #[error("{0}")]
    NotFound(String),
    /// Exit 69.
    #[error("{0}")]
    Unreachable(String),
    /// Exit 78.
    #[error("{0}")]
    Config(String),
}

impl Failure {
    /// What the process ends with.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
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
            Self::Config(_) => 78,
        }
    }

    /// As `--json` tells it on stderr.
    pub fn json(&self) -> Value {
        let mut error = match self {
            Self::Refused(problem) => problem.clone(),
            other => json!({ "detail": other.to_string() }),
        };
        error["exit"] = self.code().into();
        json!({ "error": error })
    }
}

/// A refusal of the API as one sentence.
fn sentence(problem: &Value) -> String {
    let text = |name: &str| problem[name].as_str();
    let field = text("param").map_or(String::new(), |param| format!("{param}: "));
    format!("{field}{} ({})", text("detail").unwrap_or("it gave no reason"), text("code").unwrap_or("?"))
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(what) => Self::Config(what),
            StartError::Unreachable(what) => Self::Unreachable(what),
            StartError::Other(e) => Self::Failed(e),
        }
    }
}
