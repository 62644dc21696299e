//! One kernel, several programs: the ways to reach the same result that a device may choose from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Caps;
use crate::error::{Error, Result};

/// A way to run a kernel. All of a kernel's variants share bindings, CPU twin and agreement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Runs on every device.
    #[default]
    Plain,
    /// The workgroup is one subgroup, whose lanes show each other what they load.
    Subgroup,
}

impl Variant {
    /// Every variant that there is.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Subgroup];

    /// The name, as [`fmt::Display`] and serde write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Subgroup => "subgroup",
        }
    }

    /// The error of a kernel that does not have this variant on the device.
    pub(super) fn unsupported(self, op: &str) -> Error {
        Error::Unsupported {
            op: op.into(),
            problem: format!("it cannot run the variant `{self}`; `variants` lists what it can"),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variant {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|variant| variant.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid("variant", format!("`{name}` is none; there are {names}"))
        })
    }
}

/// The variants of the kernels that have one for subgroups, the better first.
///
/// It needs subgroups of one known size. Small ones (a processor's vector registers) gain by it; how it
/// compares with [`Variant::Plain`] on wide ones is not known.
pub(super) fn with_subgroup(caps: &Caps) -> Vec<Variant> {
    match subgroup_size(caps) {
        Some(lanes) if lanes <= 8 => vec![Variant::Subgroup, Variant::Plain],
        Some(_) => vec![Variant::Plain, Variant::Subgroup],
        None => vec![Variant::Plain],
    }
}

/// The same where `condition` holds; otherwise only [`Variant::Plain`].
pub(super) fn with_subgroup_if(condition: bool, caps: &Caps) -> Vec<Variant> {
    if condition {
        with_subgroup(caps)
    } else {
        vec![Variant::Plain]
    }
}

/// The size of all subgroups of the device, if it is one that the shaders can take.
pub(super) fn subgroup_size(caps: &Caps) -> Option<usize> {
    let (min, max) = caps.subgroups?;
    let fits = min == max && min.is_power_of_two() && (4..=64).contains(&min);
    fits.then_some(min as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(subgroups: Option<(u32, u32)>) -> Caps {
        Caps {
            subgroups,
            ..Caps::portable()
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for variant in Variant::ALL {
            assert_eq!(
                variant.to_string().parse::<Variant>().expect("a name"),
                variant
            );
            let json = serde_json::to_string(&variant).expect("serialises");
            assert_eq!(json, format!("\"{variant}\""));
        }
        let error = "fast".parse::<Variant>().expect_err("no such variant");
        assert!(error.to_string().contains("plain, subgroup"), "{error}");
    }

    #[test]
    fn only_subgroups_of_one_size_will_do() {
        use Variant::{Plain, Subgroup};
        assert_eq!(with_subgroup(&caps(None)), [Plain]);
        assert_eq!(with_subgroup(&caps(Some((8, 8)))), [Subgroup, Plain]);
        assert_eq!(with_subgroup(&caps(Some((32, 32)))), [Plain, Subgroup]);
        assert_eq!(with_subgroup(&caps(Some((8, 32)))), [Plain]);
        assert_eq!(with_subgroup(&caps(Some((128, 128)))), [Plain]);
    }
}
