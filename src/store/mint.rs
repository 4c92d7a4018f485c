//! Ids that tixing mints before a dialog, for platforms whose consents are keyed by one. Each is bound to its user and template by a short MAC,
//! so that one that comes back for another is known, and nothing needs to be stored for those that never do.

use super::pseudonyms::Pseudonyms;
use data_encoding::BASE32_NOPAD;
use rand::RngExt;

/// By which one of ours is known. Others are their owner's, and taken as they are.
const PREFIX: &str = "tx";
/// Random characters, 80 bits: nobody guesses one, and no two are the same.
const RANDOM: usize = 16;
/// Characters of the MAC, hexadecimal: 56 bits.
const MAC: usize = 14;

/// Whose a minted id is, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Minted<'a> {
    /// The app's name.
    pub app: &'a str,
    /// The user.
    pub openid: &'a str,
    /// The platform's template id.
    pub template: &'a str,
}

impl Pseudonyms {
    /// A new id: 32 small letters and digits.
    pub fn mint(&self, minted: Minted<'_>) -> String {
        let random: [u8; 10] = rand::rng().random();
        let random = BASE32_NOPAD.encode(&random).to_ascii_lowercase();
        format!("{PREFIX}{random}{}", self.mac(minted, &random))
    }

    /// Whether an id looks like one of ours.
    pub fn looks_minted(id: &str) -> bool {
        id.len() == PREFIX.len() + RANDOM + MAC
            && id.starts_with(PREFIX)
            && id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'))
    }

    /// Whether one of ours was minted for this user and template.
    pub fn has_minted(&self, id: &str, minted: Minted<'_>) -> bool {
        let Some((random, mac)) = id.strip_prefix(PREFIX).and_then(|rest| rest.split_at_checked(RANDOM)) else {
            return false;
        };
        // The id is no secret of its user's, so how long the comparison takes tells nothing that helps.
        self.mac(minted, random) == mac
    }

    fn mac(&self, Minted { app, openid, template }: Minted<'_>, random: &str) -> String {
        let text = format!("{app}\0{openid}\0{template}\0{random}");
        self.hash("mint", &text)[..MAC].to_owned()
    }
}
