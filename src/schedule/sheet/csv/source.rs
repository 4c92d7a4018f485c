//! The text of a file of CSV, decoded piece by piece.

use super::super::spec::Encoding;
use crate::{schedule::problem::Problem, words::say};
use encoding_rs::{BIG5, Decoder, DecoderResult, GB18030, UTF_8, UTF_16BE, UTF_16LE};
use std::io::Read;

/// So many bytes are read at once.
pub const PIECE: usize = 64 << 10;

/// An encoding with its byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// Which one.
    pub encoding: Encoding,
    /// The lower byte comes first, in UTF-16.
    pub little: bool,
}

impl Coding {
    /// A decoder that passes over its own byte order mark.
    pub fn decoder(self) -> Decoder {
        let encoding = match (self.encoding, self.little) {
            (Encoding::Utf8, _) => UTF_8,
            (Encoding::Gb18030, _) => GB18030,
            (Encoding::Big5, _) => BIG5,
            (Encoding::Utf16, true) => UTF_16LE,
            (Encoding::Utf16, false) => UTF_16BE,
        };
        encoding.new_decoder_with_bom_removal()
    }
}

impl From<Encoding> for Coding {
    fn from(encoding: Encoding) -> Self {
        Self { encoding, little: true }
    }
}

/// Text as UTF-8, in pieces.
pub trait Pieces {
    /// The next piece takes the place of what `piece` holds; an empty one is the end.
    ///
    /// # Errors
    /// When it cannot be read, or is not what it was before.
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<(), Problem>;
}

/// A file's text.
pub struct Text<R> {
    from: R,
    decoder: Decoder,
    raw: Vec<u8>,
    read: u64,
    /// How many bytes there have to be, if that is known.
    bytes: Option<u64>,
    ended: bool,
}

impl<R: Read> Text<R> {
    /// Of what `from` gives from here on. With `bytes` it is an error if there are more or fewer.
    pub fn new(from: R, coding: Coding, bytes: Option<u64>) -> Self {
        Self { from, decoder: coding.decoder(), raw: vec![0; PIECE], read: 0, bytes, ended: false }
    }
}

impl<R: Read> Pieces for Text<R> {
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<(), Problem> {
        piece.clear();
        while piece.is_empty() && !self.ended {
            let n = self.from.read(&mut self.raw).map_err(|e| unreadable(&e))?;
            self.read += n as u64;
            self.ended = n == 0;
            let most = self.bytes.filter(|bytes| if n == 0 { self.read != *bytes } else { self.read > *bytes });
            if most.is_some() {
                return Err(changed());
            }
            if !decode(&mut self.decoder, &self.raw[..n], piece, self.ended) {
                return Err(changed());
            }
        }
        Ok(())
    }
}

/// Appends the text of some bytes, and whether they were valid.
pub fn decode(decoder: &mut Decoder, mut raw: &[u8], text: &mut Vec<u8>, last: bool) -> bool {
    loop {
        let had = text.len();
        let room = decoder.max_utf8_buffer_length_without_replacement(raw.len()).unwrap_or(raw.len() * 3 + 16);
        text.resize(had + room, 0);
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(raw, &mut text[had..], last);
        text.truncate(had + written);
        raw = &raw[read..];
        match result {
            DecoderResult::InputEmpty => return true,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => return false,
        }
    }
}

/// The file cannot be read on.
pub fn unreadable(e: &std::io::Error) -> Problem {
    Problem::new("no_file", say!("sheet_file_unreadable", why = e.to_string()))
}

/// It was valid, and as long as it had to be, when it was looked at.
fn changed() -> Problem {
    Problem::new("damaged", say!("sheet_file_changed"))
}
