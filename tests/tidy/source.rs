//! A Rust file as the rules see it: its lines, its code without comments and literals, and the
//! functions in it. It is read by eye, so to speak: no grammar, only brackets and words.

/// One file.
pub struct Source {
    /// Its path from the root of the tree, with slashes.
    pub path: String,
    /// All of it.
    pub text: String,
    /// The same with a space for each character of a comment or a literal, line for line.
    pub code: String,
}

/// A function with a body.
pub struct Function {
    /// Its name, behind the name of its type if it has one: `Worker::turn`.
    pub name: String,
    /// The number of its first line, from 1.
    pub line: usize,
    /// How many lines it has, from `fn` to the closing bracket.
    pub lines: usize,
    /// Its code.
    pub code: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into(), code: strip(text) }
    }

    /// The lines before `mod tests`.
    pub fn lines_without_tests(&self) -> usize {
        let tests = |line: &str| line.trim_start().starts_with("mod tests {");
        let lines = self.code.lines().collect::<Vec<_>>();
        lines.iter().position(|line| tests(line)).unwrap_or(lines.len())
    }

    /// The words of the code, each with the number of its line.
    pub fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().flat_map(|(index, line)| {
            let words = line.split(|c: char| !is_word(c)).filter(|word| !word.is_empty());
            words.map(move |word| (index + 1, word))
        })
    }

    /// All functions with a body, those in other functions and in tests included.
    pub fn functions(&self) -> Vec<Function> {
        let types = self.blocks("impl").map(|(at, open, close)| {
            let head = &self.code[at..open];
            (open..close, type_of(head))
        });
        let types = types.collect::<Vec<_>>();
        let functions = self.blocks("fn").map(|(at, _, close)| {
            let code = &self.code[at..close];
            let name = code[2..].trim_start().split(|c| !is_word(c)).next().unwrap_or_default();
            let own = types.iter().rev().find(|(range, _)| range.contains(&at));
            Function {
                name: own.map_or(name.into(), |(_, own)| format!("{own}::{name}")),
                line: self.code[..at].matches('\n').count() + 1,
                lines: code.lines().count(),
                code: code.into(),
            }
        });
        functions.collect()
    }

    /// Where this word begins something with a block: the word, the bracket, and its partner.
    fn blocks(&self, word: &str) -> impl Iterator<Item = (usize, usize, usize)> {
        let found = self.code.match_indices(word).map(|(at, _)| at).filter(move |at| {
            let before = self.code[..*at].chars().next_back();
            let after = self.code[*at + word.len()..].chars().next();
            // `fn(u32)` is a type, and `-> impl Trait` no block of its own.
            after.is_some_and(|c| c.is_whitespace() || c == '<')
                && before.is_none_or(|c| c.is_whitespace() && !self.is_type(*at))
        });
        found.filter_map(|at| {
            let open = at + self.code[at..].find(['{', ';'])?;
            // The semicolon of an array's length is not the end of a declaration.
            let open = if self.code[open..].starts_with(';') && self.in_brackets(at, open) {
                at + self.code[at..].find('{')?
            } else {
                open
            };
            let close = self.code[open..].starts_with('{').then(|| self.partner(open))?;
            Some((at, open, close))
        })
    }

    /// Whether `impl` at this place is in the type of an argument or a result.
    fn is_type(&self, at: usize) -> bool {
        let before = self.code[..at].trim_end();
        self.code[at..].starts_with("impl") && before.ends_with(['>', ':', ',', '(', '&', '='])
    }

    fn in_brackets(&self, from: usize, to: usize) -> bool {
        let of = |c| self.code[from..to].matches(c).count();
        of('[') > of(']')
    }

    /// The place behind the bracket that closes the one at `open`.
    fn partner(&self, open: usize) -> usize {
        let mut depth = 0;
        for (at, c) in self.code[open..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => continue,
            }
            if depth == 0 {
                return open + at + 1;
            }
        }
        self.code.len()
    }
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The type that an `impl` is for, without path and parameters.
fn type_of(head: &str) -> String {
    let head = head.split(" where").next().unwrap_or_default();
    let own = match head.rsplit_once(" for ") {
        Some((_, own)) => own,
        None => {
            // Behind `impl<...>`.
            let mut depth = 0;
            let at = head["impl".len()..].find(|c| {
                depth += i32::from(c == '<') - i32::from(c == '>');
                depth == 0 && c != '>'
            });
            &head["impl".len() + at.unwrap_or(0)..]
        }
    };
    let path = own.trim().split('<').next().unwrap_or_default();
    path.rsplit("::").next().unwrap_or_default().trim().into()
}

/// Puts spaces in the place of comments and of what is in quotes. Line ends stay.
fn strip(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word_before = code.chars().next_back().is_some_and(is_word);
        let len = literal(rest, word_before);
        if len == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (blank, after) = rest.split_at(len);
            code.extend(blank.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    code
}

/// Octets of the comment or literal with which a text begins; 0 if it begins with neither.
fn literal(text: &str, word_before: bool) -> usize {
    let end = |from: usize, what: &str| {
        text[from..].find(what).map_or(text.len(), |at| from + at + what.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return end(2, "*/");
    }
    if !word_before {
        for prefix in ["r", "br", "cr"] {
            let Some(raw) = text.strip_prefix(prefix) else { continue };
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            if raw[hashes..].starts_with('"') {
                let close = format!("\"{}", "#".repeat(hashes));
                return end(prefix.len() + hashes + 1, &close);
            }
        }
    }
    match text.as_bytes() {
        [b'"', ..] => quoted(text, '"'),
        [b'\'', b'\\', ..] => quoted(text, '\''),
        // A lifetime has no second quote behind its first letter.
        [b'\'', ..] => {
            let mut chars = text[1..].chars();
            let width = chars.next().map_or(0, char::len_utf8);
            if chars.next() == Some('\'') { width + 2 } else { 0 }
        }
        _ => 0,
    }
}

/// Octets of a literal in quotes, both included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_lifetimes_are_not() {
        let code = strip("a /* x */ b \"c\\\"d\" 'e' '\\'' r#\"f\"g\"# h<'i> // j\nk");
        let words: Vec<_> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "h<'i>", "k"]);
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn functions_are_found_with_their_types_and_lengths() {
        let text = "impl<T: Into<u8>> Egress<T> {\n    fn send(&self, a: [u8; 2]) -> impl Fn() {\n\
                    \x20       x\n    }\n}\nimpl fmt::Display for a::Mac {\n    fn fmt() {}\n}\n\
                    fn free(f: impl Fn(u8)) {\n    let g: fn(u8);\n}\ntrait T { fn no(); }\n";
        let functions = Source::new("a.rs", text).functions();
        let found: Vec<_> = functions.iter().map(|f| (&*f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("Egress::send", 2, 3), ("Mac::fmt", 7, 1), ("free", 9, 3)]);
    }
}
