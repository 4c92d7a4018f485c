//! English. A line for each key, in the order of `zh.rs`.
//!
//! `{name}` takes an argument, `{name:time}` an instant, `{name:span}` a duration, `{name:count noun}` a number with its noun.

#[rustfmt::skip]
pub(super) const SENTENCES: &[(&str, &str)] = &[
    ("text", "{text}"),

    // Why a reminder is where it is (domain/reason.rs).

    // Why a request failed (platform).

    // The story of a reminder (domain/story.rs).

    // What is wrong with an input: fields, times, drafts (domain).
    ("time_too_long", "has {found} characters; a time has at most {most}"),
    ("not_a_time", "«{text}» is not a time that exists; write 2027-03-01T10:00:00+08:00, or 2027-03-01T10:00 in the app's zone"),
    ("time_without_zone", "«{text}» has no UTC offset and the app has no timezone; add +08:00 or Z, or set the app's timezone"),
    ("time_out_of_range", "«{text}» is out of range"),
    ("wall_time_twice", "this wall time happens twice; the first is taken"),
    ("wall_time_skipped", "this wall time does not exist; it moved forward"),
    ("not_a_duration", "«{text}» is not a duration; write a whole number and s, m, h, d or w, like 2h"),
    ("duration_out_of_bounds", "«{text}» is not a duration between 0 and {most} days"),
    ("not_a_span_of_the_day", "«{text}» is not a span of the day; write two different times like 22:00-08:00"),

    // What is wrong with a field's value (platform).

    // What is wrong with a request (api).

    // The store.

    // The configuration.

    // The daemon.

    // The command line.

    // doctor.
];
