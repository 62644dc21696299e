//! Specialisation of WGSL text.
//!
//! A shader is plain, valid WGSL with default values. Specialising it rewrites the right-hand sides
//! of named top-level `const` and `alias` lines, and nothing else; `//# include common/x.wgsl` lines
//! are replaced by the shared file. There is no template language: a branch on a `const` is the
//! `#ifdef`, and the compiler folds it.
//!
//! A `//# unroll` line before `for (var i = 0u; i < N; i++) {` writes the loop out, `N` being a product
//! of literals and constants. The text means the same without it, but arrays indexed by `i` then live
//! in registers: wgpu guards every loop against running forever, and drivers do not unroll guarded loops.

use std::collections::BTreeMap;
use std::fmt;

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

/// The constants of one specialisation, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec(BTreeMap<&'static str, Const>);

impl Spec {
    /// No constants: the text's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more constant.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Const>) -> Self {
        self.0.insert(name, value.into());
        self
    }

    /// Names and values in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Const)> + '_ {
        self.0.iter().map(|(&name, &value)| (name, value))
    }
}

/// Files that shaders may include.
const COMMON: &[(&str, &str)] = &[
    (
        "common/conv_rows.wgsl",
        include_str!("../../shaders/common/conv_rows.wgsl"),
    ),
    (
        "common/cooperative_elements.wgsl",
        include_str!("../../shaders/common/cooperative_elements.wgsl"),
    ),
    (
        "common/cooperative_f16.wgsl",
        include_str!("../../shaders/common/cooperative_f16.wgsl"),
    ),
    (
        "common/cooperative_f32.wgsl",
        include_str!("../../shaders/common/cooperative_f32.wgsl"),
    ),
    (
        "common/cooperative_tile.wgsl",
        include_str!("../../shaders/common/cooperative_tile.wgsl"),
    ),
    (
        "common/cooperative_words.wgsl",
        include_str!("../../shaders/common/cooperative_words.wgsl"),
    ),
    (
        "common/matrix_rows.wgsl",
        include_str!("../../shaders/common/matrix_rows.wgsl"),
    ),
    (
        "common/subgroup_f16.wgsl",
        include_str!("../../shaders/common/subgroup_f16.wgsl"),
    ),
    (
        "common/subgroup_f32.wgsl",
        include_str!("../../shaders/common/subgroup_f32.wgsl"),
    ),
    (
        "common/subgroup_i8.wgsl",
        include_str!("../../shaders/common/subgroup_i8.wgsl"),
    ),
    (
        "common/subgroup_put_i8.wgsl",
        include_str!("../../shaders/common/subgroup_put_i8.wgsl"),
    ),
    (
        "common/subgroup_conv.wgsl",
        include_str!("../../shaders/common/subgroup_conv.wgsl"),
    ),
    (
        "common/subgroup_matrix.wgsl",
        include_str!("../../shaders/common/subgroup_matrix.wgsl"),
    ),
    (
        "common/subgroup_tile.wgsl",
        include_str!("../../shaders/common/subgroup_tile.wgsl"),
    ),
    (
        "common/workgroup_conv.wgsl",
        include_str!("../../shaders/common/workgroup_conv.wgsl"),
    ),
    (
        "common/workgroup_f16.wgsl",
        include_str!("../../shaders/common/workgroup_f16.wgsl"),
    ),
    (
        "common/workgroup_f32.wgsl",
        include_str!("../../shaders/common/workgroup_f32.wgsl"),
    ),
    (
        "common/workgroup_i8.wgsl",
        include_str!("../../shaders/common/workgroup_i8.wgsl"),
    ),
    (
        "common/workgroup_matrix.wgsl",
        include_str!("../../shaders/common/workgroup_matrix.wgsl"),
    ),
    (
        "common/workgroup_put_i8.wgsl",
        include_str!("../../shaders/common/workgroup_put_i8.wgsl"),
    ),
    (
        "common/workgroup_tile.wgsl",
        include_str!("../../shaders/common/workgroup_tile.wgsl"),
    ),
    (
        "common/depthwise.wgsl",
        include_str!("../../shaders/common/depthwise.wgsl"),
    ),
    (
        "common/fake_quant.wgsl",
        include_str!("../../shaders/common/fake_quant.wgsl"),
    ),
    (
        "common/float_bits.wgsl",
        include_str!("../../shaders/common/float_bits.wgsl"),
    ),
    (
        "common/index.wgsl",
        include_str!("../../shaders/common/index.wgsl"),
    ),
    (
        "common/eight.wgsl",
        include_str!("../../shaders/common/eight.wgsl"),
    ),
    (
        "common/eight_subgroup.wgsl",
        include_str!("../../shaders/common/eight_subgroup.wgsl"),
    ),
    (
        "common/team.wgsl",
        include_str!("../../shaders/common/team.wgsl"),
    ),
    (
        "common/team_subgroup.wgsl",
        include_str!("../../shaders/common/team_subgroup.wgsl"),
    ),
    (
        "common/gemm.wgsl",
        include_str!("../../shaders/common/gemm.wgsl"),
    ),
    (
        "common/halves.wgsl",
        include_str!("../../shaders/common/halves.wgsl"),
    ),
    (
        "common/i8.wgsl",
        include_str!("../../shaders/common/i8.wgsl"),
    ),
    (
        "common/requant.wgsl",
        include_str!("../../shaders/common/requant.wgsl"),
    ),
    (
        "common/residual_f16.wgsl",
        include_str!("../../shaders/common/residual_f16.wgsl"),
    ),
    (
        "common/residual_f32.wgsl",
        include_str!("../../shaders/common/residual_f32.wgsl"),
    ),
    (
        "common/residual_i8.wgsl",
        include_str!("../../shaders/common/residual_i8.wgsl"),
    ),
    (
        "common/residual_none.wgsl",
        include_str!("../../shaders/common/residual_none.wgsl"),
    ),
    (
        "common/tile_i8.wgsl",
        include_str!("../../shaders/common/tile_i8.wgsl"),
    ),
];

/// Resolves includes and rewrites the constants that `spec` names.
///
/// # Errors
/// [`Error::Invalid`] naming the shader for an unknown constant (with the list of those it has), an
/// unknown include, or an f16 type where the text cannot take it.
pub fn specialise(name: &str, source: &str, spec: &Spec) -> Result<String> {
    let mut text = String::with_capacity(source.len() * 2);
    for line in source.lines() {
        match line.trim().strip_prefix("//# include ") {
            Some(file) => text.push_str(include(name, file.trim())?),
            None => text.push_str(line),
        }
        text.push('\n');
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
    let body = if text.contains(UNROLL) {
        let mut unrolled = Vec::new();
        unroll(name, &lines, &lines, &mut unrolled)?;
        unrolled.join("\n")
    } else {
        lines.join("\n")
    };
    Ok(if needs_f16 {
        format!("enable f16;\n{body}\n")
    } else {
        body + "\n"
    })
}

const UNROLL: &str = "//# unroll";

/// Copies `lines` to `out`, loops marked [`UNROLL`] written out. `all` is the whole text, for constants.
fn unroll(name: &str, all: &[String], lines: &[String], out: &mut Vec<String>) -> Result<()> {
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        rest = after;
        if line.trim() != UNROLL {
            out.push(line.clone());
            continue;
        }
        let problem = |what: &str| {
            let head = after.first().map_or("", |head| head.trim());
            Error::invalid(
                format!("shader {name}"),
                format!("cannot unroll `{head}`: {what}"),
            )
        };
        let head = after.first().ok_or_else(|| problem("no loop follows"))?;
        let (counter, bound) = loop_head(head.trim())
            .ok_or_else(|| problem("expected `for (var i = 0u; i < N; i++) {`"))?;
        let count = bound
            .split('*')
            .map(|factor| constant(all, factor.trim()))
            .product::<Option<u32>>()
            .ok_or_else(|| problem("its bound is no product of constants"))?;
        let indent = &head[..head.len() - head.trim_start().len()];
        let close = format!("{indent}}}");
        let end = after
            .iter()
            .position(|line| *line == close)
            .ok_or_else(|| problem("no `}` below its `for`"))?;
        for i in 0..count {
            out.push(format!("{indent}{{ const {counter} = {i}u;"));
            unroll(name, all, &after[1..end], out)?;
            out.push(close.clone());
        }
        rest = &after[end + 1..];
    }
    Ok(())
}

/// Counter and bound of `for (var i = 0u; i < N; i++) {`.
fn loop_head(line: &str) -> Option<(&str, &str)> {
    let (counter, rest) = line.strip_prefix("for (var ")?.split_once(" = 0u; ")?;
    let bound = rest.strip_prefix(counter)?.strip_prefix(" < ")?;
    let bound = bound.strip_suffix(&format!("; {counter}++) {{"))?;
    Some((counter, bound))
}

/// The value of a `u32` literal or top-level constant whose right-hand side is a literal.
fn constant(lines: &[String], factor: &str) -> Option<u32> {
    if let Some(value) = factor.strip_suffix('u').and_then(|x| x.parse().ok()) {
        return Some(value);
    }
    let line = lines.iter().find(|line| declares(line, "const", factor))?;
    let (value, _) = line.split_once('=')?.1.split_once(';')?;
    value.trim().strip_suffix('u')?.parse().ok()
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

    const TEXT: &str = "const TILE: u32 = 16u;   // rows\nalias Elem = f32;\nfn main() {}\n";

    #[test]
    fn rewrites_only_named_lines() {
        let spec = Spec::new().with("TILE", 8).with("Elem", Const::Type("f16"));
        let text = specialise("t", TEXT, &spec).expect("both exist");
        assert_eq!(
            text,
            "enable f16;\nconst TILE: u32 = 8u;\nalias Elem = f16;\nfn main() {}\n"
        );
    }

    #[test]
    fn unrolls_marked_loops() {
        let text = "const N: u32 = 1u;\nfn main() {\n    //# unroll\n    for (var i = 0u; i < N * 2u; i++) {\n        \
                    //# unroll\n        for (var j = 0u; j < N; j++) {\n            f(i, j);\n        }\n    }\n}\n";
        let text = specialise("t", text, &Spec::new().with("N", 1)).expect("both loops are plain");
        let squeezed: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            squeezed,
            "const N: u32 = 1u; fn main() { { const i = 0u; { const j = 0u; f(i, j); } } \
             { const i = 1u; { const j = 0u; f(i, j); } } }"
        );
        let odd = "//# unroll\nfor (var i = 0u; i < n; i++) {\n}\n";
        let error = specialise("t", odd, &Spec::new()).expect_err("n is not constant");
        assert!(
            error.to_string().contains("no product of constants"),
            "{error}"
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
    }
}
