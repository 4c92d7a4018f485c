//! Examples for the help of each command and for its manual page. Each is tried against the command line by a test.

/// What it does, and the command without the name of the program.
pub type Example = (&'static str, &'static str);

/// The examples of each command, by its words.
#[rustfmt::skip]
const EXAMPLES: &[(&str, &[Example])] = &[
    ("", &[
        ("See the whole of it at work", "demo --for 20s"),
        ("Begin: a configuration, the simulated platforms, the daemon", "init"),
        ("Set a reminder for in two hours", "reminder add --app coffee --openid o-user-1 --template event-start --at +2h --accepted --data thing1=周三读书会 --data time2='2027年3月1日 19:30' --data thing5=三楼301室"),
    ]),
    ("serve", &[("Run with this configuration", "serve --config /etc/tixing/tixing.toml")]),
    ("demo", &[("For twenty seconds", "demo --for 20s"), ("Until Ctrl-C, in Chinese", "demo --lang zh")]),
    ("sandbox", &[("The platforms on the port that `init` writes", "sandbox"), ("On another one", "sandbox --listen 127.0.0.1:9000")]),
    ("init", &[("In this folder", "init"), ("At another place", "init /etc/tixing/tixing.toml")]),
    ("check", &[("Before a restart", "check --config /etc/tixing/tixing.toml"), ("For a program", "check --json")]),
    ("doctor", &[("Everything", "doctor"), ("For a program", "doctor --json")]),
    ("migrate", &[("Before the first start of a new version", "migrate"), ("After the last daemon has it", "migrate --contract")]),
    ("key create", &[
        ("For a back end that may touch one app", "key create --name backend --app coffee"),
        ("For a colleague's calendar", "key create --name calendar --scope feed"),
    ]),
    ("key list", &[("All of them", "key list"), ("The ids alone", "key list --json")]),
    ("key revoke", &[("Two at once", "key revoke 3 4")]),
    ("app list", &[("How each stands", "app list")]),
    ("app pause", &[("Stop all sends of one", "app pause coffee")]),
    ("app resume", &[("Let them go on", "app resume coffee")]),
    ("nodes", &[("Which daemons share the database, and who sends for which app", "nodes")]),
    ("nodes bury", &[("Its machine is off for good", "nodes bury 7")]),
    ("nodes drain", &[("Before its machine is worked on", "nodes drain 7")]),
    ("consent add", &[("One tap, counted once however often it is told", "consent add --app coffee --openid o-user-1 --template event-start --event tap-17")]),
    ("consent show", &[("With what became of each", "consent show --app coffee --openid o-user-1 --history")]),
    ("consent ask", &[("What to hand to wx.requestSubscribeMessage", "consent ask --app coffee --openid o-user-1 --json")]),
    ("reminder add", &[
        ("In five seconds; the user has just accepted", "reminder add --app coffee --openid o-user-1 --template event-start --at +5s --accepted --key event-42/o-user-1 --data thing1=周三读书会 --data time2='2027年3月1日 19:30' --data thing5=三楼301室"),
        ("Many, one a line as in the API", "reminder add --file many.ndjson"),
        ("Check them and store nothing", "reminder add --file many.ndjson --dry-run"),
    ]),
    ("reminder list", &[
        ("What failed or was not sent in time, newest first", "reminder list --app coffee --state failed,expired --newest"),
        ("What changed since this morning", "reminder list --app coffee --changed-since 2027-03-01T00:00"),
        ("The ids, for a script: elsewhere than on a terminal cells are separated by tabs", "reminder list --app coffee --limit 10000"),
    ]),
    ("reminder show", &[("By its id", "reminder show r_06w4n2k8c0000"), ("By your own key", "reminder show --app coffee --key event-42/o-user-1")]),
    ("reminder explain", &[
        ("Two at once", "reminder explain r_06w4n2k8c0000 r_06w4n2k8c0001"),
        ("A user of whom nothing may be stored", "reminder explain --schedule spring-tasting --openid o-user-1"),
    ]),
    ("reminder change", &[
        ("Half an hour later than planned", "reminder change r_06w4n2k8c0000 --at 2027-03-01T20:00"),
        ("Another room, by your own key", "reminder change --app coffee --key event-42/o-user-1 --data thing5=一楼大厅"),
    ]),
    ("reminder cancel", &[
        ("Two", "reminder cancel r_06w4n2k8c0000 r_06w4n2k8c0001"),
        ("A day's, after a look at how many that is", "reminder cancel --app coffee --from 2027-03-01T00:00 --to 2027-03-02T00:00"),
        ("The same in a script", "reminder cancel --app coffee --from 2027-03-01T00:00 --to 2027-03-02T00:00 --expect 42"),
    ]),
    ("reminder shift", &[("The evening begins later", "reminder shift 30m --app coffee --from 2027-03-01T18:00 --to 2027-03-01T23:00")]),
    ("plan", &[("Who would get what, and which cell is wrong", "plan spring.toml"), ("As a workbook to send back", "plan spring.toml --annotate wrong.xlsx")]),
    ("load", &[("After a look at its plan", "load spring.toml"), ("In a script", "load spring.toml --yes --strict")]),
    ("try", &[("To one tester", "try spring.toml --key A-1 --to o-tester")]),
    ("schedules list", &[("What is active", "schedules list --state active")]),
    ("schedules show", &[("One", "schedules show spring-tasting")]),
    ("schedules problems", &[("Its wrong rows and cells", "schedules problems spring-tasting")]),
    ("schedules report", &[("How it went", "schedules report spring-tasting"), ("With each reminder", "schedules report spring-tasting --save spring.xlsx")]),
    ("schedules pause", &[("Until it is resumed", "schedules pause spring-tasting")]),
    ("schedules resume", &[("It says what the pause has left behind", "schedules resume spring-tasting")]),
    ("schedules shift", &[("Half an hour later", "schedules shift spring-tasting 30m"), ("Earlier", "schedules shift spring-tasting -15m")]),
    ("schedules cancel", &[("All that waits", "schedules cancel spring-tasting")]),
    ("doubt list", &[("What an operator decides about", "doubt list"), ("What was given up", "doubt list --given-up")]),
    ("doubt resolve", &[("The user says that it came", "doubt resolve r_06w4n2k8c0000 --as sent")]),
    ("template list", &[("Of one app", "template list --app coffee")]),
    ("template refresh", &[("Read them now", "template refresh --app coffee")]),
    ("user export", &[("Everything that is stored about a user", "user export --app coffee --openid o-user-1")]),
    ("user forget", &[("Erase it", "user forget --app coffee --openid o-user-1")]),
    ("user let-in", &[("They have come back", "user let-in --app coffee --openid o-user-1")]),
    ("sheet", &[("What is read of a list", "sheet holders.xlsx --limit 5"), ("Its encoding is known", "sheet list.csv --encoding gb18030")]),
    ("console open", &[("A link for whoever has no key", "console open")]),
    ("backup", &[("While the daemon runs", "backup /var/backups/tixing.db")]),
    ("verify", &[("Whether a backup is whole", "verify /var/backups/tixing.db")]),
    ("restore", &[("While the daemon is stopped", "restore /var/backups/tixing.db")]),
    ("release", &[("Why it is on hold", "release"), ("End it: nobody gets a message twice", "release --assume-sent")]),
    ("completions", &[("For bash", "completions bash")]),
    ("man", &[("This page", "man"), ("The page of each command", "man /usr/local/share/man/man1")]),
];

/// The examples of a command, such as `reminder add`.
pub fn of(command: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or(&[], |(_, examples)| *examples)
}

#[cfg(test)]
mod tests {
    use super::{super::manual, *};
    use clap::Command;

    /// Its words as a shell takes them apart.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                c => word.push(c),
            }
        }
        words.push(word);
        words
    }

    #[test]
    fn every_command_has_an_example_and_every_example_is_right() {
        fn walk(command: &Command, path: &str) {
            let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
            let mut leaf = true;
            for sub in visible {
                leaf = false;
                walk(sub, format!("{path} {}", sub.get_name()).trim());
            }
            assert!(!leaf || !of(path).is_empty(), "«{path}» has no example");
        }
        walk(&manual::command(), "");
        for (path, examples) in EXAMPLES {
            for (what, line) in *examples {
                assert!(line.starts_with(path), "«{line}» is no example of «{path}»");
                let args = std::iter::once("tixing".to_owned()).chain(words(line));
                if let Err(e) = manual::command().try_get_matches_from(args) {
                    panic!("{what}: {line}: {e}");
                }
            }
        }
    }
}
