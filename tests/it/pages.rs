//! The pages of the documentation: what each platform needs to be found, and whether their links lead somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};
use tixing::platform;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// All pages.
fn pages() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    for folder in ["docs", "docs/platforms"] {
        let entries = fs::read_dir(root().join(folder)).expect("readable").flatten();
        found.extend(entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    found
}

/// Where the links of a page lead, without those that leave the project or stay on the page.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|file| !file.is_empty() && !file.contains("://")).collect()
}

/// The name that a heading is linked by, as the code hosts make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    assert_eq!(links("[a](b.md) [c](https://d.example) [e](#f) [g](h.md#i)"), ["b.md", "h.md"]);
    let mut seen = 0;
    for page in pages() {
        let written = fs::read_to_string(&page).expect("readable");
        for link in links(&written) {
            let target = page.parent().expect("in a folder").join(link);
            assert!(target.exists(), "{} links to {link}, which is not there", page.display());
            seen += 1;
        }
        for target in written.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let Some((file, part)) = target.split_once('#').filter(|_| !target.contains("://")) else { continue };
            let linked = if file.is_empty() { page.clone() } else { page.parent().expect("in a folder").join(file) };
            let linked = fs::read_to_string(linked).expect("it is there");
            let mut headings = linked.lines().filter(|line| line.starts_with('#')).map(|h| h.trim_start_matches('#'));
            assert!(headings.any(|heading| anchor(heading) == part), "{} links to {target}", page.display());
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn every_platform_has_a_page_in_both_languages_that_the_start_pages_list() {
    let (english, chinese) = (text("README.md"), text("docs/README.zh-CN.md"));
    for word in platform::words() {
        for (start, page, file) in [
            (&english, format!("docs/platforms/{word}.md"), format!("docs/platforms/{word}.md")),
            (&chinese, format!("platforms/{word}.zh-CN.md"), format!("docs/platforms/{word}.zh-CN.md")),
        ] {
            assert!(text(&file).contains("]("), "{file} links to its other language");
            let row = start.lines().find(|line| line.starts_with(&format!("| `{word}` |")));
            let row = row.unwrap_or_else(|| panic!("the table of platforms has no line for {word}"));
            assert!(row.contains(&format!("]({page})")), "{row}");
        }
    }
}
