//! Where a cell is: columns have letters, rows have numbers.

/// A sheet may have so many rows.
pub const MAX_ROWS: u32 = 1_048_576;

/// The column of a cell's name such as `AB12`, from 0.
pub fn column_of(name: &str) -> Option<usize> {
    let letters = name.bytes().take_while(u8::is_ascii_alphabetic);
    let mut column = 0_usize;
    for letter in letters {
        column = column * 26 + usize::from(letter.to_ascii_uppercase() - b'A') + 1;
        if column > 1 << 20 {
            return None;
        }
    }
    column.checked_sub(1)
}
