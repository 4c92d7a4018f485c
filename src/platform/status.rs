//! What an HTTP status says where platforms answer 200 whatever they have to say: another one comes from what lies in between.

use super::Answer;
use crate::{
    domain::{
        HOUR, MINUTE, SECOND,
        outcome::{Outcome, Reaction},
    },
    words::{Message, say},
};

/// Whether the answer is the platform's own.
///
/// # Errors
/// What follows from a status that is not 200: whether something in between has passed the request on.
pub fn of_platform(answer: &Answer) -> Result<(), Outcome> {
    let refused =
        |code: String, reaction| Err(Outcome::Answered { code, text: format!("HTTP {}", answer.status), reaction });
    match answer.status {
        200 => Ok(()),
        // A body without a length, or too long a one, is refused before it is read.
        411..=413 => refused(format!("http_{}", answer.status), Reaction::Pause { pause: MINUTE }),
        429 => {
            let pause = answer.retry_after.unwrap_or(MINUTE).clamp(SECOND, HOUR);
            refused("http_429".into(), Reaction::Pause { pause })
        }
        // (408 may come from a relay that has passed the request on.)
        400..=407 | 409..=499 => refused(format!("http_{}", answer.status), Reaction::Busy { first: 2 * SECOND }),
        300..=399 => refused("http_redirect".into(), Reaction::Pause { pause: MINUTE }),
        status => Err(Outcome::Unknown { cause: say!("gateway_answered", status = status) }),
    }
}

/// What a code that stands for a status means, and what to do.
pub fn meaning(code: &str) -> Option<Message> {
    let status = code.strip_prefix("http_")?;
    Some(match status.parse() {
        Ok(411_u16..=413) => say!("http_form_refused"),
        Ok(429) => say!("http_too_many"),
        Ok(400..=407 | 409..=499) => say!("http_relay"),
        Err(_) if status == "redirect" => say!("http_redirect"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Lang, Voice};

    #[test]
    fn a_status_that_something_on_the_way_answered_is_explained_in_both_languages() {
        for status in (300..500).filter(|status| *status != 408) {
            let answer = Answer { status, body: Vec::new().into(), date: None, retry_after: None };
            let Err(Outcome::Answered { code, text, .. }) = of_platform(&answer) else { panic!("{status} is refused") };
            let meaning = meaning(&code).unwrap_or_else(|| panic!("{code} means nothing"));
            let zh = meaning.say(Voice::new(Lang::Zh));
            assert!(text == format!("HTTP {status}") && zh.contains('请') | zh.contains("途中"), "{code}: {zh}");
        }
        assert!([200, 408, 500].iter().all(|status| meaning(&format!("http_{status}")).is_none()));
        assert!(["1", "http_", "http_x", "redirect"].iter().all(|code| meaning(code).is_none()));
    }
}
