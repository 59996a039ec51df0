//! The body as it may have been before something parsed it and wrote it again.

use std::fmt;

use crate::{JsonText, Profile};

/// What was undone to make a signature fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restoration {
    /// The byte order mark at the beginning was taken away.
    WithoutByteOrderMark,
    /// The line breaks at the end were taken away.
    WithoutFinalNewline,
    /// A line feed was put at the end.
    WithFinalNewline,
    /// `\r\n` became `\n`.
    LineFeeds,
    /// `\n` became `\r\n`.
    CarriageReturns,
    /// The members of the envelope were put in their order.
    InOrder,
    /// `\u…` and `\/` became the letters that they stand for.
    Unescaped,
    /// Letters beyond ASCII became `\u…`.
    Escaped,
    /// Whitespace between tokens was taken away.
    Minified,
    /// A blank was put after each comma and colon, as Python's `json.dumps` does.
    PythonSpacing,
    /// It was indented by this many blanks, 0 for a tab.
    Indented(usize),
    /// Whitespace was taken away from the envelope, and `data` was written with blanks after commas and colons.
    DataWithPythonSpacing,
    /// Whitespace was taken away from the envelope, and `data` was indented by this many blanks, 0 for a tab.
    DataIndented(usize),
}

impl fmt::Display for Restoration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WithoutByteOrderMark => f.write_str("without the byte order mark at its beginning"),
            Self::WithoutFinalNewline => f.write_str("without the line break at its end"),
            Self::WithFinalNewline => f.write_str("with a line break at its end"),
            Self::LineFeeds => f.write_str("with \\n where it has \\r\\n"),
            Self::CarriageReturns => f.write_str("with \\r\\n where it has \\n"),
            Self::InOrder => f.write_str("with the envelope's members in their own order"),
            Self::Unescaped => f.write_str("with letters where it has \\u escapes or \\/"),
            Self::Escaped => f.write_str("with \\u escapes where it has letters beyond ASCII"),
            Self::Minified => f.write_str("without whitespace between tokens"),
            Self::PythonSpacing => f.write_str("with a blank after each comma and colon"),
            Self::Indented(0) => f.write_str("indented by tabs"),
            Self::Indented(blanks) => write!(f, "indented by {blanks} blanks"),
            Self::DataWithPythonSpacing => {
                f.write_str("without whitespace but in `data`, which has a blank after each comma and colon")
            }
            Self::DataIndented(0) => {
                f.write_str("without whitespace but in `data`, which is indented by tabs")
            }
            Self::DataIndented(blanks) => {
                write!(
                    f,
                    "without whitespace but in `data`, which is indented by {blanks} blanks"
                )
            }
        }
    }
}

/// What the signature fits, in words.
pub(super) fn in_words(changes: &[Restoration]) -> String {
    let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
    format!("the body {}", changes.join(" and "))
}

/// What was undone, and what that made of the body.
pub(super) type Restored = (Vec<Restoration>, Vec<u8>);

/// The bodies that may have become this one, those with the fewest changes first.
pub(super) fn restorations(body: &[u8], profile: Profile) -> Vec<Restored> {
    use Restoration as R;
    let mut all: Vec<Restored> = vec![];
    let (start, mark) = match body.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => (rest, vec![R::WithoutByteOrderMark]),
        None => (body, vec![]),
    };
    let mut keep = |changes: Vec<R>, bytes: Vec<u8>| {
        if bytes != body && !all.iter().any(|(_, known)| *known == bytes) {
            all.push((changes, bytes));
        }
    };
    let with = |change: R| [mark.clone(), vec![change]].concat();
    keep(mark.clone(), start.to_vec());
    keep(with(R::LineFeeds), replaced(start, b"\r\n", b"\n"));
    keep(
        with(R::CarriageReturns),
        replaced(&replaced(start, b"\r\n", b"\n"), b"\n", b"\r\n"),
    );
    keep(with(R::WithoutFinalNewline), start.trim_ascii_end().to_vec());
    keep(
        with(R::WithFinalNewline),
        [start.trim_ascii_end(), b"\n"].concat(),
    );

    // The rest is for what at least looks like JSON.
    let Some(text) = std::str::from_utf8(start)
        .ok()
        .map(str::trim)
        .filter(|text| text.starts_with('{'))
    else {
        return all;
    };
    let ordered = in_order(text, profile);
    for order in [None, Some(R::InOrder)] {
        let text = match (order, &ordered) {
            (None, _) => text,
            (Some(_), Some(ordered)) => ordered,
            (Some(_), None) => continue,
        };
        for escapes in [None, Some(R::Unescaped), Some(R::Escaped)] {
            let text = match escapes {
                None => text.to_owned(),
                Some(R::Unescaped) => unescaped(text),
                Some(_) => escaped(text),
            };
            for spacing in [
                None,
                Some(R::Minified),
                Some(R::PythonSpacing),
                Some(R::Indented(2)),
                Some(R::Indented(4)),
                Some(R::Indented(0)),
                Some(R::DataWithPythonSpacing),
                Some(R::DataIndented(2)),
                Some(R::DataIndented(4)),
                Some(R::DataIndented(0)),
            ] {
                let Some(spaced) = spaced(&text, spacing) else {
                    continue;
                };
                for end in [None, Some(R::WithFinalNewline)] {
                    let mut bytes = spaced.clone().into_bytes();
                    bytes.extend(end.map(|_| b'\n'));
                    let changes: Vec<R> = [order, escapes, spacing, end].into_iter().flatten().collect();
                    keep([mark.clone(), changes].concat(), bytes);
                }
            }
        }
    }
    all
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        match rest.strip_prefix(from) {
            Some(after) => {
                out.extend_from_slice(to);
                rest = after;
            }
            None => {
                out.push(rest[0]);
                rest = &rest[1..];
            }
        }
    }
    out
}

/// The envelope's members in the order in which the profile writes them; `None` when they are others or stand so already.
fn in_order(text: &str, profile: Profile) -> Option<String> {
    let names: &[&str] = match profile {
        Profile::BuildWorkPro => &[
            "id",
            "type",
            "created_at",
            "tenant_id",
            "data",
            "previous_attributes",
        ],
        Profile::Buildr => &["id", "url"],
        Profile::Buildmarkets => &["id", "event_type", "created_at", "data"],
    };
    let minified = respaced(text, Style::Minified)?;
    let json = JsonText::from_valid(minified.as_str());
    let members: Vec<String> = names
        .iter()
        .filter_map(|name| json.member(name).map(|value| format!(r#""{name}":{value}"#)))
        .collect();
    let ordered = format!("{{{}}}", members.join(","));
    // Of the same length: nothing was left out.
    (ordered.len() == minified.len() && ordered != minified).then_some(ordered)
}

fn spaced(text: &str, spacing: Option<Restoration>) -> Option<String> {
    use Restoration as R;
    match spacing {
        None => Some(text.to_owned()),
        Some(R::Minified) => respaced(text, Style::Minified),
        Some(R::PythonSpacing) => respaced(text, Style::Python),
        Some(R::Indented(blanks)) => respaced(text, Style::Indented(blanks)),
        Some(R::DataWithPythonSpacing) => data_respaced(text, Style::Python),
        Some(R::DataIndented(blanks)) => data_respaced(text, Style::Indented(blanks)),
        Some(_) => None,
    }
}

/// Whitespace between the tokens of a JSON text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Minified,
    Python,
    Indented(usize),
}

/// Minified, but for the values that a publisher wrote, which pass through as they came.
fn data_respaced(text: &str, style: Style) -> Option<String> {
    let mut minified = respaced(text, Style::Minified)?;
    for name in ["data", "previous_attributes"] {
        let json = JsonText::from_valid(minified.as_str());
        if let Some(value) = json.member(name) {
            let before = format!(r#""{name}":{value}"#);
            let after = format!(r#""{name}":{}"#, respaced(value, style)?);
            minified = minified.replacen(&before, &after, 1);
        }
    }
    Some(minified)
}

/// The same tokens with other whitespace between them. `None` for what is not JSON: a string without an end, or brackets
/// that do not close.
fn respaced(text: &str, style: Style) -> Option<String> {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let line = |out: &mut String, depth: usize| {
        if let Style::Indented(blanks) = style {
            out.push('\n');
            for _ in 0..depth {
                match blanks {
                    0 => out.push('\t'),
                    _ => out.extend(std::iter::repeat_n(' ', blanks)),
                }
            }
        }
    };
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '"' => {
                out.push('"');
                loop {
                    let c = chars.next()?;
                    out.push(c);
                    match c {
                        '\\' => out.push(chars.next()?),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                depth += 1;
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                // An empty one stays on its line.
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => {
                        out.push(end);
                        depth -= 1;
                    }
                    None => line(&mut out, depth),
                }
            }
            '}' | ']' => {
                depth = depth.checked_sub(1)?;
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(',');
                if style == Style::Python {
                    out.push(' ');
                }
                line(&mut out, depth);
            }
            ':' => {
                out.push(':');
                if style != Style::Minified {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
    }
    (depth == 0).then_some(out)
}

/// With the letters that `\u…` stands for, where JSON lets them stand as they are.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        let unit = |text: &str| u16::from_str_radix(text.get(2..6)?, 16).ok();
        let (letter, length) = match escape.as_bytes().get(1) {
            Some(b'/') => (Some('/'), 2),
            Some(b'u') => match unit(escape) {
                Some(high @ 0xD800..=0xDBFF) => {
                    let low = escape
                        .get(6..)
                        .filter(|rest| rest.starts_with("\\u"))
                        .and_then(unit);
                    let pair = low.and_then(|low| char::decode_utf16([high, low]).next()?.ok());
                    (pair, 12)
                }
                Some(unit) => (char::from_u32(unit.into()), 6),
                None => (None, 2),
            },
            _ => (None, 2),
        };
        match letter.filter(|letter| *letter >= ' ' && !matches!(letter, '"' | '\\')) {
            Some(letter) => {
                out.push(letter);
                rest = &escape[length..];
            }
            None => {
                // Kept with the character that follows, which may be a backslash.
                let end = escape.char_indices().nth(2).map_or(escape.len(), |(at, _)| at);
                out.push_str(&escape[..end]);
                rest = &escape[end..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// With `\u…` for letters beyond ASCII, as Python and PHP write them.
fn escaped(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}
