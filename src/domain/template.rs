//! Templates, the platform's own list of them, and whether a message fits: what a platform will refuse is refused here first, weeks
//! earlier. How the values of fields are checked is each platform's own, as its [`FieldRules`].

use super::{Invalid, Millis, consent::Allowance, pointer, timing::cut};
use crate::words::{Message, say};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use unicode_normalization::UnicodeNormalization;

/// How many sends one accept allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = TemplateKind)]
pub enum Kind {
    /// One accept, one send.
    OneTime,
    /// One accept, any number of sends until it is withdrawn.
    LongTerm,
}

/// How a doubt ends that neither a safe resend nor a receipt has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// The reminder ends as `unconfirmed`, its consent used: nobody gets it twice.
    #[default]
    AssumeSent,
    /// The reminder is sent again: nobody misses it, and some may get it twice.
    Resend,
    /// An operator decides, until its deadline.
    Ask,
}

/// The platform's approved form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Alias chosen in the configuration.
    pub name: Option<String>,
    /// The platform's own id.
    pub code: String,
    /// How many sends one accept allows.
    pub kind: Kind,
    /// Title as the user sees it.
    pub title: String,
    /// Key → label. The key's prefix is its type.
    pub fields: BTreeMap<String, String>,
    /// How its doubts end.
    pub on_doubt: OnDoubt,
    /// How many sends one accept of a one-time template is worth, and for how long; one, and for ever, unless said.
    pub times: Option<Times>,
    /// Characters of a value at most, where its platform does not say how many; [`FieldRules::characters`] unless said.
    pub characters: Option<usize>,
}

/// How many sends one accept is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How many.
    pub sends: u32,
    /// For how long from the tap.
    pub period: Millis,
}

/// A template as the platform lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The platform's own id.
    pub code: String,
    /// Title as the user sees it.
    pub title: String,
    /// How many sends one accept allows, if the platform says so in a way that is known.
    pub kind: Option<Kind>,
    /// Key → label; empty where the platform's words could not be read, and then nothing follows from them.
    pub fields: BTreeMap<String, String>,
    /// The values that a field of an enumerated type allows.
    pub choices: BTreeMap<String, Vec<String>>,
}

/// All templates of an account, as its platform has listed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// When.
    pub read_at: Millis,
    /// In its order.
    pub templates: Vec<Listed>,
}

impl Listing {
    /// The entry of a template.
    pub fn find(&self, code: &str) -> Option<&Listed> {
        self.templates.iter().find(|listed| listed.code == code)
    }

    /// How a configured template is out of step with the platform's: one sentence each, with what to do; none if it is in step.
    pub fn differences(&self, configured: &Template) -> Vec<Message> {
        match self.find(&configured.code) {
            Some(listed) => listed.differences(configured),
            None => vec![gone()],
        }
    }

    /// Why the platform would refuse a message of this template with these field values, if it would. Asked again just before a send,
    /// since the template may have changed since the reminder was accepted.
    pub fn refuses(&self, code: &str, data: &str) -> Option<Message> {
        match self.find(code) {
            Some(listed) => listed.refuses(data),
            None => Some(gone()),
        }
    }
}

/// Why nothing is sent of a template that the configuration does not name any more.
pub fn unconfigured() -> Message {
    say!("template_unconfigured")
}

/// Why nothing is sent of a template that its account does not list.
fn gone() -> Message {
    say!("template_gone")
}

impl Listed {
    /// Borrows what it reads: every message is looked at so.
    fn refuses(&self, data: &str) -> Option<Message> {
        if self.fields.is_empty() {
            return None;
        }
        let data: BTreeMap<&str, &RawValue> = serde_json::from_str(data).ok()?;
        if let Some(key) = self.fields.keys().find(|key| !data.contains_key(key.as_str())) {
            return Some(say!("template_wants_field", key = key));
        }
        if let Some(key) = data.keys().find(|key| !self.fields.contains_key(**key)) {
            return Some(say!("template_without_field", key = key));
        }
        self.choices.keys().find_map(|key| {
            let value: String = serde_json::from_str(data.get(key.as_str())?.get()).ok()?;
            self.check_choice(key, &value).err().map(|why| say!("template_wants_choice", key = key, why = why))
        })
    }

    fn check_choice(&self, key: &str, value: &str) -> Result<(), Message> {
        match self.choices.get(key) {
            Some(choices) if !choices.iter().any(|choice| choice == value) => {
                Err(say!("field_no_choice", value = cut(value), choices = choices))
            }
            _ => Ok(()),
        }
    }

    /// How the configured template differs in what matters to a send: one sentence each.
    fn differences(&self, configured: &Template) -> Vec<Message> {
        let mut found: Vec<Message> = self.other_kind(configured).into_iter().collect();
        if self.fields.is_empty() {
            return found;
        }
        let missing: Vec<&String> = self.fields.keys().filter(|key| !configured.fields.contains_key(*key)).collect();
        if !missing.is_empty() {
            found.push(say!("template_has_also", fields = missing));
        }
        let gone: Vec<&String> = configured.fields.keys().filter(|key| !self.fields.contains_key(*key)).collect();
        if !gone.is_empty() {
            found.push(say!("template_has_no", fields = gone));
        }
        found
    }

    /// What is wrong with the configured kind. It decides what an accept is worth, so it is not simply taken over.
    fn other_kind(&self, configured: &Template) -> Option<Message> {
        let kind = self.kind.filter(|kind| *kind != configured.kind)?;
        Some(say!("template_of_other_kind", kind = kind))
    }
}

/// How a platform checks the values of a template's fields.
#[derive(Debug, Clone, Copy)]
pub struct FieldRules {
    /// The types that have a rule: a key is its type and a number. Empty where keys have no types.
    pub types: &'static [&'static str],
    /// How keys are numbered.
    pub numbers: Numbers,
    /// Checks one value against the rule of its key. A key without a rule is taken as it is.
    pub check: fn(key: &str, value: &str, profile: Profile) -> Result<(), Message>,
    /// How long a value is, as the rules count.
    pub length: fn(value: &str) -> usize,
    /// Fields of a template at most.
    pub most: usize,
    /// Characters of a value at most, where the platform does not say how many, so that a template can say another number. `None` where
    /// it is known, and `check` has it.
    pub characters: Option<usize>,
}

impl FieldRules {
    /// The same, with what this template says.
    #[must_use]
    pub fn of(&self, template: &Template) -> Self {
        self.with(template.characters)
    }

    /// The same, with a number of characters that somebody has settled on, where the platform does not say one.
    #[must_use]
    pub fn with(&self, characters: Option<usize>) -> Self {
        Self { characters: self.characters.map(|usual| characters.unwrap_or(usual)), ..*self }
    }

    /// Refuses a value that is longer than somebody has settled on, where the platform does not say how long one may be.
    ///
    /// # Errors
    /// A message with both numbers, and the setting.
    pub fn settled(&self, value: &str) -> Result<(), Message> {
        let found = (self.length)(value);
        match self.characters {
            Some(most) if found > most => Err(say!("field_beyond_setting", found = found, most = most)),
            _ => Ok(()),
        }
    }

    /// The first key that is missing, where a platform's keys are numbered from 1 on, without a gap.
    pub fn missing_in_order(&self, keys: &BTreeMap<String, String>) -> Option<String> {
        let all: Vec<String> = match self.numbers {
            Numbers::Any => return None,
            Numbers::InOrder => {
                let word = self.types.first()?;
                (1..=keys.len()).map(|n| format!("{word}{n}")).collect()
            }
            Numbers::OfType => {
                let mut of_type: BTreeMap<&str, usize> = BTreeMap::new();
                keys.keys().for_each(|key| *of_type.entry(field_type(key)).or_default() += 1);
                of_type.into_iter().flat_map(|(word, n)| (1..=n).map(move |n| format!("{word}{n:02}"))).collect()
            }
        };
        all.into_iter().find(|key| !keys.contains_key(key))
    }

    /// The type of a key, if the platform's keys have types and this one is not known.
    pub fn unknown_type<'a>(&self, key: &'a str) -> Option<&'a str> {
        let kind = field_type(key);
        (!self.types.is_empty() && !self.types.contains(&kind)).then_some(kind)
    }
}

/// How the keys of a template's fields are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// By no rule that is known, or not at all.
    Any,
    /// All of them from 1 on, in the template's order: there is one type.
    InOrder,
    /// Those of each type from 01 on, with two digits.
    OfType,
}

/// How strictly values are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// At insert: refuses whatever any source reports as refused.
    Strict,
    /// What the platform itself is known to refuse; the sandbox answers by it.
    Platform,
}

impl Template {
    /// What one accept of it allows.
    pub fn allowance(&self) -> Allowance {
        match (self.kind, self.times) {
            (Kind::LongTerm, _) => Allowance::Standing,
            (Kind::OneTime, Some(Times { sends, period })) => Allowance::Times { sends, period },
            (Kind::OneTime, None) => Allowance::Once,
        }
    }

    /// Its fields: the platform's where they have been read, else the configured ones.
    pub fn fields<'a>(&'a self, listing: Option<&'a Listing>) -> &'a BTreeMap<String, String> {
        let listed = listing.and_then(|listing| listing.find(&self.code)).map(|listed| &listed.fields);
        listed.filter(|fields| !fields.is_empty()).unwrap_or(&self.fields)
    }

    /// Whether the platform has the template as it is configured, if its list has been read.
    ///
    /// # Errors
    /// `out_of_step`, as `/template`.
    pub fn in_step<'a>(&self, listing: Option<&'a Listing>) -> Result<Option<&'a Listed>, Invalid> {
        let out_of_step = |why: Message| Invalid::new("out_of_step", "/template", why);
        let Some(listing) = listing else { return Ok(None) };
        let listed = listing.find(&self.code).ok_or_else(|| out_of_step(gone()))?;
        match listed.other_kind(self) {
            Some(why) => Err(out_of_step(why)),
            None => Ok(Some(listed)),
        }
    }

    /// Which of its fields `keys` lack, and which of them it does not have, as `/data/<key>`.
    pub fn misfits<'k>(&self, listing: Option<&Listing>, keys: impl Iterator<Item = &'k str> + Clone) -> Vec<Invalid> {
        let fields = self.fields(listing);
        let unknown = keys.clone().filter(|key| !fields.contains_key(*key)).map(|key| unknown_field(key, fields));
        let lacks = |key: &String| !keys.clone().any(|given| given == key);
        let missing = fields.iter().filter(|(key, _)| lacks(key)).map(|(key, label)| missing_field(key, label));
        unknown.chain(missing).collect()
    }

    /// Checks and normalises (NFC, trimmed) one reminder's `data`: every field of the template, no other. By the platform's own list
    /// where it has been read, else by the configuration.
    ///
    /// # Errors
    /// All fields at fault, as `/data/<key>`; the template itself alone, as `/template`, if the platform does not have it so.
    pub fn check(
        &self,
        rules: &FieldRules,
        listing: Option<&Listing>,
        data: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Vec<Invalid>> {
        let listed = self.in_step(listing).map_err(|why| vec![why])?;
        let (fields, rules) = (self.fields(listing), &rules.of(self));
        let unknown = data.keys().filter(|key| !fields.contains_key(*key)).map(|key| unknown_field(key, fields));
        let (mut problems, mut checked) = (unknown.collect::<Vec<_>>(), BTreeMap::new());
        for (key, label) in fields {
            let Some(value) = data.get(key).map(|value| normalise(value)) else {
                problems.push(missing_field(key, label));
                continue;
            };
            if let Err(why) = check_value(rules, listed, key, &value) {
                problems.push(bad_field(key, label, why));
            }
            checked.insert(key.clone(), value);
        }
        if problems.is_empty() { Ok(checked) } else { Err(problems) }
    }
}

/// Checks the value of one field, which is normalised, by its template's rules and the platform's list of choices.
///
/// # Errors
/// A message about the value.
pub fn check_value(rules: &FieldRules, listed: Option<&Listed>, key: &str, value: &str) -> Result<(), Message> {
    (rules.check)(key, value, Profile::Strict)?;
    rules.settled(value)?;
    listed.map_or(Ok(()), |listed| listed.check_choice(key, value))
}

/// The refusal of a field's value, as `/data/<key>`.
pub fn bad_field(key: &str, label: &str, why: Message) -> Invalid {
    // On some platforms the label is the key.
    let detail = match label == key {
        true => say!("bad_field_alone", key = key, why = why),
        false => say!("bad_field", label = label, key = key, why = why),
    };
    Invalid::new("bad_field", pointer(["data", key]), detail)
}

fn unknown_field(key: &str, fields: &BTreeMap<String, String>) -> Invalid {
    let known: Vec<&String> = fields.keys().collect();
    Invalid::new("unknown_field", pointer(["data", key]), say!("unknown_field", key = key, known = known))
}

fn missing_field(key: &str, label: &str) -> Invalid {
    let detail = match label == key {
        true => say!("missing_field_alone", key = key),
        false => say!("missing_field", key = key, label = label),
    };
    Invalid::new("missing_field", pointer(["data", key]), detail)
}

/// NFC and trimmed, as the platform would show it.
pub fn normalise(value: &str) -> String {
    value.trim().nfc().collect()
}

/// The type in a key: `character_string12` → `character_string`.
pub fn field_type(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A platform that takes values of at most three characters.
    const RULES: FieldRules = FieldRules {
        types: &[],
        numbers: Numbers::Any,
        check: |_, value, _| if value.chars().count() <= 3 { Ok(()) } else { Err(say!("field_empty")) },
        length: |value| value.chars().count(),
        most: 20,
        characters: None,
    };

    #[test]
    fn all_fields_at_fault_are_told_the_first_as_before() {
        let fields = [("a", "甲"), ("b", "乙"), ("c", "丙")].map(|(key, label)| (key.to_owned(), label.to_owned()));
        let template = Template {
            name: None,
            code: "T".into(),
            kind: Kind::OneTime,
            title: String::new(),
            fields: fields.into(),
            on_doubt: OnDoubt::default(),
            times: None,
            characters: None,
        };
        let check = |data: &[(&str, &str)]| {
            let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            template.check(&RULES, None, &data)
        };
        let told = check(&[("a", "long"), ("c", " fine "), ("d", "x")]).expect_err("refused");
        let told: Vec<(&str, &str)> = told.iter().map(|told| (told.code, &*told.param)).collect();
        assert_eq!(
            told,
            [
                ("unknown_field", "/data/d"),
                ("bad_field", "/data/a"),
                ("missing_field", "/data/b"),
                ("bad_field", "/data/c")
            ]
        );
        let good = check(&[("a", " x "), ("b", "e\u{301}"), ("c", "abc")]).expect("good");
        assert_eq!((&*good["a"], &*good["b"]), ("x", "é"));
    }

    #[test]
    fn a_field_whose_label_is_its_key_is_named_once() {
        for (told, times) in [
            (bad_field("活动名称", "活动名称", say!("field_empty")), 1),
            (missing_field("活动名称", "活动名称"), 1),
            (bad_field("thing1", "活动名称", say!("field_empty")), 1),
        ] {
            assert_eq!(told.detail.to_string().matches("活动名称").count(), times, "{}", told.detail);
        }
        assert!(bad_field("thing1", "活动名称", say!("field_empty")).detail.to_string().contains("thing1"));
    }

    #[test]
    fn a_templates_own_length_counts_only_where_the_platform_says_none() {
        let template = |characters| Template {
            name: None,
            code: "T".into(),
            kind: Kind::OneTime,
            title: String::new(),
            fields: [("a".to_owned(), "甲".to_owned())].into(),
            on_doubt: OnDoubt::default(),
            times: None,
            characters,
        };
        // (what the platform's rules settle on, what the template says, characters of a value) → whether it is taken
        for (usual, own, length, good) in [
            (Some(2), None, 2, true),
            (Some(2), None, 3, false),
            (Some(2), Some(3), 3, true),
            (Some(2), Some(1), 2, false),
            (Some(2), Some(9), 4, false),
            (None, Some(1), 3, true),
        ] {
            let rules = FieldRules { characters: usual, ..RULES };
            let data = [("a".to_owned(), "x".repeat(length))].into();
            let taken = template(own).check(&rules, None, &data);
            assert_eq!(taken.is_ok(), good, "{usual:?} {own:?} {length}: {taken:?}");
        }
    }
}
