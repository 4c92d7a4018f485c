//! Which secrets are read with a configuration.

/// Which secrets are read with a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All: the daemon sends, and receives pushes.
    All,
    /// Those that this process can get at. The others may be handed to the daemon alone, by systemd or in its environment; they are warned of.
    Reachable,
    /// None: the command sends nothing.
    None,
}
