//! Runs the commands of README's tables of accuracy and size, and writes the tables.
//!
//! `cargo bench --bench tables -- DATA [TABLE…]`, where DATA holds `mnist/` (MNIST's four files), `cifar10/` (CIFAR-10's
//! binary batches), `resnet18.safetensors`, `resnet20.th`, `calib/` and `eval/` (photographs with their `.csv`); tables are
//! lenet5, resnet18, resnet20, each only if its data is there. Without DATA it checks that README has its tables.

#[path = "fingerprint.rs"]
mod fingerprint;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

type Outcome<T> = Result<T, String>;

/// A row: its name, and the commands that make its file `$OUT` and judge it. `$NAME` is a file or folder.
struct Row {
    name: &'static str,
    commands: &'static [&'static str],
}

struct Table {
    name: &'static str,
    /// Heads of the columns after the first: fields of the JSON of the last commands, and `bytes`.
    columns: &'static [(&'static str, &'static str)],
    rows: &'static [Row],
}

const fn row(name: &'static str, commands: &'static [&'static str]) -> Row {
    Row { name, commands }
}

const ACCURACY: &[(&str, &str)] = &[("accuracy", "top1"), ("bytes", "bytes")];

const TABLES: &[Table] = &[
    Table {
        name: "lenet5",
        columns: ACCURACY,
        rows: &[
            row(
                "fp32",
                &["train --data $MNIST --out $FP32", "eval $OUT --data $MNIST"],
            ),
            row(
                "fp16",
                &[
                    "quantize $FP32 --data $MNIST --out $OUT --scheme fp16",
                    "eval $OUT --data $MNIST",
                ],
            ),
            row(
                "int8",
                &[
                    "quantize $FP32 --data $MNIST --out $OUT",
                    "eval $OUT --data $MNIST",
                ],
            ),
            row(
                "4-bit weights, 8-bit activations",
                &[
                    "quantize $FP32 --data $MNIST --out $OUT --scheme w4a8",
                    "eval $OUT --data $MNIST",
                ],
            ),
            row(
                "90 % of the weights zero",
                &[
                    "prune $FP32 --data $MNIST --out $SPARSE --sparsity 0.9",
                    "eval $OUT --data $MNIST",
                ],
            ),
            row(
                "90 % zero, int8",
                &[
                    "quantize $SPARSE --data $MNIST --out $OUT",
                    "eval $OUT --data $MNIST",
                ],
            ),
            row(
                "4-bit weights and activations, fine-tuned",
                &[
                    "qat $FP32 --data $MNIST --out $OUT --scheme w4a4",
                    "eval $OUT --data $MNIST",
                ],
            ),
            row(
                "2-bit weights, 4-bit activations, fine-tuned",
                &[
                    "qat $FP32 --data $MNIST --out $OUT --scheme w2a4",
                    "eval $OUT --data $MNIST",
                ],
            ),
        ],
    },
    Table {
        name: "resnet18",
        columns: &[
            ("top-1", "top1"),
            ("agreement", "agreement"),
            ("SQNR", "output_sqnr_db"),
            ("bytes", "bytes"),
        ],
        rows: &[
            row("fp32", &["eval $RESNET18 --data $EVAL"]),
            row(
                "fp16",
                &[
                    "quantize $RESNET18 --data $CALIB --calib 128 --out $OUT --scheme fp16",
                    "eval $OUT --data $EVAL",
                    "compare $OUT --data $EVAL --against $RESNET18 --limit 300",
                ],
            ),
            row(
                "int8",
                &[
                    "quantize $RESNET18 --data $CALIB --calib 128 --out $OUT",
                    "eval $OUT --data $EVAL",
                    "compare $OUT --data $EVAL --against $RESNET18 --limit 300",
                ],
            ),
            row(
                "int8 by ONNX Runtime's conventions",
                &[
                    "quantize $RESNET18 --data $CALIB --calib 128 --out $OUT --scheme int8-onnx",
                    "eval $OUT --data $EVAL",
                    "compare $OUT --data $EVAL --against $RESNET18 --limit 300",
                ],
            ),
            row(
                "int8 by PyTorch's conventions",
                &[
                    "quantize $RESNET18 --data $CALIB --calib 128 --out $OUT --scheme int8-torch",
                    "eval $OUT --data $EVAL",
                    "compare $OUT --data $EVAL --against $RESNET18 --limit 300",
                ],
            ),
            row(
                "4-bit weights, 8-bit activations",
                &[
                    "quantize $RESNET18 --data $CALIB --calib 128 --out $OUT --scheme w4a8",
                    "eval $OUT --data $EVAL",
                    "compare $OUT --data $EVAL --against $RESNET18 --limit 300",
                ],
            ),
        ],
    },
    Table {
        name: "resnet20",
        columns: &[
            ("accuracy", "top1"),
            ("multiply-accumulates", "macs_after"),
            ("bytes", "bytes"),
        ],
        rows: &[
            row(
                "fp32, as its author published it",
                &["eval $RESNET20 --data $CIFAR"],
            ),
            row(
                "int8",
                &[
                    "quantize $RESNET20 --data $CIFAR --out $OUT",
                    "eval $OUT --data $CIFAR",
                ],
            ),
            row(
                "4-bit weights and activations, fine-tuned",
                &[
                    "qat $RESNET20 --data $CIFAR --out $OUT --scheme w4a4 --teacher $RESNET20 --epochs 6 --lr 1e-3",
                    "eval $OUT --data $CIFAR",
                ],
            ),
            row(
                "80 % of the weights zero, fine-tuned",
                &[
                    "prune $RESNET20 --data $CIFAR --out $OUT --sparsity 0.8 --teacher $RESNET20 --epochs 6 --lr 5e-4",
                    "eval $OUT --data $CIFAR",
                ],
            ),
            row(
                "half of the multiply-accumulates left, fine-tuned",
                &[
                    "prune $RESNET20 --data $CIFAR --out $THIN --method channels --sparsity 0.36 --teacher $RESNET20 --epochs 10",
                    "eval $OUT --data $CIFAR",
                ],
            ),
            row(
                "the same in int8",
                &[
                    "quantize $THIN --data $CIFAR --out $OUT",
                    "eval $OUT --data $CIFAR",
                ],
            ),
        ],
    },
];

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench" && a != "--test")
        .collect();
    if let Err(problem) = run(&args) {
        eprintln!("tables: {problem}");
        std::process::exit(1);
    }
}

fn run(args: &[String]) -> Outcome<()> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let mut text = std::fs::read_to_string(&readme).map_err(|e| e.to_string())?;
    for table in TABLES {
        place(&text, table.name)?;
    }
    let Some((data, wanted)) = args.split_first() else {
        println!("README has the tables; name a folder with data to write them");
        println!("the kernels are {}", fingerprint::kernels());
        return Ok(());
    };
    let out = std::env::temp_dir().join(format!("wizen-tables-{}", std::process::id()));
    std::fs::create_dir_all(&out).map_err(|e| e.to_string())?;
    for table in TABLES {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == table.name) {
            continue;
        }
        let body = measured(table, Path::new(data), &out)?;
        let (start, end) = place(&text, table.name)?;
        text.replace_range(start..end, &format!("\n{body}"));
        std::fs::write(&readme, &text).map_err(|e| e.to_string())?;
    }
    std::fs::remove_dir_all(&out).map_err(|e| e.to_string())
}

/// Where a table stands in README: between its two marks.
fn place(text: &str, name: &str) -> Outcome<(usize, usize)> {
    let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let missing = |mark: &str| format!("README has no `{mark}`");
    let start = text.find(&open).ok_or_else(|| missing(&open))? + open.len();
    let end = text[start..].find(&close).ok_or_else(|| missing(&close))? + start;
    Ok((start, end))
}

fn measured(table: &Table, data: &Path, out: &Path) -> Outcome<String> {
    let mut files: BTreeMap<&str, PathBuf> = [
        ("$MNIST", "mnist"),
        ("$CIFAR", "cifar10"),
        ("$RESNET18", "resnet18.safetensors"),
        ("$RESNET20", "resnet20.th"),
        ("$CALIB", "calib"),
        ("$EVAL", "eval"),
    ]
    .map(|(name, file)| (name, data.join(file)))
    .into();
    let heads: Vec<&str> = table.columns.iter().map(|(head, _)| *head).collect();
    let mut text = format!(
        "| | {} | command |\n|---|{}---|\n",
        heads.join(" | "),
        "--:|".repeat(heads.len())
    );
    for (i, row) in table.rows.iter().enumerate() {
        let mut fields: BTreeMap<String, Value> = BTreeMap::new();
        files.insert("$OUT", out.join(format!("{}-{i}.st", table.name)));
        for command in row.commands {
            for kept in ["$FP32", "$SPARSE", "$THIN"] {
                if command.contains(&format!("--out {kept}")) {
                    files.insert(kept, files["$OUT"].clone());
                }
            }
            fields.extend(json(command, &files)?);
        }
        let file = if row.commands.len() == 1 {
            let name = row.commands[0].split(' ').nth(1).unwrap_or_default();
            &files[name]
        } else {
            &files["$OUT"]
        };
        let size = std::fs::metadata(file)
            .map_err(|e| format!("{}: {e}", file.display()))?
            .len();
        fields.insert("bytes".into(), size.into());
        let cells: Vec<String> = table
            .columns
            .iter()
            .map(|(head, field)| cell(head, fields.get(*field)))
            .collect();
        let commands: Vec<String> = row
            .commands
            .iter()
            .map(|c| format!("`wizen {}`", c.replace('$', "")))
            .collect();
        let line = format!(
            "| {} | {} | {} |\n",
            row.name,
            cells.join(" | "),
            commands.join(", ")
        );
        print!("{line}");
        text.push_str(&line);
    }
    Ok(text)
}

/// One command's JSON.
fn json(command: &str, files: &BTreeMap<&str, PathBuf>) -> Outcome<serde_json::Map<String, Value>> {
    let words = command.split(' ').map(|word| match files.get(word) {
        Some(path) => path.to_string_lossy().into_owned(),
        None => word.to_owned(),
    });
    let made = Command::new(env!("CARGO_BIN_EXE_wizen"))
        .args(words)
        .arg("--json")
        .output()
        .map_err(|e| e.to_string())?;
    if !made.status.success() {
        return Err(format!(
            "wizen {command}: {}",
            String::from_utf8_lossy(&made.stderr)
        ));
    }
    match serde_json::from_slice(&made.stdout) {
        Ok(Value::Object(fields)) => Ok(fields),
        other => Err(format!("wizen {command}: no JSON object: {other:?}")),
    }
}

fn cell(head: &str, value: Option<&Value>) -> String {
    let Some(number) = value.and_then(Value::as_f64) else {
        return String::new();
    };
    match head {
        "bytes" | "multiply-accumulates" => grouped(number as u64),
        "SQNR" => format!("{number:.1} dB"),
        _ => format!("{:.2} %", 100.0 * number),
    }
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}
