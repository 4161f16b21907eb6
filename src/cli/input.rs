//! What commands read: event files, rule files.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Invalid;
use crate::edge::reload;
use crate::engine::rule::{Compiled, RuleSet, Source, compile, render};

/// The rules that are shipped, for commands that are given none.
const SHIPPED: [(&str, &str); 9] = [
    ("rules/accuracy.yaml", include_str!("../../rules/accuracy.yaml")),
    ("rules/confidence.yaml", include_str!("../../rules/confidence.yaml")),
    ("rules/cost.yaml", include_str!("../../rules/cost.yaml")),
    ("rules/errors.yaml", include_str!("../../rules/errors.yaml")),
    ("rules/escalation.yaml", include_str!("../../rules/escalation.yaml")),
    ("rules/estimate.yaml", include_str!("../../rules/estimate.yaml")),
    ("rules/latency.yaml", include_str!("../../rules/latency.yaml")),
    ("rules/silence.yaml", include_str!("../../rules/silence.yaml")),
    ("rules/volume.yaml", include_str!("../../rules/volume.yaml")),
];

/// The shipped rules as sources.
pub(super) fn shipped() -> Vec<Source> {
    SHIPPED.iter().map(|(name, text)| Source { name: (*name).to_owned(), text: (*text).to_owned() }).collect()
}

/// Compiles the rules of these paths, or the shipped ones.
pub(super) fn rules(paths: &[PathBuf]) -> anyhow::Result<RuleSet> {
    let sources =
        if paths.is_empty() { shipped() } else { reload::read(paths).map_err(|d| Invalid(render(&d, false, 100)))? };
    let Compiled { rules, diagnostics, .. } = compile(&sources);
    match rules {
        Some(rules) => Ok(rules),
        None => Err(Invalid(format!("the rules do not compile\n{}", render(&diagnostics, false, 100))).into()),
    }
}

/// The longest line of an event file: what an event may hold, and room for what is rejected with a reason.
const LINE_BYTES_MAX: u64 = 2 << 20;

/// Calls `each` with every line of the files, in order; returns how many there were. Lines longer than 2 MiB are cut,
/// so that they are rejected as too large and not kept in memory.
pub(super) fn each_line(
    paths: &[PathBuf],
    mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    progress: &dyn Fn(u64),
) -> anyhow::Result<u64> {
    let mut lines = 0;
    for path in paths {
        let (mut reader, read) = open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let n = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if n.with_context(|| format!("cannot read {} after line {lines}", path.display()))? == 0 {
                break;
            }
            if line.last() != Some(&b'\n') && line.len() as u64 == LINE_BYTES_MAX {
                skip_line(&mut reader)?;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            // An empty last line is how text files end, not an event.
            if !text.is_empty() {
                each(text)?;
                lines += 1;
            }
            if lines % 4_096 == 0 {
                progress(read.get());
            }
        }
    }
    Ok(lines)
}

fn skip_line(reader: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (used, done) = match buffer.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(used);
        if done {
            return Ok(());
        }
    }
}

/// How many bytes of a file were read.
type Count = std::rc::Rc<std::cell::Cell<u64>>;

/// A file that counts what is read of it.
struct Counted<R> {
    inner: R,
    read: Count,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}

fn open(path: &Path) -> std::io::Result<(Box<dyn BufRead>, Count)> {
    let read = Count::default();
    if path == Path::new("-") {
        let inner = Counted { inner: std::io::stdin().lock(), read: Count::clone(&read) };
        return Ok((Box::new(BufReader::new(inner)), read));
    }
    let file = Counted { inner: File::open(path)?, read: Count::clone(&read) };
    let ends = |suffix: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(suffix));
    let reader: Box<dyn BufRead> = if ends("gz") {
        Box::new(BufReader::with_capacity(1 << 16, flate2::read::MultiGzDecoder::new(file)))
    } else if ends("zst") {
        Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::new(file)?))
    } else {
        Box::new(BufReader::with_capacity(1 << 16, file))
    };
    Ok((reader, read))
}

/// A progress bar over the bytes of these files, on standard error where that is a terminal; nothing otherwise.
pub(super) fn progress_bar(paths: &[PathBuf]) -> indicatif::ProgressBar {
    use std::io::IsTerminal as _;
    let bytes: u64 = paths.iter().filter_map(|path| path.metadata().ok()).map(|m| m.len()).sum();
    if !std::io::stderr().is_terminal() || paths.iter().any(|path| path == Path::new("-")) {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(bytes);
    let style = "{bar:40} {bytes}/{total_bytes} {eta}";
    bar.set_style(
        indicatif::ProgressStyle::with_template(style).unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()),
    );
    bar
}
