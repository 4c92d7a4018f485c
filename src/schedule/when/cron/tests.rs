use super::{Cron, Recurrence, Time, name, zone_said};
use crate::{
    domain::{DAY, HOUR, MINUTE, Millis, timing::rfc3339},
    words::{Lang, Voice},
};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike, Utc};
use chrono_tz::{Africa, America, Asia, Australia, Europe, Pacific, Tz};
use proptest::prelude::*;
use std::time::Duration;

fn cron(line: &str) -> Cron {
    Cron::parse(line).unwrap_or_else(|why| panic!("{line}: {why}"))
}

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

fn at(text: &str) -> Millis {
    text.parse::<DateTime<Utc>>().expect("an instant").timestamp_millis()
}

fn without_bounds(line: &str) -> Recurrence {
    Recurrence { cron: cron(line), from: None, until: None }
}

/// Names and instants of the first times after an instant.
fn times(recurrence: &Recurrence, zone: Tz, after: &str, count: usize) -> Vec<(String, String)> {
    let times = recurrence.times(zone, at(after)).take(count);
    times.map(|time| (name(time.wall), rfc3339(time.at).replace(":00.000Z", "Z"))).collect()
}

#[test]
fn a_line_that_cannot_be_meant_is_refused_with_what_to_write() {
    let table = [
        ("", "has 0 fields"),
        ("0 9 * *", "has 4 fields"),
        ("0 0 9 * * MON", "leave them out: «0 9 * * MON»"),
        ("0 0 9 * * MON 2031", "has 7 fields"),
        ("@daily", "write five fields"),
        ("0 9 * * MOON", "«MOON» is not known in the field day of the week"),
        ("0 9 * MRZ *", "«MRZ» is not known in the field month"),
        ("0 9 15W * *", "not known in the field day of the month"),
        ("0 9 * * +MON", "«+MON» is not known"),
        ("0 9 ,1 * *", "«» is not known"),
        ("0 ? * * *", "«?» is not known in the field hour"),
        ("0 9 * * MON#6", "1 to 5"),
        ("0 9 * * MON#", "1 to 5"),
        ("0 9 * * L", "FRIL"),
        ("0 9 * * 8", "out of range in the field day of the week"),
        ("60 9 * * *", "out of range in the field minute"),
        ("0 24 * * *", "out of range in the field hour: numbers from 0 to 23"),
        ("0 9 0 * *", "out of range in the field day of the month"),
        ("0 9 * 13 *", "out of range in the field month"),
        ("0 99999999999999999999 * * *", "out of range"),
        ("0 */0 * * *", "a step in the field hour is a number from 1 to 23"),
        ("0 */24 * * *", "from 1 to 23"),
        ("0 8-20/2/2 * * *", "a step"),
        ("0 1-2-3 * * *", "not known"),
        ("0 22-2 * * *", "write «22-23,0-2»"),
        ("0 9 * * FRI-MON", "write «5-7,0-1»"),
        ("0 9 31-1 * *", "write «31,1»"),
        ("0,30 9 * * *", "names 2 minutes of an hour"),
        ("*/15 9 * * *", "such as «0 9 * * *»"),
        ("* * * * *", "names 60 minutes of an hour"),
        ("20-21 9 * * *", "such as «20 9 * * *»"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 2,4,6,9,11 ?", "never comes"),
        ("0 0 30-31 FEB *", "never comes"),
    ];
    for (line, part) in table {
        let why = Cron::parse(line).expect_err(line).to_string();
        assert!(why.contains(part), "{line}: {why}");
    }
    let long = format!("0 9 * * {}", "MON,".repeat(70));
    assert!(Cron::parse(&long).expect_err("it is too long").to_string().contains("at most 256"));
}

#[test]
fn a_line_comes_when_it_says() {
    let table = [
        ("0 19 * * MON", "2031-01-06T19:00 2031-01-13T19:00"),
        ("0 19 * * mon,3", "2031-01-01T19:00 2031-01-06T19:00 2031-01-08T19:00"),
        ("5 8-10/2 * * *", "2031-01-01T08:05 2031-01-01T10:05 2031-01-02T08:05"),
        ("0 20/3 * * *", "2031-01-01T20:00 2031-01-01T23:00 2031-01-02T20:00"),
        ("0 9 * * FRI-SUN", "2031-01-03T09:00 2031-01-04T09:00 2031-01-05T09:00 2031-01-10T09:00"),
        ("0 9 * * 0,7", "2031-01-05T09:00 2031-01-12T09:00"),
        ("0 9 * * SUN-SUN", "2031-01-05T09:00 2031-01-12T09:00"),
        ("0 9 * * FRI#2", "2031-01-10T09:00 2031-02-14T09:00"),
        ("0 9 * * FRIL", "2031-01-31T09:00 2031-02-28T09:00"),
        ("0 9 L * *", "2031-01-31T09:00 2031-02-28T09:00 2031-03-31T09:00"),
        ("0 9 31 * *", "2031-01-31T09:00 2031-03-31T09:00"),
        ("0 9 13 * FRI", "2031-01-03T09:00 2031-01-10T09:00 2031-01-13T09:00"),
        ("0 9 */1 * FRI", "2031-01-03T09:00 2031-01-10T09:00"),
        ("0 9 ? FEB-MAR MON#1", "2031-02-03T09:00 2031-03-03T09:00 2032-02-02T09:00"),
        ("0 0 29 2 *", "2032-02-29T00:00 2036-02-29T00:00"),
        ("0 0 31 2,4,5 *", "2031-05-31T00:00 2032-05-31T00:00"),
        ("0 0 29 2 MON#5", "2032-02-29T00:00 2036-02-29T00:00 2040-02-29T00:00 2044-02-29T00:00 2044-02-29T00:00"),
        ("0 0 * 2 MON#5", "2044-02-29T00:00 2072-02-29T00:00 2112-02-29T00:00"),
    ];
    for (line, expected) in table {
        // A leap day that is a fifth Monday is one time.
        let mut expected: Vec<&str> = expected.split(' ').collect();
        expected.dedup();
        let start = day("2030-12-31").and_hms_opt(23, 59, 59).expect("a time");
        let cron = cron(line);
        let found = std::iter::successors(cron.next(start), |wall| cron.next(*wall)).take(expected.len());
        assert_eq!(found.map(name).collect::<Vec<_>>(), expected, "{line}");
    }
    let line = cron("0 19 * * *");
    let at = |text: &str| text.parse::<NaiveDateTime>().expect("a time");
    assert_eq!(line.next(at("2031-01-01T18:59:59.999")), Some(at("2031-01-01T19:00:00")));
    assert_eq!(line.next(at("2031-01-01T19:00:00")), Some(at("2031-01-02T19:00:00")), "what is after is not itself");
    assert_eq!(line.next(at("2031-01-01T19:00:00.001")), Some(at("2031-01-02T19:00:00")));
    assert_eq!(line.next(NaiveDateTime::MAX), None);
    assert_eq!(cron("0  19 * * 7"), cron("00 19 * * SUN"));
    assert_eq!(cron(" 0  19 * * Mon ").written(), "0 19 * * Mon");
}

#[test]
fn hostile_lines_take_no_time() {
    let start = day("2031-01-01").and_time(NaiveTime::MIN);
    for line in ["0 0 30 2 *", "0 0 31 2,4 *", "0 0 29 2 MON#5", "0 0 * 2 MON#5", "0 0 29 2 *", "0 0 31 2,4,5 *"] {
        // CPU is shared with other tests: what is bounded takes milliseconds, what isn't takes minutes.
        let began = std::time::Instant::now();
        let found = Cron::parse(line).map(|cron| std::iter::successors(Some(start), |wall| cron.next(*wall)).nth(5));
        let took = began.elapsed();
        println!("{line}: {took:?}");
        assert!(took < Duration::from_secs(5), "{line} took {took:?}: {found:?}");
    }
}

#[test]
fn from_and_until_include_their_days_and_leave_a_time_between_them() {
    let between = |line, from, until| Recurrence { cron: cron(line), from: Some(day(from)), until: Some(day(until)) };
    let e10 = between("0 19 * * MON", "2031-01-01", "2031-06-30");
    let next = times(&e10, Asia::Shanghai, "2030-12-01T00:00:00Z", 100);
    assert_eq!(next.len(), 26);
    assert_eq!(next[0], ("2031-01-06T19:00".to_owned(), "2031-01-06T11:00Z".to_owned()));
    assert_eq!(next[25].0, "2031-06-30T19:00", "the last day counts");
    let e12 = Recurrence { from: Some(day("2031-05-09")), ..without_bounds("0 9 13 * FRI") };
    let days: Vec<_> =
        times(&e12, Asia::Shanghai, "2031-01-01T00:00:00Z", 5).into_iter().map(|(name, _)| name).collect();
    let expected = ["2031-05-09", "2031-05-13", "2031-05-16", "2031-05-23", "2031-05-30"];
    assert_eq!(days, expected.map(|day| format!("{day}T09:00")));
    let midnight = between("0 0 * * *", "2031-05-09", "2031-05-09");
    assert_eq!(times(&midnight, Asia::Shanghai, "2031-01-01T00:00:00Z", 5).len(), 1, "a day begins at 00:00");
    for (recurrence, part) in [
        (between("0 9 * * *", "2031-05-09", "2031-05-08"), "lies before `from`"),
        (between("0 9 * * MON", "2031-05-06", "2031-05-11"), "no time from 2031-05-06 until 2031-05-11"),
        (between("0 9 29 2 *", "2031-01-01", "2032-02-28"), "no time from"),
    ] {
        assert!(recurrence.check().expect_err(part).to_string().contains(part));
    }
    for good in [&midnight, &e10, &e12, &between("0 9 29 2 *", "2031-01-01", "2032-02-29")] {
        good.check().expect("it has a time");
    }
}

#[test]
fn a_wall_time_comes_once_whatever_clocks_do() {
    type Named<'t> = &'t [(&'t str, &'t str)];
    let table: [(&str, Tz, &str, Named<'_>); 8] = [
        // 02:00 to 03:00 does not exist: 02:30 is moved to 03:30.
        (
            "30 2 * * *",
            Europe::Berlin,
            "2031-03-29T00:00:00Z",
            &[
                ("2031-03-29T02:30", "2031-03-29T01:30Z"),
                ("2031-03-30T02:30", "2031-03-30T01:30Z"),
                ("2031-03-31T02:30", "2031-03-31T00:30Z"),
            ],
        ),
        // Moved to 03:30, which is there already.
        (
            "30 1-3 * * *",
            Europe::Berlin,
            "2031-03-30T00:00:00Z",
            &[
                ("2031-03-30T01:30", "2031-03-30T00:30Z"),
                ("2031-03-30T03:30", "2031-03-30T01:30Z"),
                ("2031-03-31T01:30", "2031-03-30T23:30Z"),
            ],
        ),
        // 02:00 to 03:00 comes twice: the first pass counts.
        (
            "30 * * * *",
            Europe::Berlin,
            "2031-10-25T23:00:00Z",
            &[
                ("2031-10-26T01:30", "2031-10-25T23:30Z"),
                ("2031-10-26T02:30", "2031-10-26T00:30Z"),
                ("2031-10-26T03:30", "2031-10-26T02:30Z"),
            ],
        ),
        // Asked between the passes.
        ("30 2 * * *", Europe::Berlin, "2031-10-26T01:00:00Z", &[("2031-10-27T02:30", "2031-10-27T01:30Z")]),
        (
            "30 2 * * SUN",
            America::New_York,
            "2031-03-08T00:00:00Z",
            &[("2031-03-09T02:30", "2031-03-09T07:30Z"), ("2031-03-16T02:30", "2031-03-16T06:30Z")],
        ),
        // Samoa has no 30 December 2011, a Friday.
        (
            "0 10 * * *",
            Pacific::Apia,
            "2011-12-29T00:00:00Z",
            &[
                ("2011-12-29T10:00", "2011-12-29T20:00Z"),
                ("2011-12-31T10:00", "2011-12-30T20:00Z"),
                ("2012-01-01T10:00", "2011-12-31T20:00Z"),
            ],
        ),
        (
            "0 10,20 * * FRI",
            Pacific::Apia,
            "2011-12-30T12:00:00Z",
            &[
                ("2011-12-30T10:00", "2011-12-30T20:00Z"),
                ("2011-12-30T20:00", "2011-12-31T06:00Z"),
                ("2012-01-06T10:00", "2012-01-05T20:00Z"),
            ],
        ),
        // A gap of half an hour brings 02:15 to within an hour of 03:15.
        (
            "15 * * * *",
            Australia::Lord_Howe,
            "2031-10-04T14:00:00Z",
            &[("2031-10-05T01:15", "2031-10-04T14:45Z"), ("2031-10-05T03:15", "2031-10-04T16:15Z")],
        ),
    ];
    for (line, zone, after, expected) in table {
        let found = times(&without_bounds(line), zone, after, expected.len());
        let expected: Vec<_> = expected.iter().map(|(name, at)| ((*name).to_owned(), (*at).to_owned())).collect();
        assert_eq!(found, expected, "{line} in {zone} after {after}");
    }
    let noted = |line, zone, after| without_bounds(line).times(zone, at(after)).next().and_then(|time| time.note);
    let key = |note: Option<crate::words::Message>| note.map(|note| note.key().to_owned());
    assert_eq!(key(noted("30 2 * * *", Europe::Berlin, "2031-03-29T20:00:00Z")).as_deref(), Some("wall_time_skipped"));
    assert_eq!(key(noted("30 2 * * *", Europe::Berlin, "2031-10-25T20:00:00Z")).as_deref(), Some("wall_time_twice"));
    assert_eq!(key(noted("30 2 * * *", Asia::Shanghai, "2031-03-29T20:00:00Z")), None);
}

#[test]
fn a_line_is_said_in_words() {
    let table = [
        ("0 19 * * *", "every day at 19:00", "每天 19:00"),
        ("0 19 * * 0-6", "every day at 19:00", "每天 19:00"),
        ("0 19 * * MON", "every Monday at 19:00", "每周一 19:00"),
        ("0 9,19 * * WED,MON", "every Monday and Wednesday at 09:00 and 19:00", "每周一、周三 09:00、19:00"),
        ("0 9 * * SAT,SUN,TUE", "every Tuesday, Saturday and Sunday at 09:00", "每周二、周六、周日 09:00"),
        ("30 9 * * MON-FRI", "every Monday to Friday at 09:30", "每周一至周五 09:30"),
        ("30 9 * * FRI-SUN", "every Friday to Sunday at 09:30", "每周五至周日 09:30"),
        ("0 9 1 * *", "on day 1 of each month at 09:00", "每月1日 09:00"),
        ("0 9 15,1 * ?", "on day 1 and day 15 of each month at 09:00", "每月1日、15日 09:00"),
        ("0 9 L * *", "on the last day of each month at 09:00", "每月最后一天 09:00"),
        ("0 9 * * FRI#2", "on the second Friday of each month at 09:00", "每月第二个周五 09:00"),
        ("0 9 * * FRIL", "on the last Friday of each month at 09:00", "每月最后一个周五 09:00"),
        ("0 9 1 10 *", "every year on 1 October at 09:00", "每年10月1日 09:00"),
        ("5 * * * *", "every hour at :05", "每小时 05 分"),
        ("0 * * * *", "every hour on the hour", "每小时整点"),
        ("0 9 13 * FRI", "by cron «0 9 13 * FRI»", "按 cron「0 9 13 * FRI」"),
        ("0 * * * MON", "by cron «0 * * * MON»", "按 cron「0 * * * MON」"),
        ("0 */2 * * *", "by cron «0 */2 * * *»", "按 cron「0 */2 * * *」"),
        ("0 9 1,L * *", "by cron «0 9 1,L * *»", "按 cron「0 9 1,L * *」"),
        ("0 9 * 10 *", "by cron «0 9 * 10 *»", "按 cron「0 9 * 10 *」"),
        ("0 9 1 10 MON", "by cron «0 9 1 10 MON»", "按 cron「0 9 1 10 MON」"),
        ("0 9 * * FRI#2,MON", "by cron «0 9 * * FRI#2,MON»", "按 cron「0 9 * * FRI#2,MON」"),
        ("0 9 */7 * *", "by cron «0 9 */7 * *»", "按 cron「0 9 */7 * *」"),
    ];
    for (line, en, zh) in table {
        let said = cron(line).said();
        assert_eq!(said.say(Voice::new(Lang::En)), en, "{line}");
        assert_eq!(said.say(Voice::new(Lang::Zh)), zh, "{line}");
    }
    for (zone, en, zh) in [
        (Asia::Shanghai, "Beijing time", "北京时间"),
        (Tz::PRC, "Beijing time", "北京时间"),
        (Asia::Urumqi, "Asia/Urumqi", "Asia/Urumqi"),
        (Tz::UTC, "UTC", "UTC"),
    ] {
        assert_eq!([Lang::En, Lang::Zh].map(|lang| zone_said(zone).say(Voice::new(lang))), [en, zh]);
    }
}

/// A line as it was meant, with which this test matches by itself.
#[derive(Debug, Clone)]
struct Meant {
    minute: u32,
    hours: Vec<u32>,
    days: Vec<u32>,
    last: bool,
    weekdays: Vec<u32>,
    nth: Option<(u32, u32)>,
}

impl Meant {
    fn line(&self) -> String {
        let list = |values: &[u32], more: Option<String>| {
            let parts: Vec<String> = values.iter().map(u32::to_string).chain(more).collect();
            if parts.is_empty() { "*".to_owned() } else { parts.join(",") }
        };
        let nth = self.nth.map(|(day, nth)| format!("{day}#{nth}"));
        let days = list(&self.days, self.last.then(|| "L".to_owned()));
        format!("{} {} {days} * {}", self.minute, list(&self.hours, None), list(&self.weekdays, nth))
    }

    fn matches(&self, wall: NaiveDateTime) -> bool {
        let is_last = wall.date().succ_opt().is_some_and(|next| next.month() != wall.month());
        let by_day = self.days.contains(&wall.day()) || (self.last && is_last);
        let weekday = wall.weekday().num_days_from_sunday();
        let nth = self.nth.is_some_and(|(day, nth)| day == weekday && (wall.day() - 1) / 7 + 1 == nth);
        let by_weekday = self.weekdays.iter().any(|day| day % 7 == weekday) || nth;
        let (any_day, any_weekday) =
            (self.days.is_empty() && !self.last, self.weekdays.is_empty() && self.nth.is_none());
        let day = match (any_day, any_weekday) {
            (true, true) => true,
            (false, true) => by_day,
            (true, false) => by_weekday,
            (false, false) => by_day || by_weekday,
        };
        day && wall.minute() == self.minute && (self.hours.is_empty() || self.hours.contains(&wall.hour()))
    }

    /// Walks minute by minute over instants, then over wall times that do not exist.
    fn walked(&self, zone: Tz, after: Millis, until: Millis) -> Vec<(NaiveDateTime, Millis)> {
        let local = |at: Millis| zone.timestamp_millis_opt(at).single().expect("an instant").naive_local();
        let mut seen = std::collections::BTreeSet::new();
        let (mut regular, mut moved) = (Vec::new(), Vec::new());
        let mut last = local(after - 2 * DAY);
        for at in (after - 2 * DAY..until + DAY).step_by(MINUTE as usize) {
            let wall = local(at);
            let mut skipped = last + chrono::TimeDelta::minutes(1);
            let gap = (wall - skipped).num_milliseconds();
            while skipped < wall {
                if self.matches(skipped) {
                    moved.push((skipped, at + gap - (wall - skipped).num_milliseconds()));
                }
                skipped += chrono::TimeDelta::minutes(1);
            }
            last = wall;
            if self.matches(wall) && seen.insert(wall) {
                regular.push((wall, at));
            }
        }
        moved.retain(|(_, moved)| regular.iter().all(|(_, at)| (at - moved).abs() >= HOUR));
        regular.extend(moved);
        regular.retain(|(_, at)| *at > after && *at <= until);
        regular.sort_by_key(|(_, at)| *at);
        regular
    }
}

fn meant() -> impl Strategy<Value = Meant> {
    let few = |range: std::ops::Range<u32>| proptest::collection::btree_set(range, 0..4).prop_map(Vec::from_iter);
    let nth = proptest::option::weighted(0.3, (0_u32..7, 1_u32..6));
    let parts =
        (prop_oneof![Just(0_u32), 0_u32..60], few(0..24), few(1..32), prop::bool::weighted(0.2), few(0..8), nth);
    parts.prop_map(|(minute, hours, days, last, weekdays, nth)| Meant { minute, hours, days, last, weekdays, nth })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_time_is_missed_and_none_is_made_up(
        meant in meant(),
        place in prop_oneof![
            Just((Europe::Berlin, "2031-03-10T00:00:00Z")),
            Just((Europe::Berlin, "2031-10-10T00:00:00Z")),
            Just((America::New_York, "2031-02-20T00:00:00Z")),
            Just((America::New_York, "2031-10-20T00:00:00Z")),
            Just((Asia::Shanghai, "2032-02-10T00:00:00Z")),
            Just((Australia::Lord_Howe, "2031-09-20T00:00:00Z")),
            Just((Australia::Lord_Howe, "2031-03-20T00:00:00Z")),
            Just((Pacific::Apia, "2011-12-15T00:00:00Z")),
            Just((Africa::Casablanca, "2031-01-01T00:00:00Z")),
        ],
        offset in 0_i64..20 * 24 * 60,
    ) {
        let (zone, start) = place;
        let after = at(start) + offset * MINUTE;
        let until = after + 35 * DAY;
        let line = meant.line();
        let recurrence = without_bounds(&line);
        let found: Vec<Time> = recurrence.times(zone, after).take_while(|time| time.at <= until).collect();
        prop_assert!(found.windows(2).all(|pair| pair[0].at < pair[1].at), "{line}: not in order");
        let found: Vec<_> = found.into_iter().map(|time| (time.wall, time.at)).collect();
        prop_assert_eq!(found, meant.walked(zone, after, until), "{} in {}", line, zone);
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[0-9*/,#LW?@+ a-zA-Z\u{4e00}-\u{4e10}-]{0,40}") {
        if let Ok(cron) = Cron::parse(&text) {
            let start = NaiveDate::from_ymd_opt(2031, 1, 1).expect("a day").and_time(NaiveTime::MIN);
            prop_assert!(cron.next(start).is_some(), "{}", text);
            cron.said();
        }
    }
}
