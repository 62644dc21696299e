//! What the demo's table means, in sentences that follow from its numbers.

use wizen::graph::Peaks;

use super::speed::{Speed, Verdict};

/// Names of the demo's stages.
pub const FP32: &str = "fp32";
pub const FP16: &str = "fp16";
pub const INT8: &str = "int8";
pub const PRUNED: &str = "pruned 90 %";
pub const PRUNED_INT8: &str = "pruned 90 % + int8";
pub const W4A4: &str = "w4a4";
pub const W2A4: &str = "w2a4";
pub const W2A4_QAT: &str = "w2a4 QAT";

const NAMES: &str = "Names: fp32 and fp16 are floating-point numbers of 32 and 16 bits, int8 is integers of 8 bits, \
                     w4a4 is weights of 4 bits and values between layers of 4 bits, w2a4 is weights of 2 bits. QAT is \
                     fine-tuning with the rounding in place.";

/// A row of the table.
pub struct Row<'a> {
    pub name: &'a str,
    pub accuracy: f64,
    pub bytes: u64,
    /// Seconds it took to make.
    pub seconds: f64,
    pub speed: &'a Speed,
}

/// What the sentences are made of.
pub struct Facts<'a> {
    pub rows: Vec<Row<'a>>,
    /// Images that accuracy is measured on.
    pub images: usize,
    pub device: &'a str,
    /// What the device can do; unknown of the CPU reference.
    pub peaks: Option<Peaks>,
}

/// The sentences, a paragraph each; none without a row called [`FP32`].
pub fn explain(facts: &Facts<'_>) -> Vec<String> {
    let Some(base) = facts.find(FP32) else {
        return Vec::new();
    };
    let parts = [
        Some(NAMES.to_owned()),
        Some(facts.columns(base)),
        Some(facts.accuracy(base)),
        facts.fine_tuning(base),
        Some(facts.size(base)),
        Some(facts.speed(base)),
        facts.zeros(base),
        facts.narrow(base),
        facts.low_bits(),
    ];
    parts.into_iter().flatten().collect()
}

impl Facts<'_> {
    fn find(&self, name: &str) -> Option<&Row<'_>> {
        self.rows.iter().find(|row| row.name == name)
    }

    fn columns(&self, base: &Row<'_>) -> String {
        format!(
            "Images per second: on {} in runs of {} images, copies in and out included; larger is faster. All rows \
             were timed in turns, and the median counts.",
            self.device, base.speed.batch
        )
    }

    /// Two standard errors of an accuracy near that of fp32.
    fn margin(&self, base: &Row<'_>) -> f64 {
        // Never zero: with no error seen, there may still be one.
        let wrong = (1.0 - base.accuracy).max(1.0 / self.images as f64);
        2.0 * (wrong * (1.0 - wrong).max(0.0) / self.images as f64).sqrt()
    }

    fn accuracy(&self, base: &Row<'_>) -> String {
        let margin = self.margin(base);
        let lost: Vec<String> = self
            .rows
            .iter()
            .filter(|row| base.accuracy - row.accuracy > margin)
            .map(|row| format!("{} ({})", row.name, points(row.accuracy - base.accuracy)))
            .collect();
        let chance = format!(
            "Accuracy: with {} test images, a difference below {:.1} points may be chance.",
            self.images,
            100.0 * margin
        );
        if lost.is_empty() {
            return format!("{chance} No row is further than that below fp32.");
        }
        format!("{chance} Further below fp32: {}.", lost.join(", "))
    }

    fn fine_tuning(&self, base: &Row<'_>) -> Option<String> {
        let (rounded, tuned) = (self.find(W2A4)?, self.find(W2A4_QAT)?);
        let (cost, left) = (
            base.accuracy - rounded.accuracy,
            base.accuracy - tuned.accuracy,
        );
        let margin = self.margin(base);
        Some(if cost <= margin {
            format!(
                "Fine-tuning: {W2A4} loses nothing that this test can see, so there is nothing to win back."
            )
        } else if cost - left > margin {
            format!(
                "Fine-tuning: rounding the weights to 2 bits changes the accuracy by {}. {:.1} s of fine-tuning bring \
                 that to {}, at the same file size.",
                points(-cost),
                tuned.seconds,
                points(-left)
            )
        } else {
            format!(
                "Fine-tuning: rounding the weights to 2 bits changes the accuracy by {}, and {:.1} s of fine-tuning \
                 ({}) do not clearly help.",
                points(-cost),
                tuned.seconds,
                points(-left)
            )
        })
    }

    fn size(&self, base: &Row<'_>) -> String {
        let rows = self.rows.iter().filter(|row| row.name != base.name);
        let ratios: Vec<String> = rows
            .map(|row| {
                let ratio = base.bytes as f64 / row.bytes.max(1) as f64;
                format!("{} {ratio:.1}\u{a0}×", row.name)
            })
            .collect();
        format!(
            "Size: fewer bits for every weight, and no bits for weights that are zero, make the file smaller than \
             that of fp32: {}.",
            ratios.join(", ")
        )
    }

    fn speed(&self, base: &Row<'_>) -> String {
        let named = |wanted: Verdict| -> Vec<String> {
            let rows = self.rows.iter().filter(|row| row.name != base.name);
            rows.filter(|row| row.speed.against(base.speed) == wanted)
                .map(|row| format!("{} ({})", row.name, times(row.speed.over(base.speed))))
                .collect()
        };
        let groups = [
            ("clearly faster than fp32", named(Verdict::Faster)),
            ("about as fast", named(Verdict::Same)),
            ("clearly slower", named(Verdict::Slower)),
        ];
        let groups = groups.iter().filter(|(_, rows)| !rows.is_empty());
        let groups: Vec<String> = groups
            .map(|(what, rows)| format!("{what}: {}", rows.join(", ")))
            .collect();
        format!("Speed on this device: {}.", groups.join("; "))
    }

    /// Zeros make no program shorter.
    fn zeros(&self, base: &Row<'_>) -> Option<String> {
        let pruned = self.find(PRUNED)?;
        pruned.speed.same_programs(base.speed).then(|| {
            let zeros = format!(
                "Zeros: {PRUNED} runs the same programs as fp32, {:.2} million operations on an image, zeros \
                 included. So zeros make the file smaller and not the run",
                base.speed.operations * 1e-6
            );
            match pruned.speed.against(base.speed) {
                Verdict::Same => zeros + ".",
                _ => format!(
                    "{zeros}; that it measured {} is not the work of the zeros.",
                    times(pruned.speed.over(base.speed))
                ),
            }
        })
    }

    /// Where the time of fp16 and int8 goes, and why they are not much faster where they are not.
    fn narrow(&self, base: &Row<'_>) -> Option<String> {
        let whole = base.speed.programs?;
        let mut text = format!(
            "Where the time goes: a run of fp32 takes {}, {} in its programs on the device; what remains copies images \
             in and results out and starts the programs.",
            ms(base.speed.seconds()),
            inside(base.speed.seconds(), whole)
        );
        for name in [FP16, INT8] {
            let Some(row) = self.find(name) else { continue };
            let Some(programs) = row.speed.programs else {
                continue;
            };
            text += &format!(
                " With {name} it takes {}, {} in programs",
                ms(row.speed.seconds()),
                inside(row.speed.seconds(), programs)
            );
            text += &match (whole / programs, row.speed.against(base.speed)) {
                (ratio, _) if ratio < 1.5 => format!(": {}.", self.limit(base, whole, name)),
                (_, Verdict::Faster) => ".".to_owned(),
                (ratio, _) => format!(
                    ": the programs are {} as fast, but the rest of the run is not.",
                    times(ratio)
                ),
            };
        }
        Some(text)
    }

    /// Why the programs of `name` are not much faster than those of fp32, as far as measured peaks tell.
    fn limit(&self, base: &Row<'_>, seconds: f64, name: &str) -> String {
        let Some(peaks) = self.peaks else {
            return "`wizen bench` shows what each layer takes".to_owned();
        };
        let best = if name == INT8 {
            peaks.i8_gops
        } else {
            peaks.f16_gops
        };
        if best < 1.2 * peaks.f32_gops {
            return format!(
                "at its best this device does {best:.0} billion operations a second in {name} and {:.0} in fp32, so \
                 there is little to gain",
                peaks.f32_gops
            );
        }
        let gops = base.speed.operations * base.speed.batch as f64 / seconds.max(1e-12) * 1e-9;
        let share = gops / peaks.f32_gops;
        let could = format!(
            "at its best this device is {} as fast in {name} as in fp32",
            times(best / peaks.f32_gops)
        );
        if share < 0.5 {
            format!(
                "{could}, but this network is too small to get there: in fp32 it reaches {:.0} % of the best, so \
                 arithmetic is not what holds it back",
                100.0 * share
            )
        } else {
            format!("{could}; `wizen bench` shows which layers do not get there")
        }
    }

    fn low_bits(&self) -> Option<String> {
        let int8 = self.find(INT8)?;
        let rows = [W4A4, W2A4, W2A4_QAT].map(|name| self.find(name));
        let same: Vec<String> = rows
            .into_iter()
            .flatten()
            .filter(|row| row.speed.same_programs(int8.speed))
            .map(|row| format!("{} {}", row.name, times(row.speed.over(int8.speed))))
            .collect();
        (!same.is_empty()).then(|| {
            format!(
                "Low bits: the file holds weights of 4 or 2 bits, and they become int8 when it is opened. The run is \
                 that of int8, program by program, so only the file gets smaller; measured beside int8: {}.",
                same.join(", ")
            )
        })
    }
}

/// `−1.25 points`
fn points(share: f64) -> String {
    format!("{:+.2} points", 100.0 * share).replace('-', "−")
}

fn times(ratio: f64) -> String {
    // A space that no line breaks at.
    format!("{ratio:.2}\u{a0}×")
}

/// How much of a run is in its programs. A clock between programs slows them a little, so that they may seem
/// to take longer than the run.
fn inside(run: f64, programs: f64) -> String {
    if programs > 0.95 * run {
        "nearly all of it".to_owned()
    } else {
        format!("{} of it", ms(programs))
    }
}

fn ms(seconds: f64) -> String {
    format!("{:.1}\u{a0}ms", 1e3 * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(ms: f64, programs_ms: f64, kernel: &'static str) -> Speed {
        Speed {
            batch: 250,
            rounds: vec![1e-3 * ms; 8],
            programs: Some(1e-3 * programs_ms),
            operations: 1e6,
            kernels: vec![kernel],
        }
    }

    /// fp32, int8, pruned, w4a4, w2a4, w2a4 QAT at these times and accuracies.
    fn text(int8: [f64; 2], pruned_ms: f64, w2a4: [f64; 2], peaks: Option<Peaks>) -> String {
        let fp32 = speed(10.0, 6.0, "f32");
        let int8 = speed(int8[0], int8[1], "i8");
        let pruned = speed(pruned_ms, 6.0, "f32");
        let row = |name, accuracy, bytes, speed| Row {
            name,
            accuracy,
            bytes,
            seconds: 3.0,
            speed,
        };
        let facts = Facts {
            rows: vec![
                row(FP32, 0.98, 4000, &fp32),
                row(INT8, 0.98, 1000, &int8),
                row(PRUNED, 0.98, 500, &pruned),
                row(W4A4, 0.98, 500, &int8),
                row(W2A4, w2a4[0], 300, &int8),
                row(W2A4_QAT, w2a4[1], 300, &int8),
            ],
            images: 4000,
            device: "a device",
            peaks,
        };
        explain(&facts).join("\n").replace('\u{a0}', " ")
    }

    fn peaks(i8_gops: f64) -> Option<Peaks> {
        Some(Peaks {
            f32_gops: 100.0,
            f16_gops: 100.0,
            i8_gops,
            copy_gbs: 10.0,
        })
    }

    #[test]
    fn sentences_follow_from_the_numbers() {
        let same = text([10.0, 6.0], 10.0, [0.90, 0.97], peaks(300.0));
        for part in [
            "int8 4.0 ×, pruned 90 % 8.0 ×",
            "about as fast: int8 (1.00 ×)",
            "may be chance. Further below fp32: w2a4 (−8.00 points), w2a4 QAT (−1.00 points)",
            "by −8.00 points. 3.0 s of fine-tuning bring that to −1.00 points",
            "zeros make the file smaller and not the run.",
            "3.00 × as fast in int8 as in fp32, but this network is too small",
            "reaches 42 % of the best",
            "beside int8: w4a4 1.00 ×",
        ] {
            assert!(same.contains(part), "`{part}` is not in\n{same}");
        }
        assert!(!same.contains("faster than fp32:") && !same.contains("slower"));

        let fast = text([5.0, 2.0], 12.0, [0.98, 0.98], peaks(300.0));
        for part in [
            "clearly faster than fp32: int8 (2.00 ×), w4a4 (2.00 ×)",
            "clearly slower: pruned 90 % (0.83 ×)",
            "is not the work of the zeros",
            "With int8 it takes 5.0 ms, 2.0 ms of it in programs.",
            "No row is further than that below fp32",
            "nothing to win back",
        ] {
            assert!(fast.contains(part), "`{part}` is not in\n{fast}");
        }
    }

    #[test]
    fn why_int8_is_not_faster_depends_on_what_was_measured() {
        let none = text([10.0, 6.0], 10.0, [0.9, 0.9], peaks(105.0));
        assert!(none.contains(
            "does 105 billion operations a second in int8 and 100 in fp32, so there is little"
        ));
        assert!(none.contains("do not clearly help"));
        let rest = text([10.0, 3.0], 10.0, [0.9, 0.97], peaks(300.0));
        assert!(rest.contains("the programs are 2.00 × as fast, but the rest of the run is not"));
        let unknown = text([10.0, 6.0], 10.0, [0.9, 0.97], None);
        assert!(unknown.contains("in programs: `wizen bench` shows what each layer takes."));
    }
}
