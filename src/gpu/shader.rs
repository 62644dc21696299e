//! Specialisation of WGSL text.
//!
//! A shader is plain, valid WGSL with default values. Specialising it rewrites the right-hand sides
//! of named top-level `const` and `alias` lines, and nothing else; `//# include common/x.wgsl` lines
//! are replaced by the shared file, and so are `//# part elements common/x.wgsl` lines unless the
//! specialisation names another text for the part `elements`. There is no template language: a branch
//! on a `const` is the `#ifdef`, and the compiler folds it.
//!
//! Loops, arrays and calls may be marked to be written out: see `unroll.rs`.

use std::collections::BTreeMap;
use std::fmt;

use super::unroll;
use crate::error::{Error, Result};

/// A value for one `const` or `alias` line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Const {
    /// `4u`
    U32(u32),
    /// `-4i`
    I32(i32),
    /// A finite `f32`.
    F32(f32),
    /// `true` or `false`
    Bool(bool),
    /// A type, for `alias` lines. `f16` types add `enable f16;`.
    Type(&'static str),
}

impl fmt::Display for Const {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U32(x) => write!(f, "{x}u"),
            Self::I32(x) => write!(f, "{x}i"),
            Self::F32(x) => write!(f, "{x:?}f"),
            Self::Bool(x) => write!(f, "{x}"),
            Self::Type(x) => f.write_str(x),
        }
    }
}

impl From<u32> for Const {
    fn from(x: u32) -> Self {
        Self::U32(x)
    }
}

impl From<bool> for Const {
    fn from(x: bool) -> Self {
        Self::Bool(x)
    }
}

/// The text of a part.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    File(&'static str),
    Text(String),
}

/// The constants and parts of one specialisation, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    constants: BTreeMap<&'static str, Const>,
    parts: BTreeMap<&'static str, Part>,
}

impl Spec {
    /// No constants: the text's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more constant.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Const>) -> Self {
        self.constants.insert(name, value.into());
        self
    }

    /// The same with the part `name` taken from a file of `shaders/common/`.
    #[must_use]
    pub fn part(mut self, name: &'static str, file: &'static str) -> Self {
        self.parts.insert(name, Part::File(file));
        self
    }

    /// The same with the part `name` written out: what a table says, and no file could.
    #[must_use]
    pub fn part_text(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.parts.insert(name, Part::Text(text.into()));
        self
    }

    /// Names and values of the constants in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Const)> + '_ {
        self.constants.iter().map(|(&name, &value)| (name, value))
    }
}

/// The files of `shaders/` with these names, as (name, text).
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../shaders/", $name)))),*]
    };
}

/// Files that shaders may include.
const COMMON: &[(&str, &str)] = files![
    "common/activation.wgsl",
    "common/broadcast.wgsl",
    "common/channel_rows.wgsl",
    "common/channel_sums.wgsl",
    "common/combine.wgsl",
    "common/each.wgsl",
    "common/element_f16.wgsl",
    "common/element_f32.wgsl",
    "common/element_i8.wgsl",
    "common/fake_quant.wgsl",
    "common/float_bits.wgsl",
    "common/halves.wgsl",
    "common/i8.wgsl",
    "common/index.wgsl",
    "common/lanes_f16.wgsl",
    "common/lanes_f32.wgsl",
    "common/lanes_f32_pair.wgsl",
    "common/lanes_i8.wgsl",
    "common/logits.wgsl",
    "common/loss.wgsl",
    "common/magnitudes.wgsl",
    "common/mapped_none.wgsl",
    "common/mapped_table.wgsl",
    "common/product/bind_f16.wgsl",
    "common/product/bind_f32.wgsl",
    "common/product/bind_i32.wgsl",
    "common/product/bind_i8.wgsl",
    "common/product/cooperative_elements.wgsl",
    "common/product/cooperative_f16.wgsl",
    "common/product/cooperative_f32.wgsl",
    "common/product/cooperative_halves.wgsl",
    "common/product/cooperative_i8.wgsl",
    "common/product/cooperative_words.wgsl",
    "common/product/depthwise_f16.wgsl",
    "common/product/depthwise_f32.wgsl",
    "common/product/depthwise_i8.wgsl",
    "common/product/eight.wgsl",
    "common/product/eight_subgroup.wgsl",
    "common/product/element_f16.wgsl",
    "common/product/element_f32.wgsl",
    "common/product/element_i8.wgsl",
    "common/product/element_i8_dot.wgsl",
    "common/product/gemm.wgsl",
    "common/product/odd_groups_f16.wgsl",
    "common/product/odd_groups_i8.wgsl",
    "common/product/odd_groups_none.wgsl",
    "common/product/out_f16.wgsl",
    "common/product/out_f32.wgsl",
    "common/product/out_i32.wgsl",
    "common/product/out_i8.wgsl",
    "common/product/quad_f16.wgsl",
    "common/product/quad_f32.wgsl",
    "common/product/quad_i8.wgsl",
    "common/product/residual_f16.wgsl",
    "common/product/residual_f32.wgsl",
    "common/product/residual_i8.wgsl",
    "common/product/residual_none.wgsl",
    "common/product/rows_conv.wgsl",
    "common/product/rows_matrix.wgsl",
    "common/product/subgroup_conv.wgsl",
    "common/product/subgroup_matrix.wgsl",
    "common/product/subgroup_out_f16.wgsl",
    "common/product/subgroup_out_f32.wgsl",
    "common/product/subgroup_out_i32.wgsl",
    "common/product/subgroup_out_i8.wgsl",
    "common/product/team.wgsl",
    "common/product/team_subgroup.wgsl",
    "common/reduce_f16.wgsl",
    "common/reduce_f32.wgsl",
    "common/reduce_i8.wgsl",
    "common/requant.wgsl",
    "common/row_team.wgsl",
    "common/slope.wgsl",
    "common/window.wgsl",
];

/// Resolves includes and parts, and rewrites the constants that `spec` names.
///
/// # Errors
/// [`Error::Invalid`] naming the shader for an unknown constant or part (with the list of those it
/// has), an unknown include, or an f16 type where the text cannot take it.
pub fn specialise(name: &str, source: &str, spec: &Spec) -> Result<String> {
    let mut text = String::with_capacity(source.len() * 2);
    let mut parts = Vec::new();
    resolve(name, source, spec, &mut parts, &mut text)?;
    if let Some(part) = spec.parts.keys().find(|part| !parts.contains(part)) {
        let problem = format!("no part `{part}`; it has {}", parts.join(", "));
        return Err(Error::invalid(format!("shader {name}"), problem));
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut needs_f16 = false;
    for (key, value) in spec.iter() {
        let keyword = if matches!(value, Const::Type(_)) {
            "alias"
        } else {
            "const"
        };
        let line = lines
            .iter_mut()
            .find(|line| declares(line, keyword, key))
            .ok_or_else(|| {
                let known: Vec<&str> = text.lines().filter_map(declared_name).collect();
                Error::invalid(
                    format!("shader {name}"),
                    format!(
                        "no top-level `{keyword} {key}`; it has {}",
                        known.join(", ")
                    ),
                )
            })?;
        let left = line
            .split('=')
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_owned();
        *line = format!("{left} = {value};");
        needs_f16 |= matches!(value, Const::Type(ty) if ty.contains("f16"));
    }
    let body = if unroll::is_marked(&text) {
        unroll::write_out(name, &lines)?
    } else {
        lines.join("\n")
    };
    let body = without_aliases(&body);
    Ok(if needs_f16 {
        format!("enable f16;\n{}\n", body.trim_end())
    } else {
        format!("{}\n", body.trim_end())
    })
}

/// The text with the names of its `alias` lines replaced by what they stand for.
///
/// naga keeps an alias as a type of its own. HLSL knows types by what they are: two that are the same get two functions
/// of one name for their zero value, which Direct3D 12's compiler refuses.
fn without_aliases(text: &str) -> String {
    let alias = |line: &str| {
        let (name, ty) = line.strip_prefix("alias ")?.split_once('=')?;
        let (ty, _) = ty.split_once(';')?;
        Some((name.trim().to_owned(), ty.trim().to_owned()))
    };
    let mut aliases: BTreeMap<String, String> = text.lines().filter_map(alias).collect();
    // One may stand for another, wherever that is declared.
    for _ in 0..aliases.len() {
        aliases = aliases
            .iter()
            .map(|(name, ty)| (name.clone(), with_types(ty, &aliases)))
            .collect();
    }
    let lines = text.lines().filter(|line| alias(line).is_none());
    let lines: Vec<String> = lines.map(|line| with_types(line, &aliases)).collect();
    lines.join("\n")
}

/// The line with the words that are aliases replaced; not its comment.
fn with_types(line: &str, aliases: &BTreeMap<String, String>) -> String {
    let (code, comment) = line.split_at(line.find("//").unwrap_or(line.len()));
    let mut out = String::with_capacity(line.len());
    for word in code.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_')) {
        let name = word.trim_end_matches(|c: char| !(c.is_alphanumeric() || c == '_'));
        out.push_str(aliases.get(name).map_or(name, String::as_str));
        out.push_str(&word[name.len()..]);
    }
    out + comment
}

/// Name and value of a top-level `u32` constant whose right-hand side is a literal.
pub(super) fn declared_constant(line: &str) -> Option<(&str, u32)> {
    let name = declared_name(line.strip_prefix("const ").map(|_| line)?)?;
    let (value, _) = line.split_once('=')?.1.split_once(';')?;
    Some((name, value.trim().strip_suffix('u')?.parse().ok()?))
}

/// Appends `source` with its includes and parts in their places; the names of the parts join `parts`.
fn resolve<'a>(
    name: &str,
    source: &'a str,
    spec: &Spec,
    parts: &mut Vec<&'a str>,
    out: &mut String,
) -> Result<()> {
    for line in source.lines() {
        let marked = line.trim();
        if let Some(file) = marked.strip_prefix("//# include ") {
            resolve(name, include(name, file.trim())?, spec, parts, out)?;
        } else if let Some(part) = marked.strip_prefix("//# part ") {
            let (part, file) = part.trim().split_once(' ').unwrap_or((part, ""));
            parts.push(part);
            match spec.parts.get(part) {
                Some(Part::Text(text)) => out.push_str(text),
                Some(Part::File(file)) => {
                    resolve(name, include(name, file)?, spec, parts, out)?;
                }
                None => resolve(name, include(name, file)?, spec, parts, out)?,
            }
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    Ok(())
}

fn include(name: &str, file: &str) -> Result<&'static str> {
    COMMON
        .iter()
        .find(|(path, _)| *path == file)
        .map(|(_, text)| *text)
        .ok_or_else(|| {
            let known: Vec<&str> = COMMON.iter().map(|(path, _)| *path).collect();
            let problem = format!("cannot include `{file}`; there are {}", known.join(", "));
            Error::invalid(format!("shader {name}"), problem)
        })
}

/// The name that a top-level `const` or `alias` line declares.
fn declared_name(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("const ")
        .or_else(|| line.strip_prefix("alias "))?;
    rest.split([':', '=', ' ']).next()
}

fn declares(line: &str, keyword: &str, key: &str) -> bool {
    line.starts_with(keyword) && line.contains('=') && declared_name(line) == Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "const TILE: u32 = 16u;   // rows\nalias Elem = f32;\nfn main() { var e: Elem; }\n";

    #[test]
    fn rewrites_only_named_lines() {
        let spec = Spec::new().with("TILE", 8).with("Elem", Const::Type("f16"));
        let text = specialise("t", TEXT, &spec).expect("both exist");
        assert_eq!(
            text,
            "enable f16;\nconst TILE: u32 = 8u;\nfn main() { var e: f16; }\n"
        );
    }

    #[test]
    fn unknown_names_are_errors_that_list_the_known() {
        let error = specialise("t", TEXT, &Spec::new().with("TILES", 8)).expect_err("no TILES");
        assert_eq!(
            error.to_string(),
            "shader t: no top-level `const TILES`; it has TILE, Elem"
        );
        assert!(specialise("t", "//# include common/none.wgsl", &Spec::new()).is_err());
        let part = Spec::new().part("elements", "common/index.wgsl");
        let error = specialise("t", TEXT, &part).expect_err("no parts");
        assert_eq!(error.to_string(), "shader t: no part `elements`; it has ");
    }

    #[test]
    fn aliases_are_what_they_stand_for() {
        let text = "alias Pair = vec2<Elem>; // of Elem\nalias Elem = f32;\nvar<private> p: array<Pair, 2>;  // Pair\n\
                    fn f(a: Elem) -> Pair { return Pair(a, Elements); }";
        let text = specialise("t", text, &Spec::new()).expect("no constants");
        assert_eq!(
            text,
            "var<private> p: array<vec2<f32>, 2>;  // Pair\nfn f(a: f32) -> vec2<f32> { return vec2<f32>(a, Elements); }\n"
        );
    }

    #[test]
    fn parts_are_files_or_texts() {
        let source = "//# part index common/index.wgsl\nfn main() {}\n";
        let plain = specialise("t", source, &Spec::new()).expect("the default");
        assert!(plain.contains("fn linear_id"));
        let other = Spec::new().part("index", "common/i8.wgsl");
        let other = specialise("t", source, &other).expect("another file");
        assert!(other.contains("fn lanes_i8") && !other.contains("fn linear_id"));
        let text = Spec::new().part_text("index", "fn own() {}");
        let text = specialise("t", source, &text).expect("a text");
        assert_eq!(text, "fn own() {}\nfn main() {}\n");
    }
}
