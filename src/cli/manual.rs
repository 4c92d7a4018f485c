//! The command line with its examples, and its manual pages: one of the program and one of each command, from the same words as the help.

use super::{
    arguments::Cli,
    examples,
    failure::{EXIT_CODES, Failure},
    out::{Out, data},
};
use crate::words::say;
use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use serde_json::json;
use std::{
    io::{self, Write},
    path::Path,
};

/// The command line as it is parsed, with the examples in its help.
pub fn command() -> Command {
    with_examples(Cli::command(), "")
}

fn with_examples(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |command, name| {
        let below = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command.mut_subcommand(name, |sub| with_examples(sub, &below))
    });
    let examples = examples::of(path);
    if examples.is_empty() {
        return command;
    }
    let lines = examples.iter().map(|(what, line)| format!("  {what}:\n    tixing {line}\n"));
    command.after_help(format!("Examples:\n{}", lines.collect::<String>().trim_end()))
}

/// `tixing man [FOLDER]`
pub fn run(folder: Option<&Path>, out: Out) -> Result<(), Failure> {
    let pages = pages();
    let Some(folder) = folder else {
        let (_, page) = pages.first().expect("the program has one");
        data!("{}", page.trim_end());
        return Ok(());
    };
    let cannot = |e: io::Error| say!("cannot_write", file = folder.to_string_lossy(), why = e.to_string());
    std::fs::create_dir_all(folder).map_err(cannot)?;
    for (name, page) in &pages {
        std::fs::write(folder.join(name), page).map_err(cannot)?;
    }
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    let said = say!("man_written", n = names.len(), folder = folder.to_string_lossy());
    out.done(&json!({ "folder": folder.to_string_lossy(), "pages": names }), &said);
    Ok(())
}

/// All pages, each with the name of its file; the program's comes first.
fn pages() -> Vec<(String, String)> {
    fn walk(command: &Command, path: &str, found: &mut Vec<(String, String)>) {
        let man = Man::new(command.clone());
        let mut page = Vec::new();
        render(&man, command, path, &mut page).expect("a Vec takes all");
        found.push((man.get_filename(), String::from_utf8(page).expect("the texts are UTF-8")));
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            walk(sub, format!("{path} {}", sub.get_name()).trim(), found);
        }
    }
    let mut command = Cli::command().disable_help_subcommand(true);
    // The names of the pages are known then.
    command.build();
    let mut found = Vec::new();
    walk(&command, "", &mut found);
    found
}

fn render(man: &Man, command: &Command, path: &str, page: &mut dyn Write) -> io::Result<()> {
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    let mut more = Roff::default();
    let examples = examples::of(path);
    if !examples.is_empty() {
        more.control("SH", ["EXAMPLES"]);
        for (what, line) in examples {
            more.control("TP", []).text([roman(*what)]).text([bold(format!("tixing {line}"))]);
        }
    }
    more.control("SH", ["EXIT STATUS"]);
    for (code, what) in EXIT_CODES {
        more.control("TP", []).text([bold(code.to_string())]).text([roman(*what)]);
    }
    if path.is_empty() {
        more.control("SH", ["FILES"]);
        for (file, what) in FILES {
            more.control("TP", []).text([bold(*file)]).text([roman(*what)]);
        }
    } else {
        let above = path.rsplit_once(' ').map_or(String::new(), |(above, _)| format!("-{}", above.replace(' ', "-")));
        more.control("SH", ["SEE ALSO"]);
        more.text([bold(format!("tixing{above}")), roman("(1)")]);
    }
    more.to_writer(page)
}

/// The files that the program's page names.
const FILES: &[(&str, &str)] = &[
    (
        "./tixing.toml, /etc/tixing/tixing.toml",
        "The configuration, looked for in this order unless --config or TIXING_CONFIG names it.",
    ),
    ("tixing.db, tixing.db-wal, tixing.db-progress", "The store on SQLite: three files that belong together."),
    ("tixing.sock", "The daemon's socket, on which the commands of its owner speak to it."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_command_with_examples_and_exit_codes() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in
            ["tixing.1", "tixing-serve.1", "tixing-reminder-add.1", "tixing-schedules-shift.1", "tixing-user-let-in.1"]
        {
            assert!(names.contains(&name), "no {name} in {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("sheet-child")), "it is for the program itself: {names:?}");
        assert_eq!(names[0], "tixing.1");
        for (name, page) in &pages {
            assert!(page.contains(".SH \"EXIT STATUS\"") && page.contains(".TH "), "{name}: {page}");
            let groups = ["app", "key", "consent", "reminder", "schedules", "doubt", "template", "user", "console"];
            let is_group = groups.iter().any(|group| *name == format!("tixing-{group}.1"));
            assert!(is_group || page.contains(".SH EXAMPLES"), "{name}: {page}");
        }
    }
}
