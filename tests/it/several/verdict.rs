//! What arrived, when, and how often.

use super::trio::{APPS, Planned};
use std::collections::HashMap;
use tixing::{
    domain::{Millis, reminder::ReminderId},
    sandbox::Message,
};

/// A message that arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub id: ReminderId,
    pub app: usize,
    pub due: Millis,
    pub at: Millis,
}

/// What the platform has seen of all that was planned.
pub struct Verdict {
    /// In the order in which they arrived.
    pub arrived: Vec<Arrived>,
    pub twice: Vec<String>,
    /// What did not arrive, though nobody has cancelled it.
    pub missing: Vec<(String, Planned)>,
    what: String,
    stall: Millis,
}

impl Verdict {
    /// Compares a plan with what arrived.
    pub fn of(what: &str, plan: &HashMap<String, Planned>, messages: &[Message], stall: Millis) -> Self {
        let mut times: HashMap<&str, Vec<Millis>> = HashMap::new();
        for message in messages {
            times.entry(&message.openid).or_default().push(message.at);
        }
        let (mut arrived, mut missing) = (Vec::new(), Vec::new());
        for (openid, planned) in plan {
            let Planned { app, due, id, cancelled } = *planned;
            match times.get(openid.as_str()) {
                Some(at) if cancelled => panic!("{what}: I3, {openid} was cancelled, and arrived at {at:?}"),
                Some(at) => arrived.push(Arrived { id, app, due, at: at[0] }),
                None if cancelled => {}
                None => missing.push((openid.clone(), planned.clone())),
            }
        }
        arrived.sort_by_key(|arrived| arrived.at);
        let twice = times.iter().filter(|(_, at)| at.len() > 1).map(|(openid, at)| format!("{openid} at {at:?}"));
        let verdict = Self { arrived, twice: twice.collect(), missing, what: what.to_owned(), stall };
        for app in 0..APPS.len() {
            verdict.tell(app);
        }
        verdict
    }

    fn tell(&self, app: usize) {
        let mut late: Vec<Millis> = self.of_app(app).map(|arrived| arrived.at - arrived.due).collect();
        late.sort_unstable();
        let missing = self.missing.iter().filter(|(_, planned)| planned.app == app).count();
        let part = |share: usize| late.get(late.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
        eprintln!(
            "{}, {}: {} arrived, {} twice, {missing} not; late p50 {} p99 {} max {} ms; at most {} a second; the machine stood for {} ms",
            self.what,
            APPS[app].0,
            late.len(),
            self.twice.len(),
            part(50),
            part(99),
            part(100),
            self.fastest(app),
            self.stall,
        );
    }

    /// What arrived of an app.
    pub fn of_app(&self, app: usize) -> impl Iterator<Item = &Arrived> {
        self.arrived.iter().filter(move |arrived| arrived.app == app)
    }

    /// When a reminder arrived.
    pub fn at_of(&self, id: ReminderId) -> Option<Millis> {
        self.arrived.iter().find(|arrived| arrived.id == id).map(|arrived| arrived.at)
    }

    /// How long the machine or the database kept others waiting, too: for so long it is nobody's fault.
    pub fn stall(&self) -> Millis {
        self.stall
    }

    /// How late the latest of an app was among those that were due then.
    pub fn latest(&self, app: usize, from: Millis, until: Millis) -> Millis {
        let due_then = self.of_app(app).filter(|arrived| (from..until).contains(&arrived.due));
        due_then.map(|arrived| arrived.at - arrived.due).max().unwrap_or_default()
    }

    /// The longest time in which nothing of an app arrived.
    pub fn silence(&self, app: usize, from: Millis, until: Millis) -> Millis {
        let times = self.of_app(app).map(|arrived| arrived.at).filter(|at| (from..until).contains(at));
        let times: Vec<Millis> = [from].into_iter().chain(times).chain([until]).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// The longest silences of an app, and when they began after an instant.
    pub fn silences(&self, app: usize, from: Millis) -> Vec<(Millis, Millis)> {
        let times: Vec<Millis> = self.of_app(app).map(|arrived| arrived.at).collect();
        let gaps = times.windows(2).map(|pair| (pair[1] - pair[0], pair[0] - from));
        gaps.filter(|(gap, _)| *gap > 300).collect()
    }

    /// What arrived of an app then.
    pub fn between(&self, app: usize, from: Millis, until: Millis) -> usize {
        self.of_app(app).filter(|arrived| (from..until).contains(&arrived.at)).count()
    }

    /// The most that arrived of an app in any second.
    pub fn fastest(&self, app: usize) -> usize {
        let times: Vec<Millis> = self.of_app(app).map(|arrived| arrived.at).collect();
        let mut first = 0;
        let in_second = |(last, at): (usize, &Millis)| {
            while times[first] <= at - 1_000 {
                first += 1;
            }
            last + 1 - first
        };
        times.iter().enumerate().map(in_second).max().unwrap_or_default()
    }
}
