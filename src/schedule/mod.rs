//! A marketer's file becomes reminders.
//!
//! ```text
//! sheet     a table is read: CSV here, XLSX in a child process      → rows of cells
//! file      the TOML is read and checked whole                      → what it says, or all its mistakes
//! when      times, durations, instants and deadlines                (pure)
//! render    {{columns}} and formatters                              (pure)
//! row       a row becomes its reminders, or all its problems        (pure)
//! plan      all rows, compared with the store                       → what a load would do
//! load      the same, written
//! recur     what becomes of occurrences at one look               (pure)
//! prepare   the reminders of an occurrence, ahead of it
//! annotate  the rows as a workbook again, with what is wrong
//! report    how a schedule went, and the workbook of it
//! folder    the folder is watched, and what changes in it is loaded
//! ```

// A problem is large, because it tells its place and what to do; there are few of them, and each ends the work on its row or its file.
#![allow(clippy::result_large_err)]

pub mod problem;
pub mod spool;
pub mod gather;
pub mod plan;
pub mod compare;
pub mod load;
pub mod recur;
pub mod prepare;
pub mod bell;
pub mod trial;
pub mod sheet;
pub mod file;
pub mod when;
pub mod render;
pub mod row;
pub mod look;
pub mod annotate;
pub mod report;
pub mod named;
pub mod folder;
#[cfg(test)]
mod example;
