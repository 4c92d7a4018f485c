//! All who have consented are read for an occurrence and handed on page by page: nothing that is said of one depends on another, so a million
//! of them need no more memory than a page.

use super::{
    extra,
    happenings::Happening,
    rows::{Gathering, REMINDERS},
};
use crate::{
    domain::{DAY, schedule::Planned},
    schedule::{
        file::File,
        problem::Problem,
        recur::Occurring,
        row::{Bound, RowRead},
    },
    store::planned::Line,
    words::say,
};
use std::{collections::HashSet, hash::BuildHasher, io};
use tokio::sync::mpsc;

/// People of a page.
const PEOPLE: usize = 1_000;

/// What is handed on, in this order.
pub enum Page {
    /// The occurrence, before anything of it is read.
    Begins(Box<File>, Occurring),
    /// The reminders of some people, those of each together.
    Lines(Vec<Line>),
}

/// Nobody takes the pages any more: who took them says why.
struct Left;

/// A page that is being filled.
struct Filling<'f> {
    bound: &'f Bound<'f>,
    happening: &'f Happening,
    extra: String,
    /// What everybody is told, if it is the same.
    same: Option<Vec<(Planned, i64)>>,
    lines: Vec<Line>,
    handed: usize,
    pages: &'f mpsc::Sender<Page>,
}

impl Filling<'_> {
    fn hand_on(&mut self) -> Result<(), Left> {
        self.handed += self.lines.len();
        self.pages.blocking_send(Page::Lines(std::mem::take(&mut self.lines))).map_err(|_| Left)
    }
}

impl Gathering<'_> {
    /// Reads all who have consented for an occurrence, and hands them on.
    pub fn in_pages(&mut self, bound: &Bound<'_>, happening: &Happening, pages: &mpsc::Sender<Page>) -> io::Result<()> {
        // Nobody is written for while something is wrong: whom the file leaves out may not be known.
        if self.plan.refused {
            return Ok(());
        }
        let extra = extra(self.file);
        let mut filling = Filling { bound, happening, extra, same: None, lines: Vec::new(), handed: 0, pages };
        if pages.blocking_send(Page::Begins(Box::new(self.file.clone()), self.begins(happening))).is_err() {
            return Ok(());
        }
        let (mut seen, mut left) = (HashSet::new(), false);
        if happening.prepared {
            // One whose preparation was cut off: those whom it reached count too, though they may have no other consent.
            let (asks, file, digest) = (self.desk.asks, self.file, self.plan.digest.clone());
            asks.people(file, &digest, &happening.occurrence.name, &mut |openid| {
                if !left && seen.insert(self.hash.hash_one(openid.as_str())) {
                    self.fill(&mut filling, None, &openid);
                    left = filling.lines.len() >= PEOPLE && filling.hand_on().is_err();
                }
                Ok(())
            })?;
        }
        let mut after = 0;
        while !left && filling.handed <= REMINDERS {
            let page = self.desk.asks.consented_after(self.file, after, PEOPLE)?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (user, openid) in &page {
                if !seen.contains(&self.hash.hash_one(openid.as_str())) {
                    self.fill(&mut filling, Some(*user), openid);
                }
            }
            left = filling.hand_on().is_err();
        }
        if !left && !filling.lines.is_empty() {
            left = filling.hand_on().is_err();
        }
        if !left && filling.handed > REMINDERS {
            self.problem(Problem::new("too_large", say!("too_many_reminders", most = REMINDERS)));
        }
        Ok(())
    }

    /// The occurrence with its last deadline, as far as that is known before anybody is read: `spread` may move it.
    fn begins(&self, happening: &Happening) -> Occurring {
        let occurring = self.occurring.iter().find(|occurring| occurring.name == happening.occurrence.name);
        let mut begins = occurring.expect("it is among those that are read").clone();
        if self.file.spread > 0 {
            // Quiet hours may move it on to the next day.
            begins.ends = begins.ends.map(|ends| ends + self.file.spread + DAY);
        }
        begins
    }

    /// Takes somebody into the page.
    fn fill(&mut self, filling: &mut Filling<'_>, user: Option<i64>, openid: &str) {
        if self.excluded.contains(&self.hash.hash_one(openid)) {
            self.plan.rows.excluded += 1;
            return;
        }
        if let Some(same) = &filling.same {
            match filling.bound.openid(openid) {
                Ok(openid) => filling.lines.extend(same.iter().map(|(planned, digest)| Line {
                    planned: Planned { key: openid.clone(), openid: openid.clone(), ..planned.clone() },
                    digest: *digest,
                    user,
                })),
                Err(problems) => self.refuse(problems),
            }
            return;
        }
        let read = filling.bound.person(openid, None, Some(&filling.happening.occurrence));
        match self.of_occurrence(read, filling.happening) {
            RowRead::Right { planned, .. } => {
                let said = planned.into_iter().map(|planned| (planned.digest(&filling.extra), planned));
                let lines: Vec<Line> = said.map(|(digest, planned)| Line { planned, digest, user }).collect();
                if filling.bound.says_the_same_to_all() {
                    filling.same = Some(lines.iter().map(|line| (line.planned.clone(), line.digest)).collect());
                }
                filling.lines.extend(lines);
            }
            RowRead::Refused { problems, .. } => self.refuse(problems),
        }
    }

    fn refuse(&mut self, problems: Vec<Problem>) {
        self.refused_beside += 1;
        self.plan.problems.extend(problems);
    }
}
