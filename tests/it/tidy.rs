//! What keeps the house in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("readable").flatten() {
            match entry.path() {
                path if path.is_dir() => walk(&path, found),
                path if path.extension().is_some_and(|e| e == "rs" || e == "toml") => found.push(path),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    let name = |path: &Path| path.strip_prefix(root().join("src")).expect("below").display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).expect("readable"))).collect()
}

/// The modules that stand at the top level of each `use crate::{…}`.
fn nested(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for tree in text.split("use crate::{").skip(1) {
        let (mut depth, mut word) = (0, String::new());
        for c in tree.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => word.clear(),
                ':' if depth == 0 && !word.is_empty() => {
                    found.push(word.trim().to_owned());
                    word.clear();
                }
                c if depth == 0 && (c.is_alphanumeric() || c == '_') => word.push(c),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn layers_point_downward_only() {
    assert_eq!(nested("use crate::{a::b, c::{d::e, f}, g::h};"), ["a", "c", "g"]);
    // What each layer may know of the others; what is not named here (main, cli, daemon) may know everything.
    let layers: &[(&str, &[&str])] = &[
        ("words", &[]),
        ("domain", &["words"]),
        ("clock", &["words", "domain"]),
        ("config", &["words", "domain", "platform"]),
        ("http", &[]),
        ("descriptors", &["words"]),
        ("metrics", &[]),
        ("trip", &[]),
        ("store", &["words", "domain", "clock", "config", "trip"]),
        ("platform", &["words", "domain", "trip"]),
        ("sandbox", &["words", "domain", "clock", "config", "http", "platform"]),
        ("engine", &["words", "domain", "clock", "config", "metrics", "store", "platform"]),
        ("cluster", &["words", "domain", "clock", "metrics", "store", "engine"]),
        ("schedule", &["words", "domain", "clock", "config", "metrics", "store", "platform"]),
        ("callback", &["words", "domain", "clock", "config", "metrics", "store", "platform"]),
        ("api", &["words", "domain", "clock", "config", "http", "metrics", "store", "platform", "engine", "schedule"]),
        ("findings", &["words", "domain", "config"]),
        ("console", &["words", "domain", "clock", "config", "http", "store", "schedule", "findings", "api"]),
    ];
    let all = [
        "words",
        "domain",
        "clock",
        "trip",
        "config",
        "http",
        "descriptors",
        "metrics",
        "store",
        "platform",
        "sandbox",
        "engine",
        "cluster",
        "schedule",
        "api",
        "callback",
        "findings",
        "console",
        "daemon",
        "cli",
    ];
    for (file, text) in sources() {
        let layer = file.split(['/', '.']).next().expect("a name");
        let Some((_, allowed)) = layers.iter().find(|(name, _)| *name == layer) else { continue };
        // Written out, or at the top level of a `use crate::{…}`.
        let used = |name: &str| text.contains(&format!("crate::{name}::")) || nested(&text).iter().any(|n| n == name);
        for name in all.iter().filter(|name| **name != layer && !allowed.contains(name)) {
            assert!(!used(name), "src/{file} knows {name}, which is not below it");
        }
    }
}

/// The module of a source file: `api/keys.rs` is `["api", "keys"]`, `api/mod.rs` is `["api"]`.
fn module(file: &str) -> Vec<String> {
    let steps = file.trim_end_matches(".rs").trim_end_matches("/mod").split('/').map(str::to_owned);
    steps.filter(|step| step != "lib").collect()
}

/// The paths that a tree of a `use` names: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.split("::").map(|step| step.trim().to_owned()).collect()];
    };
    let head: Vec<String> = head.trim_end_matches("::").split("::").map(|step| step.trim().to_owned()).collect();
    let (mut depth, mut parts, mut part) = (0, Vec::new(), String::new());
    for c in rest.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(part)).map(|path| head.iter().cloned().chain(path).collect()).collect()
}

/// The files that a file takes something from. A folder's `mod.rs` is its map: what it takes from its own folder, and what that takes from
/// it, ties nothing.
fn imports(file: &str, text: &str, modules: &BTreeMap<Vec<String>, String>) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let uses = code.match_indices("use ").filter(|(at, _)| code[..*at].ends_with(['\n', ' ']) || *at == 0);
    let mut paths: Vec<Vec<String>> =
        uses.flat_map(|(at, _)| expand(code[at + 4..].split(';').next().unwrap_or_default())).collect();
    // Paths that are written out.
    paths.extend(["crate::", "super::"].iter().flat_map(|root| code.match_indices(root)).map(|(at, _)| {
        let path = code[at..].split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').next().unwrap_or_default();
        path.split("::").filter(|step| !step.is_empty()).map(str::to_owned).collect()
    }));
    let own = module(file);
    let absolute = |path: Vec<String>| -> Option<Vec<String>> {
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "super" => {
                let up = path.iter().take_while(|step| *step == "super").count();
                let base = own.len().checked_sub(up)?;
                Some(own[..base].iter().chain(&path[up..]).cloned().collect())
            }
            _ => None,
        }
    };
    let found = paths.into_iter().filter_map(absolute).filter_map(|path| {
        (1..=path.len()).rev().find_map(|n| modules.get(&path[..n]).map(|found| (path[..n].to_vec(), found.clone())))
    });
    let tied = found.filter(|(to, _)| {
        let parent = |a: &[String], b: &[String]| b.starts_with(a);
        !parent(to, &own) && !parent(&own, to)
    });
    tied.map(|(_, found)| found).collect()
}

#[test]
fn no_files_know_each_other_in_a_circle() {
    let expanded: Vec<String> = expand("a::{b, c::{d, e as f}}").iter().map(|path| path.join("::")).collect();
    assert_eq!(expanded, ["a::b", "a::c::d", "a::c::e"]);
    let sources: Vec<_> = sources().into_iter().filter(|(file, _)| file.ends_with(".rs")).collect();
    let modules: BTreeMap<_, _> = sources.iter().map(|(file, _)| (module(file), file.clone())).collect();
    let graph: BTreeMap<_, _> =
        sources.iter().map(|(file, text)| (file.clone(), imports(file, text, &modules))).collect();
    assert!(graph["api/keys.rs"].contains("api/problem.rs") && graph["engine/flight.rs"].contains("domain/settle.rs"));
    for file in graph.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(at) = next.pop() {
            for to in &graph[at] {
                assert!(to != file, "src/{file} and src/{at} know each other, if only by others: {:?}", graph[at]);
                if seen.insert(to) {
                    next.push(to);
                }
            }
        }
    }
}

/// Each platform by its folder, and what it is called.
const PLATFORMS: [(&str, &[&str]); 5] = [
    ("wechat", &["wechat", "weixin", "微信"]),
    ("alipay", &["alipay", "支付宝"]),
    ("douyin", &["douyin", "抖音"]),
    ("kuaishou", &["kuaishou", "快手"]),
    ("baidu", &["baidu", "百度"]),
];

/// Whether it names a platform, or one of its codes.
fn names_a_platform(text: &str) -> bool {
    let is_code = |word: &str| word.len() == 5 && word.starts_with('4') && word.bytes().all(|b| b.is_ascii_digit());
    let lower = text.to_lowercase();
    PLATFORMS.iter().any(|(_, names)| names.iter().any(|name| lower.contains(name)))
        || text
            .split(|c: char| !c.is_alphanumeric() && !"_.".contains(c))
            .any(|word| is_code(word.trim_end_matches('.')))
}

#[test]
fn a_platform_is_known_in_its_folder_and_its_face_alone() {
    let table = [
        ("refused with 43101", true),
        ("WeChat's", true),
        ("40_000 or 400012, or 47908.5", false),
        ("a platform", false),
    ];
    for (text, names) in table {
        assert_eq!(names_a_platform(text), names, "{text}");
    }
    for (file, text) in sources() {
        let of = |name: &str| [format!("platform/{name}/"), format!("sandbox/{name}.rs"), format!("sandbox/{name}/")];
        let may = file.starts_with("words/")
            || PLATFORMS.iter().any(|(name, _)| of(name).iter().any(|may| file.starts_with(may)));
        // Here the platforms and their faces are listed.
        let lists = ["platform/mod.rs", "sandbox/mod.rs"].contains(&file.as_str());
        let listed = |line: &str| {
            PLATFORMS
                .iter()
                .any(|(name, _)| line.contains(&format!("{name}::")) || line.ends_with(&format!("mod {name};")))
        };
        let lines = text.lines().filter(|line| !lists || !listed(line));
        for line in lines.filter(|_| !may) {
            assert!(!names_a_platform(line), "src/{file} names a platform: {line}");
        }
    }
}

#[test]
fn sql_stands_in_the_store_and_http_in_the_transport() {
    for (file, text) in sources() {
        let layer = file.split(['/', '.']).next().expect("a name");
        assert!(layer == "store" || !text.contains("sqlx::query"), "src/{file} has SQL; the store is the place for it");
        let calls = text.contains("reqwest::Client");
        // The sandbox calls us as the platforms do.
        let may = ["platform/transport.rs", "cli/client.rs", "sandbox/push.rs"].contains(&file.as_str());
        assert!(may || !calls, "src/{file} makes an HTTP client; the transport is the place for it");
    }
}

#[test]
fn only_tests_switch_on_the_points_at_which_they_kill() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let features = |edges: &str| {
        let args = [
            "tree",
            "--locked",
            "--offline",
            "--depth",
            "0",
            "--edges",
            edges,
            "--prefix",
            "none",
            "--format",
            "{p} [{f}]",
        ];
        let out = std::process::Command::new(&cargo).args(args).current_dir(root()).output().expect("cargo runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("UTF-8")
    };
    assert!(features("normal,build,dev").contains("[trip]"), "the tests need it");
    assert!(features("normal,build").contains("[]"), "a release build must lack it");
}

#[test]
fn every_metric_stands_in_the_docs() {
    let docs = fs::read_to_string(root().join("docs/metrics.md")).expect("docs/metrics.md");
    let text = tixing::metrics::Metrics::default().text();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.split(' ').next());
    for name in names {
        assert!(docs.contains(&format!("`{name}")), "{name} is not in docs/metrics.md");
    }
}

#[test]
fn every_error_code_is_one_of_the_documented_list() {
    let listed_in = |file: &str| fs::read_to_string(root().join(file)).expect("readable");
    let (of_answers, of_schedules) = (listed_in("src/api/problem.rs"), listed_in("src/schedule/problem.rs"));
    let mut seen = 0;
    for (file, text) in sources() {
        for made in ["Problem::new(", "Invalid::new("] {
            for rest in text.split(made).skip(1) {
                // What is not a literal is passed through from one that is.
                let Some(code) = rest.trim_start().strip_prefix('"').and_then(|r| r.split('"').next()) else {
                    continue;
                };
                let listed = match file.starts_with("schedule/") {
                    true => of_schedules.contains(&format!("\"{code}\",")),
                    false => of_answers.contains(&format!("(\"{code}\", ")),
                };
                assert!(listed, "src/{file} answers «{code}», which no problem.rs lists");
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn what_the_project_says_has_no_machine_in_it() {
    for file in [
        "README.md",
        "docs/README.zh-CN.md",
        "docs/performance.md",
        "docs/metrics.md",
        "docs/reliability.md",
        "docs/schedules.md",
        "docs/schedules.zh-CN.md",
        "docs/several.md",
        "docs/several.zh-CN.md",
        "deny.toml",
        "packaging/tixing.service",
        "packaging/tixing@.service",
        "packaging/compose.yml",
        "packaging/prometheus/alerts.yml",
        "packaging/grafana/tixing.json",
        ".ci/run",
    ] {
        let text = fs::read_to_string(root().join(file)).expect(file);
        for path in ["/work/", "/root/"] {
            assert!(!text.contains(path), "{file} names {path}");
        }
    }
}

/// What is left of a page without what it computes, and without its tags.
fn own_words(page: &str) -> String {
    let mut left = page.to_owned();
    for (begin, end) in [("{{", "}}"), ("{%", "%}"), ("<", ">")] {
        while let Some(from) = left.find(begin) {
            let to = left[from..].find(end).map_or(left.len(), |at| from + at + end.len());
            left.replace_range(from..to, " ");
        }
    }
    left
}

#[test]
fn pages_have_no_words_of_their_own_and_trust_nothing_from_outside() {
    let read = own_words("<p class=\"a\">{{ frame.say(\"x\") }} · 3 {% if a %}<b title=\"{{ y }}\">{% endif %}</p>");
    assert!(!read.contains(char::is_alphabetic), "{read}");
    let mut pages = 0;
    for entry in fs::read_dir(root().join("src/console/pages")).expect("readable").flatten() {
        let (path, page) = (entry.path(), fs::read_to_string(entry.path()).expect("readable"));
        // The brand is the one word that no language changes.
        let words = own_words(&page).replace("tixing", "");
        assert!(
            !words.contains(char::is_alphabetic),
            "{} says something that is not in the catalogue: {words}",
            path.display()
        );
        for attribute in ["aria-label=\"", "title=\"", "placeholder=\"", "alt=\""] {
            let computed = page.split(attribute).skip(1).all(|value| value.starts_with("{{"));
            assert!(computed, "{}: {attribute} is not from the catalogue", path.display());
        }
        // The one script is a file of ours.
        let page = page.replace("<script type=\"module\" src=\"{{ frame.script() }}\"></script>", "");
        for trusting in ["|safe", "| safe", "<script", "style=", " onclick", "javascript:"] {
            assert!(!page.contains(trusting), "{}: {trusting}", path.display());
        }
        pages += 1;
    }
    assert!(pages > 10, "{pages}");
}
