//! The file system that the store lies on. SQLite's locks and its log in shared memory hold on a local disk alone.

use super::error::OpenError;
use crate::words::{Message, say};
use std::path::{Path, PathBuf};

/// Those that are reached over a network or shared with another machine, as they stand in the list of mounts.
const SHARED: &[&str] = &[
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "davfs",
    "drvfs",
    "gfs",
    "gfs2",
    "gluster",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "pvfs2",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
    "vmhgfs",
    "wekafs",
];

/// The same of those that a program serves, without `fuse.` or the program's own prefix.
const SERVED: &[&str] = &[
    "alluxio",
    "blobfuse",
    "ceph",
    "cosfs",
    "curlftpfs",
    "cubefs",
    "cvmfs",
    "davfs",
    "gcsfuse",
    "geesefs",
    "glusterfs",
    "goofys",
    "grpcfuse",
    "hdfs",
    "JuiceFS",
    "juicefs",
    "mount-s3",
    "moosefs",
    "mfs",
    "obsfs",
    "ossfs",
    "osxfs",
    "portal",
    "rclone",
    "s3fs",
    "seaweedfs",
    "smbnetfs",
    "sshfs",
    "vmhgfs",
    "weed",
];

/// How far a file system can be trusted with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Local,
    /// A program serves it, and which one is not known here.
    Unknown,
    Shared,
}

fn trust(kind: &str) -> Trust {
    match kind.strip_prefix("fuse.") {
        // One that does not say which; a disk of another system is `fuseblk`.
        None if kind == "fuse" => Trust::Unknown,
        None if SHARED.contains(&kind) => Trust::Shared,
        None => Trust::Local,
        // Some have their version or their own name behind it: ceph-fuse, blobfuse2.
        Some(program) if SERVED.iter().any(|known| program.starts_with(known)) => Trust::Shared,
        Some(_) => Trust::Unknown,
    }
}

/// The kind of the file system under `folder`, by the system's list of mounts. Of two at one place the later one counts.
fn kind<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((unescaped(words.next()?), words.next()?))
    });
    let over = mounts.filter(|(at, _)| folder.starts_with(at));
    over.max_by_key(|(at, _)| at.components().count()).map(|(_, kind)| kind)
}

/// The list has blanks and the like as `\040`.
fn unescaped(path: &str) -> PathBuf {
    let mut parts = path.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                text.push_str(&part[3..]);
            }
            None => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text.into()
}

/// Looks at the file system under `folder`; answers a warning if nobody knows how far it can be trusted.
///
/// # Errors
/// When it cannot be.
pub fn look(folder: &Path) -> Result<Option<Message>, OpenError> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let Some(kind) = folder.canonicalize().ok().and_then(|folder| kind(&mounts, &folder)) else { return Ok(None) };
    let folder = folder.to_string_lossy();
    match trust(kind) {
        Trust::Local => Ok(None),
        Trust::Unknown => Ok(Some(say!("store_on_unknown", folder = folder, kind = kind))),
        Trust::Shared => Err(OpenError::Wrong(say!("store_on_network", folder = folder, kind = kind))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_somewhere_else_is_known_by_its_name() {
        let table = [
            ("ext4", Trust::Local),
            ("xfs", Trust::Local),
            ("tmpfs", Trust::Local),
            ("overlay", Trust::Local),
            ("fuseblk", Trust::Local),
            ("nfs4", Trust::Shared),
            ("cifs", Trust::Shared),
            ("virtiofs", Trust::Shared),
            ("ocfs2", Trust::Shared),
            ("beegfs", Trust::Shared),
            ("fuse.glusterfs", Trust::Shared),
            ("fuse.juicefs", Trust::Shared),
            ("fuse.JuiceFS:data", Trust::Shared),
            ("fuse.s3fs", Trust::Shared),
            ("fuse.ossfs", Trust::Shared),
            ("fuse.rclone", Trust::Shared),
            ("fuse.davfs", Trust::Shared),
            ("fuse.ceph-fuse", Trust::Shared),
            ("fuse.blobfuse2", Trust::Shared),
            ("fuse.sshfs", Trust::Shared),
            ("fuse.somebodys", Trust::Unknown),
            ("fuse", Trust::Unknown),
        ];
        for (kind, expected) in table {
            assert_eq!(trust(kind), expected, "{kind}");
        }
    }

    #[test]
    fn a_folder_belongs_to_the_nearest_mount_whatever_its_name() {
        let mounts = "/dev/a / ext4 rw 0 0\nserver:/x /var/lib nfs rw 0 0\n/dev/b /var/lib/tixing xfs rw 0 0\n\
                      s3 /my\\040data fuse.s3fs rw 0 0\n/dev/c /mnt ext4 rw 0 0\nserver:/y /mnt nfs4 rw 0 0\n";
        let table = [
            ("/home", "ext4"),
            ("/var/lib", "nfs"),
            ("/var/library", "ext4"),
            ("/var/lib/tixing/deeper", "xfs"),
            ("/my data/store", "fuse.s3fs"),
            ("/mnt/x", "nfs4"),
        ];
        for (folder, expected) in table {
            assert_eq!(kind(mounts, Path::new(folder)), Some(expected), "{folder}");
        }
    }
}
