//! Marks of which a node does not know whether they were written: it takes them back by who marked, beside another node that may have the lane by now.

use crate::{
    harness::{START, accepted_reminder, apps, databases, fresh, open_among},
    store::{created, due, sent, settle},
};
use tixing::{
    domain::{
        node::{LaneSeen, NodeId},
        reminder::{ReminderId, State},
        settle::{Consent, Next, Settlement, store_failed},
    },
    store::{
        Store,
        nodes::Nodes,
        port::{Entry, Job, Marked, Queue, Target},
    },
};

/// Two nodes on one PostgreSQL database, the first of which has the lane, and a reminder that is due.
struct Scene {
    first: Store,
    other: Store,
    id: ReminderId,
}

/// Who a store is.
fn node(store: &Store) -> NodeId {
    store.node().expect("it is a node")
}

async fn lane(store: &Store) -> LaneSeen {
    let lanes = store.look().await.expect("answers").view.lanes;
    lanes.into_iter().find(|lane| lane.lane == 1).expect("the first lane")
}

/// The lane goes to a node.
async fn give(to: &Store) {
    assert!(to.give(lane(to).await, node(to)).await.expect("answers"), "nobody else is at it");
}

impl Scene {
    /// None where there is no PostgreSQL.
    async fn set() -> Option<Self> {
        let database = databases().into_iter().find(|database| *database == "postgres")?;
        let test = fresh(database).await;
        test.store.close().await;
        let apps = apps("http://127.0.0.1:1");
        let among = async |name: &str| open_among(&test.url, &test.clock, &apps, name).await.expect("it joins");
        let (first, other) = (among("first").await, among("other").await);
        give(&first).await;
        let id = created(&first, accepted_reminder("o1", START + 10)).await;
        Some(Self { first, other, id })
    }

    /// What a node reads now, as its engine would pick it.
    async fn job(&self, by: &Store) -> Job {
        let epoch = Some(lane(by).await.epoch);
        let job = due(by, START + 100_000_000).await.swap_remove(0);
        Job { epoch, ..job }
    }

    /// The first node takes back its mark of a job.
    async fn takes_back(&self, job: &Job) -> bool {
        let target = Target { marker: Some(node(&self.first)), ..job.target(true) };
        let settlement = store_failed(&job.due, START + 50);
        let entry = Entry { target, settlement, began_at: None, ended_at: START + 50 };
        self.first.settle(vec![entry]).await.expect("answers")[0]
    }

    /// Another node finds in doubt what a node has left in the middle of being sent.
    async fn is_found_in_doubt(&self, by: &Store) {
        let left = self.job(by).await;
        let settlement = Settlement {
            next: Next::Doubt { look_at: START + 20_000_000 },
            code: Some("found_in_doubt".into()),
            reason: None,
            text: None,
            consent: Consent::Keep,
            message_id: None,
        };
        let entry = Entry { target: left.target(false), settlement, began_at: None, ended_at: START + 40 };
        assert_eq!(by.settle(vec![entry]).await.expect("answers"), [true]);
    }

    async fn stands(&self) -> (State, i64) {
        let due = self.first.reminder(self.id).await.expect("answers").expect("there").due;
        (due.state, due.fence)
    }
}

async fn mark(store: &Store, job: &Job) -> Marked {
    store.mark(vec![job.clone()]).await.expect("answers").swap_remove(0)
}

#[tokio::test]
async fn a_lost_mark_is_not_taken_back_from_another_node_that_has_marked_the_same_since() {
    let Some(scene) = Scene::set().await else { return };
    // Its mark came to nothing, and it does not know that.
    let lost = scene.job(&scene.first).await;
    give(&scene.other).await;
    let theirs = scene.job(&scene.other).await;
    assert_eq!(mark(&scene.other, &theirs).await, Marked::Yes);
    let marked = scene.stands().await;
    assert_eq!(marked, (State::Sending, lost.due.fence + 1), "the rows look the same");
    assert!(!scene.takes_back(&lost).await, "the other is sending it");
    assert_eq!(scene.stands().await, marked);
    assert_eq!(scene.other.settle(vec![settle(&theirs, true, sent())]).await.expect("answers"), [true]);
    assert_eq!(scene.stands().await.0, State::Sent);
}

#[tokio::test]
async fn a_lost_mark_that_nobody_else_has_marked_is_taken_back_also_when_its_lane_has_moved() {
    let Some(scene) = Scene::set().await else { return };
    let lost = scene.job(&scene.first).await;
    assert_eq!(mark(&scene.first, &lost).await, Marked::Yes);
    give(&scene.other).await;
    assert!(scene.takes_back(&lost).await, "it is its own");
    assert_eq!(scene.stands().await.0, State::Scheduled);
    assert!(!scene.takes_back(&lost).await, "once");
    let theirs = scene.job(&scene.other).await;
    assert_eq!((theirs.due.due_at, theirs.marker), (lost.due.due_at, None), "nobody is waited for");
    assert_eq!(mark(&scene.other, &theirs).await, Marked::Yes);
}

#[tokio::test]
async fn a_lost_mark_resolves_its_own_doubt_and_not_that_of_another_node() {
    let Some(scene) = Scene::set().await else { return };
    let lost = scene.job(&scene.first).await;
    give(&scene.other).await;
    assert_eq!(mark(&scene.other, &scene.job(&scene.other).await).await, Marked::Yes);
    give(&scene.first).await;
    scene.is_found_in_doubt(&scene.first).await;
    let doubt = scene.stands().await;
    assert_eq!(doubt.0, State::InDoubt);
    assert!(!scene.takes_back(&lost).await, "what became of the other's request is not known");
    assert_eq!(scene.stands().await, doubt);

    let Some(scene) = Scene::set().await else { return };
    let lost = scene.job(&scene.first).await;
    assert_eq!(mark(&scene.first, &lost).await, Marked::Yes);
    give(&scene.other).await;
    scene.is_found_in_doubt(&scene.other).await;
    assert!(scene.takes_back(&lost).await, "nothing was sent, and who says so has marked it");
    assert_eq!(scene.stands().await.0, State::Scheduled);
}
