//! The reminders of a file between reading and comparing: on disk in the order of the file, with a small index in memory, so that a million
//! of them cost the daemon a few dozen megabytes.

use crate::domain::schedule::Planned;
use std::{
    fs::File,
    io::{self, BufWriter, Seek, Write},
    os::unix::fs::FileExt,
};

/// Where a reminder lies in the spool.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// A keyed hash of its user: those of one user stand together in [`Spool::by_user`].
    pub user: u64,
    offset: u64,
    length: u32,
    /// Its row, counted from 0 over all rows that were read.
    pub row: u32,
    /// The place of its occasion among those of the schedule.
    occasion: u16,
}

/// Reminders on disk, in the order of the file.
pub struct Spool {
    file: BufWriter<File>,
    offset: u64,
    entries: Vec<Entry>,
}

impl Spool {
    /// An empty one, in the folder for temporary files; it is gone with the process.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new() -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 18, tempfile::tempfile()?);
        Ok(Self { file, offset: 0, entries: Vec::new() })
    }

    /// Adds the reminders of a row. `occasion` tells the place of each among the schedule's occasions.
    ///
    /// # Errors
    /// Those of the file system: a full disk.
    pub fn add(
        &mut self,
        row: u32,
        user: u64,
        planned: &[Planned],
        occasion: impl Fn(&Planned) -> usize,
    ) -> io::Result<()> {
        for planned in planned {
            let bytes = serde_json::to_vec(planned)?;
            self.file.write_all(&bytes)?;
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            let occasion = u16::try_from(occasion(planned)).unwrap_or(u16::MAX);
            self.entries.push(Entry { user, offset: self.offset, length, row, occasion });
            self.offset += u64::from(length);
        }
        Ok(())
    }

    /// How many there are so far.
    pub fn written(&self) -> usize {
        self.entries.len()
    }

    /// Ends the writing. Those of rows for which `keeps` says no are left out.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(mut self, keeps: impl Fn(u32) -> bool) -> io::Result<Spooled> {
        self.file.flush()?;
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.entries.retain(|entry| keeps(entry.row));
        self.entries.shrink_to_fit();
        Ok(Spooled { file, entries: self.entries })
    }
}

/// A spool that is read.
pub struct Spooled {
    file: File,
    entries: Vec<Entry>,
}

impl Spooled {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Their places in the order of the file.
    pub fn in_order(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// Their places, those of a user together, and among them by occasion and then by row: the order in which consents are given out.
    /// Users come as the file names them first. So a load writes from the top of the file down, and users who became known one after the
    /// other, as most lists have them, lie together in the store.
    pub fn by_user(&self) -> Vec<u32> {
        let entry = |place: &u32| &self.entries[*place as usize];
        let mut places: Vec<u32> = self.in_order().collect();
        places.sort_unstable_by_key(|place| (entry(place).user, entry(place).occasion, entry(place).row));
        let of_user = |a: &u32, b: &u32| entry(a).user == entry(b).user;
        let (mut users, mut from) = (Vec::new(), 0_u32);
        for user in places.chunk_by(of_user) {
            let first = user.iter().map(|place| entry(place).row).min().unwrap_or_default();
            users.push((first, from));
            from += u32::try_from(user.len()).unwrap_or(u32::MAX);
        }
        users.sort_unstable();
        let user = |(_, from): &(u32, u32)| places[*from as usize..].chunk_by(of_user).next().unwrap_or_default();
        let mut ordered = Vec::with_capacity(places.len());
        users.iter().for_each(|place| ordered.extend_from_slice(user(place)));
        ordered
    }

    /// What stands at a place.
    pub fn entry(&self, place: u32) -> &Entry {
        &self.entries[place as usize]
    }

    /// Reads the reminders at these places.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read(&self, places: &[u32]) -> io::Result<Vec<Planned>> {
        let mut buffer = Vec::new();
        let read = |place: &u32| {
            let entry = self.entry(*place);
            buffer.resize(entry.length as usize, 0);
            self.file.read_exact_at(&mut buffer, entry.offset)?;
            Ok(serde_json::from_slice(&buffer)?)
        };
        places.iter().map(read).collect()
    }
}
