//! A golden case: reading it, converting layouts, comparing within its tolerances.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

use crate::golden::Outputs;
use crate::golden_array::Array;

/// The result of a case's arm; the error is a sentence.
pub type CaseResult<T> = Result<T, String>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    Exact,
    Relative {
        rtol: f64,
        atol: f64,
    },
    Steps {
        lsb: f64,
        max_mismatch_fraction: f64,
    },
}

impl Tolerance {
    fn parse(value: &Value) -> Option<Self> {
        let map = value.as_object()?;
        let number = |key: &str| map.get(key).and_then(Value::as_f64).filter(|x| *x >= 0.0);
        match map.len() {
            1 if map.get("exact") == Some(&Value::Bool(true)) => Some(Self::Exact),
            2 if map.contains_key("rtol") => Some(Self::Relative {
                rtol: number("rtol")?,
                atol: number("atol")?,
            }),
            2 => Some(Self::Steps {
                lsb: number("lsb")?,
                max_mismatch_fraction: number("max_mismatch_fraction")?,
            }),
            _ => None,
        }
    }

    /// What is wrong, if anything. NaN equals NaN only.
    pub fn compare(self, got: &Array, want: &Array) -> Option<String> {
        if got.shape != want.shape {
            return Some(format!(
                "has shape {:?}, expected {:?}",
                got.shape, want.shape
            ));
        }
        let same = |got: f64, want: f64| got == want || (got.is_nan() && want.is_nan());
        let close = |got: f64, want: f64| {
            let allowed = match self {
                Self::Exact => 0.0,
                Self::Relative { rtol, atol } => atol + rtol * want.abs(),
                Self::Steps { lsb, .. } => lsb,
            };
            same(got, want) || (got - want).abs() <= allowed
        };
        let pairs = || got.data.iter().copied().zip(want.data.iter().copied());
        let far = pairs().filter(|&(g, w)| !close(g, w)).count();
        let different = pairs().filter(|&(g, w)| !same(g, w)).count();
        if far > 0 {
            let (at, (g, w)) = pairs().enumerate().find(|&(_, (g, w))| !close(g, w))?;
            return Some(format!(
                "{far} of {} elements violate {self:?}, the first at {at}: got {g:e}, want {w:e}",
                got.len()
            ));
        }
        match self {
            Self::Steps {
                max_mismatch_fraction,
                ..
            } if different as f64 > max_mismatch_fraction * got.len() as f64 => Some(format!(
                "{different} of {} elements differ, beyond {self:?}",
                got.len()
            )),
            _ => None,
        }
    }
}

/// One case with its tensors.
#[derive(Debug)]
pub struct Case {
    pub family: String,
    pub name: String,
    pub op: String,
    attrs: BTreeMap<String, Value>,
    inputs: BTreeMap<String, Array>,
    outputs: BTreeMap<String, Array>,
    tolerances: BTreeMap<String, Tolerance>,
}

#[derive(Deserialize)]
struct FamilyFile {
    cases: Vec<CaseFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    name: String,
    op: String,
    attrs: BTreeMap<String, Value>,
    inputs: BTreeMap<String, String>,
    outputs: BTreeMap<String, String>,
    tol: BTreeMap<String, Value>,
}

/// Every case of every `<family>.json` in `folder`.
pub fn load(folder: &Path) -> CaseResult<Vec<Case>> {
    let place = |path: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let entries = std::fs::read_dir(folder).map_err(|e| place(folder, &e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| place(folder, &e))?.path();
        if path.extension().is_some_and(|e| e == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut cases = Vec::new();
    for path in &paths {
        let text = std::fs::read(path).map_err(|e| place(path, &e))?;
        let file: FamilyFile = serde_json::from_slice(&text).map_err(|e| place(path, &e))?;
        let data_path = path.with_extension("safetensors");
        let data = std::fs::read(&data_path).map_err(|e| place(&data_path, &e))?;
        let tensors = SafeTensors::deserialize(&data).map_err(|e| place(&data_path, &e))?;
        if file.cases.is_empty() {
            return Err(place(path, &"no case in it"));
        }
        for case in file.cases {
            let name = case.name.clone();
            cases.push(
                Case::new(path, case, &tensors)
                    .map_err(|e| place(path, &format!("{name}: {e}")))?,
            );
        }
    }
    if cases.is_empty() {
        return Err(place(folder, &"no golden case in it"));
    }
    Ok(cases)
}

impl Case {
    fn new(path: &Path, file: CaseFile, tensors: &SafeTensors) -> CaseResult<Self> {
        let read = |roles: BTreeMap<String, String>| -> CaseResult<BTreeMap<String, Array>> {
            let one = |(role, name): (String, String)| {
                let view = tensors
                    .tensor(&name)
                    .map_err(|_| format!("no tensor `{name}`"))?;
                Ok((role, Array::read(&name, &view)?))
            };
            roles.into_iter().map(one).collect()
        };
        let outputs = read(file.outputs)?;
        let mut tolerances = BTreeMap::new();
        for role in outputs.keys() {
            let value = file
                .tol
                .get(role)
                .ok_or_else(|| format!("no tolerance for `{role}`"))?;
            let tolerance =
                Tolerance::parse(value).ok_or_else(|| format!("unknown tolerance {value}"))?;
            tolerances.insert(role.clone(), tolerance);
        }
        if outputs.is_empty() {
            return Err("it expects nothing".into());
        }
        Ok(Self {
            family: path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            name: file.name,
            op: file.op,
            attrs: file.attrs,
            inputs: read(file.inputs)?,
            outputs,
            tolerances,
        })
    }

    /// Everything that is wrong with what was computed.
    pub fn compare(&self, got: &Outputs) -> Vec<String> {
        let judge = |(role, want): (&String, &Array)| match got.get(role) {
            None => Some(format!("`{role}` was not computed")),
            Some(got) => self.tolerances[role]
                .compare(got, want)
                .map(|e| format!("`{role}` {e}")),
        };
        self.outputs.iter().filter_map(judge).collect()
    }
}

/// Attributes that only describe.
const REMARKS: &[&str] = &["note", "layers"];

/// Access to a case that remembers what was asked for.
pub struct Reader<'a> {
    case: &'a Case,
    used: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    pub fn new(case: &'a Case) -> Self {
        Self {
            case,
            used: RefCell::default(),
        }
    }

    pub fn op(&self) -> &'a str {
        &self.case.op
    }

    pub fn input(&self, role: &str) -> CaseResult<&'a Array> {
        self.optional(role)
            .ok_or_else(|| format!("no input `{role}`"))
    }

    pub fn optional(&self, role: &str) -> Option<&'a Array> {
        self.used.borrow_mut().insert(role.to_owned());
        self.case.inputs.get(role)
    }

    /// Inputs `<prefix><number>`, counted from `first`.
    pub fn numbered(&self, prefix: &str, first: usize) -> CaseResult<Vec<&'a Array>> {
        let found: Vec<_> = (first..)
            .map_while(|i| self.optional(&format!("{prefix}{i}")))
            .collect();
        if found.is_empty() {
            return Err(format!("no input `{prefix}{first}`"));
        }
        Ok(found)
    }

    /// Inputs whose role starts with `prefix`, by the rest of it.
    pub fn prefixed(&self, prefix: &str) -> BTreeMap<&'a str, &'a Array> {
        let strip = |(role, array): (&'a String, &'a Array)| {
            self.used.borrow_mut().insert(role.clone());
            role.strip_prefix(prefix).map(|rest| (rest, array))
        };
        let matching = self
            .case
            .inputs
            .iter()
            .filter(|(role, _)| role.starts_with(prefix));
        matching.filter_map(strip).collect()
    }

    pub fn attr(&self, name: &str) -> Option<&'a Value> {
        self.used.borrow_mut().insert(name.to_owned());
        self.case.attrs.get(name)
    }

    pub fn number(&self, name: &str) -> CaseResult<f64> {
        let value = self.attr(name).and_then(Value::as_f64);
        value.ok_or_else(|| format!("no number `{name}` in the attributes"))
    }

    pub fn number_or(&self, name: &str, default: f64) -> CaseResult<f64> {
        if self.attr(name).is_some() {
            self.number(name)
        } else {
            Ok(default)
        }
    }

    pub fn count(&self, name: &str) -> CaseResult<usize> {
        let value = self.attr(name).and_then(Value::as_u64);
        value
            .map(|n| n as usize)
            .ok_or_else(|| format!("no count `{name}` in the attributes"))
    }

    pub fn integer(&self, name: &str) -> CaseResult<i32> {
        let value = self
            .attr(name)
            .and_then(Value::as_i64)
            .and_then(|n| i32::try_from(n).ok());
        value.ok_or_else(|| format!("no integer `{name}` in the attributes"))
    }

    pub fn text(&self, name: &str) -> CaseResult<&'a str> {
        let value = self.attr(name).and_then(Value::as_str);
        value.ok_or_else(|| format!("no text `{name}` in the attributes"))
    }

    /// A truth value; false where it is not given.
    pub fn flag(&self, name: &str) -> CaseResult<bool> {
        match self.attr(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(format!("`{name}` is {other}, expected true or false")),
        }
    }

    /// Fails if the case holds something that nobody asked for: its meaning would be lost.
    pub fn all_used(&self) -> CaseResult<()> {
        let used = self.used.borrow();
        let roles = self.case.inputs.keys();
        let unknown: Vec<String> = roles
            .chain(
                self.case
                    .attrs
                    .keys()
                    .filter(|name| !REMARKS.contains(&name.as_str())),
            )
            .filter(|name| !used.contains(*name))
            .map(|name| format!("`{name}`"))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(format!("nobody asked for {}", unknown.join(", ")))
    }
}

#[test]
fn tolerances_by_hand() {
    let array = |data: &[f64]| Array::new(&[data.len()], data.to_vec());
    let nan = f64::NAN;
    let relative = Tolerance::Relative {
        rtol: 0.1,
        atol: 0.01,
    };
    let steps = Tolerance::Steps {
        lsb: 1.0,
        max_mismatch_fraction: 0.25,
    };
    for (tolerance, got, want, passes) in [
        (Tolerance::Exact, vec![1.0, nan], vec![1.0, nan], true),
        (
            Tolerance::Exact,
            vec![1.0, 2.0],
            vec![1.0, 2.0 + 1e-12],
            false,
        ),
        (Tolerance::Exact, vec![nan, 2.0], vec![1.0, 2.0], false),
        (relative, vec![1.1, 0.0], vec![1.0, 0.01], true),
        (relative, vec![1.12, 0.0], vec![1.0, 0.0], false),
        (relative, vec![nan, 0.0], vec![1.0, 0.0], false),
        (relative, vec![1.0, 0.0], vec![nan, 0.0], false),
        (relative, vec![f64::INFINITY], vec![f64::INFINITY], true),
        (relative, vec![f64::INFINITY], vec![1.0], false),
        (
            steps,
            vec![1.0, 2.0, 3.0, 5.0],
            vec![1.0, 2.0, 3.0, 4.0],
            true,
        ),
        (
            steps,
            vec![1.0, 2.0, 3.0, 6.0],
            vec![1.0, 2.0, 3.0, 4.0],
            false,
        ),
        (
            steps,
            vec![1.0, 2.0, 4.0, 5.0],
            vec![1.0, 2.0, 3.0, 4.0],
            false,
        ),
        (
            steps,
            vec![nan, 2.0, 3.0, 4.0],
            vec![1.0, 2.0, 3.0, 4.0],
            false,
        ),
        (steps, vec![1.0], vec![1.0, 2.0], false),
    ] {
        let problem = tolerance.compare(&array(&got), &array(&want));
        assert_eq!(
            problem.is_none(),
            passes,
            "{tolerance:?} {got:?} {want:?}: {problem:?}"
        );
    }
}
