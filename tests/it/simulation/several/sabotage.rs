//! Deliberate faults in what keeps several daemons apart, one at a time, each of which the simulation must find.

/// A fault, put between the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A mark does not look whose the lane is.
    MarkWithoutEpoch,
    /// A mark does not keep the lane from a takeover, as `FOR KEY SHARE` would not: one that began before it is committed after it.
    LockTooWeak,
    /// A node trusts for five seconds from the answer to its beat, and not from its sending.
    TrustFromReply,
    /// Nobody looks just before the first byte.
    NoGate,
    /// What is in doubt is sent again though its node may come back.
    ResendWithoutProof,
    /// Who is handed a lane takes for cut off what a working node is sending.
    CutsOffTheLiving,
    /// Who could not look for a while takes that for a silence of the others.
    GapIsSilence,
    /// Two have a lane, and each keeps the rate by itself.
    RateOfEach,
    /// An app is divided, and each of its lanes takes the whole rate.
    RateOfEachShard,
    /// A takeover does not look whether its node has beaten since.
    TakeoverWithoutLooking,
    /// A mark of which it is not known whether it was written is taken back though another may have the lane, and have marked the same.
    TakenBackBlindly,
    /// A daemon says that it has written its marks and their ends again, and has not.
    ToldWithoutWriting,
    /// The hold after a standby took over ends though a daemon has not said what it knows.
    AwaitsNobody,
    /// Who lacks nothing does not notice that a standby took over, though what others had marked may be lacking.
    PromotionOverlooked,
    /// Behind a pooler, whose connections outlive the server, nobody looks which server answers.
    PoolerGoesOn,
    /// Whatever a standby lacks, nothing is held.
    ChainIgnored,
    /// What a daemon has written as the node that it was before counts as missing of the one that it is now.
    FormerWrittenAgain,
}

impl Sabotage {
    pub const ALL: [Self; 17] = [
        Self::MarkWithoutEpoch,
        Self::LockTooWeak,
        Self::TrustFromReply,
        Self::NoGate,
        Self::ResendWithoutProof,
        Self::CutsOffTheLiving,
        Self::GapIsSilence,
        Self::RateOfEach,
        Self::RateOfEachShard,
        Self::TakeoverWithoutLooking,
        Self::TakenBackBlindly,
        Self::ToldWithoutWriting,
        Self::AwaitsNobody,
        Self::PromotionOverlooked,
        Self::PoolerGoesOn,
        Self::ChainIgnored,
        Self::FormerWrittenAgain,
    ];

    /// Those that have a weather of their own.
    pub const DIRECTED: [Self; 6] = [
        Self::TrustFromReply,
        Self::GapIsSilence,
        Self::TakenBackBlindly,
        Self::RateOfEachShard,
        Self::PromotionOverlooked,
        Self::PoolerGoesOn,
    ];

    /// What the verdict says that finds it: one of these. Whatever else fails under a fault proves nothing about it. Of faults that break several rules
    /// none is named: what fails under them counts, whatever it is.
    fn shows(self) -> &'static [&'static str] {
        match self {
            Self::MarkWithoutEpoch | Self::LockTooWeak => &["which is not its own"],
            Self::TrustFromReply | Self::NoGate => &["is at it"],
            Self::ResendWithoutProof => &["a second request overtakes the first", "the platform accepted it"],
            Self::CutsOffTheLiving => &["for cut off, which"],
            Self::GapIsSilence => &["is well, and is taken over"],
            Self::RateOfEach | Self::RateOfEachShard => &["marks in a second"],
            Self::TakenBackBlindly => &["says of"],
            Self::TakeoverWithoutLooking => &["ms ago, and is taken over"],
            Self::AwaitsNobody => &["the hold ended by itself"],
            Self::FormerWrittenAgain => &["is written again though the standby has it"],
            Self::ToldWithoutWriting | Self::PromotionOverlooked | Self::PoolerGoesOn | Self::ChainIgnored => &[],
        }
    }

    /// Whether a verdict finds it.
    pub fn is_shown_by(self, why: &str) -> bool {
        let shows = self.shows();
        shows.is_empty() || shows.iter().any(|it| why.contains(it))
    }
}
