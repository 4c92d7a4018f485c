//! Tables: CSV and XLSX, told by their content, as rows of cells.

pub mod cell;
