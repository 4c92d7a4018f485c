//! A start: what it waits for, what it ends for and with which exit code, and what it says meanwhile.

use crate::harness::{
    postgres,
    program::{Site, is_root},
};
use std::{
    io::Read,
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What the daemon tells systemd.
struct Told(UnixDatagram);

impl Told {
    fn at(site: &Site) -> Self {
        let socket = UnixDatagram::bind(site.path("notify")).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("set");
        Self(socket)
    }

    /// Reads until all of `words` have been told.
    fn hears(&self, words: &[&str]) {
        let (begun, mut all, mut piece) = (Instant::now(), String::new(), [0; 4_096]);
        while !words.iter().all(|word| all.contains(word)) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{words:?} in {all}");
            if let Ok(n) = self.0.recv(&mut piece) {
                all.push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        }
    }
}

fn serve(site: &Site, notify: bool) -> Child {
    let mut command = site.command(&["serve"]);
    if notify {
        command.env("NOTIFY_SOCKET", site.path("notify"));
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program runs")
}

/// SIGTERM, and the log of a start that is stopped in good order.
fn stopped(mut child: Child) -> String {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs").success());
    assert!(child.wait().expect("it ends").success());
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("read");
    said
}

#[test]
fn a_database_that_is_down_when_the_daemon_starts_is_waited_for_and_systemd_is_told_so() {
    let Some(cluster) = postgres::own_cluster() else { return };
    let site = Site::new(&cluster.url("postgres"), "http://127.0.0.1:1", "");
    cluster.stop();
    let told = Told::at(&site);
    let daemon = serve(&site, true);
    told.hears(&["STATUS=waiting for the database", "EXTEND_TIMEOUT_USEC="]);
    let (code, _, said) = site.run(&["key", "list"]);
    assert!(code == 69, "a command does not wait: {code} {said}");
    let (code, _, said) = site.run(&["check"]);
    assert!(code == 0 && said.contains("the connection failed"), "the configuration may be right: {said}");
    cluster.start_again();
    told.hears(&["READY=1"]);
    let log = stopped(daemon);
    assert!(log.contains("waiting for the database, and nothing is sent meanwhile"), "{log}");
    assert!(log.contains("is waited for no longer") && log.contains("ready address="), "{log}");
    assert_eq!(log.matches("nothing is sent meanwhile").count(), 1, "once a minute: {log}");
}

#[test]
fn a_supervisor_whose_socket_has_a_name_and_no_file_is_told_too() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let name = format!("tixing-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("set");
    let program = site.try_serve_with(&[("NOTIFY_SOCKET", &format!("@{name}"))]).expect("it starts");
    Told(socket).hears(&["READY=1", "STATUS=0 waiting"]);
    assert!(program.terminate().0.success());
}

#[test]
fn a_database_that_takes_the_connection_and_says_nothing_is_told_of_and_a_stop_is_heard_while_it_is_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let site =
        Site::new(&format!("postgres://tixing@127.0.0.1:{port}/tixing?sslmode=disable"), "http://127.0.0.1:1", "");
    let told = Told::at(&site);
    let soon = serve(&site, false);
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    stopped(soon);
    assert!(begun.elapsed() < Duration::from_secs(5), "SIGTERM is heard before it is ready");
    let waits = serve(&site, true);
    told.hears(&["STATUS=waiting for the database", "did not answer within 15 s"]);
    let log = stopped(waits);
    assert!(log.contains("did not answer within 15 s"), "{log}");
}

#[test]
fn what_only_a_person_can_change_at_postgresql_ends_a_start_with_78_and_the_statement_that_is_needed() {
    let Some(cluster) = postgres::own_cluster() else { return };
    for sql in [
        "CREATE DATABASE chinese ENCODING 'EUC_CN' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        "CREATE ROLE weak LOGIN",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    ] {
        cluster.sql("postgres", sql);
    }
    let by = |role: &str, database: &str| cluster.url(database).replace("tixing@", &format!("{role}@"));
    // Whether a look that opens nothing can see it.
    let table = [
        (by("tixing", "chinese"), "has the encoding EUC_CN", "ENCODING 'UTF8' TEMPLATE template0", true),
        (by("tixing", "nowhere"), "no database «nowhere»", "CREATE DATABASE \"nowhere\" OWNER \"tixing\"", true),
        (by("somebody", "postgres"), "the role «somebody»", "CREATE ROLE \"somebody\" LOGIN", true),
        (by("weak", "closed"), "«weak» may not connect", "GRANT CONNECT ON DATABASE \"closed\" TO \"weak\"", true),
        (by("weak", "postgres"), "does not allow it", "CREATE ON SCHEMA public", false),
    ];
    for (url, found, needed, at_a_look) in table {
        let site = Site::new(&url, "http://127.0.0.1:1", "");
        let (status, said) = site.try_serve().err().expect("it must not start");
        assert!(status.code() == Some(78) && said.contains(found) && said.contains(needed), "{status}: {said}");
        let (code, _, said) = site.run(&["check"]);
        assert_eq!(code == 78, at_a_look, "{said}");
        assert!(!at_a_look || said.contains(found) && said.contains(needed), "{said}");
        let (code, out, _) = site.run(&["doctor"]);
        assert!(code == 78 && out.contains(found) && out.contains(needed), "{code}: {out}");
    }
}

#[test]
fn a_server_that_has_no_connection_left_is_waited_for() {
    let Some(cluster) = postgres::own_cluster() else { return };
    for sql in ["CREATE ROLE guest LOGIN CONNECTION LIMIT 0", "GRANT CREATE ON SCHEMA public TO guest"] {
        cluster.sql("postgres", sql);
    }
    let site = Site::new(&cluster.url("postgres").replace("tixing@", "guest@"), "http://127.0.0.1:1", "");
    let told = Told::at(&site);
    let daemon = serve(&site, true);
    told.hears(&["STATUS=waiting for the database", "no connection left"]);
    cluster.sql("postgres", "ALTER ROLE guest CONNECTION LIMIT 50");
    told.hears(&["READY=1"]);
    stopped(daemon);
}

#[test]
fn what_passes_by_itself_ends_a_start_with_75_so_that_it_is_tried_again() {
    // A port that another program has.
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
    let address = taken.local_addr().expect("an address").to_string();
    std::fs::write(site.path("tixing.toml"), text.replace("127.0.0.1:0", &address)).expect("written");
    let (status, said) = site.try_serve().err().expect("the port is taken");
    assert!(status.code() == Some(75) && said.contains(&address), "{status}: {said}");
    drop(taken);
    assert!(site.serve().terminate().0.success());

    // A store that something which will end has for a while.
    let (code, _, said) = site.run(&["backup", "backup.db"]);
    assert_eq!(code, 0, "{said}");
    let held = std::fs::File::open(site.path("tixing.db")).expect("there");
    held.try_lock().expect("nobody has it");
    for command in [&["serve"][..], &["restore", "backup.db"], &["key", "list"]] {
        let (code, _, said) = site.run(command);
        assert_eq!(code, 75, "{command:?}: {said}");
    }
    drop(held);

    // A disk that is full.
    if !is_root() {
        eprintln!("!!! NOT RUN: a small file system can only be mounted by root; CI runs this as root");
        assert!(std::env::var_os("CI").is_none(), "in CI this must run");
        return;
    }
    let full = Site::new("sqlite:data/tixing.db", "http://127.0.0.1:1", "");
    let data = full.path("data");
    std::fs::create_dir(&data).expect("made");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&data).status();
    assert!(mounted.is_ok_and(|s| s.success()), "a small tmpfs can be mounted");
    let started = full.try_serve();
    let unmounted = Command::new("umount").arg(&data).status();
    let (status, said) = started.err().expect("there is no room for a store");
    assert!(unmounted.is_ok_and(|s| s.success()));
    assert!(status.code() == Some(75) && said.contains("disk is full"), "{status}: {said}");
}

#[test]
fn the_unit_starts_again_for_ever_unless_only_a_person_can_help() {
    let unit = include_str!("../../packaging/tixing.service");
    for line in ["StartLimitIntervalSec=0", "Restart=always", "RestartSec=5", "RestartPreventExitStatus=78"] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    let (head, _) = unit.split_once("[Service]").expect("a section");
    assert!(head.contains("StartLimitIntervalSec=0"), "systemd reads it in [Unit] alone");
}

#[test]
fn who_only_looks_makes_no_tables_in_an_empty_database() {
    let Some(cluster) = postgres::own_cluster() else { return };
    let site = Site::new(&cluster.url("postgres"), "http://127.0.0.1:1", "");
    for (args, code, words) in [
        (&["nodes"][..], 4, "there is no store at postgres://"),
        (&["app", "list"], 4, "`tixing serve` or `tixing migrate` makes one"),
        (&["reminder", "list"], 4, "there is no store at postgres://"),
        (&["release"], 4, "there is no store at postgres://"),
        (&["doctor"], 0, "there is no store yet"),
    ] {
        let (ended, told, said) = site.run(args);
        assert!(ended == code || args == ["doctor"], "{args:?} {ended} {told} {said}");
        assert!(told.contains(words) || said.contains(words), "{args:?} {told} {said}");
        // Fails where there is one.
        cluster.sql(
            "postgres",
            "DO $$ BEGIN ASSERT (SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public') = 0; END $$",
        );
    }
    let (code, _, said) = site.run(&["key", "create", "--name", "first"]);
    assert_eq!(code, 0, "whoever brings something makes it: {said}");
}

#[test]
fn a_url_that_postgresql_cannot_have_is_no_lost_connection() {
    for url in ["postgres://tixing@127.0.0.1:1,127.0.0.1:2/tixing", "postgres://tixing@127.0.0.1:99999/tixing"] {
        let site = Site::new(url, "http://127.0.0.1:1", "");
        for verb in ["check", "serve"] {
            let (code, told, said) = site.run(&[verb]);
            let all = format!("{told}{said}");
            assert!(code == 78 && all.contains("with one host"), "{url} {verb} {code} {all}");
        }
    }
}
