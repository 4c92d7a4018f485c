//! Weather that makes the circumstances of a deliberate fault likely, where chance alone takes too long to bring them about.

use super::{Life, MACHINES};
use crate::simulation::several::{line, sabotage::Sabotage, way};
use rand::RngExt;
use std::{sync::atomic::Ordering, time::Duration};
use tixing::{domain::SECOND, sandbox::Faults};

impl Life {
    /// What a fault shows in. Others show in whatever happens.
    pub(super) async fn directed(&mut self, fault: Sabotage) {
        match fault {
            Sabotage::TrustFromReply => self.stands_still_while_it_beats().await,
            Sabotage::GapIsSilence => self.database_is_away_for_the_well().await,
            Sabotage::TakenBackBlindly => self.moves_a_lane_whose_marks_are_lost().await,
            Sabotage::PromotionOverlooked => self.dies_with_the_primary().await,
            Sabotage::PoolerGoesOn => {
                self.books.lock().expect("whole").servers.pooled = true;
                self.dies_with_the_primary().await;
            }
            Sabotage::RateOfEachShard => self.hurries_through_all_shards().await,
            _ => {}
        }
    }

    /// All machines run, all that lies between them is good, and something is to be done.
    async fn all_well(&mut self) {
        self.away.store(false, Ordering::SeqCst);
        if self.books.lock().expect("whole").held {
            self.hold();
        }
        self.sandbox.world().faults = Faults::default();
        self.thaw();
        for k in 0..MACHINES {
            self.start(k);
            self.clear(k);
        }
        self.pass(Duration::from_secs(12)).await;
    }

    fn clear(&mut self, k: usize) {
        self.weather(k, line::Weather::good(5));
        *self.machines[k].weather.lock().expect("whole") =
            way::Weather { connect_ms: 5, slow_ms: 20, ..way::Weather::default() };
    }

    fn weather(&mut self, k: usize, weather: line::Weather) {
        *self.machines[k].sky.weather.lock().expect("whole") = weather;
        self.trouble(k);
    }

    /// The machine whose node has an app's first lane.
    fn owner_of(&self, app: usize) -> Option<usize> {
        let owner = self.books.lock().expect("whole").lanes[app].owner;
        self.machines
            .iter()
            .position(|machine| machine.daemon.as_ref().is_some_and(|daemon| Some(daemon.line.me()) == owner))
    }

    /// Beats and marks are on their way when their daemon stops, and their answers are there when it goes on, long after others have its lanes.
    async fn stands_still_while_it_beats(&mut self) {
        self.all_well().await;
        let app = self.rng.random_range(0..self.apps.len());
        let Some(k) = self.owner_of(app) else { return };
        self.weather(k, line::Weather::good(1_400));
        for user in 0..12 {
            let at = self.time.world() + i64::from(user) * 300;
            self.insert_for(app, 300 + user, at, at + super::CROWD);
        }
        let soon = self.rng.random_range(500..4_000);
        self.pass(Duration::from_millis(soon)).await;
        self.freezes(k);
        self.pass(Duration::from_secs(14)).await;
        self.thaw();
        self.pass(Duration::from_secs(3)).await;
    }

    /// Nothing is wrong with any machine, and the database is away for longer than a silence.
    async fn database_is_away_for_the_well(&mut self) {
        self.all_well().await;
        self.pass(Duration::from_secs(20)).await;
        self.away.store(true, Ordering::SeqCst);
        let long = self.rng.random_range(9_000..20_000);
        self.pass(Duration::from_millis(long)).await;
        self.away.store(false, Ordering::SeqCst);
        (self.away_at, self.troubled_at) = (self.time.world(), self.time.world());
        self.pass(Duration::from_secs(3)).await;
    }

    /// Marks do not reach the database, their lane goes to another who marks the same, and the first takes its own back while that one's calls last.
    async fn moves_a_lane_whose_marks_are_lost(&mut self) {
        self.all_well().await;
        let app = self.rng.random_range(0..self.apps.len());
        let Some(k) = self.owner_of(app) else { return };
        self.weather(k, line::Weather { fails: 0.5, ..line::Weather::good(50) });
        self.sandbox.world().faults.latency_ms = 4_000;
        for user in 0..12 {
            let at = self.time.world() + i64::from(user) * 50;
            self.insert_for(app, 300 + user, at, at + super::CROWD);
        }
        let soon = self.rng.random_range(20..900);
        self.pass(Duration::from_millis(soon)).await;
        let other = (k + 1) % MACHINES;
        if let Some(to) = self.machines[other].daemon.as_ref().map(|daemon| daemon.line.me()) {
            let mut books = self.books.lock().expect("whole");
            let seen = books.look(0).view.lanes.swap_remove(app);
            if seen.node.is_some_and(|node| node != to && books.works(node)) && books.works(to) {
                books.give(&seen, to, self.time.world());
            }
        }
        self.trouble(k);
        self.pass(Duration::from_secs(10)).await;
    }

    /// A machine fails with the primary, whose standby lacks what that one's node marked last and nothing of anybody else.
    async fn dies_with_the_primary(&mut self) {
        self.all_well().await;
        // Of an app that is not divided nobody else marks anything.
        let app = 1 - super::TEA;
        let Some(k) = self.owner_of(app) else { return };
        let at = self.time.world() + 2 * SECOND;
        for user in 0..12 {
            self.insert_for(app, 300 + user, at, at + super::CROWD);
        }
        self.pass(Duration::from_millis(1_900)).await;
        self.books.lock().expect("whole").leave_standby_behind();
        let soon = self.rng.random_range(200..1_500);
        self.pass(Duration::from_millis(soon)).await;
        self.kill(k).await;
        self.books.lock().expect("whole").promote(self.time.world());
        (0..MACHINES).for_each(|k| self.trouble(k));
        self.pass(Duration::from_secs(12)).await;
    }

    /// More is due at one instant in an app than all its lanes together may send in a second.
    async fn hurries_through_all_shards(&mut self) {
        self.all_well().await;
        let at = self.time.world() + SECOND;
        for user in 0..60 {
            self.insert_for(super::TEA, 300 + user, at, at + super::CROWD);
        }
        self.pass(Duration::from_secs(4)).await;
    }
}
