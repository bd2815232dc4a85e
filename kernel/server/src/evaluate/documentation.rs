//! Formats rust-analyzer's documentation: with every field of a struct, without hidden lines of
//! examples, with tables, and with links only to pages that are known to exist.

use crate::names::{Names, shown_fields};
use benchbook_display::{Bundle, escape};
use std::collections::HashMap;

/// Base addresses of documentation links.
const PAGES: [&str; 5] = [
    "https://doc.rust-lang.org/",
    "https://docs.rs/tch/",
    "https://docs.rs/image/",
    "https://docs.rs/plotters/",
    "https://docs.rs/serde_json/",
];

/// rust-analyzer's documentation in evcxr's HTML, improved for display.
pub(super) fn shown(html: &str, names: &Names) -> Bundle {
    let html =
        between(html, "<pre><code", "</code></pre>", |block| Some(without_hidden_lines(block)));
    let html = between(&html, "<p>|", "|</p>", |rows| table(&format!("|{rows}|")));
    let html = between(&html, "<a href=\"", "</a>", |link| {
        let (address, text) = link.split_once("\">")?;
        let is_other = address.starts_with("http") && !address.starts_with("https://docs.rs/");
        let known = is_other || PAGES.iter().any(|page| address.starts_with(page));
        (!known).then(|| text.to_owned())
    });
    let html = with_fields(html, names);
    Bundle::text(text(&html)).html(html)
}

/// Improves the output of `:doc`, by MIME type.
pub(super) fn improve(contents: &mut HashMap<String, String>, names: &Names) {
    let Some(html) = contents.get("text/html") else { return };
    let improved = shown(html, names);
    for (mime, content) in improved.data {
        contents.extend(content.as_str().map(|content| (mime, content.to_owned())));
    }
}

/// Replaces each text between `open` and `close` by the result of `change`; keeps it on `None`.
fn between(html: &str, open: &str, close: &str, change: impl Fn(&str) -> Option<String>) -> String {
    let mut changed = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, found)) = rest.split_once(open) {
        let Some((inner, after)) = found.split_once(close) else { break };
        changed += before;
        match change(inner) {
            Some(new) => changed += &new,
            None => changed.extend([open, inner, close]),
        }
        rest = after;
    }
    changed + rest
}

/// A code block, from its class on, without the lines that rustdoc hides.
fn without_hidden_lines(block: &str) -> String {
    let (class, code) = block.split_once('>').unwrap_or(("", block));
    let other = ["text", "toml", "json", "python", "sh", "console"];
    let is_rust = !other.iter().any(|language| class.contains(&format!("language-{language}")));
    let shown = code.split_inclusive('\n').filter(|line| {
        let line = line.trim();
        !(is_rust && (line == "#" || line.starts_with("# ")))
    });
    format!("<pre><code{class}>{}</code></pre>", shown.collect::<String>())
}

/// Renders a Markdown table as HTML.
fn table(rows: &str) -> Option<String> {
    let mut lines = rows.lines();
    let (head, rule) = (lines.next()?, lines.next()?);
    if !rule.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ')) {
        return None;
    }
    let row = |line: &str, cell: &str| {
        let line = line.strip_prefix('|').unwrap_or(line);
        let cells = line.strip_suffix('|').unwrap_or(line).split('|');
        let cells = cells.map(|text| format!("<{cell}>{}</{cell}>", text.trim()));
        format!("<tr>{}</tr>", cells.collect::<String>())
    };
    let body: String = lines.map(|line| row(line, "td")).collect();
    Some(format!("<table>{}{body}</table>", row(head, "th")))
}

/// Adds all fields of a struct, of which rust-analyzer shows the first five, with descriptions.
/// Omits private fields of library structs.
fn with_fields(html: String, names: &Names) -> String {
    const STRUCT: &str = "pub struct ";
    const OF_A_CELL: &str = "<pre><code class=\"language-rust\">ctx";
    let Some((before, declaration)) = html.split_once(STRUCT) else { return html };
    let end = declaration.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let Some((head, rest)) = declaration.split_once(" {\n") else { return html };
    let Some((shown, after)) = rest.split_once("\n}") else { return html };
    let fields = names.fields(&declaration[..end.unwrap_or(declaration.len())]);
    if fields.is_empty() {
        let private = !shown.contains("    pub ") && !before.starts_with(OF_A_CELL);
        return if private {
            format!("{before}{STRUCT}{head} {{ /* private fields */ }}{after}")
        } else {
            html
        };
    }
    let public = if shown.trim_start().starts_with("pub ") { "pub " } else { "" };
    let lines = fields.iter().map(|(field, _)| format!("    {public}{},\n", escape(field)));
    let (_, described) = shown_fields(&fields);
    format!("{before}{STRUCT}{head} {{\n{}}}{after}{described}", lines.collect::<String>())
}

/// The text of HTML that evcxr made from Markdown.
fn text(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tagged)) = rest.split_once('<') {
        text += before;
        let (tag, after) = tagged.split_once('>').unwrap_or((tagged, ""));
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        match (name, tag.starts_with('/')) {
            ("li", false) => text += "- ",
            ("dd", false) => text += "    ",
            ("p" | "pre" | "h1" | "h2" | "h3" | "h4" | "table" | "ul" | "ol" | "dl", true) => {
                text += "\n\n";
            }
            ("tr" | "li" | "dt" | "dd" | "br", true) => text += "\n",
            ("th" | "td", true) => text += "   ",
            _ => {}
        }
        rest = after;
    }
    text += rest;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    let text = entities.iter().fold(text, |text, (entity, sign)| text.replace(entity, sign));
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.dedup_by(|line, before| line.is_empty() && before.is_empty());
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(html: &str) -> String {
        html_of(&shown(html, &Names::default())).to_owned()
    }

    fn html_of(bundle: &Bundle) -> &str {
        bundle.data["text/html"].as_str().unwrap_or_default()
    }

    #[test]
    fn hidden_lines_of_examples_are_left_out() {
        let shown = html(
            "<pre><code># use a::b;\n#[derive(Debug)]\nstruct A;\n#\n  # f();\n</code></pre><pre><code class=\"language-sh\"># install\n</code></pre>",
        );
        assert_eq!(
            shown,
            "<pre><code>#[derive(Debug)]\nstruct A;\n</code></pre><pre><code class=\"language-sh\"># install\n</code></pre>"
        );
    }

    #[test]
    fn tables_are_tables() {
        let source = "<p>|a|b|\n|-|-|\n|<code>c</code>|d|</p>\n<p>|not a table|</p>";
        let shown = shown(source, &Names::default());
        assert_eq!(
            html_of(&shown),
            "<table><tr><th>a</th><th>b</th></tr><tr><td><code>c</code></td><td>d</td></tr></table>\n<p>|not a table|</p>"
        );
        assert_eq!(shown.plain(), "a   b\nc   d\n\n|not a table|");
        let empty = html("<p>||b|\n|--|-|\n|c||</p>");
        assert_eq!(
            empty,
            "<table><tr><th></th><th>b</th></tr><tr><td>c</td><td></td></tr></table>"
        );
    }

    #[test]
    fn private_fields_of_a_library_are_left_out() {
        let declaration = "pub struct Closed {\n    root: PathBuf,\n    /* … */\n}\n</code></pre>";
        let block = |path: &str| {
            format!(
                "<pre><code class=\"language-rust\">{path}\n</code></pre>\n<pre><code>{declaration}"
            )
        };
        assert!(
            html(&block("benchbook_data::folder"))
                .contains("pub struct Closed { /* private fields */ }\n")
        );
        assert!(html(&block("ctx")).contains("root: PathBuf"));
    }

    #[test]
    fn links_lead_to_pages_that_exist() {
        let link =
            |address: &str| html(&format!("<p>See <a href=\"{address}\"><code>A</code></a>.</p>"));
        for address in [
            "https://docs.rs/ctx/1.0.0/ctx/A.html",
            "https://docs.rs/benchbook/*/A.html",
            "crate::a::A",
        ] {
            assert_eq!(link(address), "<p>See <code>A</code>.</p>", "{address}");
        }
        for address in [
            "https://doc.rust-lang.org/stable/alloc/vec/struct.Vec.html",
            "https://docs.rs/tch/0.24.0/A.html",
            "https://arxiv.org/abs/1409.1556",
        ] {
            assert!(link(address).contains(address), "{address}");
        }
    }

    #[test]
    fn every_field_of_a_struct_is_shown() {
        let names = Names::default();
        let fields: String =
            (0..8).map(|n| format!("/// Field {n}.\nfield_{n}: Vec<u{n}>, ")).collect();
        names.end(Vec::new(), Some(&format!("struct Many {{ {fields} }}")));
        let source = "<pre><code>pub struct Many {\n    pub field_0: Vec&lt;u0&gt;,\n    /* … */\n}\n</code></pre><p>Many.</p>";
        let shown = shown(source, &names);
        for n in 0..8 {
            assert!(
                shown.plain().contains(&format!("    pub field_{n}: Vec<u{n}>,\n")),
                "{}",
                shown.plain()
            );
            assert!(shown.plain().contains(&format!("Field {n}.")));
        }
        assert!(!shown.plain().contains("/* … */"));
    }
}
