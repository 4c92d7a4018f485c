//! Files: who can read and write them, whether the store's are whole, and how much room there is.

use crate::{
    config::Config,
    findings::{Level, Report},
    store::{file, filesystem},
    words::{Message, say},
};
use rustix::fs::{Access, AtFlags, CWD};
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

/// Megabytes below which sends stop soon, and below which somebody should make room.
const DISK_MB: (u64, u64) = (200, 2_048);

/// The permissions of a file, if it is there.
pub fn mode(path: &Path) -> Option<u32> {
    path.metadata().ok().map(|file| file.permissions().mode() & 0o777)
}

/// Permissions as `chmod` takes them.
pub fn octal(mode: u32) -> Message {
    Message::text(format!("{mode:o}"))
}

/// Whether whoever runs this may make files in a folder.
fn written_by_this_user(folder: &Path) -> rustix::io::Result<()> {
    rustix::fs::accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
}

pub fn look(config: &Config, report: &mut Report) {
    let own = mode(&config.path).unwrap_or_default();
    report.judge(
        say!("check_configuration_mode"),
        own & 0o022 == 0,
        Level::Failed,
        octal(own),
        say!("make_configuration_private"),
    );
    let Some(file) = config.store.url.strip_prefix("sqlite:").map(Path::new) else { return };
    let folder = file.parent().unwrap_or(Path::new("/"));
    let (name, metadata) = (Message::text(folder.display().to_string()), folder.metadata());
    // SQLite makes files beside the store, whoever may write the store itself.
    match (metadata.ok().filter(|at| at.is_dir()), written_by_this_user(folder)) {
        (None, _) => report.add(say!("check_store_folder"), Level::Failed, name, say!("store_folder_missing")),
        (Some(_), Ok(())) => report.ok(say!("check_store_folder"), name),
        (Some(at), Err(e)) => {
            let own = rustix::process::geteuid().as_raw();
            let found = say!("store_folder_unwritten", folder = name, own = own, why = e.to_string());
            report.add(say!("check_store_folder"), Level::Failed, found, say!("let_write_folder", owner = at.uid()));
        }
    }
    match mode(file) {
        Some(open) => report.judge(
            say!("check_store_mode"),
            open & 0o077 == 0,
            Level::Warning,
            octal(open),
            say!("make_store_private"),
        ),
        None => report.skipped(say!("check_store_mode"), say!("no_store_yet")),
    }
    if let Some(open) = mode(folder) {
        let fix = say!("make_folder_private", folder = folder.to_string_lossy());
        report.judge(say!("check_folder_mode"), open & 0o022 == 0, Level::Failed, octal(open), fix);
    }
    match filesystem::look(folder) {
        Ok(None) => {}
        Ok(Some(doubt)) => report.add(say!("check_file_system"), Level::Warning, doubt, say!("move_to_local_disk")),
        Err(why) => {
            report.add(say!("check_file_system"), Level::Failed, why.message().clone(), say!("move_to_local_disk"));
        }
    }
    belongings(file, report);
    if let Ok(real) = file::real(file) {
        beside(&real, report);
        log(&real, report);
    }
    room(folder, report);
}

/// Whether the files that belong to the store are there, and whether the store has one name only.
fn belongings(path: &Path, report: &mut Report) {
    let subject = say!("check_store_files");
    let Ok(path) = file::real(path) else {
        return report.add(subject, Level::Failed, say!("store_link_dangles"), say!("mend_store_link"));
    };
    let Ok(opened) = path.metadata() else { return };
    let progress = file::beside(&path, file::PROGRESS);
    if opened.nlink() > 1 {
        let found = say!("store_has_names", file = path.to_string_lossy(), names = opened.nlink());
        report.add(subject, Level::Failed, found, say!("keep_one_store_name"));
    } else if progress.exists() {
        report.ok(subject, say!("store_files_together", file = path.to_string_lossy()));
    } else {
        let found = say!("store_file_missing", file = progress.to_string_lossy());
        report.add(subject, Level::Warning, found, say!("put_progress_back"));
    }
}

/// Whether what lies beside the store is its owner's alone too, and all of one owner: the log has openids like the store.
fn beside(store: &Path, report: &mut Report) {
    let Ok(folder) = file::folder(store).metadata() else { return };
    for path in ["", file::LOG, "-shm", file::PROGRESS].map(|ending| file::beside(store, ending)) {
        let Ok(found) = path.metadata() else { continue };
        let name = path.to_string_lossy();
        if found.permissions().mode() & 0o077 != 0 && path != store {
            let open = say!("file_is_open", file = name, mode = octal(found.permissions().mode() & 0o777));
            report.add(say!("check_store_files"), Level::Warning, open, say!("make_store_private"));
        }
        if found.uid() != folder.uid() {
            let whose = say!("file_of_another", file = name, owner = found.uid(), folder = folder.uid());
            let fix = say!("give_to_folder", file = name, folder = file::folder(store).to_string_lossy());
            report.add(say!("check_store_files"), Level::Warning, whose, fix);
        }
    }
}

/// A log that is larger than this, in megabytes, or has this many and was not folded into the file for so long, in seconds, has something
/// in its way.
const LOG_MB: (u64, u64) = (1_024, 128);
const LOG_AGE_S: i64 = 600;

/// Whether the log is folded into the file. Its age is how much longer ago the file was changed.
fn log(store: &Path, report: &mut Report) {
    let (Ok(log), Ok(file)) = (file::beside(store, file::LOG).metadata(), store.metadata()) else { return };
    let (mb, age) = (log.len() / 1_048_576, (log.mtime() - file.mtime()).max(0));
    let (most, much) = LOG_MB;
    let good = mb < most && (mb < much || age < LOG_AGE_S);
    let found = say!("log_is", mb = mb, age = age * 1_000);
    report.judge(say!("check_log"), good, Level::Warning, found, say!("find_reader"));
}

fn room(folder: &Path, report: &mut Report) {
    let disk = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk,
        Err(e) => return report.skipped(say!("check_disk"), Message::text(e.to_string())),
    };
    let mb = disk.f_bavail.saturating_mul(disk.f_frsize) / 1_048_576;
    let (little, enough) = DISK_MB;
    report.judge(
        say!("check_disk"),
        mb >= enough,
        if mb < little { Level::Failed } else { Level::Warning },
        say!("disk_free", mb = mb),
        say!("make_room"),
    );
    report.judge(
        say!("check_inodes"),
        disk.f_files == 0 || disk.f_favail > 1_000,
        Level::Warning,
        say!("inodes_free", n = disk.f_favail),
        say!("delete_small_files"),
    );
}
