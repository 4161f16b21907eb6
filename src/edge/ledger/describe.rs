//! What every table, view and column is, read from the comments of the DDL: for docs/schema.md and `v_columns`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Value, json};

/// The place in the views' text that the dictionary is put into, as a JSON list.
const EMPTY: &str = "json_each('[]')";

/// What an object of the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A base table, which may change.
    Table,
    /// A view, which is a promise.
    View,
}

impl Kind {
    /// The word that people and `v_columns` use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
        }
    }
}

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its unit and range, in words.
    pub unit: String,
    /// One or two sentences, in Markdown without line breaks.
    pub about: String,
}

/// What a table or view is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Described {
    /// Table or view.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Paragraphs of Markdown, an empty line between them.
    pub about: String,
    /// All its columns in their order, as the database has them.
    pub columns: Vec<Column>,
}

/// Where comments and database do not agree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line that begins with the sign is no description.
    #[error("`{0}` is not `@column | unit and range | sentence`, each of them there")]
    Malformed(String),
    /// A column that nobody describes.
    #[error("{0} has no line `-- @{1} | unit and range | sentence`, and no glossary has one: write it above {0}")]
    Undescribed(String, String),
    /// A table or view without a sentence.
    #[error("{0} has no sentence that says what it is: write a comment right above it")]
    Silent(String),
    /// A description of what is not there.
    #[error("a line describes the column {1} of {0}, which has none of that name: remove it")]
    NoSuchColumn(String, String),
    /// A name that is described twice in one place.
    #[error("{0} describes the column {1} twice: remove one of the lines")]
    Twice(String, String),
    /// A word of the glossary that no table and no view needs.
    #[error("nothing needs the glossary's line for {0}: remove it")]
    Unused(String),
}

/// What a DDL's comments say, put together with the columns that it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dictionary {
    /// Tables and views, in the order of the text.
    pub objects: Vec<Described>,
    /// What is wrong with the comments; empty in what is built.
    pub faults: Vec<Fault>,
}

/// `@column` lines.
type Entries = Vec<Column>;

/// The comment above one table or view.
struct Comment {
    kind: Kind,
    name: String,
    about: String,
    entries: Entries,
}

impl Dictionary {
    /// Reads the comments of `ddl` and asks SQLite which columns its statements make.
    ///
    /// # Errors
    /// What SQLite says of the statements.
    pub fn read(ddl: &str) -> rusqlite::Result<Self> {
        let mut faults = Vec::new();
        let (comments, glossary) = comments(ddl, &mut faults);
        let db = Connection::open_in_memory()?;
        db.execute_batch(ddl)?;
        let mut used: BTreeMap<&str, bool> = glossary.iter().map(|entry| (entry.name.as_str(), false)).collect();
        let mut objects = Vec::new();
        for comment in comments {
            let columns: Vec<String> = db
                .prepare_cached("SELECT name FROM pragma_table_xinfo(?1)")?
                .query_map([&comment.name], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            if comment.about.is_empty() {
                faults.push(Fault::Silent(comment.name.clone()));
            }
            for entry in comment.entries.iter().filter(|entry| !columns.contains(&entry.name)) {
                faults.push(Fault::NoSuchColumn(comment.name.clone(), entry.name.clone()));
            }
            let mut described = Vec::new();
            for name in columns {
                let own = comment.entries.iter().find(|entry| entry.name == name);
                if let Some(needed) = used.get_mut(name.as_str()).filter(|_| own.is_none()) {
                    *needed = true;
                }
                let Some(entry) = own.or_else(|| glossary.iter().find(|entry| entry.name == name)) else {
                    faults.push(Fault::Undescribed(comment.name.clone(), name));
                    continue;
                };
                described.push(entry.clone());
            }
            let Comment { kind, name, about, .. } = comment;
            objects.push(Described { kind, name, about, columns: described });
        }
        faults.extend(used.iter().filter(|(_, needed)| !**needed).map(|(name, _)| Fault::Unused((*name).to_owned())));
        Ok(Self { objects, faults })
    }

    /// The views' text with the dictionary in `v_columns`.
    pub(super) fn put_into(&self, views: &str) -> String {
        let rows: Vec<_> = self.objects.iter().flat_map(rows).collect();
        let list = serde_json::to_string(&rows).unwrap_or_default().replace('\'', "''");
        views.replace(EMPTY, &format!("json_each('{list}')"))
    }

    /// The reference as Markdown: the views, then the tables, each under a heading of the third level.
    pub fn markdown(&self) -> String {
        let mut text = "## Views\n\n".to_owned();
        let of = |kind| self.objects.iter().filter(move |object| object.kind == kind);
        for object in of(Kind::View) {
            line(&mut text, &format!("- [`{0}`](#{0}): {1}", object.name, object.first_sentence()));
        }
        for object in of(Kind::View) {
            object.markdown(&mut text);
        }
        text.push_str("\n## Tables\n\nFor the curious; they may change with any release.\n");
        for object in of(Kind::Table) {
            object.markdown(&mut text);
        }
        text
    }
}

impl Described {
    fn first_sentence(&self) -> String {
        let paragraph = self.about.split("\n\n").next().unwrap_or_default();
        let end = paragraph.find(". ").map_or(paragraph.len(), |at| at + 1);
        paragraph.get(..end).unwrap_or(paragraph).replace('\n', " ")
    }

    fn markdown(&self, text: &mut String) {
        line(text, &format!("\n### `{}`\n\n{}\n", self.name, self.about));
        line(text, "| column | unit and range | what it is |\n| --- | --- | --- |");
        for column in &self.columns {
            line(text, &format!("| `{}` | {} | {} |", column.name, column.unit, column.about));
        }
    }
}

fn line(text: &mut String, line: &str) {
    if writeln!(text, "{line}").is_err() {
        // Text in memory takes every write.
    }
}

/// The rows of `v_columns`: that of the object itself, then those of its columns.
fn rows(object: &Described) -> Vec<Value> {
    let (name, kind) = (&object.name, object.kind);
    let whole = json!([name, kind, 0, null, null, object.about]);
    let columns = object.columns.iter().enumerate();
    let columns = columns.map(|(at, column)| json!([name, kind, at + 1, column.name, column.unit, column.about]));
    std::iter::once(whole).chain(columns).collect()
}

/// The comments above tables and views, and the glossary of all files.
fn comments(ddl: &str, faults: &mut Vec<Fault>) -> (Vec<Comment>, Entries) {
    let (mut found, mut glossary) = (Vec::new(), Vec::new());
    let mut block: Vec<&str> = Vec::new();
    for text in ddl.lines() {
        if let Some(comment) = text.strip_prefix("--") {
            block.push(comment);
            continue;
        }
        let (about, own, shared) = read_block(&block, faults);
        block.clear();
        glossary.extend(shared);
        let head = [("CREATE TABLE ", Kind::Table), ("CREATE VIEW ", Kind::View)]
            .into_iter()
            .find_map(|(words, kind)| Some((kind, text.strip_prefix(words)?.split_whitespace().next()?)));
        match head {
            Some((kind, name)) => {
                twice(name, &own, faults);
                found.push(Comment { kind, name: name.to_owned(), about, entries: own });
            }
            None => faults.extend(own.into_iter().map(|entry| Fault::Malformed(format!("@{}", entry.name)))),
        }
    }
    twice("the glossary", &glossary, faults);
    (found, glossary)
}

fn twice(place: &str, entries: &Entries, faults: &mut Vec<Fault>) {
    for (at, entry) in entries.iter().enumerate() {
        if entries.iter().take(at).any(|earlier| earlier.name == entry.name) {
            faults.push(Fault::Twice(place.to_owned(), entry.name.clone()));
        }
    }
}

/// A comment's paragraphs, its own lines on columns, and those for the glossary.
fn read_block(block: &[&str], faults: &mut Vec<Fault>) -> (String, Entries, Entries) {
    let mut about = String::new();
    let mut lines: Vec<String> = Vec::new();
    for text in block {
        let text = text.strip_prefix(' ').unwrap_or(text);
        match lines.last_mut() {
            _ if text.starts_with('@') => lines.push(text.to_owned()),
            Some(last) => {
                last.push(' ');
                last.push_str(text.trim());
            }
            None if text.is_empty() => about.push_str("\n\n"),
            None => {
                let joined = if about.is_empty() || about.ends_with('\n') { "" } else { "\n" };
                about.push_str(joined);
                about.push_str(text.trim_end());
            }
        }
    }
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    for text in &lines {
        let list = if text.starts_with("@@") { &mut shared } else { &mut own };
        match entry(text) {
            Some(entry) => list.push(entry),
            None => faults.push(Fault::Malformed(text.clone())),
        }
    }
    (about.trim().to_owned(), own, shared)
}

fn entry(text: &str) -> Option<Column> {
    let mut parts = text.trim_start_matches('@').splitn(3, " | ").map(|part| part.trim().to_owned());
    let column = Column { name: parts.next()?, unit: parts.next()?, about: parts.next()? };
    let whole = !column.name.is_empty()
        && !column.unit.is_empty()
        // A bar would be one more cell of the documents' tables.
        && !column.about.contains('|')
        && column.about.ends_with('.');
    whole.then_some(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DDL: &str = "-- Two tables.
-- @@id | integer | Which one.

-- What was seen.
-- It was written down.
--
-- And kept.
-- @n | count, 0 or more | How often, or
--   how much.
CREATE TABLE seen (id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;

-- A cut of it. Of one column.
CREATE VIEW v_seen AS SELECT id FROM seen;
";

    fn column(name: &str, unit: &str, about: &str) -> Column {
        Column { name: name.to_owned(), unit: unit.to_owned(), about: about.to_owned() }
    }

    #[test]
    fn comments_say_what_is_there() {
        let read = Dictionary::read(DDL).unwrap();
        assert_eq!(read.faults, []);
        let id = column("id", "integer", "Which one.");
        let seen = Described {
            kind: Kind::Table,
            name: "seen".to_owned(),
            about: "What was seen.\nIt was written down.\n\nAnd kept.".to_owned(),
            columns: vec![id.clone(), column("n", "count, 0 or more", "How often, or how much.")],
        };
        let view = Described {
            kind: Kind::View,
            name: "v_seen".to_owned(),
            about: "A cut of it. Of one column.".to_owned(),
            columns: vec![id],
        };
        assert_eq!(read.objects, [seen, view]);
        let text = read.markdown();
        assert!(text.contains("- [`v_seen`](#v_seen): A cut of it.\n"), "{text}");
        assert!(
            text.contains("\n### `seen`\n\nWhat was seen.\nIt was written down.\n\nAnd kept.\n\n| column |"),
            "{text}"
        );
        assert!(text.contains("\n| `n` | count, 0 or more | How often, or how much. |\n"), "{text}");
    }

    #[test]
    fn what_does_not_agree_is_told() {
        let faults = |from: &str, to: &str| Dictionary::read(&DDL.replace(from, to)).unwrap().faults;
        let (seen, id, n) = ("seen".to_owned(), "id".to_owned(), "n".to_owned());
        let missing = faults("-- @n | count, 0 or more | How often, or\n--   how much.\n", "");
        assert_eq!(missing, [Fault::Undescribed(seen.clone(), n.clone())]);
        let more = faults("CREATE TABLE", "-- @no | text | Nothing.\nCREATE TABLE");
        assert_eq!(more, [Fault::NoSuchColumn(seen.clone(), "no".to_owned())]);
        let twice = faults("CREATE TABLE", "-- @n | text | Again.\nCREATE TABLE");
        assert_eq!(twice, [Fault::Twice(seen, n)]);
        assert_eq!(faults("-- A cut of it. Of one column.\n", ""), [Fault::Silent("v_seen".to_owned())]);
        let unused = faults("CREATE VIEW", "-- @id | text | Its own.\nCREATE VIEW");
        assert_eq!(unused, [], "the table still needs the glossary's");
        let unused = faults("-- @@id", "-- @@other | text | What nobody has.\n-- @@id");
        assert_eq!(unused, [Fault::Unused("other".to_owned())]);
        let twice = faults("-- @@id", "-- @@id | text | Again.\n-- @@id");
        assert_eq!(twice, [Fault::Twice("the glossary".to_owned(), id)]);
        for wrong in ["-- @n | count", "-- @n | | How.", "-- @n | count | how", "-- @n | count | A | b."] {
            let faults = faults("-- @n | count, 0 or more | How often, or\n--   how much.", wrong);
            assert!(matches!(faults.first(), Some(Fault::Malformed(_))), "{wrong}: {faults:?}");
        }
    }

    #[test]
    fn an_apostrophe_in_a_sentence_ends_nothing() {
        let ddl = DDL.replace("Which one.", "Whose it's.");
        let views = format!("CREATE VIEW v_columns AS SELECT value FROM {EMPTY};");
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&Dictionary::read(&ddl).unwrap().put_into(&views)).unwrap();
        let mut rows = db.prepare("SELECT value FROM v_columns").unwrap();
        let rows: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 5);
        assert_eq!(rows[1], r#"["seen","table",1,"id","integer","Whose it's."]"#);
        assert_eq!(rows[3], r#"["v_seen","view",0,null,null,"A cut of it. Of one column."]"#);
    }
}
