//! What an HTTP status says where platforms answer 200 whatever they have to say: another one comes from what lies in between.

use super::Answer;
use crate::{
    domain::{
        HOUR, MINUTE, SECOND,
        outcome::{Outcome, Reaction},
    },
    words::say,
};

/// Whether the answer is the platform's own.
///
/// # Errors
/// What follows from a status that is not 200: whether something in between has passed the request on.
pub fn of_platform(answer: &Answer) -> Result<(), Outcome> {
    let refused = |code: String, text: String, reaction| Err(Outcome::Answered { code, text, reaction });
    match answer.status {
        200 => Ok(()),
        // A body without a length, or too long a one, is refused before it is read.
        411..=413 => {
            let text = format!("HTTP {}: the request's form was refused before it was read", answer.status);
            refused(format!("http_{}", answer.status), text, Reaction::Pause { pause: MINUTE })
        }
        429 => {
            let pause = answer.retry_after.unwrap_or(MINUTE).clamp(SECOND, HOUR);
            let text = "HTTP 429: a relay in between lets no more requests through for now, and passed none on".into();
            refused("http_429".into(), text, Reaction::Pause { pause })
        }
        // (408 may come from a relay that has passed the request on.)
        400..=407 | 409..=499 => {
            let text = format!(
                "HTTP {}: this is not the platform but a relay in between, which passed nothing on; check base_url and what lies on the way",
                answer.status
            );
            refused(format!("http_{}", answer.status), text, Reaction::Busy { first: 2 * SECOND })
        }
        300..=399 => {
            let text = format!("HTTP {}: a redirect is not followed; check base_url", answer.status);
            refused("http_redirect".into(), text, Reaction::Pause { pause: MINUTE })
        }
        status => Err(Outcome::Unknown { cause: say!("gateway_answered", status = status) }),
    }
}
