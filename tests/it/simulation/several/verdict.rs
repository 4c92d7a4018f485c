//! What must hold after every life of several daemons, by the platform's account.

use super::{
    books::{Books, Mark},
    life::{Life, Lived, Promise, seconds},
    way::Left,
};
use std::collections::BTreeMap;
use tixing::{
    domain::{Millis, SECOND, reminder::State, template::OnDoubt},
    sandbox::Message,
};

macro_rules! must {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

/// Judges a life, and counts what was seen in it.
pub fn judge(life: &mut Life) -> Result<(), String> {
    let books = life.books.lock().expect("whole");
    must!(books.wrong.is_empty(), "{}", books.wrong[0]);
    let messages = life.sandbox.world().messages().to_vec();
    let left = life.left.lock().expect("whole").clone();
    for promise in &life.promises {
        one(life, &books, promise, &messages, &left).map_err(|why| {
            format!("{} ({}): {why}{}", promise.mark, promise.id, story(life, &books, promise, &left))
        })?;
    }
    consents(life, &books, &messages)?;
    for (place, app) in life.apps.iter().enumerate() {
        let is_of = |lane: &usize| books.lanes[*lane].app == place;
        let lanes = (0..books.lanes.len()).filter(is_of).count();
        let marks: Vec<Mark> = books.marks.iter().copied().filter(|mark| is_of(&mark.lane)).collect();
        let moves: Vec<Millis> = books.moved_at.iter().filter(|(moved, _)| is_of(moved)).map(|(_, at)| *at).collect();
        pace(Millis::from(app.rate), lanes as Millis, &marks, &moves)?;
    }
    let doubts = books.apps.iter().flat_map(|(_, model)| model.everything());
    let doubts = doubts.filter(|seen| seen.state == State::Unconfirmed).count();
    let lived = Lived {
        sent: messages.len(),
        takeovers: books.takeovers,
        moves: books.moved_at.len(),
        divided: books.marks.iter().filter(|mark| books.lanes[mark.lane].shard > 0).count(),
        lost_lanes: books.lanes.iter().filter(|lane| lane.lost).count(),
        beyond: books.marks.iter().filter(|mark| mark.is_beyond).count(),
        fenced: books.fenced,
        testimonies: books.testimonies,
        promotions: books.servers.promotions,
        again: books.servers.again,
        ended_holds: books.servers.ended,
        thawed_bytes: left.iter().filter(|left| left.excused).count(),
        doubts,
        ..life.lived
    };
    drop(books);
    life.lived = lived;
    Ok(())
}

/// The reminders of a user, for a failure.
fn story(life: &Life, books: &Books, of: &Promise, left: &[Left]) -> String {
    let theirs = life.promises.iter().filter(|p| (p.app, &p.new.openid) == (of.app, &of.new.openid));
    let told = theirs.map(|promise| {
        let events = books.apps[promise.app].1.events(promise.id).into_iter();
        let events =
            events.map(|e| format!("{} {} {}", seconds(e.ended_at), e.state.word(), e.code.unwrap_or_default()));
        let left = left.iter().filter(|left| left.mark == promise.mark);
        let left = left.map(|left| {
            format!(
                "{} by {} at {}, there at {:?}",
                seconds(left.called),
                left.machine,
                seconds(left.left),
                left.arrived.map(seconds)
            )
        });
        let (events, left): (Vec<_>, Vec<_>) = (events.collect(), left.collect());
        format!(
            "\n{} {} {:?} at {} until {}: {events:?}; left {left:?}",
            promise.mark,
            promise.id,
            promise.new.claim,
            seconds(promise.new.at),
            seconds(promise.new.expires_at)
        )
    });
    told.collect()
}

/// One reminder.
fn one(life: &Life, books: &Books, promise: &Promise, messages: &[Message], left: &[Left]) -> Result<(), String> {
    let seen = books.apps[promise.app].1.everything().into_iter().find(|seen| seen.id == promise.id);
    // An operator has looked at what a standby lacks for good.
    let is_lost = books.servers.lost.contains(&(promise.app, promise.id));
    let Some(seen) = seen else {
        return if is_lost { Ok(()) } else { Err("it was answered and is gone".into()) };
    };
    let received = messages.iter().filter(|message| message.data[life.what()] == promise.mark).count();
    let most = 1 + usize::from(life.on_doubt == OnDoubt::Resend);
    must!(received <= most, "the platform accepted it {received} times");
    let is_cancelled = seen.state == State::Cancelled;
    must!(promise.cancelled == is_cancelled || is_lost, "a cancellation that was answered counts");
    match seen.state {
        // Where an owner wants resends a second message spends another's consent, and that one's refusal proves nothing.
        State::Sent => must!(received > 0 || life.on_doubt == OnDoubt::Resend, "it did not arrive"),
        State::Failed | State::Expired | State::Cancelled => must!(received == 0, "it arrived all the same"),
        _ => {}
    }
    let mut requests: Vec<&Left> = left.iter().filter(|left| left.mark == promise.mark).collect();
    requests.sort_by_key(|left| left.called);
    for (i, first) in requests.iter().enumerate() {
        let (at, until) = (promise.new.at, promise.new.expires_at);
        must!((at..until).contains(&first.clock) || first.excused, "it left at {} by its clock", seconds(first.clock));
        for second in &requests[i + 1..] {
            let arrived = first.arrived.unwrap_or(Millis::MAX);
            must!(
                arrived <= second.called,
                "a second request overtakes the first, which arrives at {}",
                seconds(arrived)
            );
        }
    }
    Ok(())
}

/// Nobody gets more than they have granted, and our ledger says so too.
fn consents(life: &Life, books: &Books, messages: &[Message]) -> Result<(), String> {
    let mut received: BTreeMap<(usize, String), usize> = BTreeMap::new();
    for message in messages {
        let place = life.apps.iter().position(|app| app.appid == message.appid).expect("an app");
        *received.entry((place, message.openid.clone())).or_default() += 1;
    }
    for ((app, openid), granted) in &life.granted {
        let got = received.get(&(*app, openid.clone())).copied().unwrap_or_default();
        let twice = life.on_doubt == OnDoubt::Resend;
        must!(twice || got <= *granted, "{openid} granted {granted}, and got {got}");
        let model = &books.apps[*app].1;
        let balance = model.balance(openid, &life.apps[*app].templates[0].code, life.time.world());
        must!(balance.held == 0, "everything has ended, and {openid} has {balance:?}");
        let theirs = |promise: &&Promise| (promise.app, &promise.new.openid) == (*app, openid);
        let lost = |promise: &Promise| books.servers.lost.contains(&(promise.app, promise.id));
        // What was told with a reminder that is lost is lost with it.
        let lacks = life.promises.iter().filter(theirs).any(lost);
        must!(twice || lacks || got as i64 <= balance.used, "{openid} got {got}, and has {balance:?}");
    }
    Ok(())
}

/// The app's rate, whoever keeps it: no second has more than it says, one for the slack, and one for each of its lanes and for each who takes one.
fn pace(rate: Millis, lanes: Millis, marks: &[Mark], moves: &[Millis]) -> Result<(), String> {
    let mut times: Vec<Millis> = marks.iter().map(|mark| mark.asked_at).collect();
    times.sort_unstable();
    for (i, first) in times.iter().enumerate() {
        let n = times[i..].iter().take_while(|at| **at < first + SECOND).count() as Millis;
        let moved = moves.iter().filter(|at| (first - 4 * SECOND..first + SECOND).contains(*at)).count() as Millis;
        let most = rate + rate / 20 + 1 + lanes + moved;
        must!(n <= most, "{n} marks in a second at {rate}/s, from {}", seconds(*first));
    }
    Ok(())
}
