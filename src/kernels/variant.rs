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
    /// The invocations of a workgroup share what they load through its memory. Runs on every device.
    Workgroup,
    /// For convolutions whose filters see one channel each: neighbours own neighbouring channels. Runs on every
    /// device.
    Depthwise,
    /// Subgroups multiply small matrices at once, in units made for that (tensor cores and their like).
    Cooperative,
}

impl Variant {
    /// Every variant that there is.
    pub const ALL: [Self; 5] = [
        Self::Plain,
        Self::Subgroup,
        Self::Workgroup,
        Self::Depthwise,
        Self::Cooperative,
    ];

    /// The name, as [`fmt::Display`] and serde write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Subgroup => "subgroup",
            Self::Workgroup => "workgroup",
            Self::Depthwise => "depthwise",
            Self::Cooperative => "cooperative",
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

/// Rows and columns of an output below which [`Variant::Workgroup`] computes mostly what nobody needs.
pub(super) const FEW: usize = 16;

/// Outputs that keep a GPU busy when each has its own invocation. With fewer the sums take long, and
/// [`Variant::Workgroup`] shares them: the last layer of ResNet18, for one image, takes an H100 0.08 ms without and
/// 0.02 ms with it.
const MANY: usize = 1 << 16;

/// The variants of a product with `rows` by `columns` outputs, the better first.
///
/// [`Variant::Subgroup`] needs subgroups of one known size. Small ones are a processor's vector registers: they
/// gain most by it, and nothing by workgroup memory, which is memory like any other there. How it compares on wide
/// ones is not known.
pub(super) fn product_variants(rows: usize, columns: usize, caps: &Caps) -> Vec<Variant> {
    use Variant::{Plain, Subgroup, Workgroup};
    let lanes = subgroup_size(caps);
    if lanes.is_some_and(|lanes| lanes <= 8) {
        return vec![Subgroup, Plain, Workgroup];
    }
    let thin = rows.min(columns) < FEW && rows * columns >= MANY;
    let mut variants = if caps.software || thin {
        vec![Plain, Workgroup]
    } else {
        vec![Workgroup, Plain]
    };
    variants.extend(lanes.map(|_| Subgroup));
    variants
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
        assert!(
            error
                .to_string()
                .contains("plain, subgroup, workgroup, depthwise, cooperative"),
            "{error}"
        );
    }

    #[test]
    fn only_subgroups_of_one_size_will_do() {
        use Variant::{Plain, Subgroup, Workgroup};
        let of = |subgroups| product_variants(64, 64, &caps(subgroups));
        assert_eq!(of(None), [Workgroup, Plain]);
        assert_eq!(of(Some((8, 8))), [Subgroup, Plain, Workgroup]);
        assert_eq!(of(Some((32, 32))), [Workgroup, Plain, Subgroup]);
        assert_eq!(of(Some((8, 32))), [Workgroup, Plain]);
        assert_eq!(of(Some((128, 128))), [Workgroup, Plain]);
    }

    #[test]
    fn thin_outputs_and_software_do_not_start_with_workgroup_memory() {
        use Variant::{Plain, Subgroup, Workgroup};
        let gpu = caps(Some((32, 32)));
        assert_eq!(product_variants(16, 16, &gpu), [Workgroup, Plain, Subgroup]);
        for (rows, columns) in [(15, 4096), (4096, 15), (1, 1)] {
            assert_eq!(
                product_variants(rows, columns, &gpu),
                [Workgroup, Plain, Subgroup]
            );
        }
        for (rows, columns) in [(15, 8192), (50_176, 6), (1, 1 << 16)] {
            assert_eq!(
                product_variants(rows, columns, &gpu),
                [Plain, Workgroup, Subgroup]
            );
        }
        let software = Caps {
            software: true,
            ..caps(None)
        };
        assert_eq!(product_variants(64, 64, &software), [Plain, Workgroup]);
    }
}
