//! Just enough of Rust's grammar to ask questions about source text.

/// The text with the insides of comments, strings and characters blanked; same lines.
pub fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    let mut i = 0;
    while i < chars.len() {
        let end = match (chars[i], chars.get(i + 1)) {
            ('/', Some('/')) => (i..chars.len())
                .find(|&j| chars[j] == '\n')
                .unwrap_or(chars.len()),
            ('/', Some('*')) => block_comment_end(&chars, i),
            ('"', _) => string_end(&chars, i),
            ('r', Some('"' | '#')) if !is_word(i.checked_sub(1).map(|j| chars[j])) => {
                raw_string_end(&chars, i)
            }
            ('\'', _) => char_end(&chars, i),
            _ => i,
        };
        if end == i {
            out.push(chars[i]);
            i += 1;
        } else {
            out.extend(chars[i..end].iter().map(|&c| blank(c)));
            i = end;
        }
    }
    out
}

fn is_word(c: Option<char>) -> bool {
    // `b` before `r` makes a byte string.
    c.is_some_and(|c| (c.is_alphanumeric() || c == '_') && c != 'b')
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut level, mut i) = (0, start);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                level += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                level -= 1;
                i += 2;
                if level == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|&&c| c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return start; // A raw identifier.
    }
    let closes = |&i: &usize| {
        chars[i] == '"' && chars[i + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    (open + 1..chars.len())
        .find(closes)
        .map_or(chars.len(), |i| i + 1 + hashes)
}

/// The end of a character literal; `start` itself for a lifetime.
fn char_end(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => (start + 3..chars.len())
            .find(|&i| chars[i] == '\'')
            .map_or(chars.len(), |i| i + 1),
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

/// The position after the bracket that closes the one at `open`.
fn closing(text: &[char], open: usize) -> usize {
    let mut level = 0usize;
    for (i, c) in text.iter().enumerate().skip(open) {
        match c {
            '(' | '[' | '{' => level += 1,
            ')' | ']' | '}' => {
                level -= 1;
                if level == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// Code without the items under `#[cfg(test)]`, which are blanked; same lines.
pub fn without_tests(code: &str) -> String {
    let mut chars: Vec<char> = code.chars().collect();
    let marker: Vec<char> = "#[cfg(test)]".chars().collect();
    let mut i = 0;
    while i + marker.len() <= chars.len() {
        if chars[i..i + marker.len()] != marker[..] {
            i += 1;
            continue;
        }
        let after = i + marker.len();
        let stop = (after..chars.len()).find(|&j| chars[j] == '{' || chars[j] == ';');
        let end = match stop {
            Some(j) if chars[j] == '{' => closing(&chars, j),
            Some(j) => j + 1,
            None => chars.len(),
        };
        for c in &mut chars[i..end] {
            if *c != '\n' {
                *c = ' ';
            }
        }
        i = end;
    }
    chars.into_iter().collect()
}

/// The patterns of every `match` that has an arm with `word` in its pattern.
pub fn matches_over(code: &str, word: &str) -> Vec<Vec<String>> {
    let chars: Vec<char> = code.chars().collect();
    let mut found = Vec::new();
    for start in 0..chars.len() {
        let is_match = chars[start..].starts_with(&['m', 'a', 't', 'c', 'h', ' '])
            && !start
                .checked_sub(1)
                .is_some_and(|j| chars[j].is_alphanumeric() || chars[j] == '_');
        if !is_match {
            continue;
        }
        // The body is the first brace outside parentheses.
        let mut open = start + 6;
        while open < chars.len() && chars[open] != '{' {
            open = match chars[open] {
                '(' | '[' => closing(&chars, open),
                _ => open + 1,
            };
        }
        if open < chars.len() {
            let end = closing(&chars, open);
            let arms = patterns(&chars[open + 1..end - 1]);
            if arms.iter().any(|arm| arm.contains(word)) {
                found.push(arms);
            }
        }
    }
    found
}

/// The patterns (guards included) of a match's body.
fn patterns(body: &[char]) -> Vec<String> {
    let (mut arms, mut start, mut i) = (Vec::new(), 0, 0);
    while i < body.len() {
        match body[i] {
            '(' | '[' | '{' => i = closing(body, i),
            '=' if body.get(i + 1) == Some(&'>') => {
                let pattern: String = body[start..i].iter().collect();
                arms.push(pattern.split_whitespace().collect::<Vec<_>>().join(" "));
                i += 2;
                while body.get(i).is_some_and(|c| c.is_whitespace()) {
                    i += 1;
                }
                if body.get(i) == Some(&'{') {
                    i = closing(body, i);
                } else {
                    while i < body.len() && body[i] != ',' {
                        i = match body[i] {
                            '(' | '[' | '{' => closing(body, i),
                            _ => i + 1,
                        };
                    }
                }
                while body.get(i).is_some_and(|c| c.is_whitespace() || *c == ',') {
                    i += 1;
                }
                start = i;
            }
            _ => i += 1,
        }
    }
    arms
}

#[test]
fn comments_and_strings_are_blanked() {
    let text = "let a = \"x // \\\" y\"; // c\nlet b = 'q'; let l: &'static str = r#\"a \" b\"#; /* /* */ z */ d";
    let code = code_only(text);
    assert_eq!(code.lines().count(), 2);
    assert_eq!(
        code.split_whitespace().collect::<Vec<_>>().join(" "),
        "let a = ; let b = ; let l: &'static str = ; d"
    );
}

#[test]
fn catch_all_arms_are_seen() {
    let code = "fn f() { match node.op(&[0]) { Op::Add => 1, Op::Conv { w, .. } if w > 0 => { match x { _ => 2 } } \
                Op::Pool(_) | Op::Relu => g(|_| 3), other => 4 } }";
    let found = matches_over(code, "Op::");
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0],
        [
            "Op::Add",
            "Op::Conv { w, .. } if w > 0",
            "Op::Pool(_) | Op::Relu",
            "other"
        ]
    );
}
