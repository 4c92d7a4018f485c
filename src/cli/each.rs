//! One thing done to several, one after the other.

use super::{failure::Failure, out::Out};
use crate::words::say;

/// Does `one` to each. One that is refused does not keep the others back: it is told, and the command ends with exit 3. What makes all others
/// fail as well, such as a daemon that does not answer, ends it at once.
pub async fn each<T: AsRef<str>>(
    all: &[T],
    out: Out,
    mut one: impl AsyncFnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut refused = 0;
    for id in all {
        let failure = match one(id.as_ref()).await {
            Ok(()) => continue,
            Err(failure) => failure,
        };
        if all.len() == 1 || !matches!(failure, Failure::Refused(_) | Failure::NotFound(_)) || failure.code() == 69 {
            return Err(failure);
        }
        refused += 1;
        out.tell(&say!("one_of_many", what = id.as_ref(), why = failure.message()));
    }
    match refused {
        0 => Ok(()),
        _ => Err(Failure::SomeRefused(say!("some_of_many", refused = refused, n = all.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Voice;
    use serde_json::json;

    #[tokio::test]
    async fn one_that_is_refused_does_not_keep_the_others_back_and_the_exit_code_says_so() {
        let out = Out { json: false, voice: Voice::default() };
        let gone = || Failure::Refused(json!({ "status": 404, "code": "not_found", "detail": "no such thing" }));
        let down = || Failure::Refused(json!({ "status": 503, "code": "unavailable", "detail": "down" }));
        for (all, expected, done) in [
            (&["a", "b"][..], 0, "ab"),
            (&["a", "gone", "b"], 3, "ab"),
            (&["gone", "gone"], 3, ""),
            // Alone, it is told as what it is.
            (&["gone"], 4, ""),
            (&["a", "down", "b"], 69, "a"),
        ] {
            let mut seen = String::new();
            let ended = each(all, out, async |id: &str| match id {
                "gone" => Err(gone()),
                "down" => Err(down()),
                id => {
                    seen.push_str(id);
                    Ok(())
                }
            });
            let code = ended.await.map_or_else(|failure| failure.code(), |()| 0);
            assert_eq!((code, seen.as_str()), (expected, done), "{all:?}");
        }
    }
}
