//! What a crash leaves behind: nothing. The daemon's memory has secrets, tokens, and what users are told.

use rustix::{
    io,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
};

/// From here on no core file is written of this process or of those that it starts, and no other process of its user reads its memory.
///
/// # Errors
/// When the system does not let it.
pub fn forbid() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

#[cfg(test)]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    #[test]
    fn i9_memory_is_neither_written_to_a_file_nor_read_by_others() {
        super::forbid().expect("allowed");
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
    }
}
