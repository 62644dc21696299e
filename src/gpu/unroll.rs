//! Writing out what a driver would not: loops, arrays and calls in the hot part of a shader.
//!
//! Three marks, each a line of its own, and the text means the same without them:
//!
//! * `//# unroll` before `for (var i = 0u; i < N; i++) {` repeats the body with `i` replaced by its values. `N` is a
//!   product of literals and constants. wgpu guards every loop against running forever, and drivers do not unroll
//!   guarded loops.
//! * `//# registers` before `var name: array<T, N>;` declares N variables instead. Every index must be constant once
//!   the loops are written out.
//! * `//# inline` before a function that is one `return` puts its expression where it is called.
//!
//! Compilers take time quadratic in the expressions and calls of a function: a body of a thousand multiplications
//! written with array indices and calls takes seconds, with variables and operators a fraction of one.

use std::collections::BTreeMap;

use super::shader::declared_constant;
use crate::error::{Error, Result};

const UNROLL: &str = "//# unroll";
const REGISTERS: &str = "//# registers";
const INLINE: &str = "//# inline";

/// Whether a text has any of the marks.
pub(super) fn is_marked(text: &str) -> bool {
    [UNROLL, REGISTERS, INLINE]
        .iter()
        .any(|mark| text.contains(mark))
}

/// The text with everything marked written out.
///
/// # Errors
/// [`Error::Invalid`] naming the shader and the line, where a mark stands before something else than it takes, or an
/// index of a register is not constant.
pub(super) fn write_out(name: &str, lines: &[String]) -> Result<String> {
    let mut writer = Writer {
        name,
        values: lines.iter().filter_map(|l| declared_constant(l)).collect(),
        registers: BTreeMap::new(),
        inlined: BTreeMap::new(),
        out: String::new(),
    };
    writer.block(lines)?;
    Ok(writer.out)
}

/// A function that is one expression.
struct Inlined<'a> {
    parameters: Vec<&'a str>,
    expression: &'a str,
}

struct Writer<'a> {
    name: &'a str,
    /// What names of constants and of counters stand for.
    values: BTreeMap<&'a str, u32>,
    /// Arrays that are variables, and their lengths.
    registers: BTreeMap<&'a str, u32>,
    inlined: BTreeMap<&'a str, Inlined<'a>>,
    out: String,
}

impl<'a> Writer<'a> {
    fn block(&mut self, lines: &'a [String]) -> Result<()> {
        let mut rest = lines;
        while let Some((line, after)) = rest.split_first() {
            rest = match line.trim() {
                UNROLL => self.unroll(after)?,
                REGISTERS => self.declare(after)?,
                INLINE => self.inline(after)?,
                _ => {
                    if line == "}" {
                        self.registers.clear(); // the end of a function
                    }
                    let line = self.rewrite(line)?;
                    self.push(&line);
                    after
                }
            };
        }
        Ok(())
    }

    fn push(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn invalid(&self, line: &str, what: &str) -> Error {
        let problem = format!("cannot write out `{}`: {what}", line.trim());
        Error::invalid(format!("shader {}", self.name), problem)
    }

    /// Writes out the loop that `lines` start with; what follows it.
    fn unroll(&mut self, lines: &'a [String]) -> Result<&'a [String]> {
        let head = lines.first().map_or("", |line| line.as_str());
        let (counter, bound) = loop_head(head.trim())
            .ok_or_else(|| self.invalid(head, "expected `for (var i = 0u; i < N; i++) {`"))?;
        let count = self
            .value(bound)
            .ok_or_else(|| self.invalid(head, "its bound is not constant"))?;
        let indent = &head[..head.len() - head.trim_start().len()];
        let end = lines
            .iter()
            .position(|line| line.strip_prefix(indent) == Some("}"))
            .ok_or_else(|| self.invalid(head, "no `}` below its `for`"))?;
        let body = &lines[1..end];
        // What the body declares is its own.
        let scoped = body.iter().any(|line| {
            let line = line.trim_start();
            line.starts_with("let ") || line.starts_with("var ")
        });
        let outer = self.values.get(counter).copied();
        for i in 0..count {
            self.values.insert(counter, i);
            if scoped {
                self.push(&format!("{indent}{{"));
            }
            self.block(body)?;
            if scoped {
                self.push(&format!("{indent}}}"));
            }
        }
        match outer {
            Some(value) => self.values.insert(counter, value),
            None => self.values.remove(counter),
        };
        Ok(&lines[end + 1..])
    }

    /// Writes the array that `lines` start with as variables; what follows it.
    fn declare(&mut self, lines: &'a [String]) -> Result<&'a [String]> {
        let line = lines.first().map_or("", |line| line.as_str());
        let parts = array(line.trim());
        let (name, ty, length) = parts
            .and_then(|(name, ty, length)| Some((name, ty, self.value(length)?)))
            .ok_or_else(|| self.invalid(line, "expected `var name: array<T, N>;`, N constant"))?;
        self.registers.insert(name, length);
        let indent = &line[..line.len() - line.trim_start().len()];
        for i in 0..length {
            self.push(&format!("{indent}var {name}_{i}: {ty};"));
        }
        Ok(&lines[1..])
    }

    /// Notes the function that `lines` start with; what follows it.
    fn inline(&mut self, lines: &'a [String]) -> Result<&'a [String]> {
        let head = lines.first().map_or("", |line| line.as_str());
        let (name, function) = lines
            .get(..3)
            .and_then(one_expression)
            .ok_or_else(|| self.invalid(head, "expected a function that is one `return`"))?;
        self.inlined.insert(name, function);
        Ok(&lines[3..])
    }

    /// A line with counters, registers and inlined calls replaced.
    fn rewrite(&self, line: &str) -> Result<String> {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            if rest.starts_with("//") {
                out.push_str(rest);
                break;
            }
            let word = word(rest);
            if word.is_empty() {
                out.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            rest = &rest[word.len()..];
            let member = out.ends_with('.');
            if let (Some(&length), Some((index, after)), false) =
                (self.registers.get(word), brackets(rest, '[', ']'), member)
            {
                let i = self
                    .value(index)
                    .ok_or_else(|| self.invalid(line, "the index of a register is not constant"))?;
                if i >= length {
                    return Err(self.invalid(line, "the index of a register is past its end"));
                }
                out.push_str(&format!("{word}_{i}"));
                rest = after;
            } else if let (Some(function), Some((arguments, after)), false) =
                (self.inlined.get(word), brackets(rest, '(', ')'), member)
            {
                let arguments = listed(arguments)
                    .map(|argument| self.rewrite(argument.trim()))
                    .collect::<Result<Vec<_>>>()?;
                if arguments.len() != function.parameters.len() {
                    return Err(self.invalid(line, "an inlined call has other arguments"));
                }
                out.push_str(&format!("({})", function.called(&arguments)));
                rest = after;
            } else {
                match self.values.get(word) {
                    // Constants keep their names.
                    Some(value) if !member && !is_constant(word) => {
                        out.push_str(&format!("{value}u"));
                    }
                    _ => out.push_str(word),
                }
            }
        }
        Ok(out)
    }

    /// The value of an expression of literals, constants and counters.
    fn value(&self, expression: &str) -> Option<u32> {
        let mut parser = Parser {
            values: &self.values,
            rest: expression,
        };
        let value = parser.sum()?;
        parser.next_token().is_empty().then_some(value)
    }
}

impl Inlined<'_> {
    fn called(&self, arguments: &[String]) -> String {
        let mut out = String::new();
        let mut rest = self.expression;
        while let Some(first) = rest.chars().next() {
            let word = word(rest);
            if word.is_empty() {
                out.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let parameter = self.parameters.iter().position(|&name| name == word);
            match parameter.filter(|_| !out.ends_with('.')) {
                Some(i) => out.push_str(&arguments[i]),
                None => out.push_str(word),
            }
            rest = &rest[word.len()..];
        }
        out
    }
}

/// Sums, products and `min` of `u32`.
struct Parser<'a> {
    values: &'a BTreeMap<&'a str, u32>,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn next_token(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let length = match word(self.rest).len() {
            0 => self.rest.chars().next().map_or(0, char::len_utf8),
            length => length,
        };
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        token
    }

    fn takes(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn sum(&mut self) -> Option<u32> {
        let mut value = self.product()?;
        loop {
            if self.takes("+") {
                value = value.checked_add(self.product()?)?;
            } else if self.takes("-") {
                value = value.checked_sub(self.product()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<u32> {
        let mut value = self.factor()?;
        loop {
            if self.takes("*") {
                value = value.checked_mul(self.factor()?)?;
            } else if self.takes("/") {
                value = value.checked_div(self.factor()?)?;
            } else if self.takes("%") {
                value = value.checked_rem(self.factor()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn factor(&mut self) -> Option<u32> {
        match self.next_token() {
            "(" => self.sum().filter(|_| self.takes(")")),
            "min" => {
                let a = (self.takes("(")).then(|| self.sum()).flatten()?;
                let b = (self.takes(",")).then(|| self.sum()).flatten()?;
                self.takes(")").then_some(a.min(b))
            }
            token => match self.values.get(token) {
                Some(&value) => Some(value),
                None => token.strip_suffix('u').unwrap_or(token).parse().ok(),
            },
        }
    }
}

/// The name or number that a text starts with.
fn word(text: &str) -> &str {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    &text[..text.find(|c| !inside(c)).unwrap_or(text.len())]
}

/// Constants are written in capitals.
fn is_constant(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

/// What is between the brackets that a text starts with, and what follows them.
fn brackets(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    let inner = text.strip_prefix(open)?;
    let mut depth = 1;
    for (at, c) in inner.char_indices() {
        depth += i32::from(c == open) - i32::from(c == close);
        if depth == 0 {
            return Some((&inner[..at], &inner[at + 1..]));
        }
    }
    None
}

/// What commas separate, those within brackets left out.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        depth += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
        c == ',' && depth == 0
    })
}

/// Counter and bound of `for (var i = 0u; i < N; i++) {`.
fn loop_head(line: &str) -> Option<(&str, &str)> {
    let (counter, rest) = line.strip_prefix("for (var ")?.split_once(" = 0u; ")?;
    let bound = rest.strip_prefix(counter)?.strip_prefix(" < ")?;
    let bound = bound.strip_suffix(&format!("; {counter}++) {{"))?;
    Some((counter, bound))
}

/// Name, type and length of `var name: array<T, N>;`.
fn array(line: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = line.strip_prefix("var ")?.split_once(": array<")?;
    let (ty, length) = rest.strip_suffix(">;")?.rsplit_once(", ")?;
    Some((name, ty, length))
}

/// Name, parameters and expression of a function in three lines.
fn one_expression(lines: &[String]) -> Option<(&str, Inlined<'_>)> {
    let (name, rest) = lines[0].strip_prefix("fn ")?.split_once('(')?;
    let (parameters, _) = rest.split_once(") -> ")?;
    let parameters = parameters.split(", ").map(word).collect();
    let expression = lines[1].trim().strip_prefix("return ")?.strip_suffix(';')?;
    (lines[2] == "}").then_some((
        name,
        Inlined {
            parameters,
            expression,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<String> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let text = write_out("t", &lines)?;
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn loops() {
        let text = "const N: u32 = 1u;\nfn main() {\n    //# unroll\n    for (var i = 0u; i < N * 2u; i++) {\n        \
                    //# unroll\n        for (var j = 0u; j < N; j++) {\n            f(i, j, a.i);\n        }\n    }\n}\n";
        assert_eq!(
            written(text).expect("both loops are plain"),
            "const N: u32 = 1u; fn main() { f(0u, 0u, a.i); f(1u, 0u, a.i); }"
        );
        let scoped = "//# unroll\nfor (var i = 0u; i < 2u; i++) {\n    let a = i;\n}\n";
        assert_eq!(
            written(scoped).expect("plain"),
            "{ let a = 0u; } { let a = 1u; }"
        );
    }

    #[test]
    fn arrays_become_variables() {
        let text = "const N: u32 = 2u;\n//# registers\nvar a: array<vec2<f32>, N>;\n//# unroll\n\
                    for (var i = 0u; i < N; i++) {\n    a[i] = a[min(i + 1u, N - 1u)] + b[i / (N - 1u) % 2u].x;\n}\n";
        assert_eq!(
            written(text).expect("every index is constant"),
            "const N: u32 = 2u; var a_0: vec2<f32>; var a_1: vec2<f32>; \
             a_0 = a_1 + b[0u / (N - 1u) % 2u].x; a_1 = a_1 + b[1u / (N - 1u) % 2u].x;"
        );
    }

    #[test]
    fn calls_become_expressions() {
        let text = "//# inline\nfn mul(a: T, b: T) -> T {\n    return a.a * b;\n}\n//# registers\n\
                    var r: array<T, 1>;\ny = mul(r[0], mul(f(x, z), y));\n";
        assert_eq!(
            written(text).expect("one expression"),
            "var r_0: T; y = (r_0.a * (f(x, z).a * y));"
        );
    }

    #[test]
    fn what_cannot_be_written_out_is_an_error() {
        for (text, what) in [
            (
                "//# unroll\nfor (var i = 0u; i < n; i++) {\n}\n",
                "its bound is not constant",
            ),
            ("//# unroll\nlet a = 1;\n", "expected `for"),
            (
                "//# unroll\nfor (var i = 0u; i < 2u; i++) {\n",
                "no `}` below",
            ),
            ("//# registers\nvar a: u32;\n", "expected `var name"),
            (
                "//# registers\nvar a: array<u32, 2>;\na[i] = 1u;\n",
                "not constant",
            ),
            (
                "//# registers\nvar a: array<u32, 2>;\na[2] = 1u;\n",
                "past its end",
            ),
            ("//# inline\nfn f() {\n}\n", "one `return`"),
        ] {
            let error = written(text).expect_err(text).to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
