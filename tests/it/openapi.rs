//! The OpenAPI document against the program: what there is stands in it, each by its own name, with its answers. What it says of bodies
//! and values, `tests/clients/run` tries.

use crate::harness::program::{Program, Site};
use reqwest::Method;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

async fn started() -> (Site, Program, Value) {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve_with_key();
    let (_, document) = program.get("/openapi.json").await;
    (site, program, document)
}

/// Every operation: its path, its method, what is said of it.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("operations");
        item.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

#[tokio::test]
async fn every_route_stands_in_the_document_with_its_methods() {
    let (_site, program, document) = started().await;
    let mut documented: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in operations(&document) {
        documented.entry(path).or_default().insert(method.to_uppercase());
    }
    let source = include_str!("../../src/api/mod.rs");
    let build = source.split("fn build(").nth(1).expect("the router is built there");
    let (v1, open) = build.split_once(".nest(\"/v1\", v1.merge(feed))").expect("what needs a key is nested");
    let named = |part: &'static str| part.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let routes: Vec<String> =
        named(v1).map(|path| format!("/v1{path}")).chain(named(open).map(str::to_owned)).collect();
    assert!(routes.len() > 20, "{routes:?}");
    for route in routes {
        // A method that no path knows is answered with those that this one does.
        let url = format!("{}{}", program.base, route.replace("{id}", "r_0000000000000"));
        let response = program.http.request(Method::TRACE, url).bearer_auth(&program.key).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), 405, "{route}");
        let allowed = response.headers()["allow"].to_str().expect("text").split(',');
        let allowed: BTreeSet<String> = allowed.filter(|method| *method != "HEAD").map(str::to_owned).collect();
        assert_eq!(documented.remove(route.as_str()), Some(allowed), "{route}");
    }
    assert!(documented.is_empty(), "there is nothing at {documented:?}");
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own_and_every_answer_a_schema() {
    let (_site, program, document) = started().await;
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let what = format!("{method} {path}");
        let name = operation["operationId"].as_str().expect("a name");
        assert!(name.contains('_') && names.insert(name), "{what}: «{name}» is used twice, or says too little");
        let keyed = path.starts_with("/v1/");
        assert_eq!(operation["security"].as_array().expect("said").is_empty(), !keyed, "{what}");
        let answers = operation["responses"].as_object().expect("answers");
        for status in ["401", "403", "500", "503"] {
            assert!(!keyed || answers.contains_key(status), "{what} can answer {status}");
        }
        for (status, answer) in answers {
            let contents = answer["content"].as_object();
            assert_eq!(contents.is_none(), ["204", "304"].contains(&status.as_str()), "{what} {status} has no content");
            for (kind, content) in contents.into_iter().flatten() {
                let schema = &content["schema"];
                let typed = schema["$ref"].is_string() || schema["type"] == "string" || path == "/openapi.json";
                assert!(typed, "{what} {status}: {schema}");
                let problem = kind == "application/problem+json" && schema["$ref"] == "#/components/schemas/Problem";
                assert_eq!(problem, keyed && status.as_str() >= "400", "{what} {status}: {kind} {schema}");
            }
        }
    }
    assert!(names.len() > 25, "{names:?}");
    no_loose_ends(&document, &document, "");
    assert!(program.terminate().0.success());
}

/// Every reference leads somewhere, and every object says what is in it.
fn no_loose_ends(document: &Value, value: &Value, at: &str) {
    if let Some(to) = value["$ref"].as_str() {
        assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{at} leads to {to}, where nothing is");
    }
    if value["type"] == "object" && !at.starts_with("/paths//openapi.json") {
        let said = ["properties", "additionalProperties"].iter().any(|member| !value[member].is_null());
        assert!(said, "{at} is just an object");
    }
    match value {
        // An example is no schema.
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| *name != "example");
            members.for_each(|(name, member)| no_loose_ends(document, member, &format!("{at}/{name}")));
        }
        Value::Array(items) => items.iter().for_each(|item| no_loose_ends(document, item, at)),
        _ => {}
    }
}

#[tokio::test]
async fn every_code_of_a_problem_is_explained_in_words() {
    let (_site, program, document) = started().await;
    let text = document["info"]["description"].as_str().expect("a description");
    assert!(text.contains("- `bad_field` (422): A value breaks its field's rule\n"), "{text}");
    assert!(!text.contains("problem_"), "a key of the catalogue was not said: {text}");
    for (language, title) in [("zh-CN", "没有有效的 API 密钥"), ("en", "No valid API key")] {
        let request = program.http.get(format!("{}/v1/stats", program.base)).header("accept-language", language);
        let answer = request.send().await.expect("an answer").text().await.expect("text");
        assert!(answer.contains(title), "{answer}");
    }
}

#[tokio::test]
async fn the_page_explains_every_call_and_code_in_the_readers_language() {
    let (_site, program, document) = started().await;
    let page = async |path: &str, language: &str| {
        let request = program.http.get(format!("{}{path}", program.base)).header("accept-language", language);
        request.send().await.expect("an answer").text().await.expect("text")
    };
    let (en, zh) = (page("/docs", "en").await, page("/docs", "zh-CN").await);
    assert!(en.contains("API keys") && en.contains("tixing key create --name backend"), "{en}");
    assert!(zh.contains("API 密钥") && zh.contains("怎么办") && zh.contains("搜索"), "{zh}");
    assert_eq!(page("/docs?lang=zh", "en").await, zh);
    for (path, method, operation) in operations(&document) {
        let told = format!("\"{}\":", operation["operationId"].as_str().expect("a name"));
        assert!(en.contains(&told) && zh.contains(&told), "{method} {path}: say in OPERATIONS what it does");
    }
    // Where the type of a problem leads.
    let problem = program.http.get(format!("{}/v1/stats", program.base)).send().await.expect("an answer");
    let problem: Value = serde_json::from_str(&problem.text().await.expect("text")).expect("JSON");
    let id = problem["type"].as_str().and_then(|link| link.strip_prefix("/docs#")).expect("a link");
    assert!(zh.contains(&format!("<tr id=\"{id}\">")), "{id}");
    assert!(program.terminate().0.success());
}
