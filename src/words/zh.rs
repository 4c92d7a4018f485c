//! 中文。每个键一行，顺序与 `en.rs` 相同。
//!
//! `{name}` 代入参数，`{name:time}` 代入时刻，`{name:span}` 代入时长；`{name:count noun}` 在中文里写作 `{name}`。

#[rustfmt::skip]
pub(super) const SENTENCES: &[(&str, &str)] = &[
    ("text", "{text}"),

    // 提醒为何处于当前状态（domain/reason.rs）。

    // 请求为何失败（platform）。

    // 提醒的来龙去脉（domain/story.rs）。

    // 输入有什么问题：字段、时间、草稿（domain）。
    ("time_too_long", "有 {found} 个字符；时间最多 {most} 个字符"),
    ("not_a_time", "「{text}」不是有效时间；请写成 2027-03-01T10:00:00+08:00，或按应用时区写成 2027-03-01T10:00"),
    ("time_without_zone", "「{text}」没有 UTC 偏移，且应用未设置时区；请加上 +08:00 或 Z，或为应用设置 timezone"),
    ("time_out_of_range", "「{text}」超出可表示的范围"),
    ("wall_time_twice", "该本地时间会出现两次，取第一次"),
    ("wall_time_skipped", "该本地时间不存在（夏令时切换），已顺延"),
    ("not_a_duration", "「{text}」不是时长；请写整数加单位 s、m、h、d 或 w，例如 2h"),
    ("duration_out_of_bounds", "「{text}」不在 0 到 {most} 天之间"),
    ("not_a_span_of_the_day", "「{text}」不是一天内的时段；请写两个不同的时刻，例如 22:00-08:00"),

    // 字段取值有什么问题（platform）。

    // 请求有什么问题（api）。

    // 数据存储。

    // 配置。

    // 守护进程。

    // 命令行。

    // doctor。
];
