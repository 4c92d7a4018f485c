//! What must hold after every life, whatever happened in it: I1 to I9, by the platform's account and not by ours.

use super::{
    disk::wait,
    life::{Granted, Life, Promise, seconds},
    marketer::{Marketer, Moment, row_of},
    network::Left,
    platform::{self, is_only_busy},
};
use crate::harness::model::Seen;
use std::collections::{BTreeMap, BTreeSet};
use tixing::{
    domain::{
        DAY, Millis, SECOND,
        consent::{Balance, Feeds},
        reminder::{ReminderId, State},
        story::Event,
        template::OnDoubt,
    },
    sandbox::Message,
    store::{Inserted, reminders::Stored},
};

/// A platform's clock that agrees within this is believed.
pub const AGREES: Millis = 60 * SECOND;
/// What a slow store may shift between the gate and the first byte.
const SHIFT: Millis = 2 * SECOND;

macro_rules! must {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

/// Judges a life; answers its trace, which two runs of one seed must share.
pub fn judge(life: &Life) -> Result<Vec<String>, String> {
    let stored: BTreeMap<ReminderId, Seen> = life.disk.everything().into_iter().map(|s| (s.id, s)).collect();
    let messages = life.sandbox.world().messages().to_vec();
    let mut trace = Vec::new();
    for promise in &life.promises {
        let (id, mark) = (promise.id, life.mark_of(&promise.new));
        let Some(stored) = stored.get(&id) else { return Err(format!("I3: {mark} ({id}) was answered and is gone")) };
        let events = life.disk.events(id);
        let received: Vec<&Message> = messages.iter().filter(|m| m.data[life.what()] == mark).collect();
        if !life.unsure.contains(&mark) {
            // Its user's other reminders belong to the story.
            let all = || life.disk.everything().into_iter().map(|s| (s.id, s)).collect();
            one(life, promise, stored, &events, &received)
                .map_err(|why| format!("{mark} ({id}): {why}; {}", story(life, &stored.openid, &all())))?;
        }
        trace.push(format!("{mark} {}", told(stored, &events)));
    }
    let inserted = stored.values().filter(|s| !s.is_planned).count();
    must!(inserted == life.promises.len(), "{inserted} reminders stored, {} promised", life.promises.len());
    for marketer in &life.marketers {
        trace.extend(planned(life, marketer, &messages).map_err(|why| format!("{}: {why}", marketer.name))?);
    }
    trace.extend(life.told.iter().cloned());
    ledger(life, &stored)?;
    tickets(life, &stored)?;
    pace(life)?;
    must!(!life.metrics.text().contains(&platform::users(&life.app)), "I9: an openid in the metrics");
    for left in life.network.left.lock().expect("whole").iter() {
        if let Some(quiet) = life.app.rules.quiet_hours {
            must!(
                quiet.ends(left.machine).is_none(),
                "I6: {} left at {} in quiet hours",
                left.mark,
                seconds(left.machine)
            );
            must!(
                life.clock_set || quiet.ends(left.world).is_none(),
                "I6: {} left at {} in quiet hours by the platform's clock",
                left.mark,
                seconds(left.world)
            );
        }
        trace.push(format!("{} left at {}", left.mark, seconds(left.world)));
    }
    Ok(trace)
}

fn told(stored: &Seen, events: &[Event]) -> String {
    let event = |e: &Event| format!("{} {} {}", seconds(e.ended_at), e.state.word(), e.code.as_deref().unwrap_or("-"));
    format!(
        "at {} until {} is {}: [{}]",
        seconds(stored.at),
        seconds(stored.expires_at),
        stored.state.word(),
        events.iter().map(event).collect::<Vec<_>>().join(", ")
    )
}

/// One reminder.
fn one(life: &Life, promise: &Promise, stored: &Seen, events: &[Event], received: &[&Message]) -> Result<(), String> {
    let state = stored.state;
    let most = 1 + usize::from(wants_resends(life)) + usize::from(promise.resent);
    must!(received.len() <= most, "I2: the platform accepted it {} times", received.len());
    if promise.forgotten {
        must!(stored.openid != promise.new.openid && stored.data == "{}", "its user is not forgotten");
    } else {
        must!(
            promise.cancelled == (state == State::Cancelled),
            "a cancellation that was answered counts, and no other does"
        );
        must!(
            (stored.at, stored.expires_at, &stored.data) == (promise.new.at, promise.new.expires_at, &promise.new.data),
            "I3: it is not as it was promised"
        );
    }
    let last = events.last().ok_or("I5: it ended without a reason")?;
    must!(last.state == state, "its last event says {}", last.state.word());
    must!(state == State::Sent || last.code.is_some() && last.said().is_some(), "I5: it ended without a reason");
    match state {
        // That the only consent is spent proves a first message, unless the user has withdrawn it.
        // A receipt that names no message may be about one that a restored store has forgotten.
        State::Sent
            if !life.restored && (!drifts(life) || last.code.as_deref().is_none_or(|code| code == "receipt")) =>
        {
            must!(!received.is_empty(), "it did not arrive")
        }
        State::Failed | State::Expired | State::Cancelled => must!(received.is_empty(), "it arrived all the same"),
        _ => {}
    }
    // Known not to have been accepted: that ends nothing while its deadline lies ahead.
    let unsent = |code: &str| ["not_sent", "unknown"].contains(&code) || code.starts_with("http_");
    let busy = last.code.as_deref().is_some_and(|code| unsent(code) || is_only_busy(life.app.platform, code));
    must!(state != State::Failed || !busy, "it was given up though the platform was only busy");
    let users = platform::users(&life.app);
    for event in events {
        let text = event.said().map(|said| said.to_string()).unwrap_or_default();
        must!(!text.contains(&users), "I9: an openid in «{text}»");
        let denied = event.code.as_deref().is_some_and(|code| platform::denies(&life.app, code));
        let late = has_ended(life, &promise.new.openid, event.ended_at);
        must!(drifts(life) || late || !denied || event.state == State::Sent, "I1: it was sent without a consent");
    }
    doubts(life, promise, events)?;
    paid(life, promise)?;
    let left = life.network.left.lock().expect("whole");
    let left = left.iter().rfind(|left| left.mark == life.mark_of(&promise.new));
    if let (Some(message), Some(left)) = (received.first(), left) {
        let (at, until) = (stored.at, stored.expires_at);
        let when = |clock: Millis| format!("I6: it left at {}", seconds(clock));
        must!((at..until).contains(&left.machine), "{}", when(left.machine));
        // By the platform's clock, which is the user's: whatever ours says, it is believed only as far as they agree.
        let apart = if life.clock_set { AGREES + 6 * SECOND } else { 0 };
        must!(left.world >= at - apart, "{}, early by the platform's clock", when(left.world));
        must!(left.world < until + apart, "{}, late by the platform's clock", when(left.world));
        let data = serde_json::to_string(&message.data).expect("texts");
        must!(data == promise.new.data, "it said {data}");
    }
    Ok(())
}

/// A mark may have taken so long, while the disk hung, and a request leaves after it.
const MARK_TAKES: Millis = 65 * SECOND;

/// Whether a consent of the user's had ended by then: what was on its way is refused for want of it. A clock that was set says nothing.
fn has_ended(life: &Life, openid: &str, now: Millis) -> bool {
    let ended = |ends: Millis| life.clock_set || ends <= now;
    life.granted.iter().any(|granted| granted.openid == openid && granted.ends.is_some_and(ended))
}

/// I1 where consents end or are tickets: what leaves is paid for by one that has not ended, and a ticket that it names is its user's.
fn paid(life: &Life, promise: &Promise) -> Result<(), String> {
    if life.clock_set || life.restored || !platform::is_limited(&life.app) {
        return Ok(());
    }
    let mark = life.mark_of(&promise.new);
    let all = life.network.left.lock().expect("whole");
    for left in all.iter().filter(|left| left.mark == mark) {
        let when = left.machine - MARK_TAKES;
        let named = |granted: &Granted| left.ticket.is_none() || granted.ticket == left.ticket;
        let good = |granted: &Granted| granted.at <= left.machine && granted.ends.is_none_or(|ends| when < ends);
        let theirs = life.granted.iter().filter(|granted| granted.openid == promise.new.openid);
        must!(
            theirs.clone().any(|granted| named(granted) && good(granted)),
            "I1: it left at {} for {:?}, and no consent was good then: {:?}",
            seconds(left.machine),
            left.ticket,
            theirs.map(|granted| (granted.ticket.as_ref(), granted.ends.map(seconds))).collect::<Vec<_>>()
        );
    }
    Ok(())
}

/// I1: no ticket pays for more messages than it is good for.
fn tickets(life: &Life, stored: &BTreeMap<ReminderId, Seen>) -> Result<(), String> {
    let left = life.network.left.lock().expect("whole");
    let named: BTreeMap<&str, &str> =
        left.iter().filter_map(|left| Some((left.mark.as_str(), left.ticket.as_deref()?))).collect();
    let mut spent: BTreeMap<&str, i64> = BTreeMap::new();
    for promise in life.promises.iter().filter(|_| !life.restored) {
        let sent = stored.get(&promise.id).is_some_and(|stored| stored.state == State::Sent);
        if let Some(ticket) = named.get(life.mark_of(&promise.new).as_str()).filter(|_| sent) {
            *spent.entry(ticket).or_default() += 1;
        }
    }
    for (ticket, n) in spent {
        let granted = life.granted.iter().find(|granted| granted.ticket.as_deref() == Some(ticket));
        let sends = granted.map_or(0, |granted| granted.sends);
        must!(n <= sends, "I1: {ticket} is good for {sends} sends, and has paid for {n}");
    }
    Ok(())
}

/// Where nothing can be told about a lost answer, what may have arrived is not sent again unless somebody said so, and no refusal proves
/// that it had arrived.
fn doubts(life: &Life, promise: &Promise, events: &[Event]) -> Result<(), String> {
    if life.app.platform.doubt.counts_consents {
        return Ok(());
    }
    let denied = |event: &Event| event.code.as_deref().is_some_and(|code| platform::denies(&life.app, code));
    let proved = events.iter().find(|event| event.state == State::Sent && denied(event));
    must!(proved.is_none(), "I2: a refusal is taken for a proof: {proved:?}");
    let doubt = events.iter().find(|event| event.state == State::InDoubt);
    let Some(doubt) = doubt.filter(|_| !wants_resends(life) && !promise.resent && !life.clock_set) else {
        return Ok(());
    };
    let left = life.network.left.lock().expect("whole");
    let mark = life.mark_of(&promise.new);
    let again = left.iter().find(|left| left.mark == mark && left.machine > doubt.ended_at);
    must!(
        again.is_none(),
        "I2: it is in doubt since {}, and left again at {}",
        seconds(doubt.ended_at),
        seconds(again.map_or(0, |left| left.machine))
    );
    Ok(())
}

/// One schedule.
fn planned(life: &Life, marketer: &Marketer, messages: &[Message]) -> Result<Vec<String>, String> {
    let stored = life.planned(&marketer.name);
    counted(life, marketer, &stored)?;
    let mut trace = Vec::new();
    for s in &stored {
        let events = life.disk.events(s.due.id);
        let last = events.last().ok_or("I5: it ended without a reason")?;
        must!(last.state == s.due.state, "{}: its last event says {}", s.due.id, last.state.word());
        let code = last.code.as_deref().unwrap_or("-");
        trace.push(format!(
            "{} at {} {} {code}",
            platform::mark_in(&life.app, &s.data),
            seconds(s.due.at),
            s.due.state.word()
        ));
    }
    if marketer.lost {
        return Ok(trace);
    }
    let spends = usize::from(wants_resends(life)) + 1;
    for (mark, said) in &marketer.said {
        let (_, key) = row_of(mark).expect("a mark of a file");
        let of_row = |m: &&Message| row_of(&m.data[life.what()]) == Some((&marketer.name, key));
        let received: Vec<&Message> = messages.iter().filter(of_row).collect();
        let known = !marketer.forgotten.contains(key);
        must!(!known || received.len() <= spends, "I2: {key} got {:?}", received);
        must!(
            received.iter().filter(|m| m.data[life.what()] == *mark).all(|m| m.openid == said.openid),
            "{mark} went to somebody else than {}",
            said.openid
        );
        let ends =
            stored.iter().filter(|s| platform::mark_in(&life.app, &s.data) == *mark && s.due.state.spends()).count();
        let arrived = received.iter().filter(|m| m.data[life.what()] == *mark).count();
        must!(!known || arrived <= ends * spends, "{mark} arrived {arrived} times, and {ends} reminders say so");
    }
    let left = life.network.left.lock().expect("whole");
    let of_it = |left: &&Left| row_of(&left.mark).is_some_and(|(name, _)| name == marketer.name);
    for left in left.iter().filter(of_it) {
        sent_as_named(marketer, left)?;
    }
    // What left before its last time may have been moved since.
    let last: BTreeMap<&str, &Left> = left.iter().filter(of_it).map(|left| (left.mark.as_str(), left)).collect();
    for (mark, left) in last {
        let (_, key) = row_of(mark).expect("a mark of a file");
        let in_time = |s: &&Stored| (s.due.at..s.due.expires_at).contains(&left.machine);
        let ended = stored.iter().filter(|s| platform::mark_in(&life.app, &s.data) == mark).find(in_time);
        let known = !marketer.forgotten.contains(key)
            && left.arrived
            && stored.iter().any(|s| platform::mark_in(&life.app, &s.data) == mark && s.due.state == State::Sent);
        must!(!known || ended.is_some(), "I6: {mark} left at {} by its clock", seconds(left.machine));
    }
    Ok(trace)
}

/// What left was named by the file that was loaded then, for its instant, and nothing held it back.
fn sent_as_named(marketer: &Marketer, left: &Left) -> Result<(), String> {
    let (_, key) = row_of(&left.mark).expect("a mark of a file");
    // At the very instant of a load both are right.
    let then = marketer.moments.iter().rposition(|moment| moment.world < left.world).unwrap_or_default();
    let at_once = marketer.moments[then..].iter().take_while(|moment| moment.world <= left.world);
    let named = |moment: &Moment| moment.allowed.get(key).is_some_and(|marks| marks.contains(&left.mark));
    let when = seconds(left.world);
    must!(
        at_once.clone().any(named),
        "{} left at {when}, and the file that was loaded then does not say so",
        left.mark
    );
    let held = |moment: &Moment| moment.closed.is_some_and(|since| left.world > since + SECOND);
    must!(!at_once.clone().all(held), "{} left at {when}, though its schedule was paused or cancelled", left.mark);
    let at = marketer.said[&left.mark].at;
    let first = marketer.shifts.iter().min().map_or(at, |shift| at + shift);
    must!(
        left.machine >= first,
        "I6: {} left at {} by its clock, and its file says {}",
        left.mark,
        seconds(left.machine),
        seconds(at)
    );
    Ok(())
}

/// I4: the counts of a schedule are those of its rows.
fn counted(life: &Life, marketer: &Marketer, stored: &[Stored]) -> Result<(), String> {
    let Some(store) = life.disk.store() else { return Ok(()) };
    let Some(id) = store.gates().find(&marketer.name) else { return Ok(()) };
    let counts = wait(async move { store.schedule_counts(id).await });
    let mut rows: BTreeMap<String, i64> = BTreeMap::new();
    for s in stored {
        let name = match (s.due.state, &s.reason) {
            (state @ (State::Failed | State::Expired | State::Cancelled | State::Unconfirmed), Some(code)) => {
                format!("{}/{code}", state.word())
            }
            (state, _) => state.word().to_owned(),
        };
        *rows.entry(name).or_default() += 1;
    }
    must!(rows == counts, "I4: the rows say {rows:?}, the counts {counts:?}");
    Ok(())
}

/// An owner who wants a doubt sent again wants to miss none, and lets some arrive twice.
fn wants_resends(life: &Life) -> bool {
    life.app.templates[0].on_doubt == OnDoubt::Resend
}

/// Its owner or an operator may have had something arrive twice, which spends a consent that we count for another.
fn resends(life: &Life) -> bool {
    wants_resends(life) || life.promises.iter().any(|promise| promise.resent)
}

/// Two feeds tell of one tap by its time, which a clock that was set makes different.
fn tells_apart_by_time(life: &Life) -> bool {
    !(life.clock_set && life.app.consents == Feeds::Reconcile)
}

/// The platform may know fewer consents than we do.
fn drifts(life: &Life) -> bool {
    life.withdrawn || resends(life) || !tells_apart_by_time(life)
}

/// I1 and I4: our ledger balances, and agrees with the platform's.
fn ledger(life: &Life, stored: &BTreeMap<ReminderId, Seen>) -> Result<(), String> {
    life.disk.end_consents(life.time.machine());
    let mut total = Balance::default();
    let platform = life.sandbox.world().ledger();
    for entry in &platform {
        must!(
            entry.used <= entry.granted,
            "I1: {} accepted against {} consents of {}",
            entry.used,
            entry.granted,
            entry.openid
        );
    }
    let refused = refused_tickets(life);
    for ((openid, template), reported) in &life.reported {
        let b = life.disk.balance(openid, template);
        // Of consents from before they were forgotten the platform knows, and we do not.
        let came_back = life.forgotten.contains_key(openid);
        must!(b.available + b.held + b.used + b.void == *reported, "I4: {openid} has {b:?} of {reported}");
        must!(b.held == 0, "I4: everything has ended, and {openid} has {b:?}");
        let now = life.time.machine();
        let late = has_ended(life, openid, now);
        must!(drifts(life) || came_back || late || b.void == 0, "nobody withdrew, and {openid} has {b:?}");
        // A ticket that was refused, for it was withdrawn or had ended on its way, ends no other one.
        let lost = |granted: &&Granted| {
            let ended = granted.ends.is_some_and(|ends| ends <= now);
            granted.openid == *openid && (ended || granted.ticket.as_ref().is_some_and(|t| refused.contains(t)))
        };
        let lost: i64 = life.granted.iter().filter(lost).map(|granted| granted.sends).sum();
        let exact = life.app.platform.tickets.needed && !life.clock_set && !life.restored;
        must!(!exact || came_back || b.void <= lost, "{openid} has {b:?}, and only {lost} have ended or were refused");
        let spent = stored.values().filter(|s| s.openid == *openid && s.state.spends()).count();
        // A restored store takes a reminder for sent though it does not know the consent that may have paid for it.
        must!(
            b.used == spent as i64 || life.restored && b.used < spent as i64,
            "I4: {openid} has {b:?}, and {spent} reminders spent one: {}",
            story(life, openid, stored)
        );
        let accepted =
            platform.iter().find(|e| e.openid == *openid && e.template == life.event()).map_or(0, |e| e.used);
        let granted =
            platform.iter().find(|e| e.openid == *openid && e.template == life.event()).map_or(0, |e| e.granted);
        must!(
            !tells_apart_by_time(life) || came_back || *reported <= granted,
            "I1: {openid} tapped {granted} times, and {reported} count"
        );
        must!(
            life.restored || resends(life) || came_back || accepted <= b.used,
            "I1: {openid}'s phone got {accepted}, by our account {b:?}"
        );
        total.available += b.available;
        total.used += b.used;
        total.void += b.void;
    }
    if let Some(tally) = life.disk.tally() {
        nameless(life).into_iter().for_each(|b| {
            total.available += b.available;
            total.used += b.used;
            total.void += b.void;
        });
        let counted = Balance {
            available: tally["consent_available"],
            held: tally["consent_held"],
            used: tally["consent_used"],
            void: tally["consent_void"],
        };
        must!(counted == total, "I4: the rows say {total:?}, the counts {counted:?}");
        for state in State::ALL {
            let (rows, count) = (stored.values().filter(|s| s.state == state).count() as i64, tally[state.word()]);
            must!(count == rows, "I4: {rows} rows are {}, the count says {count}", state.word());
        }
    }
    let cut_off: usize = stored
        .values()
        .map(|s| life.disk.events(s.id).iter().filter(|e| e.code.as_deref() == Some("interrupted")).count())
        .sum();
    must!(
        cut_off <= life.crashes as usize * life.app.concurrency as usize,
        "I7: {cut_off} cut off by {} crashes, {} at once",
        life.crashes,
        life.app.concurrency
    );
    Ok(())
}

/// The tickets that messages named which the platform refused for want of a consent.
fn refused_tickets(life: &Life) -> BTreeSet<String> {
    let denied = |event: &Event| event.code.as_deref().is_some_and(|code| platform::denies(&life.app, code));
    let denied = life.promises.iter().filter(|promise| life.disk.events(promise.id).iter().any(denied));
    let marks: BTreeSet<String> = denied.map(|promise| life.mark_of(&promise.new)).collect();
    let left = life.network.left.lock().expect("whole");
    left.iter().filter(|left| marks.contains(&left.mark)).filter_map(|left| left.ticket.clone()).collect()
}

/// Consents that nobody tapped for: of those who were forgotten, who are called by their rows' numbers, and what stands for the former ones
/// of those who came back, for each template.
fn nameless(life: &Life) -> Vec<Balance> {
    let most = if life.forgotten.is_empty() { 0 } else { 60 };
    let templates = || life.app.templates.iter().map(|template| template.code.as_str());
    let gone = (1..=most).flat_map(|n| templates().map(move |template| (format!("forgotten {n}"), template)));
    let others =
        life.forgotten.keys().flat_map(|openid| templates().skip(1).map(|template| (openid.clone(), template)));
    gone.chain(others).map(|(openid, template)| life.disk.balance(&openid, template)).collect()
}

/// Once all terms are over nothing is left but consents that are available, or that the platform may still know; the books say the same;
/// and no key is taken twice.
pub fn all_goes(life: &Life) -> Result<(), String> {
    life.time.suspend(DAY);
    life.disk.erase(life.time.machine());
    must!(life.disk.everything().is_empty(), "reminders are left after their term");
    if let Some(tally) = life.disk.tally() {
        let named = life.reported.keys().map(|(openid, template)| life.disk.balance(openid, template));
        let (mut available, mut void) = (0, 0);
        named.chain(nameless(life)).for_each(|b| (available, void) = (available + b.available, void + b.void));
        for (name, n) in tally {
            let expected = match name.as_str() {
                "consent_available" => available,
                "consent_void" => void,
                "drift" => n,
                _ => 0,
            };
            must!(n == expected, "I4: after their term {n} are counted as {name}, and there are {expected}");
        }
    }
    for promise in life.promises.iter().filter(|p| p.new.key.is_some() && !p.forgotten) {
        let again = life.disk.insert(promise.new.clone());
        must!(again == Inserted::Spent, "I3: a key that was used is answered {again:?}");
    }
    Ok(())
}

/// A user's reminders, for a failure.
fn story(life: &Life, openid: &str, stored: &BTreeMap<ReminderId, Seen>) -> String {
    let reminders = stored.values().filter(|s| s.openid == openid);
    let reminders: Vec<String> =
        reminders.map(|s| format!("{} {:?} {}", s.id, s.claim, told(s, &life.disk.events(s.id)))).collect();
    reminders.join("\n")
}

/// The app's rate, within one life of the daemon.
fn pace(life: &Life) -> Result<(), String> {
    let left = life.network.left.lock().expect("whole");
    let interval = SECOND / Millis::from(life.app.rate);
    for (i, first) in left.iter().enumerate() {
        for (n, last) in left[i..].iter().enumerate().take_while(|(_, last)| last.life == first.life) {
            let least = interval * n as Millis - SHIFT;
            // A machine that slept made no time pass for its own clocks.
            must!(
                last.world - first.world >= least,
                "{} left within {} ms at {}/s",
                n + 1,
                last.world - first.world,
                life.app.rate
            );
        }
    }
    Ok(())
}
