//! What can be told of the encoding of a whole file, in one pass over its bytes.

use super::{
    super::spec::Encoding,
    source::{Coding, PIECE, decode, unreadable},
};
use crate::schedule::problem::Problem;
use encoding_rs::Decoder;
use std::io::Read;

/// What was seen in a file.
#[derive(Debug, Default, PartialEq)]
pub struct Survey {
    /// How many bytes it has.
    pub bytes: u64,
    /// In which of the encodings that were asked for the whole file is valid.
    pub valid: Vec<Encoding>,
    /// No character is beyond ASCII.
    pub ascii: bool,
    /// As UTF-8, a character takes three bytes or more.
    pub three_bytes: bool,
    /// A character beyond ASCII stands beside an ASCII letter.
    pub beside_a_letter: bool,
    /// As GB18030: the characters beyond ASCII.
    pub beyond_ascii: u64,
    /// As GB18030: those of them that GB2312 has.
    pub gb2312: u64,
}

/// Reads a file to its end.
///
/// # Errors
/// When it cannot be read.
pub fn survey(mut from: impl Read, codings: &[Coding]) -> Result<Survey, Problem> {
    let mut seen = Survey { ascii: true, ..Survey::default() };
    let mut decoders: Vec<(Encoding, Decoder)> = codings.iter().map(|c| (c.encoding, c.decoder())).collect();
    let (mut raw, mut text, mut walk) = (vec![0; PIECE], Vec::new(), Walk::default());
    loop {
        let n = from.read(&mut raw).map_err(|e| unreadable(&e))?;
        let piece = &raw[..n];
        seen.bytes += n as u64;
        walk.over(piece, &mut seen);
        decoders.retain_mut(|(_, decoder)| {
            text.clear();
            decode(decoder, piece, &mut text, n == 0)
        });
        if n == 0 {
            seen.valid = decoders.into_iter().map(|(encoding, _)| encoding).collect();
            return Ok(seen);
        }
    }
}

/// Where a walk over the bytes is.
#[derive(Default)]
struct Walk {
    before: u8,
    /// The first byte of a character in GB18030 whose second has not come yet.
    lead: Option<u8>,
    /// So many bytes of a character of four are still to come.
    skip: u8,
}

impl Walk {
    fn over(&mut self, piece: &[u8], seen: &mut Survey) {
        for &byte in piece {
            if byte >= 0x80 || self.before >= 0x80 {
                seen.ascii = false;
                seen.three_bytes |= byte >= 0xe0;
                seen.beside_a_letter |= (byte >= 0x80) != (self.before >= 0x80)
                    && (byte.is_ascii_alphabetic() || self.before.is_ascii_alphabetic());
            }
            self.before = byte;
            if self.skip > 0 {
                self.skip -= 1;
            } else if let Some(lead) = self.lead.take() {
                seen.beyond_ascii += 1;
                match byte {
                    b'0'..=b'9' => self.skip = 2,
                    _ => seen.gb2312 += u64::from(is_gb2312(lead, byte)),
                }
            } else if byte > 0x80 {
                self.lead = Some(byte);
            }
        }
    }
}

/// Whether GB2312 has the character of these two bytes.
fn is_gb2312(lead: u8, trail: u8) -> bool {
    match lead {
        0xa1 | 0xa3 | 0xb0..=0xd6 | 0xd8..=0xf7 => (0xa1..=0xfe).contains(&trail),
        0xa2 => matches!(trail, 0xb1..=0xe2 | 0xe5..=0xee | 0xf1..=0xfc),
        0xa4 => (0xa1..=0xf3).contains(&trail),
        0xa5 => (0xa1..=0xf6).contains(&trail),
        0xa6 => matches!(trail, 0xa1..=0xb8 | 0xc1..=0xd8),
        0xa7 => matches!(trail, 0xa1..=0xc1 | 0xd1..=0xf1),
        0xa8 => matches!(trail, 0xa1..=0xba | 0xc5..=0xe9),
        0xa9 => (0xa4..=0xef).contains(&trail),
        0xd7 => (0xa1..=0xf9).contains(&trail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{BIG5, GB18030};

    fn of(bytes: &[u8]) -> Survey {
        survey(bytes, &[Encoding::Utf8, Encoding::Gb18030, Encoding::Big5].map(Coding::from)).expect("readable")
    }

    #[test]
    fn a_survey_tells_what_a_file_can_be() {
        let seen = of(b"openid,name\n");
        assert!(seen.ascii && seen.valid.len() == 3 && seen.bytes == 12);
        let seen = of("周三读书会".as_bytes());
        assert!(seen.valid.contains(&Encoding::Utf8) && seen.three_bytes && !seen.beside_a_letter);
        let seen = of("Café".as_bytes());
        assert!(seen.beside_a_letter && !seen.three_bytes);
        // GBK's two words are valid UTF-8.
        let (gbk, _, _) = GB18030.encode("预约,券");
        let seen = of(&gbk);
        assert!(seen.valid.contains(&Encoding::Utf8) && !seen.three_bytes && !seen.beside_a_letter);
        assert_eq!((seen.beyond_ascii, seen.gb2312), (3, 3));
        let (big5, _, _) = BIG5.encode("活動名稱,開始時間,茶會,歡迎光臨");
        let seen = of(&big5);
        assert!(seen.gb2312 * 4 <= seen.beyond_ascii * 3, "{seen:?}");
        assert!(of(b"\xff\xff").valid.is_empty());
        // Half a character at the end.
        assert_eq!(of(b"a\xe5\x91").valid, [Encoding::Gb18030]);
        assert_eq!(of(b"a\xe5").valid, []);
        let (four, _, _) = GB18030.encode("𠮷é㐂");
        assert_eq!((of(&four).beyond_ascii, of(&four).gb2312), (3, 1), "é stands in GB2312's row of pinyin");
    }
}
