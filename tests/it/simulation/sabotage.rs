//! Deliberate faults, one at a time, each of which the simulation must find. A checker that finds nothing proves nothing.

/// A fault of the daemon, put between its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The request leaves before its mark is durable.
    SendBeforeMark,
    /// A mark does not look whether its row was changed since it was read.
    MarkWithoutFence,
    /// A settlement does not look whose row it settles.
    SettleWithoutFence,
    /// A settlement is answered and not written.
    SettlementForgotten,
    /// What a crash cut off is taken for unsent.
    CutOffCountsAsUnsent,
    /// What is in doubt is taken for unsent.
    DoubtCountsAsUnsent,
    /// A lost answer is taken for a request that never left.
    LostAnswerCountsAsUnsent,
    /// The consent of a message that was accepted is available again.
    ConsentFreedAfterSend,
    /// The consent of a reminder that was not sent is never given back.
    ConsentNotGivenBack,
    /// Nobody looks whether there is a consent at the instant.
    ConsentNotLookedAt,
    /// The deadline counts at insert only.
    DeadlineReadAtInsertOnly,
    /// Quiet hours are not kept.
    QuietHoursIgnored,
    /// Any wall clock is believed.
    ClockJumpBelieved,
    /// The app's rate is not kept.
    RateIgnored,
    /// A restored store sends at once.
    HoldIgnored,
    /// The same push again counts again.
    PushCountsTwice,
    /// A tap that both feeds tell of counts twice.
    BothFeedsCount,
    /// A read leaves out a row.
    RowPassedOver,
    /// A read that hangs is taken for one that found nothing.
    HungReadFindsNothing,
    /// A wall clock that is behind is believed.
    ClockBehindBelieved,
    /// A doubt is looked at while the bytes of its request may still be on their way.
    DoubtLookedAtTooSoon,
    /// A platform that is busy a few times ends a reminder.
    BusyEndsForGood,
    /// A doubt that waits to be sent again is taken for one that never left.
    ResendForgetsItsDoubt,
    /// Nobody asks whether a reminder's schedule is paused or cancelled.
    ScheduleGateNotAsked,
    /// A file is loaded with its table as it was before it was edited.
    TableOfBefore,
    /// A load does not know which reminders the rows of its file are.
    IdentitiesForgotten,
    /// The end of a consent is not looked at.
    EndNotLookedAt,
    /// A ticket that is told of again counts again.
    TicketCountsTwice,
    /// A refused ticket voids the user's others.
    DeniedTicketVoidsOthers,
    /// A success that nobody has signed is believed where answers are signed.
    UnsignedSuccessBelieved,
}

impl Sabotage {
    pub const ALL: [Self; 30] = [
        Self::SendBeforeMark,
        Self::MarkWithoutFence,
        Self::SettleWithoutFence,
        Self::SettlementForgotten,
        Self::CutOffCountsAsUnsent,
        Self::DoubtCountsAsUnsent,
        Self::LostAnswerCountsAsUnsent,
        Self::ConsentFreedAfterSend,
        Self::ConsentNotGivenBack,
        Self::ConsentNotLookedAt,
        Self::DeadlineReadAtInsertOnly,
        Self::QuietHoursIgnored,
        Self::ClockJumpBelieved,
        Self::RateIgnored,
        Self::HoldIgnored,
        Self::PushCountsTwice,
        Self::BothFeedsCount,
        Self::RowPassedOver,
        Self::HungReadFindsNothing,
        Self::ClockBehindBelieved,
        Self::DoubtLookedAtTooSoon,
        Self::BusyEndsForGood,
        Self::ResendForgetsItsDoubt,
        Self::ScheduleGateNotAsked,
        Self::TableOfBefore,
        Self::IdentitiesForgotten,
        Self::EndNotLookedAt,
        Self::TicketCountsTwice,
        Self::DeniedTicketVoidsOthers,
        Self::UnsignedSuccessBelieved,
    ];

    /// The platform that alone shows it: the lives of its search are lived there.
    pub fn platform(self) -> Option<&'static str> {
        match self {
            Self::DeniedTicketVoidsOthers => Some("baidu"),
            Self::UnsignedSuccessBelieved => Some("alipay"),
            _ => None,
        }
    }

    /// Whether it is a fault of what schedules need, which the real store alone has.
    pub fn is_of_schedules(self) -> bool {
        matches!(self, Self::ScheduleGateNotAsked | Self::TableOfBefore | Self::IdentitiesForgotten)
    }
}
