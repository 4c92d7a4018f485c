//! Times as people write them, and the instants and deadlines that follow.

pub mod point;
pub mod written;
pub mod span;
pub mod spread;
pub mod occasion;
pub mod cron;
