//! What holds the reminders of a schedule back, all at once: a pause, a change under way, quiet hours of its own. Nothing of it is written
//! to a reminder's row.

use super::{Millis, timing::QuietHours};

/// When nothing of a schedule is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quiet {
    /// In the app's quiet hours.
    #[default]
    App,
    /// It has none: its reminders go while the app is quiet.
    None,
    /// In these, in place of the app's.
    Own(QuietHours),
}

/// The gate of a schedule. A reminder that comes from none has the default one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gate {
    /// It is paused or cancelled, or being shifted or cancelled: nothing of it is sent, however long that lasts.
    pub closed: bool,
    /// Its quiet hours.
    pub quiet: Quiet,
}

impl Gate {
    /// The quiet hours that count for it.
    pub fn quiet_hours(&self, app: Option<QuietHours>) -> Option<QuietHours> {
        match self.quiet {
            Quiet::App => app,
            Quiet::None => None,
            Quiet::Own(hours) => Some(hours),
        }
    }

    /// Whether its reminders may go at this instant.
    pub fn is_open(&self, app: Option<QuietHours>, now: Millis) -> bool {
        !self.closed && self.quiet_hours(app).is_none_or(|quiet| quiet.ends(now).is_none())
    }

    /// Whether it is as that of a reminder that comes from no schedule.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}
