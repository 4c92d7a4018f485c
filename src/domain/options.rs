//! What a send may choose beside its message. Which options there are, and what each may say, is the platform's.

use std::collections::BTreeMap;

/// What was chosen, by the option's name. What was not chosen is the platform's default.
pub type Options = BTreeMap<&'static str, String>;

/// One option of a platform's sends.
#[derive(Debug)]
pub struct SendOption {
    /// Its name, as in the API.
    pub name: &'static str,
    /// What it may say.
    pub values: &'static [&'static str],
    /// What it says if nothing was chosen.
    pub default: &'static str,
}

impl SendOption {
    /// What it says.
    pub fn of<'a>(&self, chosen: &'a Options) -> &'a str
    where
        'static: 'a,
    {
        chosen.get(self.name).map_or(self.default, String::as_str)
    }
}
