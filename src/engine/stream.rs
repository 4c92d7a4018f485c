//! A stretch of a lane, read in order into a bounded buffer. It never passes over a row.
//!
//! What keeps it so: every open row between the stream's beginning and `read_to` is in the buffer, under way, gone, or in ground that is to
//! be read again, or waits for the proof that another node is gone; and nothing in the buffer lies behind `read_to`. A crowd at one instant is larger than any buffer, so places are
//! (instant, id) everywhere and never instants alone.

use crate::{
    domain::{Millis, SECOND, reminder::ReminderId},
    store::port::{Job, Open, Ring},
};
use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
};

/// How far ahead jobs are read.
const HORIZON: Millis = 3 * SECOND;

/// How much a stream holds.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Jobs of one read.
    pub page: usize,
    /// Jobs kept in memory, more than a page; beyond that the later ones are forgotten and read again.
    pub buffer: usize,
}

impl Default for Reach {
    fn default() -> Self {
        Self { page: 2_048, buffer: 8_192 }
    }
}

impl Reach {
    /// Of a lane that is one of so many of its app: all of them may be on this node.
    pub fn part(self, of: u32) -> Self {
        let part = |whole: usize, least| (whole / of as usize).max(least);
        if of < 2 { self } else { Self { page: part(self.page, 64), buffer: part(self.buffer, 256) } }
    }
}

/// Where a job lies in its lane.
pub type Place = (Millis, ReminderId);

/// The place before everything that is due at `at`.
fn before(at: Millis) -> Place {
    (at.saturating_sub(1), ReminderId(i64::MAX))
}

/// The place behind everything that is due at `at`.
fn behind(at: Millis) -> Place {
    (at, ReminderId(i64::MAX))
}

/// A stretch of a lane and its buffer, as the module's text describes them.
#[derive(Debug)]
pub struct Stream {
    /// Tells its reads from those of the stream that stood here before.
    number: u64,
    reach: Reach,
    from: Millis,
    until: Millis,
    read_to: Place,
    buffer: BTreeMap<Place, Job>,
    reading: bool,
    /// Jobs that have ceased to be active since the read began.
    left: HashSet<ReminderId>,
    /// Ground that was read before and has changed: after the first place, up to and including the second.
    reread: Option<(Place, Place)>,
}

/// A read that a stream asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The stream's number.
    stream: u64,
    /// After this place.
    pub after: Place,
    /// Up to and including this one.
    until: Place,
    /// At most so many.
    pub limit: usize,
    /// Whether it goes over ground that was read before.
    again: bool,
}

impl Read {
    /// Up to and including everything that is due at this instant. What lies behind the read's own end is not taken.
    pub fn until(&self) -> Millis {
        self.until.0
    }
}

impl Stream {
    /// A stream of what is due from `from` until `until`, both included. `number` is no other stream's.
    pub fn new(number: u64, reach: Reach, from: Millis, until: Millis) -> Self {
        let read_to = before(from);
        Self {
            number,
            reach,
            from,
            until,
            read_to,
            buffer: BTreeMap::new(),
            reading: false,
            left: HashSet::new(),
            reread: None,
        }
    }

    /// Its first instant.
    pub fn begins(&self) -> Millis {
        self.from
    }

    /// The earliest instant in memory.
    pub fn first(&self) -> Option<Millis> {
        self.buffer.keys().next().map(|(at, _)| *at)
    }

    /// The earliest instant in memory that is still to come.
    pub fn first_after(&self, now: Millis) -> Option<Millis> {
        self.buffer.range(behind(now)..).map(|((at, _), _)| *at).find(|at| *at > now)
    }

    /// Whether anything was read.
    pub fn has_looked(&self) -> bool {
        self.read_to > before(self.from)
    }

    /// What is due by `now`, in order.
    pub fn due(&self, now: Millis) -> impl Iterator<Item = (&Place, &Job)> {
        self.buffer.range(..=behind(now))
    }

    /// Takes a job out.
    pub fn take(&mut self, place: &Place) -> Option<Job> {
        self.buffer.remove(place)
    }

    /// Rows at these instants changed.
    pub fn ring(&mut self, ring: Ring) {
        if ring.until >= self.from {
            self.read_again(before(ring.from.max(self.from)), behind(ring.until));
        }
    }

    /// A read that is under way may have seen the ground as it was, so where it ends is looked at when the next one begins.
    fn read_again(&mut self, after: Place, until: Place) {
        let (first, last) = self.reread.unwrap_or((after, until));
        self.reread = Some((first.min(after), last.max(until)));
    }

    /// The next read, if one is wanted. It is under way until it is answered.
    pub fn wants(&mut self, now: Millis) -> Option<Read> {
        if self.reading {
            return None;
        }
        let (stream, limit) = (self.number, self.reach.page);
        if let Some((after, until)) = self.reread.take() {
            // What lies behind will be read anyway.
            let until = until.min(self.read_to);
            if after < until {
                self.reading = true;
                return Some(Read { stream, after, until, limit, again: true });
            }
        }
        let until = behind((now + HORIZON).min(self.until));
        let ahead = self.read_to >= until || self.read_to >= behind(now + HORIZON / 2);
        if ahead || self.buffer.len() > self.reach.buffer - self.reach.page {
            return None;
        }
        self.reading = true;
        Some(Read { stream, after: self.read_to, until, limit, again: false })
    }

    /// Whether a read is one of this stream's.
    pub fn asked(&self, read: Read) -> bool {
        read.stream == self.number
    }

    /// A job is no longer active. If a read is under way, it may bring the job as it was before, which is ignored.
    pub fn leaves(&mut self, id: ReminderId) {
        if self.reading {
            self.left.insert(id);
        }
    }

    /// Something has closed: its jobs are dropped, and never read as long as it is.
    pub fn shut(&mut self, open: &Open) {
        self.buffer.retain(|_, job| open.lets(job));
    }

    /// A read of this stream's is answered. `active` jobs are under way already, and what is not `open` has closed since it was asked.
    pub fn fill(&mut self, read: Read, jobs: Vec<Job>, active: &HashSet<ReminderId>, open: &Open) {
        self.reading = false;
        let left = std::mem::take(&mut self.left);
        let last = jobs.last().map(|job| (job.due.due_at, job.due.id)).filter(|_| jobs.len() >= read.limit);
        if read.again {
            // What is not there any more was ended or moved by another: nobody else would take it out.
            let covered = (Bound::Excluded(read.after), Bound::Included(last.unwrap_or(read.until)));
            let stale: Vec<Place> = self.buffer.range(covered).map(|(place, _)| *place).collect();
            stale.iter().for_each(|place| drop(self.buffer.remove(place)));
        }
        match (read.again, last) {
            (true, Some(last)) => self.read_again(last, read.until),
            (true, None) => {}
            (false, last) => self.read_to = last.unwrap_or(read.until),
        }
        for job in jobs {
            let place = (job.due.due_at, job.due.id);
            // Behind `read_to` lies what will be read anyway: kept here, it would hide what lies between.
            let known = active.contains(&job.due.id) || left.contains(&job.due.id);
            if place <= self.read_to && !known && open.lets(&job) {
                self.buffer.insert(place, job);
            }
        }
        while self.buffer.len() > self.reach.buffer {
            self.buffer.pop_last();
            self.read_to = *self.buffer.last_key_value().expect("more than none").0;
        }
    }

    /// A read of this stream's failed; it is asked for again.
    pub fn unfilled(&mut self, read: Read) {
        self.reading = false;
        self.left.clear();
        if read.again {
            self.read_again(read.after, read.until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            due::Due,
            options::Options,
            reminder::{Claim, State},
        },
        store::port::Body,
    };
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    use std::{collections::BTreeSet, sync::Arc};

    /// Each third row comes from a schedule.
    fn schedule(id: ReminderId) -> Option<i64> {
        (id.0 % 3 == 0).then_some(1)
    }

    fn job((due_at, id): Place) -> Job {
        let body = Body { openid: String::new(), page: None, data: String::new(), options: Options::new() };
        let expires_at = Millis::MAX;
        let due = Due {
            id,
            due_at,
            at: due_at,
            expires_at,
            state: State::Scheduled,
            fence: 0,
            tries: 0,
            unsure: 0,
            doubt_since: None,
        };
        let (claim, body) = (Claim::Reserve, Arc::new(body));
        Job {
            due,
            lane: 1,
            recipient: 1,
            template: 1,
            claim,
            standing: false,
            schedule: schedule(id),
            blind: false,
            marker: None,
            epoch: None,
            body,
        }
    }

    /// What the store answers.
    fn answer(rows: &BTreeSet<Place>, read: Read, open: &Open) -> Vec<Job> {
        let found =
            rows.range(..=behind(read.until())).filter(|place| **place > read.after && open.has(schedule(place.1)));
        found.take(read.limit).map(|place| job(*place)).collect()
    }

    #[test]
    fn a_stream_never_passes_over_a_row() {
        for seed in 0..3_000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let reach = Reach { page: rng.random_range(1..5), buffer: rng.random_range(6..12) };
            let backlog = rng.random_bool(0.3);
            let until = if backlog { 30 } else { Millis::MAX };
            let (mut stream, mut rows) = (Stream::new(seed, reach, 0, until), BTreeSet::new());
            let (mut now, mut under_way, mut active, mut open) = (0, None, HashSet::new(), Open::default());
            for step in 0..200 {
                match rng.random_range(0..11) {
                    // A crowd, or a few.
                    0 => {
                        let (at, n) = ((now + rng.random_range(-20..4_000)).max(0), rng.random_range(1..30));
                        rows.extend((0..n).map(|i| (at, ReminderId(step * 100 + i))));
                        stream.ring(Ring { from: at, until: at });
                    }
                    1 => stream.ring(Ring::EVERYTHING),
                    2 => now += rng.random_range(0..2_000),
                    3..=6 => {
                        if let Some(read) = under_way.take() {
                            // Answered as it was then or as it is now: the store may have been slow either way.
                            let (read, then, asked): (Read, Vec<Job>, Open) = read;
                            let jobs = if rng.random() { then } else { answer(&rows, read, &asked) };
                            match rng.random_bool(0.2) {
                                true => stream.unfilled(read),
                                false => stream.fill(read, jobs, &active, &open),
                            }
                        } else {
                            under_way = stream.wants(now).map(|read| (read, answer(&rows, read, &open), open.clone()));
                        }
                    }
                    7 => {
                        let due: Vec<Place> = stream.due(now).map(|(place, _)| *place).take(3).collect();
                        for place in due {
                            stream.take(&place).expect("just seen");
                            active.insert(place.1);
                        }
                    }
                    8 => {
                        // What was active has ended, or waits for another try, which rings.
                        for id in std::mem::take(&mut active) {
                            rows.retain(|(_, other)| *other != id);
                            stream.leaves(id);
                            if rng.random_bool(0.3) {
                                rows.insert((now + 500, id));
                                stream.ring(Ring { from: now + 500, until: now + 500 });
                            }
                        }
                    }
                    // A schedule closes, or opens: then its lane begins new streams, and a read of the old one is ignored.
                    9 if open.is_all() => {
                        open = Open::AllBut([1].into());
                        stream.shut(&open);
                    }
                    9 => {
                        open = Open::default();
                        (stream, under_way) = (Stream::new(seed + step as u64 + 1, reach, 0, until), None);
                    }
                    _ => {}
                }
                assert!(
                    stream.buffer.values().all(|job| open.lets(job)),
                    "seed {seed}, step {step}: it holds what is closed"
                );
                let asked = under_way.as_ref().map(|(read, ..)| *read);
                for place in rows.iter().filter(|place| open.has(schedule(place.1))) {
                    let again = stream
                        .reread
                        .is_some_and(|(after, until)| (after, until) < (*place, *place) && *place <= until);
                    let asked = asked.is_some_and(|read| read.after < *place && *place <= read.until);
                    let known = active.contains(&place.1) || stream.buffer.contains_key(place);
                    assert!(
                        known || again || asked || *place > stream.read_to,
                        "seed {seed}, step {step}: {place:?} is passed over by {stream:?}"
                    );
                }
                assert!(stream.buffer.len() <= reach.buffer, "seed {seed}");
                assert!(stream.buffer.keys().all(|place| *place <= stream.read_to), "seed {seed}, step {step}");
            }
        }
    }

    #[test]
    fn what_another_has_ended_is_taken_out_when_its_ground_is_read_again() {
        let mut stream = Stream::new(0, Reach::default(), 0, Millis::MAX);
        let (nobody, open) = (HashSet::new(), Open::default());
        let places = [1, 2, 3].map(|id| (10, ReminderId(id)));
        for (there, left) in [(&places[..], 3), (&places[1..2], 1), (&places[..0], 0)] {
            stream.ring(Ring::EVERYTHING);
            let read = stream.wants(0).expect("it is to be read");
            stream.fill(read, there.iter().map(|place| job(*place)).collect(), &nobody, &open);
            assert_eq!(stream.due(10).count(), left);
        }
    }

    #[test]
    fn a_crowd_at_the_last_instant_of_a_stretch_is_read_to_its_end() {
        let reach = Reach { page: 3, buffer: 8 };
        let rows: BTreeSet<Place> = (1..=20).map(|id| (100, ReminderId(id))).collect();
        let (mut stream, mut taken) = (Stream::new(1, reach, 0, 100), Vec::new());
        for _ in 0..40 {
            if let Some(read) = stream.wants(5_000) {
                stream.fill(read, answer(&rows, read, &Open::default()), &HashSet::new(), &Open::default());
            }
            let first = stream.due(5_000).next().map(|(place, _)| *place);
            taken.extend(first.and_then(|place| stream.take(&place)).map(|job| job.due.id.0));
        }
        assert_eq!(taken, (1..=20).collect::<Vec<_>>());
    }
}
