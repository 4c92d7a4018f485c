//! What WeChat's pushes say, in every shape that was seen: JSON and XML, an object or an array, wrapped or not, numbers or strings.
//!
//! Source: `framework/open-ability/subscribe-message.html`, official, read 2026; the shapes that differ from it are developers'
//! reports, each of which broke an SDK.

use crate::{
    domain::{
        SECOND,
        outcome::clean,
        push::{Item, MAX_ITEMS, Push, Receipt},
    },
    platform::{answer::text_or_number, push::Refused},
};
use quick_xml::{Reader, events::Event};
use serde_json::{Map, Value};

/// How deep a push may be nested; a real one has four levels.
const MAX_DEPTH: usize = 16;
/// Characters of a template's or a user's id.
const MAX_ID: usize = 128;
/// Where items may be wrapped. One of them was once documented for another event, so each is looked into.
const WRAPPERS: [&str; 3] = ["SubscribeMsgPopupEvent", "SubscribeMsgChangeEvent", "SubscribeMsgSentEvent"];

/// The sealed part of an envelope, if it has one; whatever stands in clear beside it is not looked at.
pub(super) fn sealed(body: &[u8]) -> Result<Option<String>, Refused> {
    Ok(parse(body)?["Encrypt"].as_str().map(str::to_owned))
}

/// Reads a push in clear; `None` is one about something else.
pub(super) fn read(body: &[u8]) -> Result<Option<Push>, Refused> {
    let value = parse(body)?;
    let text = |name: &str| value[name].as_str();
    let openid = text("FromUserName").filter(|openid| is_id(openid));
    let at = number(&value["CreateTime"]).and_then(|seconds| seconds.checked_mul(SECOND));
    let (Some(event), Some(openid), Some(at)) = (text("Event"), openid, at) else {
        return if text("MsgType").is_some() { Ok(None) } else { Err(Refused::Shape) };
    };
    let item: fn(&Value) -> Option<Item> = match event {
        "subscribe_msg_popup_event" => |item| {
            let accepted = super::grants(item["SubscribeStatusString"].as_str()?) == Some(true);
            Some(Item::Answered { template: template(item)?, accepted })
        },
        // Only `reject` is documented. One that is turned on again gives nothing before the user is asked again.
        "subscribe_msg_change_event" => |item| {
            let off = item["SubscribeStatusString"].as_str()? == "reject";
            off.then_some(Item::TurnedOff { template: template(item)? })
        },
        "subscribe_msg_sent_event" => |item| {
            let code = item["ErrorCode"]
                .as_str()
                .map(str::to_owned)
                .or_else(|| number(&item["ErrorCode"]).map(|n| n.to_string()))?;
            let text = clean(item["ErrorStatus"].as_str().unwrap_or_default(), 200);
            let message_id = text_or_number(&item["MsgID"]).filter(|id| is_id(id));
            let failure = (code != "0").then(|| clean(&code, 32));
            Some(Item::Receipt(Receipt { template: template(item)?, message_id, failure, text }))
        },
        _ => return Ok(None),
    };
    let items: Vec<Item> = items(&value).into_iter().take(MAX_ITEMS).filter_map(item).collect();
    Ok(Some(Push { openid: openid.to_owned(), at, items, id: None }))
}

/// The items, wherever they lie.
fn items(value: &Value) -> Vec<&Value> {
    let inner = WRAPPERS.iter().map(|wrapper| &value[*wrapper]).find(|inner| !inner.is_null());
    let list = match inner {
        Some(inner) if inner.get("List").is_some() => &inner["List"],
        Some(inner) => inner,
        None => &value["List"],
    };
    match list {
        Value::Array(items) => items.iter().collect(),
        Value::Object(_) => vec![list],
        _ => Vec::new(),
    }
}

fn template(item: &Value) -> Option<String> {
    item["TemplateId"].as_str().filter(|id| is_id(id)).map(str::to_owned)
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID && text.bytes().all(|b| b.is_ascii_graphic())
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// Either format, by its first character: the content type says nothing.
fn parse(body: &[u8]) -> Result<Value, Refused> {
    let body = body.trim_ascii_start();
    let value = match body.first() {
        Some(b'<') => xml(std::str::from_utf8(body).map_err(|_| Refused::Shape)?),
        Some(b'{') => serde_json::from_slice(body).ok(),
        _ => None,
    };
    value.filter(Value::is_object).ok_or(Refused::Shape)
}

/// XML as the JSON that it stands for: elements become members, repeated ones arrays. No declarations, and none of their entities.
fn xml(text: &str) -> Option<Value> {
    let mut reader = Reader::from_str(text);
    // The open elements: name, members, text.
    let mut open: Vec<(String, Map<String, Value>, String)> = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) if open.len() < MAX_DEPTH => {
                open.push((tag.name().as_ref().to_owned(), Map::new(), String::new()));
            }
            Event::Empty(tag) if !open.is_empty() => {
                add(&mut open.last_mut()?.1, tag.name().as_ref().to_owned(), Value::String(String::new()));
            }
            Event::Text(text) if open.is_empty() && text.trim_ascii().is_empty() => {}
            Event::Text(text) => open.last_mut()?.2 += &text,
            Event::CData(text) => open.last_mut()?.2 += &text,
            Event::GeneralRef(name) => {
                let text = &mut open.last_mut()?.2;
                match name.resolve_char_ref().ok()? {
                    Some(c) => text.push(c),
                    None => *text += quick_xml::escape::resolve_predefined_entity(&name)?,
                }
            }
            Event::End(_) => {
                let (name, members, text) = open.pop()?;
                let value =
                    if members.is_empty() { Value::String(text.trim().to_owned()) } else { Value::Object(members) };
                match open.last_mut() {
                    Some(parent) => add(&mut parent.1, name, value),
                    None => return Some(value),
                }
            }
            Event::Decl(_) if open.is_empty() => {}
            Event::Comment(_) => {}
            // A DTD, an instruction, too deep, or an end before its time.
            _ => return None,
        }
    }
}

fn add(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        None => drop(members.insert(name, value)),
        Some(Value::Array(items)) => items.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "oR3m1nd3rUs3r000000000000001";

    fn json(inner: &str) -> String {
        format!(r#"{{"ToUserName":"gh_1","FromUserName":"{USER}","CreateTime":1767225600,"MsgType":"event",{inner}}}"#)
    }

    fn in_xml(inner: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[{USER}]]></FromUserName>\
             <CreateTime>1767225600</CreateTime><MsgType><![CDATA[event]]></MsgType>{inner}</xml>"
        )
    }

    fn items(body: &str) -> Vec<Item> {
        let push = read(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}")).unwrap_or_else(|| panic!("{body}"));
        assert_eq!((push.openid.as_str(), push.at), (USER, 1_767_225_600_000), "{body}");
        push.items
    }

    #[test]
    fn every_shape_that_was_seen_says_the_same() {
        let answered = |template: &str, accepted| Item::Answered { template: template.into(), accepted };
        let off = |template: &str| Item::TurnedOff { template: template.into() };
        let receipt = |id: Option<&str>, failure: Option<&str>, text: &str| {
            let (message_id, failure) = (id.map(str::to_owned), failure.map(str::to_owned));
            Item::Receipt(Receipt { template: "A".into(), message_id, failure, text: text.into() })
        };
        let (a, b) = (
            r#"{"TemplateId":"A","SubscribeStatusString":"accept","PopupScene":"0"}"#,
            r#"{"TemplateId":"B","SubscribeStatusString":"reject","PopupScene":0}"#,
        );
        let popup = r#""Event":"subscribe_msg_popup_event""#;
        let (xa, xb) = (
            "<TemplateId><![CDATA[A]]></TemplateId><SubscribeStatusString>accept</SubscribeStatusString>",
            "<TemplateId>B</TemplateId><SubscribeStatusString><![CDATA[reject]]></SubscribeStatusString>",
        );
        let xml_popup = "<Event><![CDATA[subscribe_msg_popup_event]]></Event>";
        let (both, one) = (vec![answered("A", true), answered("B", false)], vec![answered("A", true)]);
        let table = [
            (json(&format!(r#"{popup},"List":{a}"#)), one.clone()),
            (json(&format!(r#"{popup},"List":[{a},{b}]"#)), both.clone()),
            (json(&format!(r#"{popup},"SubscribeMsgPopupEvent":{{"List":[{a},{b}]}}"#)), both.clone()),
            (json(&format!(r#"{popup},"SubscribeMsgPopupEvent":{{"List":{a}}}"#)), one.clone()),
            (json(&format!(r#"{popup},"SubscribeMsgPopupEvent":[{a},{b}]"#)), both.clone()),
            (json(&format!(r#"{popup},"SubscribeMsgChangeEvent":[{a}]"#)), one.clone()),
            (json(&format!(r#"{popup},"List":[{}]"#, a.replace("accept", "acceptWithAudio"))), one.clone()),
            (json(&format!(r#"{popup},"List":[]"#)), vec![]),
            (json(popup), vec![]),
            (
                in_xml(&format!(
                    "{xml_popup}<SubscribeMsgPopupEvent><List>{xa}</List><List>{xb}</List></SubscribeMsgPopupEvent>"
                )),
                both,
            ),
            (
                in_xml(&format!("{xml_popup}<SubscribeMsgPopupEvent><List>{xa}</List></SubscribeMsgPopupEvent>")),
                one.clone(),
            ),
            (
                in_xml(&format!("{xml_popup}<SubscribeMsgSentEvent><List>{xa}</List></SubscribeMsgSentEvent>")),
                one.clone(),
            ),
            (in_xml(&format!("{xml_popup}<List>{xa}</List>")), one),
            (json(&format!(r#""Event":"subscribe_msg_change_event","List":{b}"#)), vec![off("B")]),
            (json(&format!(r#""Event":"subscribe_msg_change_event","List":[{a},{b}]"#)), vec![off("B")]),
            (
                json(
                    r#""Event":"subscribe_msg_sent_event","List":{"TemplateId":"A","MsgID":"3248682510344192009","ErrorCode":"0","ErrorStatus":"success"}"#,
                ),
                vec![receipt(Some("3248682510344192009"), None, "success")],
            ),
            (
                json(
                    r#""Event":"subscribe_msg_sent_event","List":{"TemplateId":"A","MsgID":3248682510344192009,"ErrorCode":-3,"ErrorStatus":"no"}"#,
                ),
                vec![receipt(Some("3248682510344192009"), Some("-3"), "no")],
            ),
            (
                in_xml(
                    "<Event>subscribe_msg_sent_event</Event><SubscribeMsgSentEvent><List><TemplateId>A</TemplateId><MsgID>7</MsgID>\
                        <ErrorCode>0</ErrorCode><ErrorStatus>a &lt; b &#38; c</ErrorStatus></List></SubscribeMsgSentEvent>",
                ),
                vec![receipt(Some("7"), None, "a < b & c")],
            ),
        ];
        for (body, said) in table {
            assert_eq!(items(&body), said, "{body}");
            assert_eq!(items(&body.replace("1767225600,", "\"1767225600\",")), said, "{body}");
        }
    }

    #[test]
    fn other_pushes_say_nothing_and_what_is_none_is_refused() {
        for (body, said) in [
            (json(r#""Event":"user_enter_tempsession""#), Ok(None)),
            (r#"{"MsgType":"text","Content":"hi"}"#.to_owned(), Ok(None)),
            (json(r#""Event":"subscribe_msg_popup_event","List":{}"#).replace("oR3m", "o R3m"), Ok(None)),
            (String::new(), Err(Refused::Shape)),
            ("[]".into(), Err(Refused::Shape)),
            ("{}".into(), Err(Refused::Shape)),
            ("null".into(), Err(Refused::Shape)),
            ("{\"Event\":".into(), Err(Refused::Shape)),
            ("<xml></xml>".into(), Err(Refused::Shape)),
            ("<xml><Event>".into(), Err(Refused::Shape)),
            ("<xml></lmx>".into(), Err(Refused::Shape)),
            ("{".repeat(100_000), Err(Refused::Shape)),
            ("<a>".repeat(10_000), Err(Refused::Shape)),
            (format!(r#"{{"a":{}"#, "[".repeat(20_000)), Err(Refused::Shape)),
            (
                "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>".to_owned()
                    + &in_xml("<Event>&b;</Event>"),
                Err(Refused::Shape),
            ),
            (in_xml("<Event>&passwd;</Event>"), Err(Refused::Shape)),
            (
                "<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><xml><MsgType>event</MsgType></xml>".into(),
                Err(Refused::Shape),
            ),
        ] {
            assert_eq!(read(body.as_bytes()), said, "{}", body.chars().take(200).collect::<String>());
        }
    }
}
