//! XML as a stream of what workbooks need of it: elements by their local names, their attributes, and text. Declarations of types and
//! entities are refused: no spreadsheet program writes them, and they are how XML grows without end.

use super::package::damaged;
use crate::schedule::problem::Problem;
use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_xml_entity,
    events::{BytesStart, Event},
};
use std::{borrow::Cow, io::BufRead};

/// A text may have so many bytes; what is beyond them is passed over.
const MAX_TEXT: usize = 256 << 10;

/// A stream of XML.
pub struct Xml<R> {
    reader: Reader<R>,
    buffer: Vec<u8>,
}

/// What comes next.
pub enum Token<'a> {
    /// An element begins. An empty one ends at once.
    Open(BytesStart<'a>),
    /// The element of this name ends.
    Close(Name),
    /// Text, perhaps a part of it.
    Text(Cow<'a, str>),
    /// Nothing comes any more.
    End,
}

/// The names of the elements that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// `c`, a cell.
    Cell,
    /// `v`, its value.
    Value,
    /// `f`, its formula.
    Formula,
    /// `is`, a text that stands in the cell.
    Inline,
    /// `t`, a text or a run of one.
    Text,
    /// `rPh`, how a text is pronounced.
    Phonetic,
    /// `si`, a shared text.
    Shared,
    /// `row`.
    Row,
    /// `sheetData`, all rows.
    Rows,
    /// `worksheet`.
    Sheet,
    /// `mergeCell`.
    Merge,
    /// `col`, how some columns look.
    Column,
    /// `cellXfs`, the styles of cells.
    Styles,
    /// Any other.
    Other,
}

impl Name {
    /// Of an element that begins.
    pub fn of(element: &BytesStart<'_>) -> Self {
        Self::from_local(element.local_name().into_inner())
    }

    fn from_local(name: &str) -> Self {
        match name {
            "c" => Self::Cell,
            "v" => Self::Value,
            "f" => Self::Formula,
            "is" => Self::Inline,
            "t" => Self::Text,
            "rPh" => Self::Phonetic,
            "si" => Self::Shared,
            "row" => Self::Row,
            "sheetData" => Self::Rows,
            "worksheet" => Self::Sheet,
            "mergeCell" => Self::Merge,
            "col" => Self::Column,
            "cellXfs" => Self::Styles,
            _ => Self::Other,
        }
    }
}

impl<R: BufRead> Xml<R> {
    /// From its beginning.
    pub fn new(from: R) -> Self {
        let mut reader = Reader::from_reader(from);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, buffer: Vec::new() }
    }

    /// The next token.
    ///
    /// # Errors
    /// `damaged`.
    pub fn next(&mut self) -> Result<Token<'_>, Problem> {
        // A loop would hold the buffer for longer than the compiler can follow; what is passed over is rare.
        self.buffer.clear();
        match self.reader.read_event_into(&mut self.buffer).map_err(|e| damaged(&e.to_string()))? {
            Event::Start(element) | Event::Empty(element) => Ok(Token::Open(element)),
            Event::End(element) => Ok(Token::Close(Name::from_local(element.local_name().into_inner()))),
            Event::Text(text) => Ok(Token::Text(text.into_inner())),
            Event::CData(text) => Ok(Token::Text(text.into_inner())),
            Event::GeneralRef(reference) => {
                let c = reference.resolve_char_ref().map_err(|e| damaged(&e.to_string()))?;
                match (c, resolve_xml_entity(&reference)) {
                    (Some(c), _) => Ok(Token::Text(c.to_string().into())),
                    (None, Some(text)) => Ok(Token::Text(text.into())),
                    (None, None) => Err(damaged("it uses an entity of its own")),
                }
            }
            Event::DocType(_) => Err(damaged("it declares a document type")),
            Event::Eof => Ok(Token::End),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => Ok(Token::Text("".into())),
        }
    }

    /// Appends the text up to the end of the element that has just begun, without that of `rPh`, as far as there is room.
    ///
    /// # Errors
    /// `damaged`.
    pub fn text(&mut self, of: Name, text: &mut String) -> Result<(), Problem> {
        // Only what stands in `t` is text, but for values, which have nothing in them.
        let (mut depth, mut phonetic, mut in_text) =
            (0_u32, 0_u32, u32::from(of != Name::Inline && of != Name::Shared));
        loop {
            match self.next()? {
                Token::Open(element) => {
                    depth += 1;
                    match Name::of(&element) {
                        Name::Phonetic => phonetic += 1,
                        Name::Text => in_text += 1,
                        _ => {}
                    }
                }
                Token::Close(_) if depth == 0 => return Ok(()),
                Token::Close(name) => {
                    depth -= 1;
                    match name {
                        Name::Phonetic => phonetic = phonetic.saturating_sub(1),
                        Name::Text => in_text = in_text.saturating_sub(1),
                        _ => {}
                    }
                }
                Token::Text(piece) if phonetic == 0 && in_text > 0 && text.len() < MAX_TEXT => text.push_str(&piece),
                Token::Text(_) => {}
                Token::End => return Err(damaged("it ends in the middle")),
            }
        }
    }
}

/// An attribute by its local name.
pub fn attribute<'a>(element: &'a BytesStart<'_>, name: &str) -> Option<Cow<'a, str>> {
    let mut attributes = element.attributes();
    let attributes = attributes.with_checks(false);
    let found = attributes.flatten().find(|attribute| attribute.key.local_name().into_inner() == name)?;
    found.normalized_value(XmlVersion::Implicit1_0).ok()
}

/// Whether an attribute says yes.
pub fn is_on(element: &BytesStart<'_>, name: &str) -> bool {
    attribute(element, name).is_some_and(|value| matches!(&*value, "1" | "true" | "on"))
}
