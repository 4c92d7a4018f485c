//! Message texts with `{{columns}}` and formatters.
//!
//! ```text
//! text      `还有{{@left}}` as it is written           → pieces, or what is wrong with it
//! number    amounts and numbers, as decimals
//! clock     days and times as messages show them
//! used      a cell that is used says what was meant
//! fill      pieces and a row's cells                   → what the user reads, or what is wrong with which cell
//! ```

pub mod text;
pub mod number;
pub mod clock;
pub mod used;
pub mod fill;
