//! What the command line calls a field of the API: whoever wrote `--expires-at` wrote no `/expires_at`.

use clap::{Arg, Command};

/// Fields that have another name on the command line.
const OTHERWISE: &[(&str, &str)] = &[("results", "template"), ("to", "file"), ("source", "accepted"), ("app", "names")];

/// The flag or argument of `command` that a JSON pointer is about, if it has one: `--expires-at`, `<ID>`, `--data thing1`.
pub fn of(command: &Command, pointer: &str) -> Option<String> {
    let mut steps = pointer.strip_prefix('/')?.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let (field, inner) = (steps.next()?, steps.next());
    let named = |name: &str| {
        let flag = name.replace('_', "-");
        let is_it = |arg: &&Arg| arg.get_id() == name || arg.get_long() == Some(&*flag);
        command.get_arguments().find(is_it)
    };
    let other = || OTHERWISE.iter().find(|(known, _)| *known == field).and_then(|(_, name)| named(name));
    let arg = named(&field).or_else(other)?;
    let of_many = matches!(&*field, "data" | "results");
    Some(match (arg.get_long(), inner.filter(|_| of_many)) {
        (Some(flag), Some(inner)) => format!("--{flag} {inner}"),
        (Some(flag), None) => format!("--{flag}"),
        (None, _) => {
            let names = arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string);
            format!("<{}>", names.unwrap_or_else(|| arg.get_id().as_str().to_uppercase()))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{super::manual, *};

    #[test]
    fn a_field_is_told_by_the_flag_that_was_written() {
        let command = manual::command();
        let at = |path: &str| {
            let steps = path.split(' ');
            steps.fold(&command, |command, name| command.find_subcommand(name).expect("there is one"))
        };
        for (path, pointer, flag) in [
            ("reminder add", "/at", Some("--at")),
            ("reminder add", "/expires_at", Some("--expires-at")),
            ("reminder add", "/data/thing1", Some("--data thing1")),
            ("reminder add", "/accepted/ticket", Some("--accepted")),
            ("reminder add", "/nothing", None),
            ("reminder list", "/changed_since", Some("--changed-since")),
            ("reminder list", "/limit", Some("--limit")),
            ("consent add", "/results/event-start", Some("--template event-start")),
            ("consent add", "/results/a~1b", Some("--template a/b")),
            ("key create", "/apps/0", Some("--app")),
            ("schedules shift", "/by", Some("<BY>")),
            ("backup", "/to", Some("<FILE>")),
            ("doubt resolve", "/as", Some("--as")),
            ("app pause", "/app", Some("<APP>")),
            ("user forget", "/openid", Some("--openid")),
            ("reminder add", "", None),
            ("reminder add", "at", None),
        ] {
            assert_eq!(of(at(path), pointer).as_deref(), flag, "{path} {pointer}");
        }
    }
}
