//! Lanes come and go while the engine runs, where several daemons share a database: each has one owner at a time.

use super::{Engine, Owned, errands::Errands, lane::Holding, signals::LaneStatus};
use crate::{domain::Millis, store::port::Ring};

impl Engine {
    /// Takes in which lanes are this node's. One that has come begins as at a start; of one that has gone what is under way is finished, and
    /// settled as testimony. One whose epoch alone has changed goes on, and looks at its rows again.
    pub(super) fn own(&mut self, owned: Owned, now: Millis) {
        for lane in &mut self.lanes {
            let epoch = owned.epochs.get(&lane.id).copied();
            match (lane.hold, epoch) {
                (Holding::Alone, _) | (Holding::Elsewhere, None) => {}
                (Holding::Elsewhere, Some(epoch)) => {
                    tracing::info!(app = lane.app.name, epoch, "the app's lane is this node's now");
                    lane.hold = Holding::Ours(epoch);
                    let remembered = owned.statuses.get(&lane.id).and_then(|status| serde_json::from_str(status).ok());
                    lane.begin(remembered.unwrap_or_default(), now);
                    if let Some(listing) = self.store.listing(&lane.app.name) {
                        lane.errands = Errands::new(Some(listing.read_at), now);
                        lane.templates.learn(listing);
                    }
                }
                (_, None) => {
                    tracing::info!(app = lane.app.name, "the app's lane is another node's now");
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
                *status.lane(&lane.app.name) = LaneStatus { elsewhere: true, ..said.unwrap_or_default() };
            }
        });
        self.owned = Some(owned);
    }
}
