//! Recurring times: a cron line, read on the calendar of a zone.

mod field;
mod said;
mod line;
mod times;
#[cfg(test)]
mod tests;

pub use line::Cron;
pub use said::{occurrence as occurrence_said, zone as zone_said};
pub use times::{Recurrence, Time, name};
