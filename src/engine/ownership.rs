//! Lanes come and go while the engine runs, where several daemons share a database: each has one owner at a time.

use super::{Engine, Owned, lane::Holding, signals::LaneStatus};
use crate::{
    domain::{Millis, node::Share},
    store::port::Ring,
};
use std::{collections::BTreeSet, sync::Arc};

impl Engine {
    /// Takes in which lanes are this node's. One that has come begins as at a start; of one that has gone what is under way is finished, and
    /// settled as testimony. One whose epoch alone has changed goes on, and looks at its rows again.
    pub(super) fn own(&mut self, owned: Owned, now: Millis) {
        self.add_lanes(now);
        for lane in &mut self.lanes {
            lane.has_share(owned.shares.get(&lane.id).copied().unwrap_or(Share::WHOLE));
            let epoch = owned.epochs.get(&lane.id).copied();
            match (lane.hold, epoch) {
                (Holding::Alone, _) | (Holding::Elsewhere, None) => {}
                (Holding::Elsewhere, Some(epoch)) => {
                    tracing::info!(
                        app = lane.app.name,
                        shard = lane.shard(),
                        "this daemon sends for this app from now on"
                    );
                    lane.hold = Holding::Ours(epoch);
                    let remembered = owned.statuses.get(&lane.id).and_then(|status| serde_json::from_str(status).ok());
                    lane.begin(remembered.unwrap_or_default(), now);
                    if let Some(listing) = self.store.listing(&lane.app.name) {
                        lane.knows(listing, now);
                    }
                }
                (_, None) => {
                    tracing::info!(
                        app = lane.app.name,
                        shard = lane.shard(),
                        "another daemon sends for this app from now on"
                    );
                    lane.hold = Holding::Elsewhere;
                    lane.end(now);
                }
                (held, Some(epoch)) if held != Holding::Ours(epoch) => {
                    // Its gates are looked at in any case; its rows may be others.
                    lane.hold = Holding::Ours(epoch);
                    lane.ring(Ring::EVERYTHING);
                }
                _ => {}
            }
        }
        let elsewhere = self.lanes.iter().filter(|lane| lane.hold == Holding::Elsewhere);
        self.signals.publish(|status| {
            for lane in elsewhere {
                let said = owned.statuses.get(&lane.id).and_then(|said| serde_json::from_str::<LaneStatus>(said).ok());
                *lane.status(status) = LaneStatus { elsewhere: true, ..said.unwrap_or_default() };
            }
        });
        for i in 0..self.lanes.len() {
            self.hear_of_others(i, now);
        }
        self.owned = Some(owned);
    }

    /// Another daemon may have divided an app since the last look: its new lanes are like the first one.
    fn add_lanes(&mut self, now: Millis) {
        let known: BTreeSet<i64> = self.lanes.iter().map(|lane| lane.id).collect();
        let first: Vec<usize> = (0..self.lanes.len()).filter(|i| self.lanes[*i].is_first()).collect();
        for i in first {
            let (app, reach) = (Arc::clone(&self.lanes[i].app), self.lanes[i].reach);
            for id in self.store.lanes(&app.name).into_iter().filter(|id| !known.contains(id)) {
                let mut lane = self.lane(&app, id, now);
                (lane.hold, lane.reach) = (Holding::Elsewhere, reach);
                self.lanes.push(lane);
            }
        }
        for i in 0..self.lanes.len() {
            let home = self.lanes[i].home;
            self.lanes[i].divided = self.lanes.iter().filter(|lane| lane.home == home).count() > 1;
        }
    }

    /// What a lane of a divided app learns from the app's other lanes: the list of templates, which the first one alone reads, when tokens
    /// were forced, and which templates are refused again and again.
    pub(super) fn hear_of_others(&mut self, i: usize, now: Millis) {
        let lane = &self.lanes[i];
        if !lane.divided || !lane.hold.may_begin() {
            return;
        }
        let status = self.signals.status();
        let others = self.lanes.iter().filter(|other| other.home == lane.home && other.id != lane.id);
        let others: Vec<&LaneStatus> = others.filter_map(|other| status.shards.get(&other.id)).collect();
        let listing = self.store.listing(&lane.app.name).filter(|_| !lane.is_first());
        let lane = &mut self.lanes[i];
        lane.token.forced_elsewhere(others.iter().flat_map(|said| said.forced.clone()).collect());
        others.iter().flat_map(|said| &said.suspended).for_each(|suspended| lane.hears_of(suspended, now));
        if let Some(listing) = listing.filter(|listing| lane.templates.read_at() < Some(listing.read_at)) {
            lane.templates.learn(listing);
            lane.wake_suspended = true;
        }
    }
}
