//! Sections as Markdown for a pull request. Names come from agents and are encoded so that none can format, link, mention
//! or break out of its cell.

use super::report::Section;

/// Rows of a table that are shown: a comment may not be longer than a forge takes.
const ROWS_MAX: usize = 50;

/// The sections under a heading.
pub(super) fn markdown(title: &str, sections: &[Section]) -> String {
    let mut out = vec![format!("## {title}\n")];
    for section in sections {
        out.push(format!("\n### {}\n", section.title));
        for line in &section.lines {
            out.push(format!("\n{}\n", plain(line)));
        }
        for table in &section.tables {
            if !table.caption.is_empty() {
                out.push(format!("\n**{}**\n", plain(&table.caption)));
            }
            out.push(format!("\n| {} |\n", table.header.join(" | ")));
            out.push(format!("|{}\n", " --- |".repeat(table.header.len())));
            for row in table.rows.iter().take(ROWS_MAX) {
                let cells: Vec<String> = row.iter().map(|text| plain(text)).collect();
                out.push(format!("| {} |\n", cells.join(" | ")));
            }
            if let Some(more) = table.rows.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
                out.push(format!("\nAnd {more} more.\n"));
            }
        }
    }
    out.concat()
}

/// Whether a character means nothing to Markdown, to HTML or to what forges make of text.
fn is_safe(c: char) -> bool {
    c.is_alphanumeric() || " -.,:;%()+=/'\"?".contains(c)
}

/// Text that is shown as it stands. What holds anything else than plain characters becomes code, in which nobody is
/// mentioned and nothing linked, with every doubtful character as an entity, which has no meaning to Markdown.
pub(super) fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let lower = text.to_lowercase();
    if text.chars().all(is_safe) && !lower.contains("://") && !lower.contains("www.") {
        return text;
    }
    let entity = |c: char| {
        if is_safe(c) && !":./".contains(c) { c.to_string() } else { format!("&#{};", u32::from(c)) }
    };
    format!("<code>{}</code>", text.chars().map(entity).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_plain() {
        for text in ["income-a", "1d2h later", "2026-01-01T00:00:00Z", "0.5 to 3.2", "Zoë"] {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn long_tables_are_cut_and_say_so() {
        use super::super::report::Table;
        let rows = (0..53).map(|n| vec![format!("row {n}")]).collect();
        let table = Table { caption: "all".to_owned(), header: vec!["x"], rows };
        let text = markdown("T", &[Section { title: "S", lines: vec!["one.".to_owned()], tables: vec![table] }]);
        assert_eq!(text.matches("| row ").count(), 50);
        assert!(text.starts_with("## T\n\n### S\n\none.\n\n**all**\n\n| x |\n| --- |\n| row 0 |\n"), "{text}");
        assert!(text.ends_with("| row 49 |\n\nAnd 3 more.\n"), "{text}");
    }

    #[test]
    fn hostile_names_are_shown_and_do_nothing() {
        for text in [
            "a|b",
            "`code`",
            "<script>x</script>",
            "@security-team",
            "#12",
            "[x](https://evil.example)",
            "https://evil.example",
            "www.evil.example",
            "*b* _i_ ~s~ \\",
            "&lt;",
            "![x](y)",
        ] {
            let shown = plain(text);
            let inside = shown.strip_prefix("<code>").and_then(|rest| rest.strip_suffix("</code>")).expect(text);
            let entities_out = inside.replace("&#", "").replace(';', "");
            assert!(entities_out.chars().all(|c| is_safe(c) && !":./".contains(c)), "{shown}");
        }
        assert_eq!(plain("a|b"), "<code>a&#124;b</code>");
        assert_eq!(plain("two\nlines\r"), "two lines ");
    }
}
